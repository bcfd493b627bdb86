"""Headers are read, and refused, before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image
from png_files import SIGNATURE, chunk, ihdr, png, png8

from bridge.codec.picture_header import PictureHeader, PictureLimits, read_picture_header
from bridge.errors import ErrorCode, PictureDecodeError

ONE = [[[10, 20, 30]]]


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    with io.BytesIO() as file:
        image.save(file, format, **options)
        return file.getvalue()


@pytest.mark.parametrize(
    ("bits", "colour", "row", "mode"),
    [
        (1, 0, b"\x80", "L"),
        (2, 0, b"\x80", "L"),
        (4, 0, b"\x80", "L"),
        (8, 0, b"\x80", "L"),
        (16, 0, b"\x80\x01", "L"),
        (8, 2, b"\1\2\3", "RGB"),
        (16, 2, b"\1\2\3\4\5\6", "RGB"),
        (8, 4, b"\1\2", "LA"),
        (16, 4, b"\1\2\3\4", "LA"),
        (8, 6, b"\1\2\3\4", "RGBA"),
        (16, 6, b"\1\2\3\4\5\6\7\x08", "RGBA"),
    ],
)
def test_png_header_says_mode_and_source_bits(bits: int, colour: int, row: bytes, mode: str) -> None:
    header = read_picture_header(png(1, 1, bits, colour, [row]))
    assert header == PictureHeader("png", 1, 1, mode, 1, bits)
    assert header.reduced is (bits == 16 and colour != 0)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (640, 360), (17, 257)])
@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"comment": b"x" * 60_000, "icc_profile": b"y" * 100_000}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {"icc_profile": b"y" * 100}),
    ],
)
def test_header_agrees_with_pillow(size: tuple[int, int], format: str, mode: str, options: dict[str, object]) -> None:
    image = Image.new(mode, size, 7 if mode == "P" else None)
    if mode == "RGBA":
        image.putalpha(99)
    data = saved(image, format, **options)
    header = read_picture_header(data)
    assert (header.format.upper(), header.size, header.mode, header.frames) == (format, size, mode, 1)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_frames_of_an_animation_are_counted(format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "green", "blue")]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:])
    assert read_picture_header(data).frames == 3


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken(kind: type) -> None:
    assert read_picture_header(kind(png8(ONE))).size == (1, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"GIF89a" + bytes(40),
        b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(40),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"BM" + bytes(60),
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(30),
        b"RIFF\x16\0\0\0WEBPVP8Z" + bytes(30),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\x00\x08" + bytes(20),
        b"\xff\xd8\xff\xc0\x00\x04\x08\x00",
        b"\xff\xd8\xff\xe0\x00\x01",
        b"\xff\xd8\xff\xe0\x00\x04ab\x00\x00\x00",
        b"\xff\xd8\xff\xc0\x00\x0b\x0c\x00\x01\x00\x01\x01\x00\x00\x00",  # 12 bits per channel
        b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x01\x01\x00\x00\x00",  # height comes later (DNL)
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 2000,
        SIGNATURE + chunk(b"IHDR", bytes(12)) + chunk(b"IEND"),
        SIGNATURE + chunk(b"IDAT", bytes(30)),
        SIGNATURE + ihdr(0, 1, 8, 2) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + ihdr(1, 1, 4, 2) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + ihdr(1, 1, 8, 5) + chunk(b"IDAT") + chunk(b"IEND"),
        SIGNATURE + ihdr(1, 1, 8, 2) + chunk(b"IEND"),
        SIGNATURE + ihdr(1, 1, 8, 2) + chunk(b"tEXt") * 70_000,
        png8(ONE)[:-1],
        png8(ONE)[:-12],
        saved(Image.new("RGB", (9, 9)), "WEBP")[:-3],
    ],
)
def test_what_is_no_picture_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(PictureDecodeError) as caught:
        read_picture_header(data)
    assert caught.value.code is ErrorCode.BAD_PICTURE


def test_a_png_cut_anywhere_is_refused() -> None:
    data = png8([[[1, 2, 3], [4, 5, 6]]], before=[chunk(b"tEXt", b"a\0b")])
    for end in range(len(data)):
        with pytest.raises(PictureDecodeError):
            read_picture_header(data[:end])
    assert read_picture_header(data + b"trailing").size == (2, 1)


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE + ihdr(16_385, 1, 8, 2) + bytes(20),
        SIGNATURE + ihdr(1, 0xFFFFFFFF, 8, 2) + bytes(20),
        SIGNATURE + ihdr(9_000, 9_000, 1, 0) + bytes(20),
        b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x00\x00\x00",
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2 + bytes(20),
    ],
)
def test_too_large_is_told_from_the_header_alone(data: bytes) -> None:
    with pytest.raises(PictureDecodeError) as caught:
        read_picture_header(data)
    assert caught.value.field == "size"


def test_limits_are_inclusive() -> None:
    data = png(8, 4, 8, 0, [bytes(8)] * 4)
    assert read_picture_header(data, PictureLimits(max_pixels=32, max_dimension=8)).size == (8, 4)
    for limits in (PictureLimits(max_pixels=31), PictureLimits(max_dimension=7)):
        with pytest.raises(PictureDecodeError):
            read_picture_header(data, limits)


BOMB = zlib.compress(bytes(50_000_000), 9)


@pytest.mark.parametrize(
    "extra",
    [
        [chunk(b"zTXt", b"Comment\0\0" + BOMB)],
        [chunk(b"iTXt", b"Comment\0\1\0en\0word\0" + BOMB)],
        [chunk(b"iCCP", b"profile\0\0" + BOMB)],
        [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(400_000)))] * 3,
    ],
)
def test_text_that_inflates_without_measure_is_refused(extra: list[bytes]) -> None:
    with pytest.raises(PictureDecodeError, match="inflates past"):
        read_picture_header(png8(ONE, before=extra))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 1000)),
        chunk(b"iTXt", b"Comment\0\1\0en\0word\0" + zlib.compress(b"x" * 1000)),
        chunk(b"iTXt", b"Comment\0\0\0en\0word\0" + b"x" * 3_000_000),
        chunk(b"tEXt", b"prompt\0" + b"x" * 3_000_000),
    ],
)
def test_ordinary_text_passes(extra: bytes) -> None:
    assert read_picture_header(png8(ONE, before=[extra])).size == (1, 1)


def test_text_that_does_not_inflate_is_refused() -> None:
    with pytest.raises(PictureDecodeError, match="does not inflate"):
        read_picture_header(png8(ONE, before=[chunk(b"zTXt", b"Comment\0\0nonsense")]))


def test_progressive_jpeg_with_hundreds_of_scans_is_refused() -> None:
    frame = b"\xff\xc2\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"
    scan = b"\xff\xda" + struct.pack(">H", 8) + bytes(6)
    assert read_picture_header(b"\xff\xd8" + frame + scan * 100).size == (16, 16)
    with pytest.raises(PictureDecodeError, match="scans"):
        read_picture_header(b"\xff\xd8" + frame + scan * 101)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (png(1, 1, 2, 0, [b"\x80"], [chunk(b"tRNS", b"\0\2")]), (2,)),
        (png(1, 1, 8, 2, [b"\1\2\3"], [chunk(b"tRNS", b"\0\1\0\2\0\3")]), (1, 2, 3)),
        (png(1, 1, 16, 2, [bytes(6)], [chunk(b"tRNS", b"\1\1\2\2\3\3")]), (0x101, 0x202, 0x303)),
        (png(1, 1, 8, 2, [b"\1\2\3"], [chunk(b"tRNS", b"\0\1")]), None),
        (png(1, 1, 8, 3, [b"\0"], [chunk(b"PLTE", bytes(3)), chunk(b"tRNS", b"\0\1")]), None),
    ],
)
def test_the_transparent_colour_is_read(data: bytes, key: tuple[int, ...] | None) -> None:
    assert read_picture_header(data).color_key == key
