"""Files to pixels to payloads. What is expected is computed here, one pixel at a time, from the contract's words."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from png_files import chunk, png, png8, png16

from bridge.codec import frame
from bridge.codec.payloads import PAYLOAD_FORMATS, payload_geometry, write_pixels
from bridge.codec.pixels import (
    Channels,
    PictureLimits,
    Pixels,
    decode_picture,
    encode_picture,
    pixels_from_array,
    resize_pixels,
    solid_pixels,
)
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, PictureDecodeError
from bridge.types import Fit, Origin, PayloadSpec, PixelFormat, Size

Rgba = tuple[int, int, int, int]
Grid = list[list[list[int]]]

RAW_FORMATS = (PixelFormat.RGBA8, PixelFormat.BGRA8, PixelFormat.RGB8, PixelFormat.R8, PixelFormat.R16)
WHOLE = [Channels.L, Channels.LA, Channels.RGB, Channels.RGBA, Channels.L16]
"""Pictures of integers; floats are in test_float_pixels."""
SIZES = [(1, 1), (3, 5), (5, 3), (1, 67), (64, 33)]


def luma(red: int, green: int, blue: int) -> int:
    """Rec. 601, rounded, in the 16-bit fixed point that everybody uses."""
    return (19595 * red + 38470 * green + 7471 * blue + 32768) // 65536


def payload_of(pixel: Rgba, grey16: int, format: PixelFormat) -> bytes:
    red, green, blue, alpha = pixel
    grey8 = red if red == green == blue else luma(red, green, blue)
    return {
        PixelFormat.RGBA8: bytes((red, green, blue, alpha)),
        PixelFormat.BGRA8: bytes((blue, green, red, alpha)),
        PixelFormat.RGB8: bytes((red, green, blue)),
        PixelFormat.R8: bytes((grey8,)),
        PixelFormat.R16: struct.pack("<H", grey16),
    }[format]


def expected_payload(grid: list[list[tuple[Rgba, int]]], format: PixelFormat, origin: Origin) -> bytes:
    rows = grid if origin is Origin.TOP_LEFT else list(reversed(grid))
    return b"".join(payload_of(pixel, grey16, format) for row in rows for pixel, grey16 in row)


def made(pixels: Pixels, format: PixelFormat, origin: Origin = Origin.TOP_LEFT, **rest: object) -> bytes:
    spec = PayloadSpec(format, origin, **rest)  # type: ignore[arg-type]
    buffer = bytearray(payload_geometry(pixels.size, spec).payload_bytes)
    write_pixels(pixels, spec, memoryview(buffer))
    return bytes(buffer)


def noise(width: int, height: int, channels: int, top: int = 255) -> Grid:
    """Numbers without a pattern: a linear congruential generator, so that no library's noise is involved."""
    state = width * 1000 + height * 10 + channels
    grid: Grid = []
    for _ in range(height):
        row = []
        for _ in range(width):
            pixel = []
            for _ in range(channels):
                state = (state * 1103515245 + 12345) % 2**31
                pixel.append((state >> 8) % (top + 1))
            row.append(pixel)
        grid.append(row)
    return grid


