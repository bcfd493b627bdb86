"""All streams: open, attach, replace, find, and the end of those that nobody wants."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, TexbridgeError, UnknownNameError
from bridge.streams.registry import Streams
from bridge.types import Mode, ParameterSpec, ParameterType, SeedPolicy, Size, WorkflowSpec

BLUR = ParameterSpec("blur", "Blur", ParameterType.INT, 1, minimum=0, maximum=31)
COUNT = ParameterSpec("count", "Count", ParameterType.INT, 3, minimum=1, maximum=9)
GRADIENT = WorkflowSpec("gradient", "Gradient", (BLUR,), (), True, 7, Size(512, 512), 8, 2048)
SHAPES = WorkflowSpec("shapes", "Shapes", (BLUR, COUNT), (), True, 1, Size(256, 256), 8, 2048)


@pytest.fixture
def streams() -> Streams:
    return Streams(limit=3)


def test_open_makes_a_stream_with_all_that_was_said(streams):
    opened = streams.open(
        "main",
        GRADIENT,
        Mode.LIVE,
        now=0.0,
        session=1,
        params={"blur": 5},
        seed_policy=SeedPolicy.INCREMENT,
        seed=9,
        max_fps=30,
        size=[64, 64],
    )
    one = opened.stream
    assert (opened.created, opened.replaced, opened.changed) == (True, False, ("blur",))
    assert (one.number, one.name, one.mode, one.seed_policy, one.seed) == (1, "main", Mode.LIVE, "increment", 9)
    assert (one.max_fps, one.size, one.values["blur"], one.attached) == (30.0, (64, 64), 5, {1})


def test_open_without_more(streams):
    one = streams.open("main", GRADIENT, Mode.LATEST, now=0.0).stream
    assert (one.seed_policy, one.seed, one.max_fps, one.size) == (SeedPolicy.FIXED, 7, None, None)


def test_same_workflow_and_mode_attaches(streams):
    first = streams.open("main", GRADIENT, Mode.LATEST, now=0.0, session=1, params={"blur": 5}, max_fps=30)
    second = streams.open("main", GRADIENT, Mode.LATEST, now=0.0, session=2)
    assert (second.created, second.stream) == (False, first.stream)
    assert second.stream.attached == {1, 2}
    assert (second.stream.values["blur"], second.stream.max_fps) == (5, 30.0)
    third = streams.open("main", GRADIENT, Mode.LATEST, now=0.0, session=2, params={"blur": 6}, max_fps=10)
    assert (third.changed, third.stream.max_fps) == (("blur",), 10.0)


def test_a_stream_switched_live_is_still_of_the_mode_it_was_opened_in(streams):
    one = streams.open("main", GRADIENT, Mode.LATEST, now=0.0).stream
    one.switch_live(True)
    assert streams.open("main", GRADIENT, Mode.LATEST, now=0.0).created is False
    assert streams.open("main", GRADIENT, Mode.LIVE, now=0.0).created is False
    assert one.mode is Mode.LIVE


@pytest.mark.parametrize(("workflow", "mode"), [(SHAPES, Mode.LIVE), (GRADIENT, Mode.LATEST), (GRADIENT, Mode.ONESHOT)])
def test_another_workflow_or_mode_is_stream_exists(streams, workflow, mode):
    streams.open("main", GRADIENT, Mode.LIVE, now=0.0)
    with pytest.raises(NotAllowedError, match="replace") as caught:
        streams.open("main", workflow, mode, now=0.0, session=2)
    assert caught.value.code is ErrorCode.STREAM_EXISTS
    assert streams.find("main").attached == frozenset()


def test_replace_makes_it_anew_at_the_same_number(streams):
    one = streams.open("main", GRADIENT, Mode.LIVE, now=0.0, session=1, params={"blur": 9}, max_fps=5).stream
    one.subscribe(1)
    one.release()
    before = one.values.revision
    opened = streams.open("main", SHAPES, Mode.ONESHOT, now=0.0, session=2, params={"count": 5}, replace=True)
    assert (opened.stream, opened.created, opened.replaced) == (one, True, True)
    assert (one.number, one.workflow, one.mode, one.max_fps, one.seed) == (1, SHAPES, Mode.ONESHOT, None, 1)
    assert dict(one.values.snapshot().values) == {"blur": 1, "count": 5}
    assert one.values.revision > before
    assert one.last_number == 1
    assert one.subscribers == {1}
    assert one.attached == {1, 2}


def test_replace_by_the_same_attaches(streams):
    streams.open("main", GRADIENT, Mode.LIVE, now=0.0, params={"blur": 9})
    opened = streams.open("main", GRADIENT, Mode.LIVE, now=0.0, replace=True)
    assert (opened.created, opened.stream.values["blur"]) == (False, 9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"params": {"blur": 99}},
        {"params": {"nothing": 1}},
        {"size": [9, 9]},
        {"max_fps": 0},
        {"seed": -1},
    ],
)
@pytest.mark.parametrize("case", ["new", "attach", "replace"])
def test_a_refused_open_changes_nothing(streams, wrong, case):
    if case != "new":
        streams.open("main", GRADIENT, Mode.LATEST, now=0.0, params={"blur": 2})
    workflow = SHAPES if case == "replace" else GRADIENT
    with pytest.raises(TexbridgeError):
        streams.open("main", workflow, Mode.LATEST, now=5.0, session=1, replace=True, **wrong)
    if case == "new":
        assert len(streams) == 0
    else:
        one = streams.find("main")
        assert (one.workflow, one.values["blur"], one.values.revision) == (GRADIENT, 2, 2)
        assert (one.attached, one.size, one.max_fps) == (frozenset(), None, None)


def test_limit(streams):
    for name in ("a", "b", "c"):
        streams.open(name, GRADIENT, Mode.LATEST, now=0.0)
    with pytest.raises(NotAllowedError) as caught:
        streams.open("d", GRADIENT, Mode.LATEST, now=0.0)
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_MANY_STREAMS, 3)
    assert streams.open("c", GRADIENT, Mode.LATEST, now=0.0).created is False


@pytest.mark.parametrize("name", ["panic", "a b", "", 7])
def test_bad_names(streams, name):
    with pytest.raises(InvalidValueError):
        streams.open(name, GRADIENT, Mode.LATEST, now=0.0)


def test_find_by_name_and_number(streams):
    one = streams.open("main", GRADIENT, Mode.LATEST, now=0.0).stream
    assert streams.find("main") is streams.find(1) is streams.find(1.0) is one
    assert streams.by_name["main"] is one


@pytest.mark.parametrize("reference", ["mian", 2, 0, -1, True, None, 1.5, float("nan"), float("inf"), [1], b"main"])
def test_find_nothing(streams, reference):
    streams.open("main", GRADIENT, Mode.LATEST, now=0.0)
    with pytest.raises(UnknownNameError) as caught:
        streams.find(reference)
    assert caught.value.code is ErrorCode.UNKNOWN_STREAM
    assert "main" in caught.value.message


def test_numbers_are_never_given_again(streams):
    first = streams.open("a", GRADIENT, Mode.LATEST, now=0.0).stream
    streams.remove(first)
    streams.remove(first)
    assert streams.open("a", GRADIENT, Mode.LATEST, now=0.0).stream.number == 2
    with pytest.raises(UnknownNameError):
        streams.find(1)


def test_expiry(streams):
    streams.open("config", GRADIENT, Mode.LIVE, now=0.0, configured=True)
    alone = streams.open("alone", GRADIENT, Mode.LATEST, now=5.0).stream
    kept = streams.open("kept", GRADIENT, Mode.LATEST, now=0.0, session=1).stream
    assert streams.next_deadline() == 35.0
    assert streams.expire(34.9) == []
    assert streams.expire(35.0) == [alone]
    assert streams.next_deadline() is None
    streams.session_away(1, 50.0)
    assert streams.next_deadline() == 80.0
    streams.session_back(1, 60.0)
    assert streams.next_deadline() is None
    streams.session_away(1, 70.0)
    streams.session_ended(1, 100.0)
    assert streams.expire(100.0) == [kept]
    assert list(streams.by_name) == ["config"]
