"""`texbridge demo`: the whole path over real sockets, checked pixel by pixel."""

from __future__ import annotations

import argparse
import asyncio
import colorsys
import json
import socket
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bridge.app.config.config import load_config
from bridge.app.serve import Server
from bridge.cli.expected import TOLERANCE, Colors, Moments
from bridge.client import Client
from bridge.codec.frame import FrameHeader
from bridge.codec.osc import encode_osc_message
from bridge.errors import ConfigError
from bridge.types import Size

DESCRIPTION = """\
See the whole path work, without ComfyUI, without a GPU and without an engine: an OSC sender moves four colours sixty
times a second, the bridge binds the newest into the workflow `gradient`, the embedded ComfyUI makes pictures, and an
engine-link client receives raw RGBA8, rows bottom-up as Unity wants them. Every frame is checked against pixels that
are computed from the sent values. A contact sheet is saved.

  texbridge demo
  texbridge demo --seconds 20 --out my_demo
"""

SIZE = Size(256, 256)
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
BLUR = 0.5
SEND_EVERY_S = 1 / 60
FIRST_WITHIN_S = 30.0
"""What a slow machine takes until the first frame isn't the demo's time."""

PORTION = 600
"""Frames that wait for the check at most, 157 MB of them."""

SHEET_FRAMES = 12
SHEET_COLUMNS = 4
SHEET_CELL = 160


@dataclass(slots=True)
class Received:
    """One frame as the client got it. Times are seconds of `time.perf_counter`."""

    number: int
    sent_at: float
    at: float
    comfy_us: int
    bridge_us: int
    difference: int
    pixels: NDArray[np.uint8] | None = None


def add_parser(commands: Any, purpose: str) -> None:
    """Add `demo` to the command line."""
    parser = commands.add_parser(
        "demo",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="N", help="how long from the first frame on, 5 by default"
    )
    parser.add_argument("--out", default="demo-out", metavar="DIR", help="where the contact sheet goes")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end, for a script")
    parser.add_argument(
        "--corrupt", action="store_true", help="change one byte of one frame, to see that the check sees it"
    )
    parser.set_defaults(action=demo)


def demo(options: argparse.Namespace) -> int:
    """Run the demo; exit 1 if a frame is wrong, or none came."""
    from bridge.cli import set_up_logging

    if not 0 < options.seconds <= 3600:
        raise ConfigError(f"--seconds {options.seconds:g} must be over 0 and at most 3600")
    set_up_logging("warning")
    out = Path(options.out)
    sheet = out / "contact_sheet.png"
    try:
        out.mkdir(parents=True, exist_ok=True)
        with sheet.open("ab"):  # seen now, not after the last second
            pass
    except OSError as error:
        raise ConfigError(f"can't write to {out}: {error}") from error
    received, sent = asyncio.run(_run(options.seconds, options.corrupt, quiet=options.json))
    contact_sheet(received).save(sheet)
    report = summary(received, sent, options.seconds)
    report["contact_sheet"] = str(sheet)
    print(json.dumps(report) if options.json else words(report))
    return 0 if report["ok"] else 1


async def _run(seconds: float, corrupt: bool, quiet: bool) -> tuple[list[Received], int]:
    begin = _colors(0.0)
    free = {"listen": "127.0.0.1:0"}
    config = load_config(
        None,
        {},
        {
            "osc": free,
            "link": free,
            "tcp": free,
            "http": free,
            "embedded": {"enabled": True},
            "workflows": {"reload": False},
            "streams": {
                "main": {
                    "workflow": "gradient",
                    "size": list(SIZE),
                    "params": {"noise": 0.0, "blur": BLUR, **dict(zip(CORNERS, map(_floats, begin), strict=True))},
                    "max_fps": 60,
                }
            },
        },
    )
    server = Server(config)
    await server.start()
    try:
        assert server.addresses.osc is not None
        assert server.addresses.tcp is not None
        if not quiet:
            print(f"OSC to {server.addresses.osc}, frames from {server.addresses.tcp}; {seconds:g} s ...", flush=True)
        host, _, port = server.addresses.osc.rpartition(":")
        async with await Client.connect(server.addresses.tcp, client="texbridge demo") as client:
            sender = Sender((host, int(port)), begin)
            sending = asyncio.ensure_future(sender.run())
            receiving = asyncio.ensure_future(_receive(client, sender, seconds, corrupt))
            try:
                await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()  # if it failed, nothing more will come
                received = await receiving
            finally:
                for task in (sending, receiving):
                    task.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)
                sender.close()
        return received, sender.sent
    finally:
        await server.close()


class Sender:
    """Moves the four colours over OSC, and notes what it sent when; `begin` are the colours that are there before."""

    def __init__(self, target: tuple[str, int], begin: Colors) -> None:
        self.sent = 0
        self.is_over = False
        self.moments = Moments(BLUR)
        self.moments.add(time.perf_counter(), begin)
        self._target = target
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def run(self) -> None:
        """Send sixty times a second, until `is_over`."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not self.is_over:
            self.send(loop.time() - begin)
            self.sent += 1
            await asyncio.sleep(max(0.0, begin + self.sent * SEND_EVERY_S - loop.time()))

    def send(self, elapsed: float) -> None:
        """Send one moment's colours in one bundle, so that they take effect together."""
        colors = _colors(elapsed)
        messages = [
            encode_osc_message(f"/texbridge/main/{name}", *color) for name, color in zip(CORNERS, colors, strict=True)
        ]
        self.moments.add(time.perf_counter(), colors)
        self._socket.sendto(bundle(messages), self._target)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def bundle(messages: list[bytes]) -> bytes:
    """Give an OSC bundle for now."""
    head = b"#bundle\0" + (1).to_bytes(8, "big")
    return head + b"".join(len(message).to_bytes(4, "big") + message for message in messages)


