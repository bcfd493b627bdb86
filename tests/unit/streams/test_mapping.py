"""Maps: range, curve, deadband, smoothing in time, silence, and what a target takes."""

import fnmatch
import math

import pytest

from bridge.errors import ErrorCode
from bridge.streams.control_records import (
    Components,
    Ignored,
    LiveSwitched,
    Moving,
    PanicPressed,
    Rejected,
    RunRequested,
    SetValues,
)
from bridge.streams.mapping import SETTLED, Mapping, Mappings, MapSpec, check_target
from bridge.types import Curve, ParameterSpec, ParameterType


def spec(name: str, kind: str, low=None, high=None, **more) -> ParameterSpec:
    return ParameterSpec(name, name, ParameterType(kind), 0, minimum=low, maximum=high, **more)


class Parameters:
    def __init__(self, *specs: ParameterSpec) -> None:
        self.parameters = {one.name: one for one in specs}


STREAMS = {
    "main": Parameters(
        spec("blur", "int", 0, 31),
        spec("grain", "float", 0.0, 10.0),
        spec("lamp", "bool"),
        spec("note", "string"),
        spec("mode", "choice", choices=("a", "b", "c")),
        spec("tint", "color"),
        spec("pad", "vec2", 0.0, 1.0),
    )
}


def maps(*specs: MapSpec) -> Mappings:
    return Mappings(specs, lambda pattern, name: fnmatch.fnmatchcase(name, pattern))


def to(target: str, address: str = "/1/fader1", **more) -> MapSpec:
    return MapSpec(address, f"/texbridge/{target}", **more)


def read(mappings: Mappings, *arguments, address: str = "/1/fader1", now: float = 0.0):
    controls = []
    for mapping in mappings.find(address):
        controls += mappings.read(mapping, arguments, STREAMS, now)
    return controls


@pytest.mark.parametrize(
    ("spec", "came", "becomes"),
    [
        (to("main/grain"), 0.25, 0.25),
        (to("main/grain", low=0, high=127, out_low=0, out_high=10), 127, 10.0),
        (to("main/grain", low=0, high=127, out_low=0, out_high=10), 500, 10.0),
        (to("main/grain", low=0, high=127, out_low=0, out_high=10, clamp=False), 254, 20.0),
        (to("main/grain", invert=True), 0.25, 0.75),
        (to("main/grain", low=1, high=0), 0.25, 0.75),
        (to("main/grain", out_low=10, out_high=0), 0.25, 7.5),
        (to("main/grain", out_low=1, out_high=100, curve=Curve.LOG), 0.5, 10.0),
        (to("main/grain", out_low=0, out_high=99, curve=Curve.EXP), 0.5, 9.0),
    ],
)
def test_ranges_and_curves(spec, came, becomes):
    assert spec.mapped(came) == pytest.approx(becomes)


@pytest.mark.parametrize(
    ("spec", "arguments", "control"),
    [
        (to("main/grain"), (0.5,), SetValues("main", {"grain": 0.5})),
        (to("main/blur", out_high=31), (0.5,), SetValues("main", {"blur": 16})),
        (to("main/blur/norm"), (0.5,), SetValues("main", {"blur": 16})),
        (to("main/lamp"), (0.49,), SetValues("main", {"lamp": False})),
        (to("main/lamp"), (True,), SetValues("main", {"lamp": True})),
        (to("main/mode", out_high=2), (0.3,), SetValues("main", {"mode": "b"})),
        (to("main/tint/r"), (1,), SetValues("main", {"tint": Components({0: 1.0})})),
        (to("main/pad", invert=True), (0.25, 1.0), SetValues("main", {"pad": (0.75, 0.0)})),
        (to("main/pad/norm/y", argument=1), (0.25, 1.0, 7), SetValues("main", {"pad": Components({1: 1.0})})),
        (to("main/live"), (1.0,), LiveSwitched("main", True)),
        (to("main/run"), (1.0,), RunRequested("main")),
        (to("panic"), (1.0,), PanicPressed()),
        (to("main/note", plain=True), ("a", "fox"), SetValues("main", {"note": "a fox"})),
        (to("main/tint", plain=True), (255, 0, 0), SetValues("main", {"tint": (1.0, 0.0, 0.0, 1.0)})),
        (to("main/run", plain=True), (), RunRequested("main")),
        (to("main/run", plain=True), (0,), Ignored("run: a button's release")),
    ],
)
def test_what_a_message_becomes(spec, arguments, control):
    assert read(maps(spec), *arguments) == [control]


