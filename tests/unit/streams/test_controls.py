"""OSC addresses: what each means, and what each wrong one is answered."""

import fnmatch
import math
from enum import Enum

import pytest

from bridge.errors import ErrorCode
from bridge.streams.controls import (
    CancelRequested,
    Components,
    Ignored,
    LiveSwitched,
    PanicPressed,
    PatternBudget,
    RefreshRequested,
    Rejected,
    ReplyRegistered,
    ResumePressed,
    RunRequested,
    SeedSet,
    SetValues,
    ShapeSet,
    SizeSet,
    WorkflowSet,
    merge_controls,
    read_controls,
)
from bridge.streams.sizes import Shape
from bridge.types import ParameterSpec, ParameterType, Size


class Impulse(Enum):
    IMPULSE = "I"


BANG = Impulse.IMPULSE
NAN = math.nan


def spec(name: str, kind: str, default=0, **more) -> ParameterSpec:
    return ParameterSpec(name, name, ParameterType(kind), default, **more)


class Parameters:
    def __init__(self, *specs: ParameterSpec) -> None:
        self.parameters = {one.name: one for one in specs}


STREAMS = {
    "main": Parameters(
        spec("blur", "int", minimum=0, maximum=31),
        spec("strength", "float", minimum=0.0, maximum=1.0),
        spec("prompt", "string", ""),
        spec("tint", "color", (0.0,) * 4),
        spec("offset", "vec2", (0.0, 0.0)),
        spec("still", "bool", False),
        spec("strict", "int", minimum=0, maximum=9, clamp=False),
    ),
    "left": Parameters(spec("blur", "int", minimum=0, maximum=31), spec("noise_x", "float"), spec("noise_y", "float")),
}


def match_part(pattern: str, name: str) -> bool:
    """Enough of a pattern for these tests: `*`, `?` and `[...]`."""
    return fnmatch.fnmatchcase(name, pattern)


def read(address: str, *arguments):
    return read_controls(address, arguments, STREAMS, match_part)