def widened(pixel: list[int]) -> tuple[Rgba, int]:
    """An 8-bit source pixel of one to four channels, as RGBA and as 16-bit grey."""
    if len(pixel) <= 2:
        grey, alpha = pixel[0], pixel[1] if len(pixel) == 2 else 255
        return (grey, grey, grey, alpha), grey * 257
    red, green, blue = pixel[:3]
    return (red, green, blue, pixel[3] if len(pixel) == 4 else 255), luma(red, green, blue) * 257


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("format", RAW_FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_source_in_every_format(
    width: int, height: int, channels: int, format: PixelFormat, origin: Origin
) -> None:
    grid = noise(width, height, channels)
    pixels = decode_picture(png8(grid))
    assert pixels.channels.value == ("L", "LA", "RGB", "RGBA")[channels - 1]
    assert pixels.size == (width, height)
    assert made(pixels, format, origin) == expected_payload(
        [[widened(pixel) for pixel in row] for row in grid], format, origin
    )


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("format", RAW_FORMATS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_16_bit_grey_in_every_format(width: int, height: int, format: PixelFormat, origin: Origin) -> None:
    grid = noise(width, height, 1, 65535)
    pixels = decode_picture(png16(grid))
    assert pixels.channels is Channels.L16
    wide = []
    for row in grid:
        wide.append([((round(v / 257), round(v / 257), round(v / 257), 255), v) for (v,) in row])
    assert made(pixels, format, origin) == expected_payload(wide, format, origin)


def test_every_16_bit_value_is_rounded_to_the_nearest_8_bit_one() -> None:
    every = np.arange(65536, dtype="<u2").reshape(256, 256)
    expected = bytes((2 * value + 257) // 514 for value in range(65536))
    assert made(pixels_from_array(every), PixelFormat.R8) == expected


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_keeps_the_high_byte_as_pillow_does(channels: int) -> None:
    grid = noise(3, 5, channels, 65535)
    reduced = [[widened([value >> 8 for value in pixel]) for pixel in row] for row in grid]
    assert made(decode_picture(png16(grid)), PixelFormat.RGBA8) == expected_payload(
        reduced, PixelFormat.RGBA8, Origin.TOP_LEFT
    )


PALETTE = chunk(b"PLTE", bytes((255, 0, 0, 0, 255, 0, 0, 0, 255, 7, 8, 9)))
RED, GREEN, BLUE, DARK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (7, 8, 9)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(4, 1, 8, 3, [b"\0\1\2\3"], [PALETTE]), [(*RED, 255), (*GREEN, 255), (*BLUE, 255), (*DARK, 255)]),
        (png(4, 1, 2, 3, [b"\x1b"], [PALETTE]), [(*RED, 255), (*GREEN, 255), (*BLUE, 255), (*DARK, 255)]),
        (
            png(4, 1, 8, 3, [b"\0\1\2\3"], [PALETTE, chunk(b"tRNS", b"\xff\x00\x80")]),
            [(*RED, 255), (*GREEN, 0), (*BLUE, 128), (*DARK, 255)],
        ),
        (
            png(4, 1, 8, 3, [b"\0\1\2\3"], [PALETTE, chunk(b"tRNS", b"\xff\x00")]),
            [(*RED, 255), (*GREEN, 0), (*BLUE, 255), (*DARK, 255)],
        ),
        (png(4, 1, 1, 0, [b"\x50"]), [(0, 0, 0, 255), (255,) * 4, (0, 0, 0, 255), (255,) * 4]),
        (png(4, 1, 2, 0, [b"\x1b"]), [(0, 0, 0, 255), (85, 85, 85, 255), (170, 170, 170, 255), (255,) * 4]),
        (png(2, 1, 4, 0, [b"\x3c"]), [(51, 51, 51, 255), (204, 204, 204, 255)]),
        (png(4, 1, 1, 0, [b"\x50"], [chunk(b"tRNS", b"\0\1")]), [(0, 0, 0, 255), (255, 255, 255, 0)] * 2),
        (
            png(4, 1, 2, 0, [b"\x1b"], [chunk(b"tRNS", b"\0\2")]),
            [(0, 0, 0, 255), (85, 85, 85, 255), (170, 170, 170, 0), (255,) * 4],
        ),
        (png(2, 1, 8, 0, [b"\x10\x20"], [chunk(b"tRNS", b"\0\x20")]), [(16, 16, 16, 255), (32, 32, 32, 0)]),
        (
            png(2, 1, 8, 2, [b"\1\2\3\1\2\4"], [chunk(b"tRNS", b"\0\1\0\2\0\3")]),
            [(1, 2, 3, 0), (1, 2, 4, 255)],
        ),
        (
            png(1, 1, 16, 2, [b"\1\0\2\0\3\0"], [chunk(b"tRNS", b"\1\0\2\0\3\0")]),
            [(1, 2, 3, 255)],
        ),
        (png(1, 1, 8, 2, [b"\1\2\3"], [chunk(b"tRNS", b"\1\1\0\2\0\3")]), [(1, 2, 3, 255)]),
        (png(1, 1, 16, 0, [b"\x80\x80"], [chunk(b"tRNS", b"\x80\x80")]), [(128, 128, 128, 255)]),
    ],
    ids=[
        "palette",
        "palette of 2 bits",
        "palette with alpha",
        "palette with short alpha",
        "1 bit",
        "2 bits",
        "4 bits",
        "1 bit with key",
        "2 bits with key",
        "grey with key",
        "colour with key",
        "16-bit colour with key",
        "key past 255",
        "16-bit grey with key",
    ],
)
def test_palettes_few_bits_and_colour_keys(data: bytes, expected: list[Rgba]) -> None:
    assert made(decode_picture(data), PixelFormat.RGBA8) == b"".join(bytes(pixel) for pixel in expected)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    with io.BytesIO() as file:
        image.save(file, format, **options)
        return file.getvalue()