@pytest.mark.parametrize(("arguments", "has"), [((), "none"), ((0.25,), "1")])
@pytest.mark.parametrize("more", [{}, {"out_high": 2.0}], ids=["plain", "mapped"])
def test_a_map_whose_argument_is_missing_says_so(arguments, has, more):
    (control,) = read(maps(to("main/grain", argument=1, **more)), *arguments)
    assert isinstance(control, Rejected)
    assert control.code is ErrorCode.WRONG_COMPONENTS
    assert control.message.endswith(f"takes argument 1, counted from 0, and the message has {has}")


@pytest.mark.parametrize("arguments", [(), ("loud",), (math.nan,), (math.inf,), (b"x",), (0.5, None), (10**5000,)])
def test_what_a_map_refuses(arguments):
    (control,) = read(maps(to("main/grain")), *arguments)
    assert isinstance(control, Rejected)
    assert control.code is ErrorCode.WRONG_TYPE


def test_a_fader_presses_a_button_once_each_time_it_passes_a_half():
    mappings = maps(to("main/run"))
    sent = (0.2, 0.6, 0.7, 1.0, 0.4, 0.1, 0.5)
    runs = [RunRequested("main") in read(mappings, value) for value in sent]
    assert runs == [False, True, False, False, False, False, True]


def test_one_fader_moves_two_things_and_a_pattern_takes_several_faders():
    mappings = maps(to("main/grain", "/1/*"), to("main/blur", "/1/fader1", out_high=31), to("main/lamp", "/2/*"))
    assert read(mappings, 1.0) == [SetValues("main", {"grain": 1.0}), SetValues("main", {"blur": 31})]
    assert read(mappings, 0.5, address="/1/fader9") == [SetValues("main", {"grain": 0.5})]
    assert read(mappings, 0.5, address="/1/fader9/z") == []
    assert read(mappings, 0.5, address="/3/x") == []


def test_a_deadband_ignores_trembling_but_never_the_ends():
    mappings = maps(to("main/grain", deadband=0.1))
    taken = [isinstance(read(mappings, value)[0], SetValues) for value in (0.5, 0.55, 0.45, 0.61, 0.99, 1.0, 0.95, 0.0)]
    assert taken == [True, False, False, True, True, True, False, True]


def test_the_same_value_twice_is_nothing():
    mappings = maps(to("main/grain", invert=True))
    assert read(mappings, 0.5) == [SetValues("main", {"grain": 0.5})]
    assert isinstance(read(mappings, 0.5)[0], Ignored)


def test_smoothing_is_exponential_in_time():
    mapping = Mapping(to("main/grain", smoothing_s=0.5))
    assert mapping.value(0.0) is None
    mapping.feed((0.0,), 10.0)
    assert not mapping.moving or mapping.value(10.0) == (0.0,)
    mapping.feed((1.0,), 20.0)
    assert mapping.moving
    assert mapping.value(19.0) == (0.0,)
    assert mapping.value(20.0) == (0.0,)
    assert mapping.value(20.5) == pytest.approx((1 - math.exp(-1),))
    assert mapping.value(21.0) == pytest.approx((1 - math.exp(-2),))
    # On the way it turns round from where it is, without a jump.
    mapping.feed((0.0,), 21.0)
    assert mapping.value(21.0) == pytest.approx((1 - math.exp(-2),))
    assert mapping.value(21.0 + SETTLED * 0.5) == (0.0,)
    assert mapping.advance(21.0 + SETTLED * 0.5) == (0.0,)
    assert not mapping.moving


def test_a_moving_map_is_due_until_it_has_settled():
    mappings = maps(to("main/grain", smoothing_s=0.1))
    assert mappings.next_deadline() is None
    read(mappings, 0.0, now=1.0)
    assert read(mappings, 1.0, now=2.0) == [Moving("/texbridge/main/grain", (1.0,), 0.1)]
    now, values = 2.0, []
    while (deadline := mappings.next_deadline()) is not None:
        now = max(now, deadline)
        values += [numbers[0] for _, numbers in mappings.due(now)]
    assert values == sorted(values)
    assert values[-1] == 1.0
    assert 2.7 <= now < 2.8
    assert len(values) < 30
    assert mappings.moving_to("main", now) == []


def test_moving_values_of_one_stream_at_a_moment():
    mappings = maps(to("main/grain", smoothing_s=1.0), to("main/run", "/1/fader1", smoothing_s=1.0))
    read(mappings, 0.0, now=1.0)
    read(mappings, 1.0, now=20.0)
    ((_, numbers),) = mappings.moving_to("main", 21.0)
    assert numbers == pytest.approx((1 - math.exp(-1),))
    assert mappings.moving_to("left", 21.0) == []


