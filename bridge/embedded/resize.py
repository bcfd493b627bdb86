"""Resizing as ComfyUI's ImageScale does it: half-pixel centres, no antialiasing except area and lanczos.

Arrays are `[batch, height, width, channel]` float32. Every method but lanczos is separable: for each output
position a few source rows and their weights.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.float32]

_NEAR_FLOATS: Final = 1 << 17
METHODS: Final = ("nearest-exact", "bilinear", "area", "bicubic", "lanczos")


def resize(pixels: Pixels, width: int, height: int, method: str, crop: str = "disabled") -> Pixels:
    """Pixels at a new size. `crop` "center" first cuts the middle to the new shape."""
    if crop == "center":
        pixels = crop_to_shape(pixels, width, height)
    if pixels.shape[1:3] == (height, width) and method != "lanczos":
        return pixels
    if method == "lanczos":
        return _lanczos(pixels, width, height)
    if method == "area":
        return _area(_area(pixels, height, 1), width, 2)
    return _weighted(_weighted(pixels, height, 1, method), width, 2, method)


def crop_to_shape(pixels: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture with the aspect of width x height."""
    old_height, old_width = pixels.shape[1:3]
    old_aspect, new_aspect = old_width / old_height, width / height
    x = y = 0
    if old_aspect > new_aspect:
        x = round((old_width - old_width * (new_aspect / old_aspect)) / 2)
    elif old_aspect < new_aspect:
        y = round((old_height - old_height * (old_aspect / new_aspect)) / 2)
    return pixels[:, y : old_height - y, x : old_width - x]


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.75."""
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _taps(old: int, new: int, method: str) -> list[tuple[NDArray[np.intp], NDArray[np.float32] | None]]:
    """For each output position the source positions and weights; None is a weight of one."""
    if method == "nearest-exact":
        # In single precision, as torch has it: where a centre falls between two pixels, rounding decides.
        exact = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * np.float32(old / new)
        return [(np.minimum(np.floor(exact).astype(np.intp), old - 1), None)]
    position = (np.arange(new) + 0.5) * (old / new) - 0.5
    if method == "bilinear":
        position = np.maximum(position, 0.0)
    first = np.floor(position).astype(np.intp)
    rest = position - first
    if method == "bilinear":
        taps = [(first, 1 - rest), (first + 1, rest)]
    else:
        taps = [(first + k, _cubic(np.abs(rest - k))) for k in (-1, 0, 1, 2)]
    return [(np.clip(index, 0, old - 1), weight.astype(np.float32)) for index, weight in taps]


def _weighted(pixels: Pixels, size: int, axis: int, method: str) -> Pixels:
    if pixels.shape[axis] == size:
        return pixels
    shape = [1, 1, 1, 1]
    shape[axis] = size
    result: Pixels | None = None
    for index, weight in _taps(pixels.shape[axis], size, method):
        part = pixels.take(index, axis=axis)
        if weight is not None:
            part *= weight.reshape(shape)
        result = part if result is None else np.add(result, part, out=result)
    assert result is not None
    return result


def _area(pixels: Pixels, size: int, axis: int) -> Pixels:
    """Mean over the source range [floor(i * old / new), ceil((i + 1) * old / new))."""
    old = pixels.shape[axis]
    if old == size:
        return pixels
    index = np.arange(size)
    start = index * old // size
    end = -(-(index + 1) * old // size)
    sums = np.zeros((*pixels.shape[:axis], old + 1, *pixels.shape[axis + 1 :]))
    np.cumsum(pixels, axis=axis, dtype=np.float64, out=np.moveaxis(np.moveaxis(sums, axis, 0)[1:], 0, axis))
    shape = [1, 1, 1, 1]
    shape[axis] = size
    mean = (sums.take(end, axis=axis) - sums.take(start, axis=axis)) / (end - start).reshape(shape)
    result: Pixels = mean.astype(np.float32)
    return result


def _lanczos(pixels: Pixels, width: int, height: int) -> Pixels:
    """Through 8 bits and Pillow's LANCZOS, picture by picture."""
    result = np.empty((pixels.shape[0], height, width, pixels.shape[3]), np.float32)
    for source, target in zip(to_bytes(pixels), result, strict=True):
        image = Image.fromarray(source.squeeze(-1) if source.shape[-1] == 1 else source)
        resized = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
        np.divide(resized.reshape(target.shape), np.float32(255), out=target, casting="unsafe")
    return result


def to_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """0..1 to 0..255, cut off, not rounded: what every ComfyUI node does that leaves floating point."""
    result = np.empty(pixels.shape, np.uint8)
    source, target = np.ascontiguousarray(pixels).reshape(-1), result.reshape(-1)
    near = np.empty(min(_NEAR_FLOATS, source.size), np.float32)
    for start in range(0, source.size, _NEAR_FLOATS):  # in pieces that stay near the processor
        piece = near[: min(_NEAR_FLOATS, source.size - start)]
        np.multiply(source[start : start + piece.size], np.float32(255), out=piece)
        np.clip(piece, 0, 255, out=piece)
        np.copyto(target[start : start + piece.size], piece, casting="unsafe")
    return result
