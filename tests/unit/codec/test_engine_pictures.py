"""What goes up for an engine's picture: every format and origin, exact where it is said to be."""

import io

import numpy as np
import pytest
from PIL import Image

from bridge.codec.engine_pictures import picture_file, picture_pixels
from bridge.codec.picture_header import PictureLimits
from bridge.errors import PictureDecodeError
from bridge.types import Fill, Fit, Origin, Picture, PictureRule, PixelFormat, RawPicture, Size

EXACT = PictureRule(lossless=True)
WITH_ALPHA = PictureRule(alpha=True)
COLORS = np.random.default_rng(1).integers(0, 256, (5, 7, 4), np.uint8)
"""Rows from the top, R G B A."""


def raw(array, pixel_format, origin=Origin.TOP_LEFT):
    rows = array if origin is Origin.TOP_LEFT else array[::-1]
    return RawPicture(array.shape[1], array.shape[0], pixel_format, origin, rows.tobytes())


def opened(data):
    """What LoadImage sees."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image


def rgb(data):
    return np.asarray(opened(data).convert("RGB"))


def form(pixel_format):
    """COLORS in this format."""
    match pixel_format:
        case PixelFormat.RGBA8:
            return COLORS
        case PixelFormat.BGRA8:
            return COLORS[..., [2, 1, 0, 3]]
        case PixelFormat.RGB8:
            return COLORS[..., :3]
        case PixelFormat.RGBA16F:
            return (COLORS / 255).astype("<f2")
        case PixelFormat.RGBA32F:
            return (COLORS / 255).astype("<f4")


COLOR_FORMATS = ("rgba8", "bgra8", "rgb8", "rgba16f", "rgba32f")
COLOR_FORMATS = [PixelFormat[word.upper()] for word in COLOR_FORMATS]


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("pixel_format", COLOR_FORMATS)
def test_colors_are_exact_where_the_binding_says_so(pixel_format, origin):
    data = picture_file(raw(form(pixel_format), pixel_format, origin), EXACT, None)
    assert opened(data).format == "PPM"
    assert (rgb(data) == COLORS[..., :3]).all()


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize("pixel_format", [known for known in COLOR_FORMATS if known is not PixelFormat.RGB8])
def test_alpha_is_kept_where_the_graph_uses_it(pixel_format, origin):
    image = opened(picture_file(raw(form(pixel_format), pixel_format, origin), WITH_ALPHA, None))
    assert (image.format, image.mode) == ("BMP", "RGBA")
    assert (np.asarray(image) == COLORS).all()


@pytest.mark.parametrize("pixel_format", COLOR_FORMATS)
def test_colors_go_as_a_fine_jpeg_otherwise(pixel_format):
    rows, columns = np.mgrid[0:64, 0:64]
    smooth = np.stack([rows * 4, columns * 4, rows + columns, rows * 0 + 7], -1).astype(np.uint8)
    array = {PixelFormat.BGRA8: smooth[..., [2, 1, 0, 3]], PixelFormat.RGB8: smooth[..., :3]}.get(pixel_format, smooth)
    if pixel_format in (PixelFormat.RGBA16F, PixelFormat.RGBA32F):
        array = (smooth / 255).astype("<f2" if pixel_format is PixelFormat.RGBA16F else "<f4")
    data = picture_file(raw(array, pixel_format, Origin.BOTTOM_LEFT), PictureRule(), None)
    assert opened(data).format == "JPEG"
    assert np.abs(rgb(data).astype(int) - smooth[..., :3]).max() <= 12
    assert np.abs(rgb(data).astype(int) - smooth[..., :3]).mean() <= 1.5


@pytest.mark.parametrize("origin", list(Origin))
def test_masks_are_exact_without_being_asked(origin):
    mask = COLORS[..., 0]
    image = opened(picture_file(raw(mask, PixelFormat.R8, origin), PictureRule(near=5, far=9, invert=True), None))
    assert image.mode == "L"
    assert (np.asarray(image) == mask).all(), "r8 is a finished picture: near, far and invert are not for it"


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize(
    ("pixel_format", "dtype", "scale"),
    [(PixelFormat.R16, "<u2", 257), (PixelFormat.R16F, "<f2", 1 / 255), (PixelFormat.R32F, "<f4", 1 / 255)],
)
def test_measures_become_grey_over_their_own_range(pixel_format, dtype, scale, origin):
    grey = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
    depth = (grey * np.float64(scale)).astype(dtype)
    image = opened(picture_file(raw(depth, pixel_format, origin), PictureRule(), None))
    assert image.mode == "L"
    assert (np.asarray(image) == grey).all()


def test_the_binding_says_what_near_and_far_are():
    depth = np.array([[500, 0, 2000]], "<u2")
    rule = PictureRule(near=500, far=2000, invert=True, fill=Fill.NEAREST)
    assert np.asarray(opened(picture_file(raw(depth, PixelFormat.R16), rule, None))).tolist() == [[255, 255, 0]]


def test_floats_are_clipped_and_what_is_no_number_is_black():
    numbers = np.array([[[np.nan, np.inf, -np.inf, 1.0], [-1.0, 0.5, 2.0, 0.0]]], "<f4")
    image = opened(picture_file(raw(numbers, PixelFormat.RGBA32F), WITH_ALPHA, None))
    assert np.asarray(image).tolist() == [[[0, 255, 0, 255], [0, 128, 255, 0]]]


TURNED = np.arange(6, dtype=np.uint8).reshape(2, 3)
"""0 1 2
3 4 5"""


@pytest.mark.parametrize(
    ("rule", "rows"),
    [
        (PictureRule(rotate=90), [[3, 0], [4, 1], [5, 2]]),
        (PictureRule(rotate=180), [[5, 4, 3], [2, 1, 0]]),
        (PictureRule(rotate=270), [[2, 5], [1, 4], [0, 3]]),
        (PictureRule(mirror_x=True), [[2, 1, 0], [5, 4, 3]]),
        (PictureRule(rotate=90, mirror_x=True), [[0, 3], [1, 4], [2, 5]]),
    ],
)
@pytest.mark.parametrize("origin", list(Origin))
def test_turned_clockwise_then_mirrored(rule, rows, origin):
    assert np.asarray(opened(picture_file(raw(TURNED, PixelFormat.R8, origin), rule, None))).tolist() == rows


@pytest.mark.parametrize(
    ("fit", "rows"),
    [
        (None, [[10, 20, 30, 40]]),
        (Fit.STRETCH, [[15, 35], [15, 35]]),
        (Fit.COVER, [[20, 30], [20, 30]]),
        (Fit.CONTAIN, [[15, 35], [0, 0]]),
    ],
)
def test_fitted_to_the_streams_size(fit, rows):
    wide = np.array([[10, 20, 30, 40]], np.uint8)
    made = np.asarray(opened(picture_file(raw(wide, PixelFormat.R8), PictureRule(fit=fit), Size(2, 2)))).astype(int)
    assert made.shape == np.shape(rows)
    assert np.abs(made - rows).max() <= 3  # the filter's footprint reaches over the edge of a pixel
    kept = picture_file(raw(wide, PixelFormat.R8), PictureRule(fit=fit), None)
    assert np.asarray(opened(kept)).tolist() == wide.tolist(), "without a size there is nothing to fit to"


def encoded(array, name="PNG"):
    with io.BytesIO() as file:
        Image.fromarray(array).save(file, name)
        return Picture(file.getvalue(), "0")


def test_a_file_that_nothing_is_done_to_goes_as_it_came():
    picture = encoded(COLORS)
    rule = PictureRule(near=1, far=2, invert=True, lossless=True, alpha=True)
    assert picture_file(picture, rule, Size(2, 2)) is picture.data


def test_a_file_is_turned_too():
    data = picture_file(encoded(COLORS), PictureRule(rotate=180, alpha=True), None)
    assert (np.asarray(opened(data)) == COLORS[::-1, ::-1]).all()
    data = picture_file(encoded(COLORS[..., :3]), PictureRule(mirror_x=True, lossless=True), None)
    assert (rgb(data) == COLORS[:, ::-1, :3]).all()
    sixteen = (TURNED.astype(np.uint16) * 257 + 128).astype(np.uint16)
    data = picture_file(encoded(sixteen), PictureRule(mirror_x=True), None)
    assert np.asarray(opened(data)).tolist() == TURNED[:, ::-1].tolist()


def test_a_grey_file_with_alpha():
    pair = COLORS[..., :2]
    data = picture_file(encoded(pair), PictureRule(mirror_x=True, alpha=True), None)
    assert (np.asarray(opened(data))[..., [0, 3]] == pair[:, ::-1]).all()
    data = picture_file(encoded(pair), PictureRule(mirror_x=True, lossless=True), None)
    assert (rgb(data) == pair[:, ::-1, :1]).all()


def test_a_file_that_must_be_decoded_and_cannot():
    with pytest.raises(PictureDecodeError):
        picture_file(Picture(encoded(COLORS).data[:-20], "0"), PictureRule(rotate=90), None)
    with pytest.raises(PictureDecodeError, match="pixels"):
        picture_pixels(encoded(COLORS), PictureRule(rotate=90), None, PictureLimits(max_pixels=10))


@pytest.mark.parametrize("rule", [EXACT, WITH_ALPHA, PictureRule()])
def test_far_away_exact_pixels_are_compressed(rule):
    image = opened(picture_file(raw(COLORS, PixelFormat.RGBA8), rule, None, far=True))
    assert image.format == ("JPEG" if rule == PictureRule() else "PNG")
    if rule.alpha:
        assert (np.asarray(image) == COLORS).all()
    elif rule.lossless:
        assert image.mode == "RGB"
        assert (np.asarray(image) == COLORS[..., :3]).all()
    grey = opened(picture_file(raw(COLORS[..., 0], PixelFormat.R8), rule, None, far=True))
    assert (grey.format, grey.mode) == ("PNG", "L")
    assert (np.asarray(grey) == COLORS[..., 0]).all()
    pair = picture_file(encoded(COLORS[..., :2]), PictureRule(mirror_x=True, lossless=True), None, far=True)
    assert (rgb(pair) == COLORS[:, ::-1, :1]).all()
