"""One stream: mode, seed, size, numbering, and how long it lives."""

import random

import pytest

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.sizes import Shape
from bridge.streams.stream import Stream, check_max_fps, check_seed
from bridge.types import Mode, ParameterSpec, ParameterType, SeedPolicy, Size, WorkflowSpec

BLUR = ParameterSpec("blur", "Blur", ParameterType.INT, 1, minimum=0, maximum=31)


def workflow(name="gradient", **more) -> WorkflowSpec:
    settings = {
        "label": name,
        "parameters": (BLUR,),
        "outputs": (),
        "has_seed": True,
        "default_seed": 7,
        "size": Size(512, 512),
        "size_step": 16,
        "size_maximum": 1000,
    }
    return WorkflowSpec(name, **(settings | more))


def stream(mode=Mode.LATEST, **more) -> Stream:
    return Stream(3, "main", more.pop("workflow", workflow()), mode, now=more.pop("now", 0.0), **more)


# --- mode ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.ONESHOT, Mode.LATEST])
def test_live_off_goes_back_to_the_mode_before(mode):
    one = stream(mode)
    assert one.switch_live(True) is True
    assert one.mode is Mode.LIVE
    assert one.switch_live(True) is False
    assert one.switch_live(False) is True
    assert one.mode is mode
    assert one.switch_live(False) is False
    assert one.mode is mode


def test_a_stream_that_began_live_becomes_latest():
    one = stream(Mode.LIVE)
    assert one.switch_live(True) is False
    assert one.switch_live(False) is True
    assert one.mode is Mode.LATEST
    one.switch_live(True)
    one.switch_live(False)
    assert one.mode is Mode.LATEST


# --- seed ----------------------------------------------------------------------------------------------------


def test_fixed_seed():
    one = stream()
    assert [one.next_seed(random.Random(1).getrandbits) for _ in range(3)] == [7, 7, 7]
    assert not one.varies


def test_incremented_seed_begins_with_the_one_set_and_wraps():
    one = stream(seed_policy=SeedPolicy.INCREMENT, seed=2**64 - 2)
    assert [one.next_seed(random.Random(1).getrandbits) for _ in range(3)] == [2**64 - 2, 2**64 - 1, 0]
    one.set_seed(100)
    assert [one.next_seed(random.Random(1).getrandbits) for _ in range(2)] == [100, 101]
    assert one.varies


def test_random_seed_is_the_sources_and_stays_under_2_to_32():
    one = stream(seed_policy=SeedPolicy.RANDOM)
    seeds = [one.next_seed(source.getrandbits) for source in [random.Random(5)] for _ in range(100)]
    again = random.Random(5)
    assert seeds == [again.getrandbits(32) for _ in range(100)]
    assert one.seed == seeds[-1]


@pytest.mark.parametrize("policy", list(SeedPolicy))
def test_a_runs_own_seed_moves_nothing(policy):
    one = stream(seed_policy=policy, seed=5)
    assert one.next_seed(random.Random(1).getrandbits, own=99) == 99
    assert one.seed == 5


def test_without_a_seed_input_nothing_varies():
    assert not stream(workflow=workflow(has_seed=False), seed_policy=SeedPolicy.RANDOM).varies


@pytest.mark.parametrize(("raw", "seed"), [(0, 0), (2**64 - 1, 2**64 - 1), (5.0, 5), (float(2**53), 2**53)])
def test_seeds_taken(raw, seed):
    assert check_seed(raw) == seed
    assert type(check_seed(raw)) is int


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (-1, ErrorCode.OUT_OF_RANGE),
        (2**64, ErrorCode.OUT_OF_RANGE),
        (float(2**54), ErrorCode.OUT_OF_RANGE),
        (0.5, ErrorCode.WRONG_TYPE),
        (True, ErrorCode.WRONG_TYPE),
        ("7", ErrorCode.WRONG_TYPE),
        (None, ErrorCode.WRONG_TYPE),
        (float("nan"), ErrorCode.NOT_FINITE),
        (float("inf"), ErrorCode.NOT_FINITE),
    ],
)
def test_seeds_refused(raw, code):
    with pytest.raises(InvalidValueError) as caught:
        check_seed(raw)
    assert (caught.value.code, caught.value.field) == (code, "seed")


# --- size and rate ----------------------------------------------------------------------------------------


def test_picture_size_is_the_one_asked_for_else_the_graphs():
    one = stream()
    assert one.picture_size == (512, 512)
    before = one.cost_key
    assert one.set_size([64, 32]) == (64, 32)
    assert one.picture_size == (64, 32)
    assert one.cost_key != before