def coloured(width: int, height: int, channels: int) -> Image.Image:
    array = np.array(noise(width, height, channels), dtype=np.uint8)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_webp_is_exact(channels: int) -> None:
    grid = noise(5, 3, channels)
    data = saved(coloured(5, 3, channels), "WEBP", lossless=True, exact=True)
    expected = expected_payload([[widened(p) for p in row] for row in grid], PixelFormat.RGBA8, Origin.TOP_LEFT)
    assert made(decode_picture(data), PixelFormat.RGBA8) == expected


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_is_what_pillow_decodes(mode: str, options: dict[str, object]) -> None:
    data = saved(coloured(19, 11, 3).convert(mode), "JPEG", quality=90, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.flipud(np.asarray(image.convert("RGB").convert("RGBA"))).tobytes()
    assert made(decode_picture(data), PixelFormat.RGBA8, Origin.BOTTOM_LEFT) == expected


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    assert made(decode_picture(data), PixelFormat.RGB8) == bytes((255, 0, 0)) * 16


def test_interlaced_png_is_whole() -> None:
    # Adam7 of a 1 x 1 picture is that one pixel; Pillow can't write larger ones, so the flag is set by hand.
    plain = png8([[[9, 8, 7]]])
    body = bytearray(plain[12:29])
    body[-1] = 1
    data = plain[:8] + chunk(b"IHDR", bytes(body[4:])) + plain[33:]
    assert made(decode_picture(data), PixelFormat.RGB8) == bytes((9, 8, 7))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-20],
        lambda data: data[:100] + bytes(50) + data[150:],
        lambda data: b"",
        lambda data: b"\x89PNG" + data,
    ],
)
@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_broken_files_are_refused(format: str, break_it: Callable[[bytes], bytes]) -> None:
    data = saved(coloured(40, 40, 3), format, lossless=True)
    with pytest.raises(PictureDecodeError) as caught:
        decode_picture(break_it(data))
    assert caught.value.code is ErrorCode.BAD_PICTURE


