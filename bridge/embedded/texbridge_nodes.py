"""texbridge's own nodes, as the pack brings them to ComfyUI: the same classes and the same wire, written anew.

Source: protocols/comfyui-nodes.md.
"""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from PIL import Image

from bridge.embedded.catalog import Answer, node
from bridge.embedded.files import FileStore
from bridge.embedded.job import Job
from bridge.embedded.kept import KEEP_S as KEPT_S
from bridge.embedded.kept import matched, moved
from bridge.embedded.mask_nodes import Mask
from bridge.embedded.pictures import FILES, KEEP_S, ORIGINS, RAW, SentPicture, as_floats
from bridge.embedded.resize import Pixels, to_bytes

EVENT: Final = 0x54584E31
WIRE: Final = 1
VERSION: Final = "embedded"
MAX_MESSAGE_BYTES: Final = 256 << 20
RAW_WORDS: Final = ("raw", "raw16", "raw16f")
_FILE_NUMBERS: Final = {"jpeg": 64, "png": 65, "webp": 66}
_MODULE: Final = "custom_nodes.texbridge"


def info(limits: Mapping[str, int | float]) -> dict[str, Any]:
    """What `/texbridge/info` answers."""
    return {
        "name": "texbridge",
        "version": VERSION,
        "wire": WIRE,
        "event": EVENT,
        "output": {"formats": [*RAW_WORDS, *_FILE_NUMBERS]},
        "input": {"formats": [*RAW, *FILES], "origins": list(ORIGINS)},
        "feedback": 1,
        "limits": dict(limits),
    }


@node(
    "TexBridgeOutput",
    module=_MODULE,
    category="texbridge",
    display_name="texbridge output",
    inputs={},
    optional={
        "images": ["IMAGE", {}],
        "mask": ["MASK", {}],
        "format": [[*RAW_WORDS, *_FILE_NUMBERS], {"default": "raw"}],
        "quality": ["INT", {"default": 90, "min": 1, "max": 100}],
        "output": ["INT", {"default": 0, "min": 0, "max": 255}],
        "linear": ["BOOLEAN", {"default": False}],
        "keep": ["STRING", {"default": ""}],
    },
    hidden={"unique_id": "UNIQUE_ID"},
    is_output=True,
    fresh=True,
)
def texbridge_output(
    job: Job,
    images: Pixels | None = None,
    mask: Mask | None = None,
    format: str = "raw",
    quality: int = 90,
    output: int = 0,
    linear: bool = False,
    keep: str = "",
) -> Answer:
    batch = _batch(images, mask)
    if keep:
        job.files.kept.keep(keep, batch[-1:])
    for index, picture in enumerate(batch):
        began = time.perf_counter()
        number, payload = _payload(picture, format, quality)
        names = job.prompt_id.encode() + job.node_id.encode()
        header_bytes = (48 + len(names) + 15) // 16 * 16
        height, width, channels = picture.shape
        pitch = 0 if number in _FILE_NUMBERS.values() else len(payload) // height
        head = struct.pack(">I", EVENT)
        head += struct.pack("<HHH", header_bytes, bool(linear) | 2 * (index == len(batch) - 1), number)
        head += bytes((channels, output))
        head += struct.pack("<IIIIII", index, len(batch), width, height, pitch, len(payload))
        if (size := header_bytes + len(payload)) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a picture of {size} bytes > limit {MAX_MESSAGE_BYTES}: send 8 bits, or a file")
        took_us = round((time.perf_counter() - began) * 1e6)
        head += struct.pack("<IHHI", took_us, len(job.prompt_id.encode()), len(job.node_id.encode()), 0) + names
        job.reporter.binary(head.ljust(header_bytes, b"\0") + payload)
    return Answer()


def _batch(images: Pixels | None, mask: Mask | None) -> Pixels:
    if images is None and mask is None:
        raise ValueError("link images or mask: there is nothing to send")
    if images is None:
        assert mask is not None
        return mask[..., None]
    if not 1 <= images.shape[3] <= 4:
        raise ValueError(f"a picture has {images.shape[3]} channels; 1 to 4 can be sent")
    if mask is None:
        return images
    if images.shape[3] == 4 or mask.shape[1:] != images.shape[1:3] or len(mask) not in (1, len(images)):
        raise ValueError(f"images {images.shape} and mask {mask.shape} don't go together")
    alpha = np.broadcast_to(1 - mask[..., None], (len(images), *mask.shape[1:], 1))
    return np.concatenate((images, alpha), axis=3)


def _payload(picture: Pixels, format: str, quality: int) -> tuple[int, bytes]:
    """The format's number and the bytes."""
    channels = picture.shape[2]
    if format == "raw16":
        if channels != 1:
            raise ValueError(f"raw16 is for pictures of one channel and masks, not for {channels}")
        scaled = np.clip(picture * np.float32(65535), 0, 65535) + np.float32(0.5)
        return 7, scaled.astype(np.uint32).astype("<u2").tobytes()
    if format == "raw16f":
        floats = picture if channels == 1 else _four(picture, 1.0)
        with np.errstate(over="ignore"):  # what a half can't hold is infinite, as torch has it
            return (8 if channels == 1 else 5), floats.astype("<f2").tobytes()
    pixels = to_bytes(picture)
    if format == "raw":
        number = {1: 4, 2: 1, 3: 3, 4: 1}[channels]
        return number, (_four(pixels, 255) if channels == 2 else pixels).tobytes()
    if format == "jpeg" and channels in (2, 4):
        format = "webp"  # JPEG has no alpha
    options: dict[str, Any] = {"compress_level": 1} if format == "png" else {"quality": quality}
    if format == "webp":
        options |= {"method": 0, "lossless": quality >= 100}
    with io.BytesIO() as file:
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, FILES[format], **options)
        return _FILE_NUMBERS[format], file.getvalue()


