"""One picture through a private bridge, timed: what `texbridge doctor` knows of the way itself."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from bridge.app.config.config import load_config
from bridge.app.doctor.orientation import judge_frame
from bridge.app.doctor.verdicts import Check, Verdict
from bridge.app.pictures.card import WORKFLOW
from bridge.app.serve import Server
from bridge.client import Client, Frame, Frames
from bridge.errors import BackendError, TexbridgeError
from bridge.types import Origin, Outcome

WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Stages:
    """Milliseconds of each stage, and what is wrong with the picture (empty if nothing)."""

    start: float
    hello: float
    subscribe: float
    first: float
    again: float
    comfy: float
    bridge: float
    fault: str


async def make_one(client: Client, stream: str, frames: Frames) -> tuple[Frame, str]:
    """Run a stream once; give its frame, and how its picture came from ComfyUI: `raw`, `jpeg`, `webp` or `png`.

    Raises:
        BackendError: the run ended otherwise than `done`. TimeoutError: it took too long.
    """
    request = await client.run(stream)
    done = await request.finished(WITHIN_S)
    if done.outcome is not Outcome.DONE or not done.number:
        raise BackendError(f"no picture: {done.message or done.outcome.value}")
    while True:
        frame = await frames.next(timeout_s=WITHIN_S)
        if frame.header.request == request.request:
            return frame, str((done.timing or {}).get("transfer", ""))


async def measure_round_trip() -> Stages:
    """Start a bridge with the embedded ComfyUI on a free port, and time the test card on its way over TCP.

    Raises:
        TexbridgeError, OSError, TimeoutError: a stage failed.
    """
    clock = time.perf_counter
    off = {"listen": ""}
    config = load_config(
        None,
        {},
        {
            "osc": off,
            "link": off,
            "http": off,
            "tcp": {"listen": "127.0.0.1:0"},
            "embedded": {"enabled": True},
            "workflows": {"reload": False},
            "streams": {"doctor": {"workflow": WORKFLOW, "mode": "oneshot"}},
        },
    )
    began = clock()
    server = Server(msgspec.structs.replace(config, backend=()))
    await server.start()
    try:
        if not await server.wait_for_comfy():
            raise BackendError("the embedded ComfyUI did not come up")
        started = clock()
        assert server.addresses.tcp is not None
        async with await Client.connect(server.addresses.tcp, client="texbridge doctor") as client:
            greeted = clock()
            frames = await client.subscribe("doctor", format="rgba8", origin=Origin.BOTTOM_LEFT)
            subscribed = clock()
            await make_one(client, "doctor", frames)
            first = clock()
            frame, _ = await make_one(client, "doctor", frames)
            again = clock()
    finally:
        await server.close()
    header = frame.header
    judgement = judge_frame(header.format, header.flags, Origin.BOTTOM_LEFT, frame.pixels, b"")
    return Stages(
        start=(started - began) * 1000,
        hello=(greeted - started) * 1000,
        subscribe=(subscribed - greeted) * 1000,
        first=(first - subscribed) * 1000,
        again=(again - first) * 1000,
        comfy=header.comfy_us / 1000,
        bridge=header.bridge_us / 1000,
        fault=judgement.fault,
    )


async def round_trip_check() -> Check:
    """Judge the whole way inside this machine."""
    try:
        stages = await measure_round_trip()
    except (TexbridgeError, OSError, TimeoutError) as error:
        words = str(error) or type(error).__name__
        return Check(
            "round trip", Verdict.BAD, words, "a firewall or security program may stop connections to 127.0.0.1"
        )
    found = (
        f"start {stages.start:.0f} ms, hello {stages.hello:.1f}, subscribe {stages.subscribe:.1f}, "
        f"first picture {stages.first:.0f}, the next {stages.again:.1f} "
        f"(embedded ComfyUI {stages.comfy:.1f}, bridge {stages.bridge:.1f})"
    )
    if stages.fault:
        advice = "this is a fault of texbridge or of a library: please report it with this table"
        return Check("round trip", Verdict.BAD, f"the picture is wrong: {stages.fault}; {found}", advice)
    return Check("round trip", Verdict.OK, f"{found}; every pixel right")


def new_stream_name() -> str:
    """Give a name that nobody has."""
    return f"doctor_{secrets.token_hex(4)}"
