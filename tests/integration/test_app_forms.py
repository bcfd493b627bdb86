"""Mips, linear colours, floats and block formats, asked for over a real link and checked pixel by pixel."""

import importlib.util

import numpy as np
import pytest
from app_rig import AppRig, run
from block_decoder import decode_bc1, psnr

from bridge.app.pictures.placeholder import drawn_still
from bridge.client import Client
from bridge.codec.frame import mip_levels
from bridge.codec.light import linear_of
from bridge.codec.messages import Subscribe
from bridge.types import Delivery, FrameFlags, Origin, PixelFormat

STREAMS = {"main": {"workflow": "solid", "mode": "oneshot", "size": [48, 24]}}
FILL = (200 / 255, 100 / 255, 50 / 255)


async def one_frame(rig, **form):
    """The frame of a run in this form, and the answer to the subscription."""
    engine = await rig.engine()
    answer = await engine.ask(
        Subscribe,
        stream="main",
        delivery=Delivery.LATEST,
        credit=1,
        **{"origin": Origin.TOP_LEFT, "size": (24, 10), **form},
    )
    request = await engine.run(params={"fill": list(FILL)})
    frame = await engine.frame(lambda frame: frame.header.request == request)
    await engine.finish(request)
    return frame, answer


@pytest.mark.parametrize("origin", Origin)
def test_mips_come_down_to_one_pixel(tmp_path, origin):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            frame, answer = await one_frame(rig, format="bgra8", origin=origin, mips=True)
            assert answer.mips is True
            assert frame.header.mips == mip_levels(24, 10) == 5
            pixels = np.frombuffer(frame.data, "u1").reshape(-1, 4)
            assert len(pixels) == 24 * 10 + 12 * 5 + 6 * 2 + 3 * 1 + 1
            assert (pixels == (50, 100, 200, 255)).all()

    run(test)


@pytest.mark.parametrize(("word", "dtype"), [("rgba16f", "<f2"), ("rgba32f", "<f4")])
def test_linear_colours_are_floats_with_flag_16(tmp_path, word, dtype):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            frame, answer = await one_frame(rig, format=word, color="linear")
            assert answer.color == "linear"
            assert frame.has(FrameFlags.LINEAR)
            pixels = np.frombuffer(frame.data, dtype).reshape(-1, 4)
            right = [*linear_of(np.array(FILL)), 1.0]
            assert np.abs(pixels - right).max() < (4e-4 if dtype == "<f2" else 1e-6)

    run(test)


def test_a_native_and_a_linear_viewer_have_payloads_of_their_own(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            native = await rig.engine()
            await native.subscribe()
            linear, _ = await one_frame(rig, format="rgba8", color="linear")
            frame = await native.frame(lambda frame: frame.header.request == linear.header.request)
            assert bytes(frame.data[:4]) == bytes((200, 100, 50, 255))
            assert not frame.has(FrameFlags.LINEAR)
            assert bytes(linear.data[:4]) == bytes((147, 32, 8, 255))
            assert linear.has(FrameFlags.LINEAR)

    run(test)


@pytest.mark.parametrize("form", [{"format": "jpeg", "color": "linear"}, {"format": "png", "mips": True}])
def test_files_are_neither_linear_nor_in_levels(tmp_path, form):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            fields = {"origin": Origin.TOP_LEFT, "delivery": Delivery.LATEST, "credit": 1}
            error = await engine.refused(Subscribe, stream="main", **fields, **form)
            assert 400 <= error.code < 500

    run(test)


@pytest.mark.parametrize("origin", Origin)
@pytest.mark.parametrize("mips", [False, True])
def test_bc1(tmp_path, origin, mips):
    if importlib.util.find_spec("etcpak") is None:
        pytest.skip("etcpak is not installed")

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            frame, _ = await one_frame(rig, format="bc1", origin=origin, mips=mips or None)
            header = frame.header
            assert (header.format, header.row_pitch) == (PixelFormat.BC1, 6 * 8)
            sizes = [(24, 10), (12, 5), (6, 2), (3, 1), (1, 1)][: header.mips]
            assert len(sizes) == (5 if mips else 1)
            data = bytes(frame.data)
            for width, height in sizes:
                size = -(-width // 4) * -(-height // 4) * 8
                shown = decode_bc1(data[:size], width, height)
                assert np.abs(shown[..., :3].astype(int) - (200, 100, 50)).max() <= 8
                data = data[size:]
            assert not data

    run(test)


def test_bc1_of_a_held_picture(tmp_path):
    """The test card, which every newcomer gets before there is a picture."""
    if importlib.util.find_spec("etcpak") is None:
        pytest.skip("etcpak is not installed")

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "solid", "mode": "oneshot", "size": [512, 512]}}) as rig:
            engine = await rig.engine()
            await engine.ask(
                Subscribe,
                stream="main",
                format="bc1",
                origin=Origin.TOP_LEFT,
                delivery=Delivery.LATEST,
                credit=1,
            )
            frame = await engine.frame(lambda frame: frame.held, held=True)
            card = drawn_still("test_card").pixels.array
            assert psnr(decode_bc1(bytes(frame.data), 512, 512)[..., :3], card[..., :3]) >= 24

    run(test)


def test_the_client_asks_for_mips_and_linear_colours(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig, await Client.connect(rig.server.addresses.tcp) as client:
            frames = await client.subscribe("main", format="rgba32f", mips=True, color="linear")
            assert (frames.subscribed.mips, frames.subscribed.color) == (True, "linear")
            request = await client.run("main", {"fill": list(FILL)})
            done = await request.finished()
            frame = await frames.next(timeout_s=10)
            while frame.header.request != done.request:
                frame = await frames.next(timeout_s=10)
            assert frame.header.mips == mip_levels(48, 24)
            assert frame.pixels.shape == (24, 48, 4)  # mip 0
            assert np.abs(frame.pixels[..., :3] - linear_of(np.array(FILL))).max() < 1e-6

    run(test)
