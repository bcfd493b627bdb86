"""Decode what a tap recorded, with Pillow alone, into the texture bytes that an engine should have got.

    python decode_pictures.py TAPPED OUT

For each picture TAPPED/NNNNNN.bin it writes OUT/NNNNNN.FORMAT.ORIGIN for rgba8, bgra8 and rgb8, top_left and
bottom_left, and OUT/index.json. It runs as a process of its own and imports nothing of the bridge.
"""

import io
import json
import struct
import sys
from pathlib import Path

from PIL import Image


def unpack(message):
    """(metadata, picture file) of a binary message of ComfyUI: u32 big-endian event, then as ComfyUI has it."""
    (event,) = struct.unpack_from(">I", message)
    if event == 4:
        (length,) = struct.unpack_from(">I", message, 4)
        return {"event": 4, **json.loads(message[8 : 8 + length])}, message[8 + length :]
    if event == 1:
        return {"event": 1}, message[8:]
    return None


def textures(picture):
    """(format, origin, bytes) of each form."""
    for origin, turned in (
        ("top_left", picture),
        ("bottom_left", picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    ):
        yield "rgba8", origin, turned.convert("RGBA").tobytes("raw", "RGBA")
        yield "bgra8", origin, turned.convert("RGBA").tobytes("raw", "BGRA")
        yield "rgb8", origin, turned.convert("RGB").tobytes("raw", "RGB")


def main(tapped, out):
    index = []
    for path in sorted(Path(tapped).glob("*.bin")):
        found = unpack(path.read_bytes())
        if found is None:
            continue
        facts, data = found
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            for pixel_format, origin, texture in textures(picture):
                (Path(out) / f"{path.stem}.{pixel_format}.{origin}").write_bytes(texture)
            index.append(
                {"name": path.stem, "width": picture.width, "height": picture.height, "mode": picture.mode, **facts}
            )
    (Path(out) / "index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main(*sys.argv[1:])