def test_jpeg_cut_in_its_data_is_refused() -> None:
    data = saved(coloured(64, 64, 3), "JPEG")
    for end in (3, 20, 300, len(data) // 2, len(data) - 200):
        with pytest.raises(PictureDecodeError):
            decode_picture(data[:end])


def test_rows_that_a_complete_png_lacks_are_black() -> None:
    payload = made(decode_picture(png(2, 3, 8, 2, [bytes((9, 9, 9, 9, 9, 9))] * 2)), PixelFormat.RGBA8)
    assert payload == bytes((9, 9, 9, 255)) * 4 + bytes((0, 0, 0, 255)) * 2


def test_a_png_whose_idat_inflates_to_far_too_much_stays_small() -> None:
    assert decode_picture(png(1, 1, 8, 0, [b"\x07"] + [bytes(100_000)] * 100)).size == (1, 1)


@pytest.mark.parametrize(
    "data",
    [
        saved(Image.new("P", (3, 3)), "GIF"),
        saved(Image.new("RGB", (3, 3)), "BMP"),
        saved(Image.new("L", (3, 3)), "TIFF"),
    ],
)
def test_other_formats_are_refused_whatever_pillow_can_read(data: bytes) -> None:
    with pytest.raises(PictureDecodeError, match="only PNG, JPEG and WebP"):
        decode_picture(data)


def test_limits_reach_the_decoder() -> None:
    with pytest.raises(PictureDecodeError) as caught:
        decode_picture(png8(noise(9, 9, 1)), PictureLimits(max_pixels=80))
    assert (caught.value.value, caught.value.limit) == (81, 80)


# --- out


@pytest.mark.parametrize(
    ("format", "bytes_per_pixel"),
    [
        (PixelFormat.RGBA8, 4),
        (PixelFormat.BGRA8, 4),
        (PixelFormat.RGB8, 3),
        (PixelFormat.R8, 1),
        (PixelFormat.R16, 2),
        (PixelFormat.JPEG, 0),
        (PixelFormat.PNG, 0),
    ],
)
def test_geometry_is_tight(format: PixelFormat, bytes_per_pixel: int) -> None:
    assert payload_geometry(Size(3, 5), PayloadSpec(format)) == (3, 5, 3 * bytes_per_pixel, 15 * bytes_per_pixel, 1)
    sized = payload_geometry(Size(3, 5), PayloadSpec(format, size=Size(7, 2)))
    assert sized == (7, 2, 7 * bytes_per_pixel, 14 * bytes_per_pixel, 1)
    assert format in PAYLOAD_FORMATS


@pytest.mark.parametrize("format", [PixelFormat.JPEG, PixelFormat.PNG])
def test_files_have_no_mips(format: PixelFormat) -> None:
    with pytest.raises(NotAllowedError):
        payload_geometry(Size(4, 4), PayloadSpec(format, mips=True))


@pytest.mark.parametrize("size", [Size(0, 4), Size(4, -1), Size(16_385, 1), Size(16_384, 16_384)])
def test_sizes_are_bounded(size: Size) -> None:
    with pytest.raises(InvalidValueError) as caught:
        payload_geometry(Size(4, 4), PayloadSpec(PixelFormat.RGBA8, size=size))
    assert caught.value.code is ErrorCode.BAD_SIZE


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_buffer_of_another_length_is_a_mistake(length: int) -> None:
    with pytest.raises(ValueError, match="16"):
        write_pixels(solid_pixels(Size(2, 2)), PayloadSpec(PixelFormat.RGBA8), memoryview(bytearray(length)))


def test_files_are_not_written_as_rows() -> None:
    with pytest.raises(InvalidValueError):
        write_pixels(solid_pixels(Size(2, 2)), PayloadSpec(PixelFormat.PNG), memoryview(bytearray(0)))


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 2), (5, 3), (64, 48)])
def test_three_channels_become_four(size: tuple[int, int]) -> None:
    array = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), np.uint8)
    pixels = pixels_from_array(array)
    assert pixels.channels is Channels.RGB
    assert (pixels.array[..., :3] == array).all()
    assert (pixels.array[..., 3] == 255).all()


