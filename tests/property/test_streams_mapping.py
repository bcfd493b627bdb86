"""Maps: any message gives records, never an exception; a smoothed value stays within its way, and arrives."""

import fnmatch
import math

from hypothesis import given
from hypothesis import strategies as st

from bridge.streams.components import whole_values
from bridge.streams.control_records import Components, Moving, SetValues
from bridge.streams.mapping import SETTLED, Mapping, Mappings, MapSpec
from bridge.streams.values import check_value
from bridge.types import COMPONENTS, Curve, ParameterSpec, ParameterType

KINDS = ("int", "float", "bool", "choice", "seed", "color", "vec2", "string")


class Main:
    def __init__(self) -> None:
        self.parameters = {
            kind: ParameterSpec(kind, kind, ParameterType(kind), 0, minimum=0, maximum=8, choices=("a", "b"))
            for kind in KINDS
        }


STREAMS = {"main": Main()}
numbers = st.floats(-1e6, 1e6)
specs = st.builds(
    lambda to, low, width, out_low, out_high, **more: MapSpec(
        "/f", f"/texbridge/{to}", low=low, high=low + width, out_low=out_low, out_high=out_high, **more
    ),
    st.sampled_from([*(f"main/{kind}" for kind in KINDS), "main/color/r", "main/vec2/norm/y", "main/run", "panic"]),
    low=numbers,
    width=st.floats(1e-3, 1e6) | st.floats(-1e6, -1e-3),
    out_low=numbers,
    out_high=numbers,
    argument=st.none() | st.integers(0, 3),
    plain=st.booleans(),
    curve=st.sampled_from([Curve.LINEAR, Curve.EXP]),
    invert=st.booleans(),
    smoothing_s=st.sampled_from([0.0, 0.5]),
    deadband=st.floats(0, 10),
    silent_after_s=st.none() | st.floats(0.1, 5),
)
arguments = st.lists(
    st.none() | st.booleans() | st.integers() | st.floats() | st.floats(0, 1) | st.text(max_size=4) | st.binary(),
    max_size=4,
)


@given(specs, st.lists(st.tuples(arguments, st.floats(0, 3)), max_size=12))
def test_any_message_gives_records(spec, messages):
    mappings = Mappings((spec,), fnmatch.fnmatchcase)
    (mapping,) = mappings.find("/f")
    now = 0.0
    for sent, later in messages:
        now += later
        controls = list(mappings.read(mapping, tuple(sent), STREAMS, now))
        for due, at in mappings.due(now):
            controls += mappings.controls(due, at, STREAMS)
        for control in controls:
            if isinstance(control, SetValues):
                for name, value in control.params.items():
                    if isinstance(value, Components):
                        places = COMPONENTS[ParameterType(name)]
                        value = whole_values({name: value}, {name: (0.0,) * places})[name]
                    assert check_value(STREAMS["main"].parameters[name], value) == value
            elif isinstance(control, Moving):
                assert all(map(math.isfinite, control.numbers))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=12), st.floats(0.01, 1))
def test_a_smoothed_value_is_never_outside_and_always_arrives(moves, smoothing_s):
    mapping = Mapping(MapSpec("/f", "/texbridge/main/float", smoothing_s=smoothing_s))
    now = 0.0
    sent = []
    for target, later in moves:
        mapping.feed((target,), now)
        sent.append(target)
        for part in (0.0, 0.3, 1.0):
            value = mapping.value(now + part * later)
            assert value is not None
            assert min(sent) - 1e-9 <= value[0] <= max(sent) + 1e-9
        now += later
    end = now + SETTLED * smoothing_s + 1e-6
    assert mapping.advance(end) == (sent[-1],)
    assert not mapping.moving