def _colors(elapsed: float) -> Colors:
    return tuple(_color(elapsed, place) for place in range(len(CORNERS)))


def _floats(color: tuple[int, int, int]) -> list[float]:
    return [level / 255 for level in color]


def _color(elapsed: float, place: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb((elapsed / 4 + place / 4) % 1.0, 0.8, 1.0 - 0.15 * place)
    return round(red * 255), round(green * 255), round(blue * 255)


async def _receive(client: Client, sender: Sender, seconds: float, corrupt: bool) -> list[Received]:
    """Receive for so long from the first new frame on, and give every new frame with what it shows.

    Frames are checked when all are there, so that the check doesn't slow down what it looks at; in a long demo, in
    portions that fit into memory.
    """
    frames = await client.subscribe("main", format="rgba8", origin="bottom_left")
    moments = sender.moments
    received: list[Received] = []
    waiting: list[tuple[FrameHeader, float, NDArray[np.uint8]]] = []
    checking: asyncio.Future[list[Received]] | None = None
    has_begun, end = False, time.perf_counter() + FIRST_WITHIN_S
    while time.perf_counter() < end:
        try:
            frame = await frames.next(timeout_s=max(0.05, end - time.perf_counter()))
        except TimeoutError:
            break
        if frame.held:
            continue
        if not has_begun:
            has_begun, end = True, time.perf_counter() + seconds
        pixels = np.array(np.flipud(frame.pixels), np.uint8)
        if corrupt:
            pixels[SIZE.height // 2, SIZE.width // 2, 1] ^= 0x80
            corrupt = False
        waiting.append((frame.header, time.perf_counter(), pixels))
        if len(waiting) >= PORTION:
            received += await checking if checking is not None else []
            checking = asyncio.ensure_future(asyncio.to_thread(_check, waiting, moments, seconds))
            waiting = []
    sender.is_over = True
    received += await checking if checking is not None else []
    return received + await asyncio.to_thread(_check, waiting, moments, seconds)


def _check(
    frames: list[tuple[FrameHeader, float, NDArray[np.uint8]]], moments: Moments, seconds: float
) -> list[Received]:
    keep_every = max(1, int(seconds * 20 / SHEET_FRAMES))
    checked: list[Received] = []
    for header, at, pixels in frames:
        match = moments.find(pixels, at)
        kept = pixels if header.number % keep_every == 0 or not checked else None
        checked.append(
            Received(header.number, match.sent_at, at, header.comfy_us, header.bridge_us, match.difference, kept)
        )
    return checked


def summary(received: list[Received], sent: int, seconds: float) -> dict[str, Any]:
    """Give the report: counts, frames a second, milliseconds by stage (medians), and whether every frame was right."""
    wrong = [item for item in received if item.difference > TOLERANCE]
    span = received[-1].at - received[0].at if len(received) > 1 else 0.0

    def median(values: list[float]) -> float | None:
        return round(statistics.median(values), 2) if values else None

    right = [item for item in received if item.difference <= TOLERANCE]
    return {
        "ok": bool(received) and not wrong,
        "seconds": seconds,
        "sent": sent,
        "frames": len(received),
        "wrong": len(wrong),
        "first_wrong": None if not wrong else {"number": wrong[0].number, "difference": wrong[0].difference},
        "worst_difference": max((item.difference for item in right), default=None),
        "fps": round((len(received) - 1) / span, 1) if span else None,
        "latency_ms": {
            "osc_to_pixels": median([(item.at - item.sent_at) * 1000 for item in right]),
            "comfy": median([item.comfy_us / 1000 for item in received]),
            "bridge": median([item.bridge_us / 1000 for item in received]),
        },
    }


def words(report: dict[str, Any]) -> str:
    """Give the report for a person."""
    if not report["frames"]:
        return f"sent     {report['sent']} OSC bundles\nframes   NONE CAME in {FIRST_WITHIN_S:g} s"
    latency = report["latency_ms"]
    first = report["first_wrong"]
    speed = "" if report["fps"] is None else f" at {report['fps']} fps"
    verdict = (
        f"every frame is what was sent (at most {report['worst_difference']} of 255 beside)"
        if report["ok"]
        else f"WRONG: {report['wrong']} of them differ, the first is number {first['number']}, by {first['difference']}"
    )
    return (
        f"sent     {report['sent']} OSC bundles\n"
        f"frames   {report['frames']}{speed}, {SIZE.width}x{SIZE.height} rgba8 bottom_left\n"
        f"latency  {latency['osc_to_pixels']} ms from OSC to pixels (median): ComfyUI {latency['comfy']} ms, "
        f"bridge {latency['bridge']} ms\n"
        f"pixels   {verdict}\n"
        f"sheet    {report['contact_sheet']}"
    )


def contact_sheet(received: list[Received]) -> Image.Image:
    """Give a picture of up to twelve frames with their numbers."""
    shown = [item for item in received if item.pixels is not None][:SHEET_FRAMES]
    rows = max(1, -(-len(shown) // SHEET_COLUMNS))
    sheet = Image.new("RGB", (SHEET_COLUMNS * SHEET_CELL, rows * SHEET_CELL), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    for place, item in enumerate(shown):
        assert item.pixels is not None
        x, y = place % SHEET_COLUMNS * SHEET_CELL, place // SHEET_COLUMNS * SHEET_CELL
        picture = Image.fromarray(np.ascontiguousarray(item.pixels[:, :, :3]))
        sheet.paste(picture.resize((SHEET_CELL - 8, SHEET_CELL - 24)), (x + 4, y + 4))
        draw.text((x + 6, y + SHEET_CELL - 18), f"#{item.number}", fill=(220, 220, 220))
    return sheet