@pytest.mark.parametrize(
    ("address", "arguments", "control"),
    [
        ("/texbridge/main/blur", (3,), SetValues("main", {"blur": 3})),
        ("/texbridge/main/blur", (300,), SetValues("main", {"blur": 31})),
        ("/texbridge/main/prompt", ("a", "lake"), SetValues("main", {"prompt": "a lake"})),
        ("/texbridge/main/tint", (255, 0, 0), SetValues("main", {"tint": (1.0, 0.0, 0.0, 1.0)})),
        ("/texbridge/main/offset", (0.5, 1), SetValues("main", {"offset": (0.5, 1.0)})),
        ("/texbridge/main/run", (), RunRequested("main")),
        ("/texbridge/main/run", (1,), RunRequested("main")),
        ("/texbridge/main/run", (0.2,), RunRequested("main")),
        ("/texbridge/main/run", (-1,), RunRequested("main")),
        ("/texbridge/main/run", (math.inf,), RunRequested("main")),
        ("/texbridge/main/run", (True,), RunRequested("main")),
        ("/texbridge/main/run", (BANG,), RunRequested("main")),
        ("/texbridge/main/run", (None,), RunRequested("main")),
        ("/texbridge/main/run", ("blur", 3), RunRequested("main", {"blur": 3})),
        ("/texbridge/main/run", ("prompt", "blur", "blur", 4), RunRequested("main", {"prompt": "blur", "blur": 4})),
        ("/texbridge/main/run", ("still", 0), RunRequested("main", {"still": False})),
        (
            "/texbridge/main/run",
            ("tint", 0.0, 0.5, 1.0, "blur", 3),
            RunRequested("main", {"tint": (0.0, 0.5, 1.0, 1.0), "blur": 3}),
        ),
        (
            "/texbridge/main/run",
            ("tint", "#00ff00", "offset", 1, 2, "seed", 5),
            RunRequested("main", {"tint": (0.0, 1.0, 0.0, 1.0), "offset": (1.0, 2.0)}, 5),
        ),
        ("/texbridge/main/run", ("seed", "18446744073709551615"), RunRequested("main", {}, 2**64 - 1)),
        ("/texbridge/main/live", (1,), LiveSwitched("main", True)),
        ("/texbridge/main/live", (0,), LiveSwitched("main", False)),
        ("/texbridge/main/live", (0.0,), LiveSwitched("main", False)),
        ("/texbridge/main/live", (True,), LiveSwitched("main", True)),
        ("/texbridge/main/live", (False,), LiveSwitched("main", False)),
        ("/texbridge/main/live", ("on",), LiveSwitched("main", True)),
        ("/texbridge/main/live", (1, 2.5), LiveSwitched("main", True, 2.5)),
        ("/texbridge/main/cancel", (), CancelRequested("main")),
        ("/texbridge/main/cancel", (1.0,), CancelRequested("main")),
        ("/texbridge/main/seed", (42,), SeedSet("main", 42)),
        ("/texbridge/main/seed", (42.0,), SeedSet("main", 42)),
        ("/texbridge/main/seed", (2**63 - 1,), SeedSet("main", 2**63 - 1)),
        ("/texbridge/main/seed", ("18446744073709551615",), SeedSet("main", 2**64 - 1)),
        ("/texbridge/main/size", (512, 256), SizeSet("main", Size(512, 256))),
        ("/texbridge/main/size", (512.0, "256"), SizeSet("main", Size(512, 256))),
        ("/texbridge/main/size", (-5, 1e30), SizeSet("main", Size(1, 2**20))),
        ("/texbridge/main/size", ((64, 32),), SizeSet("main", Size(64, 32))),
        ("/texbridge/main/size", ("16:9",), ShapeSet("main", Shape(16 / 9))),
        ("/texbridge/main/size", ("3/2", 0.5), ShapeSet("main", Shape(1.5, 0.5))),
        ("/texbridge/main/size", ("2.39:1", "2"), ShapeSet("main", Shape(2.39, 2.0))),
        ("/texbridge/main/size", (("16:9", 1),), ShapeSet("main", Shape(16 / 9, 1.0))),
        ("/texbridge/main/workflow", ("shapes",), WorkflowSet("main", "shapes")),
        ("/texbridge/panic", (), PanicPressed()),
        ("/texbridge/panic", (1,), PanicPressed()),
        ("/texbridge/resume", (True,), ResumePressed()),
        ("/texbridge/refresh", (), RefreshRequested()),
        ("/texbridge/reply", (9001,), ReplyRegistered(9001)),
        ("/texbridge/reply", (0,), ReplyRegistered(0)),
        ("/texbridge/reply", (9001.0,), ReplyRegistered(9001)),
        ("/texbridge/reply", ("9001",), ReplyRegistered(9001)),
    ],
)
def test_means(address, arguments, control):
    assert read(address, *arguments) == (control,)


@pytest.mark.parametrize("address", ["main/run", "main/cancel", "panic", "resume", "refresh"])
@pytest.mark.parametrize("argument", [0, 0.0, -0.0, False])
def test_a_buttons_release_is_ignored(address, argument):
    (control,) = read(f"/texbridge/{address}", argument)
    assert isinstance(control, Ignored)
    assert "release" in control.reason