def test_a_buffer_inside_another_is_filled_and_nothing_else() -> None:
    whole = bytearray(b"\xee" * 60)
    write_pixels(solid_pixels(Size(3, 3), (1, 2, 3, 4)), PayloadSpec(PixelFormat.BGRA8), memoryview(whole)[7:43])
    assert whole == b"\xee" * 7 + bytes((3, 2, 1, 4)) * 9 + b"\xee" * 17


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_become_pixels(channels: int) -> None:
    grid = noise(4, 3, channels)
    array = np.array(grid, dtype=np.uint8)
    expected = expected_payload([[widened(p) for p in row] for row in grid], PixelFormat.BGRA8, Origin.TOP_LEFT)
    assert made(pixels_from_array(array), PixelFormat.BGRA8) == expected
    assert made(pixels_from_array(array[::-1].copy()[::-1]), PixelFormat.BGRA8) == expected


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 5), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 4), np.uint8),
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2, 3), np.uint16),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(PictureDecodeError):
        pixels_from_array(array)


# --- resize

WHITE, BLACK = (255, 255, 255, 255), (0, 0, 0, 255)


def rgba_grid(payload: bytes, width: int) -> list[list[Rgba]]:
    pixels = [tuple(payload[at : at + 4]) for at in range(0, len(payload), 4)]
    return [pixels[at : at + width] for at in range(0, len(pixels), width)]  # type: ignore[misc]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_contain_centres_in_opaque_black(channels: int) -> None:
    pixels = decode_picture(png8([[[255] * channels] * 4] * 2))
    grid = rgba_grid(made(pixels, PixelFormat.RGBA8, size=Size(4, 5), fit=Fit.CONTAIN), 4)
    assert grid == [[BLACK] * 4, [WHITE] * 4, [WHITE] * 4, [BLACK] * 4, [BLACK] * 4]
    flipped = rgba_grid(made(pixels, PixelFormat.RGBA8, Origin.BOTTOM_LEFT, size=Size(4, 5), fit=Fit.CONTAIN), 4)
    assert flipped == grid[::-1]


def test_contain_scales_up_to_the_shorter_side() -> None:
    pixels = decode_picture(png8([[[255]] * 2]))
    assert made(pixels, PixelFormat.R8, size=Size(8, 6), fit=Fit.CONTAIN) == bytes(8) + b"\xff" * 32 + bytes(8)


def test_contain_of_a_sliver_keeps_one_pixel() -> None:
    pixels = decode_picture(png8([[[255]] * 1000]))
    assert made(pixels, PixelFormat.R8, size=Size(4, 3), fit=Fit.CONTAIN) == bytes(4) + b"\xff" * 4 + bytes(4)


def test_cover_crops_to_the_centre() -> None:
    row = [[0], [0], [200], [200], [0], [0]]
    pixels = decode_picture(png8([row, row]))
    assert made(pixels, PixelFormat.R8, size=Size(2, 2), fit=Fit.COVER) == bytes((200,)) * 4


@pytest.mark.parametrize("channels", WHOLE)
@pytest.mark.parametrize("size", [Size(8, 9), Size(7, 9), Size(13, 4), Size(13, 8), Size(1, 9)])
def test_cover_that_only_crops_keeps_every_pixel(channels: Channels, size: Size) -> None:
    """An odd pixel is taken off at the right and bottom; half a pixel's shift would blur all of them."""
    depth = {Channels.L: 1, Channels.LA: 2, Channels.RGB: 3, Channels.RGBA: 4, Channels.L16: 1}[channels]
    top = 65535 if channels is Channels.L16 else 255
    array = np.array(noise(13, 9, depth, top), dtype=np.uint16 if top > 255 else np.uint8)
    pixels = pixels_from_array(array)
    left, upper = (13 - size.width) // 2, (9 - size.height) // 2
    middle = pixels.array[upper : upper + size.height, left : left + size.width]
    assert (resize_pixels(pixels, size, Fit.COVER).array == middle).all()


