"""The nodes through which pictures come in and go out."""

from __future__ import annotations

import io
import json
import posixpath
import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps, ImageSequence, PngImagePlugin, UnidentifiedImageError

from bridge.embedded.catalog import Answer, node
from bridge.embedded.files import EscapeError, FileKey, FileStore
from bridge.embedded.job import Job
from bridge.embedded.mask_nodes import Mask
from bridge.embedded.resize import Pixels, to_bytes

MAX_FRAMES = 256
"""Pictures taken from one animated file."""


def _input_key(inputs: Mapping[str, Any]) -> FileKey | None:
    try:
        return FileStore.annotated_key(str(inputs["image"]))
    except EscapeError:
        return None


def _file_missing(files: FileStore, inputs: Mapping[str, Any]) -> str | None:
    key = _input_key(inputs)
    return f"Invalid image file: {inputs['image']}" if key is None or files.read(key) is None else None


def _file_digest(files: FileStore, inputs: Mapping[str, Any]) -> str:
    key = _input_key(inputs)
    return "" if key is None else files.digest(key)


LOADER: dict[str, Any] = {
    "module": "nodes",
    "fingerprint": _file_digest,
    "check": _file_missing,
    "checked": ("image",),
    "file_lists": ("image",),
}


def _open(job: Job, name: str) -> Image.Image:
    """Raises PIL.UnidentifiedImageError for bytes that are no picture, FileNotFoundError, or MemoryError."""
    key = FileStore.annotated_key(name)
    data = job.files.read(key)
    if data is None:
        raise FileNotFoundError(f"[Errno 2] No such file or directory: '{key.path}'")
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"cannot identify image file '{key.path}'") from None
    job.check_pixels(1, image.height, image.width)
    return image


def _upright(image: Image.Image) -> Image.Image:
    """A frame the right way up, 32-bit greys brought to 8 bits."""
    upright = ImageOps.exif_transpose(image)
    return upright.point(lambda value: value * (1 / 255)) if upright.mode == "I" else upright


@node(
    "LoadImage",
    **LOADER,
    category="image",
    display_name="Load Image",
    outputs=("IMAGE", "MASK"),
    inputs={"image": [[], {"image_upload": True}]},
)
def load_image(job: Job, image: str) -> tuple[Pixels, Mask]:
    pictures: list[Pixels] = []
    masks: list[Mask] = []
    with _open(job, image) as file:
        for frame in ImageSequence.Iterator(file):
            upright = _upright(frame)
            picture = np.asarray(upright.convert("RGB"), np.float32) / np.float32(255)
            if pictures and picture.shape != pictures[0].shape:
                continue
            if "A" in upright.getbands():
                mask = 1 - np.asarray(upright.getchannel("A"), np.float32) / np.float32(255)
            elif upright.mode == "P" and "transparency" in upright.info:
                mask = 1 - np.asarray(upright.convert("RGBA").getchannel("A"), np.float32) / np.float32(255)
            else:
                mask = np.zeros((64, 64), np.float32)
            pictures.append(picture)
            masks.append(mask)
            job.check_pixels(len(pictures), *picture.shape[:2])
            if len(pictures) >= MAX_FRAMES or file.format == "MPO":
                break
    same = [mask for mask in masks if mask.shape == masks[0].shape]
    return np.stack(pictures), np.stack(same)


@node(
    "LoadImageMask",
    **LOADER,
    category="mask",
    display_name="Load Image (as Mask)",
    outputs=("MASK",),
    inputs={"image": [[], {"image_upload": True}], "channel": [["alpha", "red", "green", "blue"]]},
)
def load_image_mask(job: Job, image: str, channel: str) -> tuple[Mask]:
    with _open(job, image) as file:
        upright = _upright(file)
        if upright.getbands() != ("R", "G", "B", "A"):
            upright = upright.convert("RGBA")
        letter = channel[0].upper()
        mask = np.asarray(upright.getchannel(letter), np.float32)[None] / np.float32(255)
    return (1 - mask if letter == "A" else mask,)


def encode_png(pixels: Any, compress_level: int, texts: Mapping[str, str] | None = None) -> bytes:
    """A PNG of uint8 `[height, width, channel]`, with text chunks."""
    info = PngImagePlugin.PngInfo()
    for key, text in (texts or {}).items():
        info.add_text(key, text)
    buffer = io.BytesIO()
    picture = pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=info, compress_level=compress_level)
    return buffer.getvalue()


def _save(job: Job, images: Pixels, prefix: str, folder: str, compress_level: int) -> Answer:
    height, width = images.shape[1:3]
    subfolder, stem = posixpath.split(_expand(prefix, width, height).replace("\\", "/"))
    probe = job.files.key(folder, subfolder, stem or "x")
    texts = {"prompt": json.dumps(job.prompt)}
    texts |= {key: json.dumps(value) for key, value in (job.extra_data.get("extra_pnginfo") or {}).items()}
    first = job.files.next_number(folder, probe.subfolder, stem)
    saved = []
    for index, picture in enumerate(to_bytes(images)):
        name = f"{stem.replace('%batch_num%', str(index))}_{first + index:05}_.png"
        job.files.write(probe._replace(name=name), encode_png(picture, compress_level, texts))
        saved.append({"filename": name, "subfolder": probe.subfolder, "type": folder})
    return Answer(ui={"images": saved})


def _expand(prefix: str, width: int, height: int) -> str:
    """Fill in %width%, %height% and the parts of the date."""
    now = time.localtime()
    words: dict[str, int | str] = {"width": width, "height": height, "year": now.tm_year}
    words |= {"month": f"{now.tm_mon:02}", "day": f"{now.tm_mday:02}", "hour": f"{now.tm_hour:02}"}
    words |= {"minute": f"{now.tm_min:02}", "second": f"{now.tm_sec:02}"}
    return re.sub(r"%(\w+)%", lambda match: str(words.get(match[1], match[0])), prefix)


SAVER: dict[str, Any] = {
    "module": "nodes",
    "category": "image",
    "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
    "is_output": True,
}


@node(
    "SaveImage",
    **SAVER,
    display_name="Save Image",
    inputs={"images": ["IMAGE", {}], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
)
def save_image(job: Job, images: Pixels, filename_prefix: str) -> Answer:
    return _save(job, images, filename_prefix, "output", 4)


@node("PreviewImage", **SAVER, display_name="Preview Image", inputs={"images": ["IMAGE"]})
def preview_image(job: Job, images: Pixels) -> Answer:
    return _save(job, images, f"ComfyUI_temp_{job.preview_tag}", "temp", 1)


@node(
    "SaveImageWebsocket",
    module="custom_nodes.websocket_image_save",
    category="api/image",
    display_name="SaveImageWebsocket",
    inputs={"images": ["IMAGE"]},
    is_output=True,
    fresh=True,
)
def save_image_websocket(job: Job, images: Pixels) -> Answer:
    for index, picture in enumerate(images):
        job.reporter.progress(job.node_id, index, len(images), encode_png(to_bytes(picture), 1))
    return Answer()
