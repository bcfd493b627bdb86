"""How far a prompt is: tables of what ComfyUI says, and the share that comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.workflow.progress import NODE_S, REMEMBERED, STEP_S, NodeTimes, PromptProgress


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


PROMPT = {
    "1": node("Loader", name="model"),
    "2": node("Sampler", model=["1", 0], steps=20),
    "3": node("Decode", samples=["2", 0]),
    "4": node("SaveImageWebsocket", images=["3", 0]),
    "8": node("Note", text="nothing needs it"),
}
WHOLE = 3 * NODE_S + 20 * STEP_S


def progress(times=None, prompt=PROMPT):
    return PromptProgress.of(prompt, ["4"], times or NodeTimes())


def play(made, *events):
    """Events as (what, node, ...), one a second."""
    shares = []
    for now, (what, *arguments) in enumerate(events):
        match what:
            case "began":
                made.began(arguments[0], float(now))
            case "step":
                made.step(*arguments)
            case "cached":
                made.cached(arguments)
            case "done":
                made.finished(arguments, float(now))
            case "end":
                made.end(float(now))
        shares.append(made.share)
    return shares


def test_before_anything_is_known_steps_weigh_most():
    shares = play(
        progress(),
        ("began", "1"),
        ("began", "2"),
        ("step", "2", 10, 20),
        ("step", "2", 20, 20),
        ("began", "3"),
        ("began", "4"),
        ("end",),
    )
    sampler = 20 * STEP_S
    done = [0, NODE_S, NODE_S + sampler / 2, NODE_S + sampler, NODE_S + sampler, 2 * NODE_S + sampler, WHOLE]
    assert shares == pytest.approx([each / WHOLE for each in done])


@pytest.mark.parametrize(
    ("events", "share"),
    [
        ([("cached", "1", "2", "3"), ("began", "4")], 0.0),
        ([("cached", "1", "2"), ("began", "3"), ("began", "4")], 0.5),
        ([("cached", "1", "2"), ("began", "3"), ("step", "3", 1, 2)], 0.25),
        ([("cached", "1", "2", "3", "4")], 0.0),
        ([("cached", "99"), ("began", "99"), ("step", "99", 1, 1), ("done", "99")], 0.0),
        ([("cached", "1", "2"), ("step", "3", 9, 3)], 0.5),
        ([("cached", "1", "2"), ("step", "3", -9, 3)], 0.0),
        ([("cached", "1", "2"), ("step", "3", 1, 0)], 0.0),
        ([("cached", "1", "2"), ("step", "3", 1, 2), ("step", "3", 0, 2)], 0.25),
        # What ComfyUI says to be done is done; what it doesn't is not, once it says so.
        ([("cached", "1", "2"), ("done", "3")], 0.5),
        ([("cached", "1"), ("done",), ("began", "3"), ("began", "4")], 0.0),
        # A node that no output needs, and that runs all the same, counts from then on.
        ([("cached", "1", "2", "3"), ("began", "8"), ("began", "4")], 0.5),
        ([("cached", "1", "2", "3"), ("end",)], 1.0),
    ],
)
def test_what_is_cached_done_or_unknown(events, share):
    assert play(progress(), *events)[-1] == pytest.approx(share)


def test_the_second_prompt_weighs_by_what_the_first_took():
    times = NodeTimes()
    play(progress(times), *[("began", node_id) for node_id in "1234"], ("end",))
    made = progress(times)
    assert play(made, ("began", "1"), ("began", "2"), ("step", "2", 1, 2))[-1] == pytest.approx(1.5 / 4)


def test_a_first_time_that_was_slow_is_forgotten():
    times = NodeTimes()
    times.learn("1", 100.0)
    for _ in range(REMEMBERED - 1):
        times.learn("1", 2.0)
    assert times.weight("1", None) == 2.0


@pytest.mark.parametrize(
    ("steps", "weight"),
    [(10, 5.0), (20, 10.0), (0, 0.5), (None, 5.0)],
)
def test_a_sampler_is_remembered_by_the_step(steps, weight):
    times = NodeTimes()
    times.learn("2", 5.0, 10)
    assert times.weight("2", steps) == pytest.approx(weight)


def test_what_was_cached_or_cut_short_teaches_nothing():
    times = NodeTimes()
    play(progress(times), ("cached", "1"), ("began", "2"), ("step", "2", 1, 20))
    assert "1" not in times
    assert "2" not in times


@pytest.mark.parametrize(
    "prompt",
    [
        {},
        {"4": {"class_type": "SaveImageWebsocket"}},
        {"4": node("SaveImageWebsocket", images=["4", 0])},
        {"4": node("SaveImageWebsocket", images=["nobody", 0], steps=True)},
        {"4": node("SaveImageWebsocket", images=[["1", 0], 0], steps="many")},
    ],
)
def test_odd_prompts_have_a_progress_too(prompt):
    made = PromptProgress.of(prompt, ["4"], NodeTimes())
    assert play(made, ("began", "4"), ("end",))[-1] == 1.0


names = st.sampled_from(["1", "2", "3", "4", "8", "99"])
event = st.one_of(
    st.tuples(st.just("began"), names),
    st.tuples(st.just("cached"), names, names),
    st.tuples(st.just("done"), names),
    st.tuples(st.just("step"), names, st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
)


@given(st.lists(event, max_size=30))
def test_whatever_comes_it_never_falls_and_stays_in_its_range(events):
    shares = play(progress(), *events, ("end",))
    assert shares == sorted(shares)
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert shares[-1] == 1.0
