"""What controllers really send, packet by packet, through the whole bridge: TouchOSC, Lemur, Max, MIDI boxes, engines.

The packets are literal bytes: they were written by hand from OSC 1.0, none of our encoders made them.
"""

import struct

import pytest
from app_rig import AppRig, node, run, solid, write_workflow

from bridge.codec.messages import Describe

GRAPH = {
    "1": solid("Fill @fill:color"),
    "2": node("ImageAddNoise", "@seed @grain:strength", image=["1", 0], seed=7, strength=0.5),
    "3": node("ImageAddNoise", "", image=["2", 0], seed=7, strength=0.0),
    "4": node("ImageAddNoise", "", image=["3", 0], seed=7, strength=0.0),
    "5": node("ImageBlur", "@blur:blur_radius", image=["4", 0], blur_radius=1, sigma=1.0),
    "6": node("SaveImageWebsocket", "@out image", images=["5", 0]),
    "7": node("PrimitiveString", "@note", value=""),
    "8": node("PrimitiveBoolean", "@lamp", value=False),
}
BINDING = """
[parameters.pad]
inputs = ["3.strength", "4.strength"]
type = "vec2"

[parameters.grain]
curve = "exp"
"""


def message(address: bytes, tags: bytes, *words: bytes) -> bytes:
    """Put parts behind each other, each padded with NULs as OSC strings are."""

    def padded(text: bytes) -> bytes:
        return text + bytes(4 - len(text) % 4)

    return padded(address) + padded(b"," + tags) + b"".join(words)


def text(word: bytes) -> bytes:
    return word + bytes(4 - len(word) % 4)


def bundle(*messages: bytes, tag: int = 1) -> bytes:
    return b"#bundle\0" + struct.pack(">Q", tag) + b"".join(struct.pack(">i", len(one)) + one for one in messages)


ONE, HALF, QUARTER, ZERO = b"\x3f\x80\0\0", b"\x3f\0\0\0", b"\x3e\x80\0\0", b"\0\0\0\0"
INT_1, INT_0, INT_255, INT_51 = b"\0\0\0\1", b"\0\0\0\0", b"\0\0\0\xff", b"\0\0\0\x33"
PRESS = message(b"/texbridge/main/run", b"f", ONE)
RELEASE = message(b"/texbridge/main/run", b"f", ZERO)