def _four(picture: Any, opaque: float) -> Any:
    """R G B A of a picture of any channels."""
    channels = picture.shape[2]
    color = picture[..., :3] if channels >= 3 else np.repeat(picture[..., :1], 3, axis=2)
    alpha = picture[..., -1:] if channels in (2, 4) else np.full_like(picture[..., :1], opaque)
    return np.concatenate((color, alpha), axis=2)


# --- pictures from memory ------------------------------------------------------------------------------------


def _missing(picture: object) -> str:
    return (
        f"picture {str(picture)[:100]!r} is not here: it was never sent to this ComfyUI, or not used for "
        f"{KEEP_S:g} s; send it again to /texbridge/image"
    )


def _check(files: FileStore, inputs: Mapping[str, Any]) -> str | None:
    picture = inputs["picture"]
    return None if isinstance(picture, str) and files.pictures.get(picture) is not None else _missing(picture)


def _find(job: Job, picture: str) -> SentPicture:
    found = job.files.pictures.get(picture)
    if found is None:
        raise ValueError(_missing(picture))
    return found


FROM_MEMORY: Final[dict[str, Any]] = {
    "module": _MODULE,
    "category": "texbridge",
    "checked": ("picture",),
    "check": _check,
}


@node(
    "TexBridgeInput",
    **FROM_MEMORY,
    display_name="texbridge input",
    outputs=("IMAGE", "MASK"),
    inputs={"picture": ["STRING", {"default": ""}]},
)
def texbridge_input(job: Job, picture: str) -> tuple[Pixels, Mask]:
    image, mask = as_floats(_find(job, picture))
    job.check_pixels(1, *image.shape[1:3])
    return image, mask


@node(
    "TexBridgeInputMask",
    **FROM_MEMORY,
    display_name="texbridge input (as mask)",
    outputs=("MASK",),
    inputs={"picture": ["STRING", {"default": ""}], "channel": [["alpha", "red", "green", "blue"]]},
)
def texbridge_input_mask(job: Job, picture: str, channel: str) -> tuple[Mask]:
    image, mask = as_floats(_find(job, picture))
    job.check_pixels(1, *image.shape[1:3])
    if channel != "alpha":
        return (image[..., ("red", "green", "blue").index(channel)],)
    return (mask if mask.shape[1:] == image.shape[1:3] else np.zeros(image.shape[:3], np.float32),)


# --- the last picture of a loop --------------------------------------------------------------------------------


def _not_kept(name: object) -> str:
    return (
        f"kept picture {str(name)[:140]!r} is not here: no output of this ComfyUI kept it, it was not used for "
        f"{KEPT_S:g} s, or two later ones of its loop have come"
    )


def _check_kept(files: FileStore, inputs: Mapping[str, Any]) -> str | None:
    kept = inputs["kept"]
    return None if isinstance(kept, str) and files.kept.get(kept) is not None else _not_kept(kept)


@node(
    "TexBridgeFeedback",
    module=_MODULE,
    category="texbridge",
    display_name="texbridge feedback",
    outputs=("IMAGE", "MASK"),
    inputs={
        "kept": ["STRING", {"default": ""}],
        "zoom": ["FLOAT", {"default": 1.0, "min": 0.01, "max": 100.0, "step": 0.001}],
        "rotate": ["FLOAT", {"default": 0.0, "min": -36000.0, "max": 36000.0, "step": 0.001}],
        "x": ["FLOAT", {"default": 0.0, "min": -100.0, "max": 100.0, "step": 0.001}],
        "y": ["FLOAT", {"default": 0.0, "min": -100.0, "max": 100.0, "step": 0.001}],
        "edge": [["mirror", "clamp"]],
    },
    optional={
        "width": ["INT", {"default": 0, "min": 0, "max": 16384}],
        "height": ["INT", {"default": 0, "min": 0, "max": 16384}],
        "match": ["FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.001}],
        "mean": ["STRING", {"default": ""}],
        "deviation": ["STRING", {"default": ""}],
    },
    checked=("kept",),
    check=_check_kept,
)
def texbridge_feedback(
    job: Job,
    kept: str,
    zoom: float,
    rotate: float,
    x: float,
    y: float,
    edge: str,
    width: int = 0,
    height: int = 0,
    match: float = 0.0,
    mean: str = "",
    deviation: str = "",
) -> tuple[Pixels, Mask]:
    source = job.files.kept.get(kept)
    if source is None:
        raise ValueError(_not_kept(kept))
    job.check_pixels(1, height or source.shape[1], width or source.shape[2])
    wanted = [[float(word) for word in text.split()] for text in (mean, deviation)]
    image = matched(moved(source, zoom, rotate, x, y, edge, width, height), source, match, *wanted)
    channels = image.shape[3]
    color = image[..., :3] if channels >= 3 else np.repeat(image[..., :1], 3, axis=3)
    mask = 1 - image[..., -1] if channels in (2, 4) else np.zeros((1, 64, 64), np.float32)
    return np.ascontiguousarray(color), mask
