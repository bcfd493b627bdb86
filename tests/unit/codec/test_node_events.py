"""The node pack's event: the bridge's reader and the pack's writer against the vectors, and pixels out of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_pack import load as load_pack
from vectors import Vector, load

from bridge.codec.comfy_events import decode_binary
from bridge.codec.node_events import R8, RGB8, RGBA8, NodeEvent, NodePicture, decode_node_event
from bridge.codec.payloads import write_pixels
from bridge.codec.pixels import Channels
from bridge.errors import ComfyEventDecodeError
from bridge.types import Origin, PayloadSpec, PixelFormat, Size

VECTORS = load("node")
GOOD = [vector for vector in VECTORS if vector.error is None]
BAD = [vector for vector in VECTORS if vector.error is not None]
event = load_pack("event")


def name(vector: Vector) -> str:
    return vector.name


@pytest.mark.parametrize("vector", GOOD, ids=name)
def test_good_vectors(vector: Vector) -> None:
    read = decode_binary(vector.items[0])
    assert isinstance(read, NodeEvent)
    for path, value in vector.values.items():
        found = getattr(read, path)
        assert (bytes(found) if isinstance(found, memoryview) else found) == value, path


@pytest.mark.parametrize("vector", BAD, ids=name)
def test_bad_vectors(vector: Vector) -> None:
    with pytest.raises(ComfyEventDecodeError) as caught:
        decode_binary(vector.items[0])
    assert int(caught.value.code) == vector.error[0]
    assert caught.value.code.word == vector.error[1]


@pytest.mark.parametrize("vector", [vector for vector in GOOD if vector.canonical], ids=name)
def test_the_pack_writes_them(vector: Vector) -> None:
    values = dict(vector.values)
    data = values.pop("data")
    del values["row_pitch"]
    head = event.header(**values, payload_bytes=len(data))
    assert event.EVENT.to_bytes(4, "big") + head + data == vector.items[0]


def test_the_pack_refuses_what_does_not_fit() -> None:
    values = {"format": 4, "channels": 1, "output": 0, "index": 0, "total": 1, "width": 1, "height": 1}
    values |= {"payload_bytes": 1, "convert_us": 2**40, "linear": False, "prompt_id": "p", "node_id": "n"}
    assert event.header(**values)[32:36] == b"\xff" * 4  # convert_us saturates
    with pytest.raises(ValueError, match="bytes > 1024"):
        event.header(**values | {"node_id": "n" * 2000})
    with pytest.raises(ValueError, match="does not fit"):
        event.header(**values | {"output": 256})


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_event_or_refused(data: bytes) -> None:
    try:
        read = decode_node_event(memoryview(b"TXN1" + data))
    except ComfyEventDecodeError:
        return
    assert len(read.data) <= len(data)


def picture(format: int, channels: int, width: int, height: int, data: bytes) -> NodePicture:
    head = event.header(
        format=format,
        channels=channels,
        output=0,
        index=0,
        total=1,
        width=width,
        height=height,
        payload_bytes=len(data),
        convert_us=0,
        linear=False,
        prompt_id="p",
        node_id="n",
    )
    read = decode_binary(b"TXN1" + head + data)
    assert isinstance(read, NodeEvent)
    return NodePicture(read)


@pytest.mark.parametrize(
    ("format", "channels", "dtype", "depth", "meaning"),
    [
        (1, 4, "u1", 4, Channels.RGBA),
        (1, 3, "u1", 4, Channels.RGB),
        (4, 1, "u1", 1, Channels.L),
        (7, 1, "<u2", 1, Channels.L16),
    ],
)
def test_pixels_that_are_as_they_came_share_the_message(
    format: int, channels: int, dtype: str, depth: int, meaning: Channels
) -> None:
    array = np.arange(2 * 3 * depth, dtype=dtype).reshape(2, 3, depth)
    made = picture(format, channels, 3, 2, array.tobytes())
    pixels = made.pixels()
    assert made.file is None
    assert (pixels.size, pixels.channels) == ((3, 2), meaning)
    assert (pixels.array == array).all()
    assert not pixels.array.flags.owndata


def test_three_bytes_become_four() -> None:
    array = np.arange(18, dtype="u1").reshape(2, 3, 3)
    pixels = picture(3, 3, 3, 2, array.tobytes()).pixels()
    assert pixels.channels is Channels.RGB
    assert (pixels.array[..., :3] == array).all()


def test_half_floats_stay_what_they_are_but_what_is_no_number() -> None:
    values = np.array([[0.0, 0.5, 1.0, 2.0, -1.0, np.nan, np.inf, -np.inf]], "<f2")
    grey = picture(8, 1, 8, 1, values.tobytes()).pixels()
    assert grey.channels is Channels.LF
    assert grey.array[0, :, 0].tolist() == [0, 0.5, 1, 2, -1, 0, 65504, -65504]
    color = picture(5, 4, 2, 1, values.tobytes()).pixels()
    assert color.channels is Channels.RGBAF
    assert color.array[0].tolist() == [[0, 0.5, 1, 2], [-1, 0, 65504, -65504]]
    assert picture(5, 3, 2, 1, values.tobytes()).pixels().channels is Channels.RGBF


def test_half_floats_are_no_copy() -> None:
    values = np.linspace(0, 1, 16, dtype="<f2")
    made = picture(5, 4, 2, 2, values.tobytes())
    assert not made.pixels().array.flags.owndata
    assert not made.writes(PayloadSpec(PixelFormat.RGBA8))


def test_a_file_stays_a_file() -> None:
    made = picture(64, 3, 640, 480, b"\xff\xd8\xff")
    assert made.event.file_format == "jpeg"
    assert bytes(made.file or b"") == b"\xff\xd8\xff"


def test_what_is_written_at_once_is_what_pixels_give() -> None:
    for channels, number in ((3, RGB8), (4, RGBA8), (3, RGBA8)):
        stride = 3 if number == RGB8 else 4
        for width, height in ((1, 1), (1, 3), (3, 1), (5, 4), (129, 300)):
            noise = np.random.default_rng(5).integers(0, 256, height * width * stride, np.uint8)
            picture = NodePicture(_event(number, channels, width, height, noise.data))
            for format in (PixelFormat.RGBA8, PixelFormat.BGRA8):
                for origin in Origin:
                    spec = PayloadSpec(format, origin)
                    assert picture.writes(spec)
                    out, expected = (np.zeros(width * height * 4, np.uint8) for _ in range(2))
                    picture.write(spec, out.data)
                    write_pixels(picture.pixels(), spec, expected.data)
                    assert (out == expected).all()


def test_other_forms_need_the_pixels() -> None:
    picture = NodePicture(_event(RGB8, 3, 2, 2, memoryview(bytes(12))))
    assert picture.writes(PayloadSpec(PixelFormat.RGBA8, size=Size(2, 2)))
    for spec in (
        PayloadSpec(PixelFormat.RGB8),
        PayloadSpec(PixelFormat.RGBA8, size=Size(4, 4)),
        PayloadSpec(PixelFormat.RGBA8, mips=True),
        PayloadSpec(PixelFormat.RGBA8, linear=True),
        PayloadSpec(PixelFormat.JPEG),
    ):
        assert not picture.writes(spec)
    assert not NodePicture(_event(R8, 1, 2, 2, memoryview(bytes(4)))).writes(PayloadSpec(PixelFormat.RGBA8))


def _event(number: int, channels: int, width: int, height: int, data: memoryview) -> NodeEvent:
    return NodeEvent(
        prompt_id="p",
        node_id="1",
        output=0,
        index=0,
        total=1,
        format=number,
        channels=channels,
        width=width,
        height=height,
        row_pitch=len(data) // height,
        linear=False,
        convert_us=0,
        data=data,
    )