# name: (packets, values that hold afterwards, runs that were accepted)
SEQUENCES = {
    "TouchOSC push button, press and release": ((PRESS, RELEASE), {}, 1),
    "TouchOSC button, tapped twice": ((PRESS, RELEASE, PRESS, RELEASE), {}, 2),
    "TouchOSC release that came first": ((RELEASE, RELEASE, PRESS), {}, 1),
    "TouchOSC fader, the same value twice": (
        (message(b"/texbridge/main/pad/norm/x", b"f", HALF),) * 2,
        {"pad": (0.5, 0.0)},
        0,
    ),
    "TouchOSC fader with a touch message": (
        (
            message(b"/texbridge/main/blur/norm/z", b"f", ONE),
            message(b"/texbridge/main/blur/norm", b"f", ONE),
            message(b"/texbridge/main/blur/norm/z", b"f", ZERO),
        ),
        {"blur": 31},
        0,
    ),
    "TouchOSC XY pad": ((message(b"/texbridge/main/pad/norm", b"ff", QUARTER, ONE),), {"pad": (0.25, 1.0)}, 0),
    "TouchOSC toggle, on, on and off": (
        tuple(message(b"/texbridge/main/lamp", b"f", word) for word in (ONE, ONE, ZERO)),
        {"lamp": False},
        0,
    ),
    "TouchOSC colour faders": (
        tuple(message(b"/texbridge/main/fill/norm/" + place, b"f", ONE) for place in (b"0", b"2")),
        {"fill": (1.0, 0.0, 1.0, 1.0)},
        0,
    ),
    "Lemur pad: x and y in one bundle, time tag now": (
        (
            bundle(
                message(b"/texbridge/main/pad/x", b"f", HALF),
                message(b"/texbridge/main/pad/y", b"f", QUARTER),
            ),
        ),
        {"pad": (0.5, 0.25)},
        0,
    ),
    "Lemur: a whole colour, then one of it, then run, in one bundle": (
        (
            bundle(
                message(b"/texbridge/main/fill", b"fff", ONE, ZERO, ZERO),
                message(b"/texbridge/main/fill/b", b"f", ONE),
                message(b"/texbridge/main/run", b"i", INT_1),
            ),
        ),
        {"fill": (1.0, 0.0, 1.0, 1.0)},
        1,
    ),
    "Lemur: a component, then the whole colour over it": (
        (
            bundle(
                message(b"/texbridge/main/fill/b", b"f", ONE),
                message(b"/texbridge/main/fill", b"fff", ZERO, ONE, ZERO),
                tag=0,
            ),
        ),
        {"fill": (0.0, 1.0, 0.0, 1.0)},
        0,
    ),
    "Max: a sentence in atoms, with a number in it": (
        (message(b"/texbridge/main/note", b"ssis", text(b"a"), text(b"pack"), b"\0\0\0\3", text(b"foxes")),),
        {"note": "a pack 3 foxes"},
        0,
    ),
    "Max: a swatch as ints, then as hexadecimal text": (
        (
            message(b"/texbridge/main/fill", b"iii", INT_255, INT_51, INT_0),
            message(b"/texbridge/main/fill", b"s", text(b"#3300ff")),
        ),
        {"fill": (0.2, 0.0, 1.0, 1.0)},
        0,
    ),
    "Max: bang": ((message(b"/texbridge/main/run", b""),), {}, 1),
    "Max: bool as an int, and a run of pairs": (
        (
            message(b"/texbridge/main/lamp", b"i", INT_1),
            message(b"/texbridge/main/run", b"sisi", text(b"blur"), b"\0\0\0\5", text(b"lamp"), INT_1),
        ),
        {"lamp": True, "blur": 5},
        1,
    ),
    "MIDI box: note on and note off with velocities": (
        (
            message(b"/texbridge/main/run", b"i", b"\0\0\0\x64"),
            message(b"/texbridge/main/run", b"i", INT_0),
        ),
        {},
        1,
    ),
    "MIDI box: a controller as 0..1, ints at its ends": (
        (
            message(b"/texbridge/main/grain/norm", b"i", INT_1),
            message(b"/texbridge/main/blur/norm", b"i", INT_0),
        ),
        {"grain": 1.0, "blur": 1},
        0,
    ),
    "MIDI box: a pad's ints of a colour": (
        (message(b"/texbridge/main/fill/g", b"i", INT_51),),
        {"fill": (0.0, 0.2, 0.0, 1.0)},
        0,
    ),
    "JavaScript: 1.0 became an int": ((message(b"/texbridge/main/pad", b"fi", HALF, INT_1),), {"pad": (0.5, 1.0)}, 0),
    "Unreal: T and F": (
        (
            message(b"/texbridge/main/lamp/norm", b"T"),
            message(b"/texbridge/main/run", b"T"),
            message(b"/texbridge/main/run", b"F"),
        ),
        {"lamp": True},
        1,
    ),
    "Unreal: colour of one argument, then one component": (
        (
            message(b"/texbridge/main/fill", b"r", b"\xff\x33\x00\xff"),
            message(b"/texbridge/main/fill/norm/g", b"f", ONE),
        ),
        {"fill": (1.0, 1.0, 0.0, 1.0)},
        0,
    ),
    "a pattern over components": (
        (message(b"/texbridge/*/{fill,pad}/norm/0", b"f", ONE),),
        {"fill": (1.0, 0.0, 0.0, 1.0), "pad": (1.0, 0.0)},
        0,
    ),
    "an array as an XY pad": ((message(b"/texbridge/main/pad/norm", b"[ff]", ONE, HALF),), {"pad": (1.0, 0.5)}, 0),
    "no type tags: a bang of an old sender": ((b"/texbridge/main/run\0",), {}, 1),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_controllers_packets(tmp_path, name):
    packets, values, runs = SEQUENCES[name]

    async def test():
        write_workflow(tmp_path, "desk", GRAPH, BINDING)
        async with AppRig(tmp_path, {"main": {"workflow": "desk", "mode": "oneshot"}}) as rig:
            engine, osc = await rig.engine(), rig.osc()
            before = await held(engine)
            for packet in packets:
                osc.send_bytes(packet)
            osc.send("/texbridge/reply", osc.port)  # what answers it came after all of them
            await osc.until(lambda: bool(osc.at("/texbridge/main/status")))
            assert await held(engine) == {**before, **values}
            assert rig.bridge.counts["accepted"] == runs

    run(test)


async def held(engine):
    described = await engine.ask(Describe, stream="main")
    return {
        one.name: tuple(round(n, 6) for n in one.value) if isinstance(one.value, list | tuple) else one.value
        for one in described.parameters
    }


def test_components_in_one_bundle_are_one_revision(tmp_path):
    """Two faders of one bundle are never shown one without the other."""

    async def test():
        async with AppRig(tmp_path) as rig:
            stream = rig.bridge.streams.find("main")
            osc, before = rig.osc(), stream.values.revision
            osc.bundle(
                ("/texbridge/main/fill/norm/r", 1.0), ("/texbridge/main/fill/b", 255), ("/texbridge/main/note", "x")
            )
            osc.send("/texbridge/reply", osc.port)
            await osc.until(lambda: bool(osc.at("/texbridge/main/status")))
            assert stream.values.revision == before + 1
            assert stream.values["fill"] == (1.0, 0.0, 1.0, 1.0)

    run(test)


def test_a_moved_component_is_fed_back_whole_to_the_others(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            mover, other = rig.osc(), rig.osc()
            for osc in (mover, other):
                osc.send("/texbridge/reply", osc.port)
                await osc.until(lambda osc=osc: bool(osc.at("/texbridge/main/status")))
            mover.send("/texbridge/main/fill/norm/g", 1)
            await other.until(lambda: bool(other.at("/texbridge/main/fill")))
            assert other.at("/texbridge/main/fill") == [(0.0, 1.0, 0.0, 1.0)]
            other.send("/texbridge/main/fill/r", 255)
            await mover.until(lambda: bool(mover.at("/texbridge/main/fill")))
            assert mover.at("/texbridge/main/fill") == [(1.0, 1.0, 0.0, 1.0)]

    run(test)
