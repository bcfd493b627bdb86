"""Pictures of more than 8 bits, from the node pack's half floats to every format, over real sockets."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from app_rig import AppRig, color, node, run, solid, write_workflow

from bridge.codec.light import linear_of
from bridge.codec.messages import Describe

SIDE = 2048
RAMP = {
    "1": solid("@fill:color", width=2, height=1),
    "2": solid("white", width=1, height=1, color=0xFFFFFF),
    "3": node("ImageCompositeMasked", "", destination=["1", 0], source=["2", 0], x=1, y=0, resize_source=False),
    "4": node("ImageScale", "", image=["3", 0], upscale_method="bilinear", width=SIDE, height=2, crop="disabled"),
    "5": node("SaveImageWebsocket", "", images=["4", 0]),
}
"""From black to white in 1,024 steps, between a quarter and three quarters of the width."""
STEPS = np.clip((np.arange(SIDE) + 0.5 - SIDE / 4) / (SIDE / 2), 0, 1)
BINDING = '[parameters.fill]\ninput = "1.color"\n[outputs.{name}]\nnode = "5"\nbits = {bits}\n'
TYPES = {"rgba16f": "<f2", "rgba32f": "<f4", "r16": "<u2", "r16f": "<f2", "r32f": "<f4", "rgba8": "u1"}
FORMATS = ("rgba16f", "rgba32f", "r16", "r16f", "r32f")


def rig(folder, name="image", bits=16, **backend):
    write_workflow(folder, "ramp", RAMP, BINDING.format(name=name, bits=bits))
    made = AppRig(folder, {"main": {"workflow": "ramp", "mode": "oneshot"}})
    made.more_of_backend = backend
    return made


async def shown(bridge, **wanted):
    """The first row of one result in one form, its first channel, and the answer."""
    engine = await bridge.engine()
    await engine.subscribe(**wanted)
    request = await engine.run(params={"fill": color(0)})
    (answer,) = await engine.finish(request)
    assert answer.outcome == "done", answer
    frame = await engine.frame(lambda frame: frame.header.request == request)
    pixels = np.frombuffer(frame.data, TYPES[wanted["format"]])
    return pixels.reshape(frame.header.height, frame.header.width, -1)[0, :, 0], answer


@pytest.mark.parametrize("name", ["image", "depth"])
def test_every_wide_format_has_every_step(tmp_path, name):
    async def test():
        async with rig(tmp_path, name) as bridge:
            for word in FORMATS:
                row, answer = await shown(bridge, format=word)
                assert answer.timing["transfer"] == "raw16f"
                levels = row.astype(np.float64) / (65535 if word == "r16" else 1)
                assert np.abs(levels - STEPS).max() < 3e-4  # half of a half float's last bit below 1
                assert len(np.unique(row)) > 1000
            row, _ = await shown(bridge, format="rgba8")
            assert np.abs(row - STEPS * 255).max() < 0.6  # rounded, not cut
            described = await (await bridge.engine()).ask(Describe, stream="main")
            assert [(output.name, output.bits) for output in described.outputs] == [(name, 16)]

    run(test)


def test_linear_and_another_size(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            row, _ = await shown(bridge, format="rgba16f", color="linear", size=(SIDE // 2, 2))
            middle = slice(SIDE // 4 - 200, SIDE // 4 + 200)
            exact = linear_of((STEPS[0::2] + STEPS[1::2]) / 2)
            assert np.abs(row.astype(np.float64) - exact)[middle].max() < 1e-3
            assert len(np.unique(row)) > 450

    run(test)


def test_without_bits_it_is_8(tmp_path):
    async def test():
        async with rig(tmp_path, bits=8) as bridge:
            row, answer = await shown(bridge, format="rgba32f")
            assert (answer.timing["transfer"], len(np.unique(row))) == ("raw", 256)
            described = await (await bridge.engine()).ask(Describe, stream="main")
            assert described.outputs[0].bits is None

    run(test)


@pytest.mark.parametrize("transfer", ["png", "webp"])
def test_files_have_8(tmp_path, transfer):
    async def test():
        async with rig(tmp_path, transfer=transfer, transfer_quality=100) as bridge:
            row, answer = await shown(bridge, format="rgba32f")
            assert (answer.timing["transfer"], len(np.unique(row))) == (transfer, 256)

    run(test)


def test_while_the_nodes_are_left_alone_it_is_8(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            bridge.bridge.backends.get("comfy").nodes.rest("a test")
            row, answer = await shown(bridge, format="r16")
            assert (answer.timing["transfer"], len(np.unique(row))) == ("png", 256)

    run(test)


def test_the_pack_s_own_output_in_the_graph(tmp_path):
    """Its format says how many bits, its title the name; a binding needn't be there."""
    graph = {**RAMP, "1": solid("@fill:color", width=2, height=1)}
    graph["5"] = node("TexBridgeOutput", "@out depth", images=["4", 0], format="raw16f", quality=90, output=3)

    async def test():
        write_workflow(tmp_path, "ramp", graph)
        async with AppRig(tmp_path, {"main": {"workflow": "ramp", "mode": "oneshot"}}) as bridge:
            row, answer = await shown(bridge, format="r32f")
            assert (answer.timing["transfer"], len(np.unique(row)) > 1000) == ("raw16f", True)
            (posted,) = bridge.gate.graphs
            assert posted["5"]["class_type"] == "TexBridgeOutput"
            assert (posted["5"]["inputs"]["output"], posted["5"]["inputs"]["linear"]) == (0, True)
            bridge.bridge.backends.get("comfy").nodes.rest("a test")
            row, answer = await shown(bridge, format="r32f")
            assert (answer.timing["transfer"], len(np.unique(row))) == ("png", 256)

    run(test)