def test_stretch_halves_by_averages() -> None:
    # Pillow's bilinear kernel over two pixels of equal weight, at the edges cut off: checked where it is flat.
    pixels = decode_picture(png8([[[10]] * 8] * 8))
    assert made(pixels, PixelFormat.R8, size=Size(4, 3)) == bytes((10,)) * 12


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize("channels", WHOLE)
@pytest.mark.parametrize("size", [Size(1, 1), Size(7, 2), Size(2, 9), Size(31, 30)])
def test_a_resized_picture_has_exactly_the_size(fit: Fit, channels: Channels, size: Size) -> None:
    depth = {Channels.L: 1, Channels.LA: 2, Channels.RGB: 3, Channels.RGBA: 4, Channels.L16: 1}[channels]
    top = 65535 if channels is Channels.L16 else 255
    array = np.array(noise(13, 6, depth, top), dtype=np.uint16 if top > 255 else np.uint8)
    resized = resize_pixels(pixels_from_array(array), size, fit)
    assert (resized.size, resized.channels) == (size, channels)
    assert resized.array.flags.c_contiguous
    assert len(made(resized, PixelFormat.RGBA8)) == size.width * size.height * 4


def test_resize_to_its_own_size_is_the_same_object() -> None:
    pixels = solid_pixels(Size(3, 4))
    assert resize_pixels(pixels, Size(3, 4), Fit.COVER) is pixels


def test_16_bit_grey_stays_16_bit_when_resized() -> None:
    pixels = pixels_from_array(np.full((4, 4), 40_001, "<u2"))
    assert made(pixels, PixelFormat.R16, size=Size(3, 7)) == struct.pack("<H", 40_001) * 21


def test_transparent_colour_does_not_bleed_when_resized() -> None:
    pixels = decode_picture(png8([[[255, 0, 0, 255], [0, 255, 0, 0]]]))
    ((pixel,),) = rgba_grid(made(pixels, PixelFormat.RGBA8, size=Size(1, 1)), 1)
    assert pixel[:3] == (255, 0, 0)


# --- files out


@pytest.mark.parametrize("channels", WHOLE)
def test_png_out_is_exact(channels: Channels) -> None:
    depth = {Channels.L: 1, Channels.LA: 2, Channels.RGB: 3, Channels.RGBA: 4, Channels.L16: 1}[channels]
    top = 65535 if channels is Channels.L16 else 255
    array = np.array(noise(7, 5, depth, top), dtype=np.uint16 if top > 255 else np.uint8)
    data = encode_picture(pixels_from_array(array), PixelFormat.PNG)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        assert image.mode == ("I;16" if channels is Channels.L16 else channels.value)
        assert np.array_equal(np.asarray(image).reshape(array.shape), array)


@pytest.mark.parametrize(("depth", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB")])
def test_jpeg_out_has_the_colours_and_no_alpha(depth: int, mode: str) -> None:
    array = np.full((16, 16, depth), 100, np.uint8)
    with Image.open(io.BytesIO(encode_picture(pixels_from_array(array), PixelFormat.JPEG))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", mode, (16, 16))
        assert np.abs(np.asarray(image).astype(int) - 100).max() <= 1


def test_jpeg_quality_is_heard() -> None:
    pixels = pixels_from_array(np.array(noise(64, 64, 3), dtype=np.uint8))
    low, high = (len(encode_picture(pixels, PixelFormat.JPEG, quality)) for quality in (30, 95))
    assert low < high / 2


def test_16_bit_grey_becomes_an_8_bit_jpeg() -> None:
    data = encode_picture(pixels_from_array(np.full((8, 8), 257 * 90, "<u2")), PixelFormat.JPEG)
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(np.asarray(image).astype(int) - 90).max() <= 1


def test_textures_are_not_files() -> None:
    with pytest.raises(InvalidValueError):
        encode_picture(solid_pixels(Size(1, 1)), PixelFormat.RGBA8)


@pytest.mark.parametrize("format", RAW_FORMATS)
def test_geometry_agrees_with_the_frame_header(format: PixelFormat) -> None:
    geometry = payload_geometry(Size(33, 7), PayloadSpec(format))
    assert geometry.row_pitch == frame.tight_row_pitch(format, 33)
    assert geometry.payload_bytes == frame.payload_bytes(format, 33, 7, 1)
