"""Zooming feedback: each picture is made of the last one, a little larger and turned, with new clouds in it. No model.

The bridge keeps the loop; what is moved here while it runs is what a fader or an OSC sender would move.

    python examples/feedback_zoom.py                        with a bridge of its own, without ComfyUI
    python examples/feedback_zoom.py --bridge 127.0.0.1:9402 --seconds 60 --blend-fps 60
"""

import argparse
import asyncio
import contextlib
import math
import sys
import time
from pathlib import Path

import numpy as np
from own_bridge import own_bridge
from PIL import Image

from bridge.client import Client

SHEET_PICTURES, CELL = 6, 200
LEAST_PICTURES = 3  # fewer show nothing of a flight


async def steer(client, began):
    """Swing to the left and right, and hold the colours once there are some."""
    held = False
    while True:
        moment = time.perf_counter() - began
        await client.set(
            "loop", {"feedback_rotate": 2.0 * math.sin(moment), "feedback_x": 0.004 * math.cos(moment / 2)}
        )
        if moment > 1.5 and not held:
            held = True
            await client.set("loop", {"feedback_match": 0.8})  # those of this moment
        await asyncio.sleep(0.05)


async def fly(options, address):
    """Look for a while, on a slow machine a while longer; gives how many pictures and blends came, and some of them."""
    async with Client(address, client="feedback_zoom") as client:
        size = (options.size, options.size)
        values = {"amount": 0.15, "feedback_zoom": options.zoom}
        opening = {"seed_policy": "increment", "seed_every": 12, "size": size, "max_fps": options.fps, "replace": True}
        await client.open("loop", "feedback_zoom", "live", values, **opening)
        frames = await client.subscribe("loop", format="rgba8", origin="top_left", blend_fps=options.blend_fps)
        began = time.perf_counter()
        steering = asyncio.create_task(steer(client, began))
        pictures, blends, shown = 0, 0, []
        try:
            while (passed := time.perf_counter() - began) < options.seconds or pictures < LEAST_PICTURES:
                frame = await frames.next(timeout_s=30)
                if frame.held:
                    blends += frame.header.number > 0
                    continue
                pictures += 1
                if passed > len(shown) * options.seconds / SHEET_PICTURES:
                    shown.append(frame.pixels[..., :3].copy())
        finally:
            steering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await steering
        return pictures, blends, time.perf_counter() - began, shown


def contact_sheet(shown):
    """The flight from left to right."""
    sheet = Image.new("RGB", (CELL * max(1, len(shown)), CELL), (24, 24, 24))
    for column, pixels in enumerate(shown):
        picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((CELL - 8, CELL - 8))
        sheet.paste(picture, (column * CELL + 4, 4))
    return sheet


async def main(options):
    async with contextlib.AsyncExitStack() as stack:
        address = options.bridge or await stack.enter_async_context(own_bridge())
        pictures, blends, took, shown = await fly(options, address)
    print(f"pictures {pictures} in {took:.1f} s, each made of the one before, {options.size}x{options.size}")
    if options.blend_fps:
        print(f"blends   {blends} between them")
    if options.out:
        contact_sheet(shown).save(options.out)
        print(f"sheet    {options.out}")
    return 0 if pictures else 1


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridge", metavar="HOST:PORT", help="a running bridge's TCP door; by default one is started")
    parser.add_argument("--zoom", type=float, default=1.04, help="how much larger each picture is than the last one")
    parser.add_argument("--fps", type=float, default=15.0, help="pictures a second at most")
    parser.add_argument("--blend-fps", type=float, metavar="FPS", help="cross-fade: so many blends a second")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="save a contact sheet")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