def test_a_sensor_that_falls_silent():
    mappings = maps(to("main/pad", silent_after_s=2.0, silent_value=0.25))
    assert mappings.next_deadline() is None  # one that never spoke isn't silent
    read(mappings, 1.0, 0.5, now=10.0)
    assert mappings.next_deadline() == 12.0
    read(mappings, 1.0, 0.5, now=11.0)  # the same again is a sign of life
    assert mappings.next_deadline() == 13.0
    assert mappings.due(12.0) == []
    ((mapping, numbers),) = mappings.due(13.0)
    assert numbers == (0.25, 0.25)
    assert mappings.controls(mapping, numbers, STREAMS) == (SetValues("main", {"pad": (0.25, 0.25)}),)
    assert mappings.next_deadline() is None
    assert read(mappings, 1.0, 0.5, now=20.0) == [SetValues("main", {"pad": (1.0, 0.5)})]
    assert mappings.next_deadline() == 22.0


def test_silence_is_smooth_too():
    mappings = maps(to("main/grain", silent_after_s=2.0, smoothing_s=0.5))
    read(mappings, 1.0, now=10.0)
    mappings.due(10.1)
    ((_, numbers),) = mappings.due(12.0)
    assert numbers == (1.0,)
    assert mappings.moving_to("main", 12.5)[0][1] == pytest.approx((math.exp(-1),))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/texbridge/main/blurr", "nearest is /texbridge/main/blur"),
        ("/texbridge/mian/blur", "nearest is /texbridge/main/blur"),
        ("/texbridge/main/tint/x", "nearest is /texbridge/main/tint/r"),
        ("/texbridge/main/note/norm", "a string has no range"),
        ("/texbridge/main/*", "has a pattern"),
        ("/texbridge/reply", "can't be moved"),
        ("/texbridge/panik", "nearest is /texbridge/panic"),
    ],
)
def test_wrong_targets(target, words):
    assert words in (check_target(target, STREAMS) or "")


@pytest.mark.parametrize(
    "target", ["main/blur", "main/blur/norm", "main/tint/3", "main/note", "main/run", "main/seed", "main/live", "panic"]
)
def test_right_targets(target):
    assert check_target(f"/texbridge/{target}", STREAMS) is None


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"low": 0.0, "high": 127.0, "out_low": 1.0, "out_high": 30.0},
        {"low": -1.0, "high": 1.0, "out_low": 0.5, "out_high": 0.1, "invert": True},
        {"out_low": 1.0, "out_high": 100.0, "curve": Curve.LOG},
        {"out_low": 0.0, "out_high": 9.0, "curve": Curve.EXP, "invert": True},
        {"low": 0.0, "high": 10.0, "clamp": False},
    ],
)
def test_unmapped_is_the_way_back(more):
    entry = to("main/blur", **more)
    for place in range(9):
        number = entry.low + (entry.high - entry.low) * place / 8
        assert entry.unmapped(entry.mapped(number)) == pytest.approx(number, abs=1e-9)


@pytest.mark.parametrize(
    ("target", "more", "name", "value", "told"),
    [
        ("main/pad/y", {"low": 0.0, "high": 10.0}, "pad", (0.25, 0.5), (5.0,)),
        ("main/pad", {}, "pad", (0.25, 0.5), (0.25, 0.5)),
        ("main/pad/norm/x", {"plain": True}, "pad", (0.25, 0.5), (0.25,)),
        ("main/pad/w", {}, "pad", (0.25, 0.5), None),
        ("main/pad", {"feedback": False}, "pad", (0.25, 0.5), None),
        ("main/other", {}, "pad", (0.25, 0.5), None),
        ("sky/pad", {}, "pad", (0.25, 0.5), None),
    ],
)
def test_what_a_map_tells_at_its_own_address(target, more, name, value, told):
    mappings = maps(to(target, **{"feedback": True, **more}))
    found = mappings.told("main", STREAMS["main"].parameters[name], value)
    assert found == ([] if told is None else [("/1/fader1", pytest.approx(told))])


@pytest.mark.parametrize("huge", [1e308, -1e308, 1.7e308])
def test_a_number_over_all_bounds_leaves_a_smoothed_value_where_it_is(huge: float) -> None:
    """An endless number would make each one behind it none, as long as they keep coming."""
    mappings = maps(to("main/grain", high=0.001, clamp=False, smoothing_s=1.0))
    read(mappings, 0.0005)
    (control,) = read(mappings, huge, now=0.5)
    assert isinstance(control, Rejected)
    read(mappings, 0.002, now=1.0)
    ((_, numbers),) = mappings.due(1.5)
    assert 0.5 < numbers[0] < 2.0