def test_a_shape_leaves_what_it_does_not_name():
    one = stream()
    assert one.set_shape(Shape(aspect=2.0)) == (720, 368)  # 512 * 512 pixels, as near as steps of 16 allow
    assert one.set_shape(Shape(megapixels=1 / 16)) == (368, 176)  # the aspect asked for, not that of 720 x 368
    assert one.set_shape(Shape(megapixels=1 / 4)) == (720, 368)
    assert one.picture_size == (720, 368)
    # Another workflow makes its own nearest of what was asked for.
    one.change_workflow(workflow("other", size_step=64))
    assert one.picture_size == (704, 384)
    # In pixels it is what it is.
    one.set_size((640, 320))
    one.change_workflow(workflow("third", size_step=256))
    assert one.picture_size == (768, 256)
    assert one.set_shape(Shape(aspect=1.0)) == (512, 512)
    one.change_workflow(workflow("fourth"), carry=False)
    assert (one.size, one.shape) == (None, None)


@pytest.mark.parametrize(("raw", "fps"), [(None, None), (30, 30.0), (0.5, 0.5), (1000, 1000.0)])
def test_max_fps_taken(raw, fps):
    assert check_max_fps(raw) == fps


@pytest.mark.parametrize("raw", [0, -1, 1001, 10**400, float("nan"), float("inf"), True, "30", [30]])
def test_max_fps_refused(raw):
    with pytest.raises(InvalidValueError) as caught:
        check_max_fps(raw)
    assert caught.value.field == "max_fps"


# --- another workflow ----------------------------------------------------------------------------------------


def test_another_workflow_keeps_number_viewers_values_and_mode():
    one = stream(Mode.LIVE, size=Size(64, 32))
    one.subscribe(5)
    one.values.set({"blur": 9})
    one.change_workflow(workflow("shapes", size_step=64, default_seed=11))
    assert (one.number, one.name, one.mode, one.viewers) == (3, "main", Mode.LIVE, 1)
    assert one.workflow.name == "shapes"
    assert one.values["blur"] == 9
    assert one.size == (64, 64)
    assert one.seed == 11


def test_a_seed_that_was_set_is_kept():
    one = stream()
    one.set_seed(99)
    one.change_workflow(workflow("shapes", default_seed=11))
    assert one.seed == 99


def test_another_workflow_without_size_inputs():
    one = stream(size=Size(64, 32))
    one.change_workflow(workflow("photo", size=None))
    assert one.size is None
    assert one.picture_size is None


# --- numbers -------------------------------------------------------------------------------------------------


def test_numbers_begin_at_1_and_have_no_gap():
    one = stream()
    assert one.number_in_work == 1
    assert [one.release() for _ in range(3)] == [1, 2, 3]
    assert one.number_in_work == 4
    assert one.last_number == 3


# --- lifetime ------------------------------------------------------------------------------------------------


def test_alone_from_the_beginning():
    assert stream(now=100.0).deadline == 130.0


def test_lives_30_s_after_its_last_viewer():
    one = stream()
    one.attach(1)
    one.subscribe(1)
    one.subscribe("http 7")
    assert one.deadline is None
    one.detach(1, 50.0)
    one.unsubscribe(1, 51.0)
    assert one.deadline is None
    one.unsubscribe("http 7", 60.0)
    assert one.deadline == 90.0
    one.unsubscribe("http 7", 70.0)
    assert one.deadline == 90.0
    one.subscribe(2)
    assert one.deadline is None


def test_a_session_without_connection_does_not_keep_it_alive():
    one = stream()
    one.attach(1)
    one.subscribe(1)
    one.session_away(1, 10.0)
    assert (one.deadline, one.viewers) == (40.0, 0)
    assert one.attached == one.subscribers == {1}
    one.session_back(1, 20.0)
    assert (one.deadline, one.viewers) == (None, 1)
    one.session_away(1, 30.0)
    one.session_ended(1, 60.0)
    assert one.deadline == 60.0
    assert one.attached == one.subscribers == frozenset()


def test_an_ended_session_leaves_no_client_time():
    one = stream()
    one.values.set({"blur": 2}, session=1, client_time=5)
    one.session_ended(1, 0.0)
    assert one.values.snapshot().client_times == {}


def test_strangers_going_change_nothing():
    one = stream()
    one.attach(1)
    one.session_away(2, 10.0)
    one.session_back(2, 10.0)
    one.session_ended(2, 10.0)
    assert one.deadline is None


def test_streams_from_the_config_stay():
    assert stream(configured=True).deadline is None
