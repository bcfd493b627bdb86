"""Sizes: in pixels, by aspect and megapixels, and the nearest that a workflow makes."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.sizes import (
    Shape,
    SizeGrid,
    check_aspect,
    check_megapixels,
    check_shape,
    check_size,
    nearest_size,
    shape_of,
    shaped_size,
    size_grid,
)
from bridge.types import Size, WorkflowSpec


def workflow(**more) -> WorkflowSpec:
    settings = {"size": Size(512, 512), "size_step": 16, "size_maximum": 1000}
    return WorkflowSpec("gradient", "gradient", (), (), True, 7, **(settings | more))


# --- in pixels---------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [(16, 992), [512.0, 256], Size(32, 32)])
def test_sizes_taken(raw):
    assert check_size(workflow(), raw) == tuple(raw)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ([0, 512], ErrorCode.BAD_SIZE),
        ([65536, 512], ErrorCode.BAD_SIZE),
        ([513, 512], ErrorCode.BAD_SIZE),
        ([512.5, 512], ErrorCode.BAD_SIZE),
        ([-512, 512], ErrorCode.BAD_SIZE),
        ([1000, 512], ErrorCode.BAD_SIZE),
        ([512], ErrorCode.WRONG_TYPE),
        ([512, 512, 512], ErrorCode.WRONG_TYPE),
        (512, ErrorCode.WRONG_TYPE),
        ("512x512", ErrorCode.WRONG_TYPE),
        ([True, 512], ErrorCode.WRONG_TYPE),
        (["512", 512], ErrorCode.WRONG_TYPE),
        ([float("nan"), 512], ErrorCode.NOT_FINITE),
    ],
)
def test_sizes_refused(raw, code):
    with pytest.raises(InvalidValueError) as caught:
        check_size(workflow(), raw)
    assert (caught.value.code, caught.value.field) == (code, "size")


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        ((513, 519), (512, 512)),
        ((520, 521), (528, 528)),  # n.5 rounds up
        ((0, -5), (16, 16)),
        ((10**30, 1e300), (992, 992)),
        ((512.4, 100), (512, 96)),
    ],
)
def test_sizes_snapped(raw, size):
    assert check_size(workflow(), raw, snap=True) == size


def test_no_size_without_size_inputs():
    with pytest.raises(InvalidValueError, match="@width and @height") as caught:
        check_size(workflow(size=None), [512, 512], snap=True)
    assert caught.value.code is ErrorCode.BAD_SIZE


@pytest.mark.parametrize(("minimum", "least"), [(1, 16), (16, 16), (17, 32), (64, 64)])
def test_a_side_is_never_under_what_the_nodes_take(minimum, least):
    spec = workflow(size_minimum=minimum)
    assert check_size(spec, (least, 512)) == Size(least, 512)
    assert check_size(spec, (1, 512), snap=True) == Size(least, 512)
    if least > 16:
        with pytest.raises(InvalidValueError, match=f"{least}..992"):
            check_size(spec, (least - 16, 512))


def test_a_refused_size_names_the_nearest():
    with pytest.raises(InvalidValueError, match=r"width 513 is not 16..992, a multiple of 16; nearest is 512"):
        check_size(workflow(), (513, 512))


# --- aspect and megapixels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "aspect"),
    [
        ("16:9", 16 / 9),
        ("3/2", 1.5),
        ("1.85", 1.85),
        ("2.39:1", 2.39),
        ("1920:1080", 16 / 9),
        (1.85, 1.85),
        (2, 2.0),
        ([16, 9], 16 / 9),
        ((9, 16.0), 9 / 16),
        ("100:1", 100.0),
        ("1:100", 0.01),
        ([1e-9, 1e-9], 1.0),
        ([10**400, 10**400], 1.0),
    ],
)
def test_aspects_taken(raw, aspect):
    assert check_aspect(raw) == pytest.approx(aspect)


def test_pixels_as_a_text_are_told_what_they_should_be():
    with pytest.raises(InvalidValueError, match=r"pixels are two whole numbers: 1280 720$"):
        check_aspect("1280x720")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("", ErrorCode.BAD_SIZE),
        ("wide", ErrorCode.BAD_SIZE),
        ("16:9:1", ErrorCode.BAD_SIZE),
        ("16x9", ErrorCode.BAD_SIZE),
        (" 16:9", ErrorCode.BAD_SIZE),
        ("16:9\n", ErrorCode.BAD_SIZE),
        ("-16:9", ErrorCode.BAD_SIZE),
        ("1e3", ErrorCode.BAD_SIZE),
        ("\u0661:1", ErrorCode.BAD_SIZE),
        ("16:0", ErrorCode.BAD_SIZE),
        ("0:9", ErrorCode.BAD_SIZE),
        ("101:1", ErrorCode.BAD_SIZE),
        ("9" * 100_000, ErrorCode.BAD_SIZE),
        (0, ErrorCode.BAD_SIZE),
        (-1.5, ErrorCode.BAD_SIZE),
        (10**400, ErrorCode.BAD_SIZE),
        ([16, 0], ErrorCode.BAD_SIZE),
        ([-16, -9], ErrorCode.BAD_SIZE),
        ([16, 9, 1], ErrorCode.WRONG_TYPE),
        ([16, "9"], ErrorCode.WRONG_TYPE),
        ([], ErrorCode.WRONG_TYPE),
        (True, ErrorCode.WRONG_TYPE),
        ({}, ErrorCode.WRONG_TYPE),
        (float("nan"), ErrorCode.NOT_FINITE),
        ([1, float("inf")], ErrorCode.NOT_FINITE),
    ],
)
def test_aspects_refused(raw, code):
    with pytest.raises(InvalidValueError) as caught:
        check_aspect(raw)
    assert (caught.value.code, caught.value.field) == (code, "aspect")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (0, ErrorCode.BAD_SIZE),
        (-1, ErrorCode.BAD_SIZE),
        (256.1, ErrorCode.BAD_SIZE),
        (10**400, ErrorCode.BAD_SIZE),
        ("1", ErrorCode.WRONG_TYPE),
        (True, ErrorCode.WRONG_TYPE),
        (float("inf"), ErrorCode.NOT_FINITE),
    ],
)
def test_megapixels_refused(raw, code):
    with pytest.raises(InvalidValueError) as caught:
        check_megapixels(raw)
    assert (caught.value.code, caught.value.field) == (code, "megapixels")


def test_megapixels_taken():
    assert [check_megapixels(raw) for raw in (1e-6, 1, 256)] == [1e-6, 1.0, 256.0]


def test_a_shape_of_nothing_is_none():
    assert check_shape() is None
    assert check_shape("16:9") == Shape(16 / 9, None)
    assert check_shape(None, 2) == Shape(None, 2.0)


# --- the nearest size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "aspect", "megapixels", "size"),
    [
        (8, 1.0, 1.0, (1024, 1024)),  # a megapixel is ComfyUI's 1024 * 1024
        (8, 16 / 9, 1.0, (1368, 768)),
        (64, 16 / 9, 1.0, (1344, 768)),  # SDXL's own sizes
        (64, 9 / 16, 1.0, (768, 1344)),
        (64, 4 / 3, 1.0, (1152, 896)),
        (1, 16 / 9, 2073600 / 1048576, (1920, 1080)),
        (8, 2.39, 2.0, (2240, 936)),
    ],
)
def test_the_sizes_that_people_know(step, aspect, megapixels, size):
    assert nearest_size(SizeGrid(step, step, 16384), aspect, megapixels * 1024 * 1024) == size


@pytest.mark.parametrize(
    ("aspect", "pixels", "size"),
    [
        (4.0, 4096 * 1024, (2048, 512)),  # too wide: the aspect holds, the pixels give way
        (0.25, 4096 * 1024, (512, 2048)),
        (2.0, 64, (128, 64)),  # too small: likewise
        (100.0, 2048 * 2048, (2048, 64)),  # no size is as wide as that
        (0.01, 16, (64, 2048)),
        (1.0, 1e15, (2048, 2048)),
    ],
)
def test_the_aspect_holds_where_the_range_ends(aspect, pixels, size):
    assert nearest_size(SizeGrid(64, 64, 2048), aspect, pixels) == size


def test_what_a_shape_leaves_open_is_as_it_was():
    spec = workflow(size_step=8, size_maximum=4096)
    assert shaped_size(spec, Shape(aspect=16 / 9).over(shape_of(Size(1024, 1024)))) == (1368, 768)
    assert shaped_size(spec, Shape(megapixels=0.25).over(shape_of(Size(1920, 1080)))) == (680, 384)
    assert shaped_size(spec, Shape(aspect=1.0)) == (512, 512)  # the graph's own


def test_a_shape_needs_size_inputs():
    with pytest.raises(InvalidValueError, match="@width and @height") as caught:
        shaped_size(workflow(size=None), Shape(aspect=1.0))
    assert (caught.value.code, caught.value.field) == (ErrorCode.BAD_SIZE, "aspect")


def test_the_grid_is_what_check_size_takes():
    grid = size_grid(workflow(size_minimum=17))
    assert (grid.step, grid.least, grid.most) == (16, 32, 992)
    assert check_size(workflow(size_minimum=17), (grid.least, grid.most)) == (32, 992)
