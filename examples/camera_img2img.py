"""A camera through a ComfyUI workflow, live: raw pixels in at 60 a second, the newest picture back as often as it can.

Only the newest camera picture is ever used: the camera never waits for ComfyUI, and ComfyUI never for old pictures.

    python examples/camera_img2img.py                       a drawn camera, and a bridge of its own without ComfyUI
    python examples/camera_img2img.py --bridge 127.0.0.1:9402 --workflow img2img_turbo --param image
    python examples/camera_img2img.py --camera 0            a real camera, by OpenCV (pip install opencv-python)
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from own_bridge import own_bridge
from PIL import Image

from bridge.client import Client

WIDTH, HEIGHT = 640, 480
SHEET_PAIRS, CELL = 6, 200


class DrawnCamera:
    """A moving picture: `read()` gives rgba8, row 0 at the top, as a camera or a render target would have it."""

    def __init__(self):
        self._rows, self._columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        self._began = time.perf_counter()

    def read(self):
        moment = time.perf_counter() - self._began
        picture = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
        picture[..., 0] = self._columns * (255 / WIDTH)
        picture[..., 1] = self._rows * (255 / HEIGHT)
        picture[..., 2] = 96
        x, y = WIDTH / 2 + np.cos(moment * 2) * WIDTH / 3, HEIGHT / 2 + np.sin(moment * 3) * HEIGHT / 3
        picture[(self._columns - x) ** 2 + (self._rows - y) ** 2 < 60**2, :3] = (255, 240, 90)
        return picture, "rgba8"


class RealCamera:
    """A camera by OpenCV, whose pictures are B G R."""

    def __init__(self, number):
        import cv2

        self._cv2 = cv2
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise SystemExit(f"camera {number} can't be opened")

    def read(self):
        taken, picture = self._capture.read()
        if not taken:
            raise SystemExit("the camera gives no picture")
        return self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2BGRA), "bgra8"


async def film(client, options, camera, sent):
    """Send a picture `fps` times a second, each with the moment at which it was taken."""
    loop = asyncio.get_running_loop()
    due = time.perf_counter()
    while True:
        picture, pixel_format = await loop.run_in_executor(None, camera.read)
        taken_us = time.perf_counter_ns() // 1000
        await client.image("camera", options.param, picture, format=pixel_format, client_time=taken_us)
        sent[taken_us] = picture
        while len(sent) > 240:
            del sent[next(iter(sent))]
        due = max(due + 1 / options.fps, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())


async def show(options, address):
    """Film for a while, on a slow machine until something is seen; gives that."""
    camera = DrawnCamera() if options.camera is None else RealCamera(options.camera)
    async with Client(address, client="camera_img2img") as client:
        first, pixel_format = camera.read()
        size = (options.size, options.size)
        await client.open("camera", options.workflow, "live", size=size, replace=True)
        await client.image("camera", options.param, first, format=pixel_format)
        frames = await client.subscribe("camera", format="rgba8", origin="top_left")
        sent, pairs, ages, last_stamp = {}, [], [], 0
        filming = asyncio.create_task(film(client, options, camera, sent))
        began = time.perf_counter()
        count = 0
        try:
            while not ages or time.perf_counter() - began < options.seconds:
                frame = await frames.next(timeout_s=30)
                if frame.held:
                    continue
                count += 1
                stamp = frame.header.client_time
                if stamp > last_stamp:
                    last_stamp = stamp
                    ages.append((time.perf_counter_ns() // 1000 - stamp) / 1000)
                    if stamp in sent and time.perf_counter() - began > len(pairs) * options.seconds / SHEET_PAIRS:
                        pairs.append((sent[stamp], frame.pixels.copy()))
        finally:
            took = time.perf_counter() - began
            filming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await filming
        return count / took, ages, pairs, len(ages) / took


def contact_sheet(pairs):
    """Above what the camera saw, below what was made of it."""
    sheet = Image.new("RGB", (CELL * max(1, len(pairs)), CELL * 2), (24, 24, 24))
    for column, pair in enumerate(pairs):
        for row, array in enumerate(pair):
            picture = Image.fromarray(np.ascontiguousarray(array[..., :3]))
            picture.thumbnail((CELL - 8, CELL - 8))
            sheet.paste(picture, (column * CELL + 4, row * CELL + 4))
    return sheet


async def main(options):
    async with contextlib.AsyncExitStack() as stack:
        address = options.bridge or await stack.enter_async_context(own_bridge())
        rate, ages, pairs, newer = await show(options, address)
    print(f"camera   {options.fps:g} pictures a second of {WIDTH}x{HEIGHT}, raw")
    print(f"frames   {rate:.1f} a second, {newer:.1f} of them of a newer picture, {options.size}x{options.size}")
    if ages:
        print(f"latency  {statistics.median(ages):.0f} ms from the camera to the finished pixels (median)")
    if options.out:
        contact_sheet(pairs).save(options.out)
        print(f"sheet    {options.out}")
    return 0 if ages else 1


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridge", metavar="HOST:PORT", help="a running bridge's TCP door; by default one is started")
    parser.add_argument("--workflow", default="camera_blend", help="one that takes a picture")
    parser.add_argument("--param", default="camera", help="the workflow's picture parameter")
    parser.add_argument("--camera", type=int, metavar="N", help="a real camera's number; by default one is drawn")
    parser.add_argument("--fps", type=float, default=60.0, help="camera pictures a second")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of the finished picture")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="save a contact sheet")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))