def test_viewers_of_all_forms_share_one_picture(tmp_path):
    async def test():
        async with rig(tmp_path) as bridge:
            engines = [await bridge.engine() for _ in FORMATS]
            for engine, word in zip(engines, FORMATS, strict=True):
                await engine.subscribe(format=word, mips=word == "rgba16f")
            request = await engines[0].run(params={"fill": color(0)})
            frames = await asyncio.gather(
                *(engine.frame(lambda frame: frame.header.request == request) for engine in engines)
            )
            assert all(frame.header.width == SIDE for frame in frames)
            assert frames[0].header.mips == 12

    run(test)


def test_a_loop_of_half_floats_goes_through_the_bridge_in_8_bits(tmp_path):
    """Where the pack can't keep the last picture: halves of 255ths are those 255ths again, shifted by a quarter."""
    loop = {
        "1": node("LoadImage", "@picture:image", image="a.png"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    }
    binding = '[parameters.picture]\nlossless = true\n[outputs.image]\nnode = "2"\nbits = 16\n[feedback]\n'
    photo = np.random.default_rng(11).integers(0, 256, (32, 48, 4), np.uint8)
    photo[..., 3] = 255
    sent = {"width": 48, "height": 32, "format": "rgba8", "origin": "top_left", "data": photo.tobytes()}

    async def test():
        write_workflow(tmp_path, "loop", loop, binding)
        async with AppRig(tmp_path, {"main": {"workflow": "loop", "mode": "oneshot"}}) as bridge:
            nodes = bridge.bridge.backends.get("comfy").nodes
            nodes._facts = replace(nodes.facts, keeps=False)
            engine = await bridge.engine()
            await engine.subscribe(credit=8)
            expected = photo
            for params in ({"picture": sent}, {"feedback_x": 0.25}, {"feedback_match": 0.5, "feedback_x": 0.0}):
                request = await engine.run(params=params)
                (answer,) = await engine.finish(request)
                assert (answer.outcome, answer.timing["transfer"]) == ("done", "raw16f")
                frame = await engine.frame(lambda frame, wanted=request: frame.header.request == wanted)
                if params.get("feedback_x"):
                    expected = np.concatenate((photo[:, 11::-1], photo[:, :-12]), axis=1)
                if "feedback_match" not in params:
                    assert (frame.pixels == expected).all()

    run(test)
