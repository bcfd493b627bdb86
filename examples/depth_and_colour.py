"""Colour, depth and a mask of one picture, which arrive as one set: never the depth of another picture, never a part.

The workflow has three outputs. ComfyUI sends their pictures one after the other, in whatever order it runs them; the
bridge pairs them by request and index, and what comes here is the whole set or an error that names what is missing.

    python examples/depth_and_colour.py --out sheet.png      a bridge of its own without ComfyUI
    python examples/depth_and_colour.py --bridge 127.0.0.1:9402 --workflow my_depth_workflow

A workflow of your own needs outputs named `image` and `depth` (titles `@out image` and `@out depth` in ComfyUI).
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from own_bridge import own_bridge
from PIL import Image

from bridge.client import Client

SIZE, BOX, CELL, COLUMNS = 128, 32, 132, 8


def node(class_type, title="", **inputs):
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def layer(behind, front):
    """A box before a ground; where the box is goes to all layers alike."""
    return node(
        "ImageCompositeMasked", "@x @y", destination=[behind, 0], source=[front, 0], x=0, y=0, resize_source=False
    )


def ground(title, color):
    return node("EmptyImage", f"{title} @width @height", width=SIZE, height=SIZE, batch_size=1, color=color)


def box(title, color):
    return node("EmptyImage", title, width=BOX, height=BOX, batch_size=1, color=color)


GRAPH = {
    "1": ground("Ground", 0x284060),
    "2": box("Box @fill:color", 0xFFB040),
    "3": layer("1", "2"),
    "4": node("ImageAddNoise", "Grain @seed", image=["3", 0], seed=0, strength=0.03),
    "5": node("SaveImageWebsocket", "@out image", images=["4", 0]),
    "6": ground("Far", 0x202020),
    "7": box("Near @near:color", 0xE0E0E0),
    "8": layer("6", "7"),
    "9": node("SaveImageWebsocket", "@out depth", images=["8", 0]),
    "10": ground("Nothing", 0x000000),
    "11": box("Something", 0xFFFFFF),
    "12": layer("10", "11"),
    "13": node("SaveImageWebsocket", "@out matte:mask", images=["12", 0]),
}


@contextlib.asynccontextmanager
async def bridge_with_graph():
    """A bridge of one's own that has the workflow above; gives the address of its TCP door."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "depth_and_colour").mkdir()
        (Path(folder) / "depth_and_colour" / "workflow_api.json").write_text(json.dumps(GRAPH), encoding="utf-8")
        async with own_bridge("--workflows", folder) as address:
            yield address


def corner(pixels, threshold):
    """Where the box begins: the first column and row that are brighter than the ground."""
    rows, columns = np.nonzero(pixels[..., 0] > threshold)
    return (int(columns.min()), int(rows.min())) if len(rows) else None


async def collect(options, address):
    """Ask for one picture after the other, the box each time elsewhere; gives the sets as they came."""
    sets = []
    async with Client(address, client="depth_and_colour") as client:
        await client.open("scene", options.workflow, "oneshot", seed_policy="increment", replace=True)
        described = await client.describe(stream="scene")
        names = [output.name for output in described.outputs]
        frames = await client.subscribe("scene", format="rgba8", origin="top_left")
        known = {parameter.name for parameter in described.parameters}
        for number in range(options.pictures):
            place = {"x": 7 * number % (SIZE - BOX), "y": 11 * number % (SIZE - BOX)}
            run = await client.run("scene", {name: value for name, value in place.items() if name in known})
            while (whole := await frames.next_set(timeout_s=60))[0].held:
                pass
            finished = await run.finished(timeout_s=60)
            if finished.outcome != "done":
                raise SystemExit(f"request {run.request}: {finished.name}: {finished.message}")
            assert {frame.header.request for frame in whole} == {run.request}
            sets.append((place, {names[frame.header.output]: frame for frame in whole}))
    return sets


def is_whole(place, frames):
    """Whether colour, depth and mask show the box at the same place, where it was asked for."""
    wanted = (place["x"], place["y"])
    thresholds = {"image": 160, "depth": 128, "matte": 128}
    return all(corner(frames[name].pixels, threshold) == wanted for name, threshold in thresholds.items())


def contact_sheet(sets):
    """A column a set: colour above, depth and mask below."""
    rows = len(sets[0][1])
    sheet = Image.new("RGB", (CELL * min(COLUMNS, len(sets)), CELL * rows), (24, 24, 24))
    for column, (_, frames) in enumerate(sets[:COLUMNS]):
        for row, frame in enumerate(frames.values()):
            picture = Image.fromarray(np.ascontiguousarray(frame.pixels[..., :3]))
            picture.thumbnail((CELL - 4, CELL - 4))
            sheet.paste(picture, (column * CELL + 2, row * CELL + 2))
    return sheet


async def main(options):
    async with contextlib.AsyncExitStack() as stack:
        address = options.bridge or await stack.enter_async_context(bridge_with_graph())
        sets = await collect(options, address)
    names = ", ".join(sets[0][1])
    print(f"sets     {len(sets)} of {options.pictures}, each of {names}")
    good = len(sets)
    if {"image", "depth", "matte"} <= sets[0][1].keys():
        good = sum(is_whole(place, frames) for place, frames in sets)
        print(f"pairs    {good} of {len(sets)} show one and the same picture")
    if options.out:
        contact_sheet(sets).save(options.out)
        print(f"sheet    {options.out}")
    return 0 if good == options.pictures else 1


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridge", metavar="HOST:PORT", help="a running bridge's TCP door; by default one is started")
    parser.add_argument("--workflow", default="depth_and_colour", help="one with several outputs")
    parser.add_argument("--pictures", type=int, default=16, help="how many")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="save a contact sheet")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
