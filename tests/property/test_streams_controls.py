"""OSC controls: any address with any arguments gives records, never an exception, and values within range."""

import fnmatch
from enum import Enum
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from bridge.streams.components import whole_values
from bridge.streams.control_records import Components, Control, Rejected, RunRequested, SetValues
from bridge.streams.controls import merge_controls, read_controls
from bridge.streams.values import check_value
from bridge.types import COMPONENTS, ParameterSpec, ParameterType


class Rgba(NamedTuple):
    red: int
    green: int
    blue: int
    alpha: int


class Impulse(Enum):
    IMPULSE = "I"


class Parameters:
    def __init__(self, *kinds: str) -> None:
        self.parameters = {
            kind: ParameterSpec(
                kind, kind, ParameterType(kind), 0, minimum=0, maximum=8, choices=("a", "b b"), clamp=clamp
            )
            for kind, clamp in zip(kinds, [True, False] * 6, strict=False)
        }


STREAMS = {
    "main": Parameters("int", "float", "bool", "string", "choice", "seed", "color", "vec2", "vec3", "vec4", "image"),
    "left": Parameters("float", "int", "choice", "color", "vec2"),
    "panic": Parameters("int"),
}
PARTS = ["texbridge", "main", "left", "panic", "run", "live", "cancel", "seed", "size", "workflow", "freeze", "resume"]
PARTS += ["reply", "norm", "r", "0", "x", "2", "*", "?*", "", *ParameterType]

arguments = st.lists(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 300)
    | st.floats()
    | st.floats(0, 1)
    | st.text(max_size=6)
    | st.sampled_from(
        ["seed", "int", "float", "color", "vec2", "string", "#ff0000", "1", "0.5", "1e999", "b", 10**5000]
    )
    | st.binary(max_size=4)
    | st.just(Impulse.IMPULSE)
    | st.builds(Rgba, *[st.integers(0, 255)] * 4)
    | st.lists(st.integers() | st.floats() | st.text(max_size=3), max_size=5).map(tuple),
    max_size=6,
)
addresses = st.text(max_size=30) | st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=6).map(
    lambda parts: "/texbridge/" + "/".join(parts)
)
PRESENT = {kind: (0.25,) * count for kind, count in COMPONENTS.items()}


def match_part(pattern: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def check_record(control: Control) -> None:
    """Values are checked ones; words can be sent."""
    if isinstance(control, SetValues | RunRequested):
        specs = STREAMS[control.stream].parameters
        held = dict.fromkeys(control.params, (0.0,) * 4)
        for name, value in control.params.items():
            if isinstance(value, Components):
                places = COMPONENTS[specs[name].type]
                assert all(0 <= place < places for place in value.numbers)
                value = whole_values({name: value}, held)[name][:places]
            assert check_value(specs[name], value) == value
    elif isinstance(control, Rejected):
        assert len(control.message) < 1000
        control.message.encode()
        assert len(control.address) <= 200


@given(addresses, arguments)
def test_any_message_gives_records(address, given_arguments):
    controls = read_controls(address, tuple(given_arguments), STREAMS, match_part)
    assert 1 <= len(controls) <= len(STREAMS) + 1
    for control in controls:
        check_record(control)


@given(st.lists(st.tuples(addresses, arguments), max_size=12))
def test_merging_keeps_what_the_messages_say(messages):
    controls = [
        control
        for address, given_arguments in messages
        for control in read_controls(address, tuple(given_arguments), STREAMS, match_part)
    ]
    merged = merge_controls(controls)

    def outcome(some: list[Control]) -> list[object]:
        """All that is not a plain set, each with the values that its stream has by then."""
        values: dict[str, dict[str, object]] = {}
        told: list[object] = []
        for control in some:
            if isinstance(control, SetValues):
                held = values.setdefault(control.stream, {})
                held.update(whole_values(control.params, {**PRESENT, **held}))
            elif hasattr(control, "stream"):
                told.append((control, dict(values.get(control.stream, {}))))
        return [*told, values]

    assert outcome(merged) == outcome(controls)
    assert [one for one in merged if not isinstance(one, SetValues)] == [
        one for one in controls if not isinstance(one, SetValues)
    ]
