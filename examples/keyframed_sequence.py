"""Keyframed frames, in order and complete: corner colours that move by keys, clouds that come in, a seed that stays.

Each frame is a prompt of its own; with several ComfyUIs behind the bridge they are made side by side, and come back in
the order of their index all the same. The same tracks give the same frames, whoever makes them and how often.

    python examples/keyframed_sequence.py --out frames        a bridge of its own without ComfyUI; frames/0000.png ...
    python examples/keyframed_sequence.py --bridge 127.0.0.1:9402 --frames 96 --fps 24 --paced
"""

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path

from own_bridge import own_bridge
from PIL import Image

from bridge.client import Client

WORKFLOW = "gradient"
ROW, CELL = 8, 120


def tracks(frames):
    """Keys are [frame, value], with the easing of the way to them behind: linear unless said."""
    last = frames - 1
    return {
        "top_left": [[0, "#ff6040"], [last // 2, "#ffd060", "smoothstep"], [last, "#4060ff", "cubic_in_out"]],
        "bottom_right": [[0, [0.1, 0.1, 0.3]], [last, [0.0, 0.8, 0.7], ["bezier", 0.4, 0.0, 0.2, 1.0]]],
        "noise": [[0, 0.0], [last // 3, 0.0], [last, 0.35, "cubic_in"]],
        "prompt": [[0, "day"], [last // 2, "dusk"]],  # text switches at its key
    }


async def record(options, address):
    """Have the frames made; gives them as pictures, and the terminal answer."""
    pictures = []
    async with Client(address, client="keyframed_sequence") as client:
        size = (options.size, options.size)
        await client.open("shot", WORKFLOW, "oneshot", seed_policy="fixed", size=size, replace=True)
        # A set is acknowledged when the next one is asked for: whoever writes slowly makes the sequence wait.
        async with await client.sequence(
            "shot", options.frames, tracks(options.frames), fps=options.fps, paced=options.paced
        ) as sequence:
            async for frame_set in sequence:
                picture = Image.fromarray(frame_set.pixels[..., :3])
                if options.out:
                    picture.save(options.out / f"{frame_set.index:04d}.png")
                pictures.append(picture)
        return pictures, await sequence.finished(timeout_s=30)


def contact_sheet(pictures):
    """All frames, in rows of eight."""
    rows = (len(pictures) + ROW - 1) // ROW
    sheet = Image.new("RGB", (CELL * min(ROW, len(pictures)), CELL * rows), (24, 24, 24))
    for place, picture in enumerate(pictures):
        small = picture.copy()
        small.thumbnail((CELL - 4, CELL - 4))
        sheet.paste(small, (place % ROW * CELL + 2, place // ROW * CELL + 2))
    return sheet


async def main(options):
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        address = options.bridge or await stack.enter_async_context(own_bridge())
        pictures, finished = await record(options, address)
    took = time.perf_counter() - began
    print(f"frames   {len(pictures)} of {options.frames}, in order, {options.size}x{options.size}")
    print(f"answer   {finished.outcome}, seed {finished.seed}")
    print(f"time     {took:.1f} s, the bridge's start included")
    if options.sheet:
        contact_sheet(pictures).save(options.sheet)
        print(f"sheet    {options.sheet}")
    return 0 if len(pictures) == options.frames else 1


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridge", metavar="HOST:PORT", help="a running bridge's TCP door; by default one is started")
    parser.add_argument("--frames", type=int, default=48, help="how many")
    parser.add_argument("--fps", type=float, default=24.0, help="what they are meant to be shown at")
    parser.add_argument("--paced", action="store_true", help="have them come at that rate, as for a screen")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="save each frame as a PNG")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="save a contact sheet")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
