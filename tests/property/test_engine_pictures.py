"""Any raw picture under any rule becomes a file that Pillow opens, of the right size, and exact where promised."""

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bridge.codec.engine_pictures import picture_file
from bridge.types import BYTES_PER_PIXEL, Fill, Fit, Origin, PictureRule, PixelFormat, RawPicture, Size

NUMBERS = st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False))


@st.composite
def rules(draw):
    near, far = draw(NUMBERS), draw(NUMBERS)
    if far is None or (near or 0.0) == far:
        near = far = None  # what a binding may not say
    return PictureRule(
        near,
        far,
        draw(st.booleans()),
        draw(st.sampled_from(list(Fill))),
        draw(st.sampled_from([0, 90, 180, 270])),
        draw(st.booleans()),
        draw(st.sampled_from([None, *Fit])),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@st.composite
def pictures(draw):
    """Bytes as they come: floats among them are anything, not a number and infinite too."""
    pixel_format = draw(st.sampled_from(list(BYTES_PER_PIXEL)))
    width, height = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    length = width * height * BYTES_PER_PIXEL[pixel_format]
    data = draw(st.binary(min_size=length, max_size=length))
    return RawPicture(width, height, pixel_format, draw(st.sampled_from(list(Origin))), data)


@given(
    pictures(), rules(), st.one_of(st.none(), st.builds(Size, st.integers(1, 12), st.integers(1, 12))), st.booleans()
)
def test_every_picture_becomes_a_file_of_the_right_size(picture, rule, size, far):
    with Image.open(io.BytesIO(picture_file(picture, rule, size, far=far))) as image:
        image.load()
        turned = picture.size if rule.rotate in (0, 180) else picture.size[::-1]
        assert image.size == (size if rule.fit is not None and size is not None else turned)


@given(pictures(), st.booleans())
def test_eight_bits_are_exact(picture, far):
    channels = BYTES_PER_PIXEL[picture.format]
    if picture.format not in (PixelFormat.RGBA8, PixelFormat.BGRA8, PixelFormat.RGB8, PixelFormat.R8):
        return
    array = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, channels)
    array = array if picture.origin is Origin.TOP_LEFT else array[::-1]
    if picture.format is PixelFormat.BGRA8:
        array = array[..., [2, 1, 0, 3]]
    with Image.open(io.BytesIO(picture_file(picture, PictureRule(lossless=True), None, far=far))) as image:
        assert (np.asarray(image.convert("RGB")) == (array[..., :3] if channels > 1 else array.repeat(3, 2))).all()