@pytest.mark.parametrize(
    ("address", "arguments", "code"),
    [
        ("/texbridge/main/blur", (), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/blur", (1, 2), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/blur", (NAN,), ErrorCode.NOT_FINITE),
        ("/texbridge/main/strict", (10,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/run", ("blur",), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/run", ("1",), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/run", (b"x",), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/run", (NAN,), ErrorCode.NOT_FINITE),
        ("/texbridge/main/run", ((1,),), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/run", (1, 2), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/run", ("blur", 3, 4), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/run", ("blur", 3, "strength"), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/run", ("blurr", 3), ErrorCode.UNKNOWN_PARAMETER),
        ("/texbridge/main/run", ("blur", 3, "blurr", 4), ErrorCode.UNKNOWN_PARAMETER),
        ("/texbridge/main/run", ("blur", "x"), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/run", ("offset", 1, "blur", 3), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/run", ("blur", 3, "seed", -1), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/run", ("blur", 3, "seed"), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/live", (), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/live", ("maybe",), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/live", (None,), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/live", (1, 2, 3), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/live", (1, -1), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/live", (1, NAN), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/cancel", (1, 2), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/cancel", ("all",), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/seed", (), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/seed", (1, 2), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/seed", (-1,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/seed", ("18446744073709551616",), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/seed", (0.5,), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/seed", (NAN,), ErrorCode.NOT_FINITE),
        ("/texbridge/main/seed", ("randomly",), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/size", (), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", (512,), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", (512, 512, 512), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", ("wide", 512), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", (NAN, 512), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", ("1.85",), ErrorCode.BAD_SIZE),  # reads as a number: one side is no size
        ("/texbridge/main/size", ("16:9", 0), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", ("16:9", NAN), ErrorCode.NOT_FINITE),
        ("/texbridge/main/size", ("16:9", "big"), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", ("16:9", 1, 1), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", ("1000:1",), ErrorCode.BAD_SIZE),
        ("/texbridge/main/size", (math.inf, 512), ErrorCode.BAD_SIZE),
        ("/texbridge/main/workflow", (), ErrorCode.BAD_NAME),
        ("/texbridge/main/workflow", (7,), ErrorCode.BAD_NAME),
        ("/texbridge/main/workflow", ("",), ErrorCode.BAD_NAME),
        ("/texbridge/main/workflow", ("x" * 65,), ErrorCode.BAD_NAME),
        ("/texbridge/main/freeze", (), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/blackout", ("dark",), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/blackout", (1, -1.0), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/main/tint/norm/r/r", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/q", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/r/norm", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/x", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/4", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/00", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/-1", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/\u0661", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/tint/[rg]", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/offset/z", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/strength/x", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/strength/0", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/strength/norm/0", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/strength/z", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/prompt/norm", (0.5,), ErrorCode.NOT_SUPPORTED),
        ("/texbridge/main/offset/norm", (0.5, 0.5), ErrorCode.NOT_SUPPORTED),
        ("/texbridge/main/tint/r", (), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/tint/r", (0.5, 0.5), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/tint/r", ("red",), ErrorCode.WRONG_TYPE),
        ("/texbridge/main/tint/r", (NAN,), ErrorCode.NOT_FINITE),
        ("/texbridge/*/*/q", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/*/tint/norm/q", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/run/norm", (0.5,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/blurr/norm", (0.5,), ErrorCode.UNKNOWN_PARAMETER),
        ("/texbridge/main/", (1,), ErrorCode.UNKNOWN_PARAMETER),
        ("/texbridge/main", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/cue", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/", (), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge", (), ErrorCode.UNKNOWN_ADDRESS),
        ("/", (), ErrorCode.UNKNOWN_ADDRESS),
        ("", (), ErrorCode.UNKNOWN_ADDRESS),
        ("texbridge/main/blur", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/other/main/blur", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/TexBridge/main/blur", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/*/*", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/*/main/blur", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/*", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/p*", (), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/*/run", (), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main/r*", (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/mian/blur", (1,), ErrorCode.UNKNOWN_STREAM),
        ("/texbridge/panic/blur", (1,), ErrorCode.UNKNOWN_STREAM),
        ("/texbridge/reply", (), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/reply", (65536,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/reply", (-1,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/reply", (9000.5,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/reply", (NAN,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/reply", ("host", 9000), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/reply", (True,), ErrorCode.OUT_OF_RANGE),
        ("/texbridge/panic", ("now",), ErrorCode.WRONG_TYPE),
        ("/texbridge/panic", (1, 1), ErrorCode.WRONG_COMPONENTS),
        ("/texbridge/main/" + "x" * 2000, (1,), ErrorCode.UNKNOWN_ADDRESS),
        ("/texbridge/main" + "/x" * 400, (1,), ErrorCode.UNKNOWN_PARAMETER),
    ],
)
def test_rejected(address, arguments, code):
    (control,) = read(address, *arguments)
    assert isinstance(control, Rejected)
    assert control.code is code
    assert control.address == address[:200]
    assert 0 < len(control.message) < 500


@pytest.mark.parametrize(
    ("address", "nearest"),
    [
        ("/texbridge/main/blurr", "/texbridge/main/blur"),
        ("/texbridge/mian/blur", "/texbridge/main/blur"),
        ("/texbridge/main/rnu", "/texbridge/main/run"),
        ("/texbridge/panik", "/texbridge/panic"),
        ("/texbridge/main/tint/q", "/texbridge/main/tint"),
        ("/texbridge/main/tint/x", "/texbridge/main/tint/r"),
        ("/texbridge/main/tint/norm/w", "/texbridge/main/tint/norm/a"),
        ("/texbridge/main/tint/norm/q", "/texbridge/main/tint/norm"),
        ("/texbridge/main/offset/g", "/texbridge/main/offset/y"),
        ("/texbridge/main/offset/b", "/texbridge/main/offset"),
        ("/texbridge/main/blur/x", "/texbridge/main/blur"),
        ("/texbridge/main/zzzzz", None),
        ("/main/blur", "/texbridge/main/blur"),
        ("/main/run", "/texbridge/main/run"),
        ("/nobody/blur", None),
        ("/texbridge/main/panic", "/texbridge/panic"),
        ("/texbridge/main/refresh", "/texbridge/refresh"),
        ("/texbridge/run", "/texbridge/main/run"),
        ("/texbridge/blackout", "/texbridge/main/blackout"),
    ],
)
def test_the_nearest_right_address(address, nearest):
    (control,) = read(address, 1)
    assert isinstance(control, Rejected)
    assert control.nearest == nearest


@pytest.mark.parametrize(
    ("address", "arguments", "controls"),
    [
        ("/texbridge/*/blur", (5,), (SetValues("main", {"blur": 5}), SetValues("left", {"blur": 5}))),
        ("/texbridge/left/noise_?", (0.5,), (SetValues("left", {"noise_x": 0.5, "noise_y": 0.5}),)),
        ("/texbridge/l*/noise_[xy]", (2,), (SetValues("left", {"noise_x": 2.0, "noise_y": 2.0}),)),
        ("/texbridge/*/blur/norm", (1,), (SetValues("main", {"blur": 31}), SetValues("left", {"blur": 31}))),
        ("/texbridge/*/*/r", (0.5,), (SetValues("main", {"tint": Components({0: 0.5})}),)),
        ("/texbridge/main/ti*/norm/1", (0.5,), (SetValues("main", {"tint": Components({1: 0.5})}),)),
    ],
)
def test_patterns_match_parameters(address, arguments, controls):
    assert read(address, *arguments) == controls


def test_a_pattern_over_everything_sets_what_takes_it_and_tells_the_rest_once():
    controls = read("/texbridge/*/*", 5)
    assert [control.stream for control in controls if isinstance(control, SetValues)] == ["main", "left"]
    assert controls[0].params == {"blur": 5, "strength": 1.0, "prompt": "5", "still": True, "strict": 5}
    (rejected,) = [control for control in controls if isinstance(control, Rejected)]
    assert rejected.code is ErrorCode.WRONG_COMPONENTS
    assert "(and 1 more)" in rejected.message


def test_a_pattern_that_nothing_takes_is_rejected():
    (control,) = read("/texbridge/*/blur", "x")
    assert isinstance(control, Rejected)
    assert control.code is ErrorCode.WRONG_TYPE


def test_the_patterns_of_a_packet_have_one_budget():
    budget = PatternBudget(names=40)
    codes = []
    for stars in range(1, 7):  # six patterns: one that comes again is matched once
        for _ in range(2):
            (*_, last) = read_controls("/texbridge/*/" + "*" * stars, (0.5,), STREAMS, match_part, budget)
            assert isinstance(last, Rejected)
            codes.append(last.code)
    assert codes[:6] == [ErrorCode.WRONG_TYPE] * 6  # each tests 2 streams and 10 parameters
    assert codes[6:] == [ErrorCode.MESSAGE_TOO_COMPLEX] * 6
    # Names without a pattern cost nothing.
    assert read_controls("/texbridge/main/blur", (3,), STREAMS, match_part, budget) == (SetValues("main", {"blur": 3}),)


def test_what_the_patterns_of_a_packet_set_is_bounded():
    budget = PatternBudget(pairs=25)
    counts = [
        sum(len(control.params) for control in _read_in(budget, "/texbridge/*/*", 1) if isinstance(control, SetValues))
        for _ in range(3)
    ]
    assert counts[0] > 0
    assert counts[:2] == [counts[0]] * 2
    assert counts[2] == 0  # 10 pairs each, taken or refused: a third message would be over it
    (refused,) = _read_in(budget, "/texbridge/*/*", 1)
    assert refused.code is ErrorCode.MESSAGE_TOO_COMPLEX
    (one,) = _read_in(budget, "/texbridge/main/blu?", 1)  # what is left is enough for this one
    assert one == SetValues("main", {"blur": 1})


def test_near_names_are_looked_up_for_the_first_wrong_ones_of_a_packet():
    budget = PatternBudget(hints=2)
    found = [_read_in(budget, f"/texbridge/{name}", 1)[0] for name in ("main/blurr", "mainn/blur", "main/blurrr")]
    assert [control.nearest for control in found] == ["/texbridge/main/blur", "/texbridge/main/blur", None]
    assert [control.code for control in found] == [
        ErrorCode.UNKNOWN_PARAMETER,
        ErrorCode.UNKNOWN_STREAM,
        ErrorCode.UNKNOWN_PARAMETER,
    ]


def _read_in(budget, address, *arguments):
    return read_controls(address, arguments, STREAMS, match_part, budget)


def test_a_long_pattern_costs_more():
    budget = PatternBudget(names=100)
    (control,) = read_controls("/texbridge/*/" + "*" * 900, (1,), STREAMS, match_part, budget)
    assert isinstance(control, Rejected)
    assert control.code is ErrorCode.MESSAGE_TOO_COMPLEX


def test_a_wrong_run_takes_nothing():
    (control,) = read("/texbridge/main/run", "blur", 3, "strict", 10)
    assert isinstance(control, Rejected)


# --- bundles -------------------------------------------------------------------------------------------------


def test_neighbouring_values_of_a_stream_become_one_set():
    assert merge_controls(
        [
            SetValues("main", {"blur": 1, "still": True}),
            SetValues("left", {"blur": 2}),
            Ignored("x"),
            SetValues("main", {"blur": 3}),
            SetValues("left", {"noise_x": 0.5}),
        ]
    ) == [
        SetValues("main", {"blur": 3, "still": True}),
        SetValues("left", {"blur": 2, "noise_x": 0.5}),
        Ignored("x"),
    ]


def test_values_never_move_over_a_run_of_their_stream():
    controls = [
        SetValues("main", {"blur": 1}),
        RunRequested("main"),
        SetValues("main", {"blur": 2}),
        RunRequested("left"),
        SetValues("main", {"still": True}),
        PanicPressed(),
        SetValues("main", {"blur": 3}),
    ]
    assert merge_controls(controls) == [
        SetValues("main", {"blur": 1}),
        RunRequested("main"),
        SetValues("main", {"blur": 2, "still": True}),
        RunRequested("left"),
        PanicPressed(),
        SetValues("main", {"blur": 3}),
    ]


@pytest.mark.parametrize("word", ["status", "progress", "frame", "error"])
@pytest.mark.parametrize("start", ["/texbridge/main/", "/texbridge/nobody/"])
def test_what_a_bridge_tells_is_ignored(start: str, word: str) -> None:
    """An error for it would be told, come back, and be told again."""
    for address in (start + word, "/texbridge/error"):
        (control,) = read_controls(address, (201, "x"), {}, lambda pattern, name: pattern == name)
        assert isinstance(control, Ignored)
