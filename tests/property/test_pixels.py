"""Whatever bytes come in, a picture decodes or ends in one kind of error; and formats agree with each other."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bridge.codec.payloads import payload_geometry, write_pixels
from bridge.codec.pixels import (
    PictureLimits,
    Pixels,
    decode_picture,
    pixels_from_array,
    read_picture_header,
)
from bridge.errors import PictureDecodeError
from bridge.types import Origin, PayloadSpec, PixelFormat

LIMITS = PictureLimits(max_pixels=1_000_000)


def _samples() -> list[bytes]:
    rng = np.random.default_rng(5)
    colour = Image.fromarray(rng.integers(0, 256, (9, 14, 4), dtype=np.uint8))
    wide = Image.fromarray(rng.integers(0, 65536, (9, 14), dtype=np.uint16))
    pictures = [
        (colour, "PNG", {}),
        (colour.convert("RGB"), "PNG", {"pnginfo": None}),
        (colour.convert("P"), "PNG", {"transparency": 3}),
        (colour.convert("1"), "PNG", {}),
        (wide, "PNG", {}),
        (colour, "PNG", {"save_all": True, "append_images": [colour]}),
        (colour.convert("RGB"), "JPEG", {}),
        (colour.convert("CMYK"), "JPEG", {"progressive": True}),
        (colour, "WEBP", {"lossless": True}),
        (colour, "WEBP", {"save_all": True, "append_images": [colour.convert("RGB").convert("RGBA")]}),
    ]
    samples = []
    for image, format, options in pictures:
        with io.BytesIO() as file:
            image.save(file, format, **options)
            samples.append(file.getvalue())
    return samples


SAMPLES = _samples()


def _decode(data: bytes) -> None:
    try:
        header = read_picture_header(data, LIMITS)
    except PictureDecodeError:
        header = None
    try:
        pixels = decode_picture(data, LIMITS)
    except PictureDecodeError:
        return
    assert header is not None
    assert pixels.size == header.size


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_pixels_or_the_one_error(data: bytes) -> None:
    _decode(data)


@given(st.sampled_from(SAMPLES), st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_files_give_pixels_or_the_one_error(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert", "drop"])):
            case "set":
                damaged[at] = data.draw(st.integers(0, 255))
            case "cut" if at:
                del damaged[at:]
            case "insert":
                damaged[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "drop" if len(damaged) > 9:
                del damaged[at : at + 8]
    _decode(bytes(damaged))


pictures = st.tuples(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 3, 4]), st.randoms()).map(
    lambda drawn: pixels_from_array(
        np.frombuffer(drawn[3].randbytes(drawn[0] * drawn[1] * drawn[2]), "u1").reshape(drawn[1], drawn[0], drawn[2])
    )
)


def _payload(pixels: Pixels, format: PixelFormat, origin: Origin = Origin.TOP_LEFT) -> np.ndarray:
    spec = PayloadSpec(format, origin)
    geometry = payload_geometry(pixels.size, spec)
    buffer = bytearray(geometry.payload_bytes)
    write_pixels(pixels, spec, memoryview(buffer))
    return np.frombuffer(buffer, "u1").reshape(geometry.height, geometry.row_pitch)


@given(pictures, st.sampled_from([f for f in PixelFormat if f <= PixelFormat.R8] + [PixelFormat.R16]))
@settings(max_examples=100, deadline=None)
def test_origins_are_each_other_upside_down(pixels: Pixels, format: PixelFormat) -> None:
    top, bottom = _payload(pixels, format), _payload(pixels, format, Origin.BOTTOM_LEFT)
    assert np.array_equal(top[::-1], bottom)


@given(pictures)
@settings(max_examples=100, deadline=None)
def test_rgba_bgra_and_rgb_hold_the_same_colours(pixels: Pixels) -> None:
    height, width = pixels.size.height, pixels.size.width
    rgba = _payload(pixels, PixelFormat.RGBA8).reshape(height, width, 4)
    assert np.array_equal(_payload(pixels, PixelFormat.BGRA8).reshape(height, width, 4), rgba[..., [2, 1, 0, 3]])
    assert np.array_equal(_payload(pixels, PixelFormat.RGB8).reshape(height, width, 3), rgba[..., :3])
