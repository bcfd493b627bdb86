"""Real OSC packets through the codec and the real pattern matcher: both sides mean the same by each type tag."""

import pytest

from bridge.codec.osc import OscColor, OscMessage, decode_packet, encode_osc_message, match_part
from bridge.errors import ErrorCode
from bridge.streams.controls import Ignored, Rejected, RunRequested, SeedSet, SetValues, read_controls
from bridge.types import ParameterSpec, ParameterType


class Parameters:
    def __init__(self, *kinds: str) -> None:
        self.parameters = {kind: ParameterSpec(kind, kind, ParameterType(kind), 0) for kind in kinds}


STREAMS = {"main": Parameters("int", "color", "bool", "string", "vec2"), "left": Parameters("int")}


def read(packet: bytes):
    message = decode_packet(packet)
    assert isinstance(message, OscMessage)
    return read_controls(message.address, message.arguments, STREAMS, match_part)


@pytest.mark.parametrize(
    ("address", "arguments", "tags", "controls"),
    [
        ("main/color", (OscColor(255, 0, 51, 102),), "r", (SetValues("main", {"color": (1.0, 0.0, 0.2, 0.4)}),)),
        ("main/color", (255, 0, 51), "iii", (SetValues("main", {"color": (1.0, 0.0, 0.2, 1.0)}),)),
        ("main/run", (None,), "N", (RunRequested("main"),)),
        ("main/run", (True,), "T", (RunRequested("main"),)),
        ("main/run", (False,), "F", (Ignored("run: a button's release"),)),
        ("main/run", (0.0,), "f", (Ignored("run: a button's release"),)),
        ("main/int", (5.0,), "f", (SetValues("main", {"int": 5}),)),
        ("main/seed", (2**62,), "h", (SeedSet("main", 2**62),)),
        ("main/seed", (2.0**40,), "d", (SeedSet("main", 2**40),)),
        ("{main,left}/i*", (3,), "i", (SetValues("main", {"int": 3}), SetValues("left", {"int": 3}))),
    ],
)
def test_packet(address, arguments, tags, controls):
    assert read(encode_osc_message(f"/texbridge/{address}", *arguments, tags=tags)) == controls


def test_impulse():
    assert read(b"/texbridge/main/run\0,I\0\0") == (RunRequested("main"),)
    assert read(b"/texbridge/main/bool\0\0\0\0,I\0\0") == (SetValues("main", {"bool": True}),)


def test_array():
    packet = b"/texbridge/main/vec2\0\0\0\0,[ff]\0\0\0\x3f\x00\x00\x00\xbf\x00\x00\x00"
    assert read(packet) == (SetValues("main", {"vec2": (0.5, -0.5)}),)


def test_latin_1_text():
    packet = b"/texbridge/main/string\0\0,s\0\0caf\xe9\0\0\0\0"
    assert read(packet) == (SetValues("main", {"string": "café"}),)


@pytest.mark.parametrize("pattern", ["main/{run,cancel}", "*/run", "main/r?n", "*/seed"])
def test_patterns_match_no_control(pattern):
    (control,) = read(encode_osc_message(f"/texbridge/{pattern}"))
    assert isinstance(control, Rejected)
    assert control.code is ErrorCode.UNKNOWN_ADDRESS
