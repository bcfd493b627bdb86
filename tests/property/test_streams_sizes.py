"""Sizes by aspect and megapixels: on the grid, and no other size there is nearer by the rule."""

import math

from hypothesis import given
from hypothesis import strategies as st

from bridge.streams.sizes import MEGAPIXEL, Shape, SizeGrid, check_aspect, nearest_size, shaped_size
from bridge.types import Size, WorkflowSpec

ASPECTS = st.floats(0.01, 100)
PIXELS = st.floats(1e-6, 256).map(lambda megapixels: megapixels * MEGAPIXEL)


@st.composite
def grids(draw) -> SizeGrid:
    """Grids of up to 40 sides, so that every size of one can be looked at."""
    step = draw(st.integers(1, 512))
    first = draw(st.integers(1, 40))
    return SizeGrid(step, first * step, (first + draw(st.integers(0, 39))) * step)


def distance(size: Size, ideal: tuple[float, float]) -> float:
    """The rule of `bridge.streams.sizes`: how far pixels and aspect are from the ideal's, in logarithms."""
    pixels = size.width * size.height / (ideal[0] * ideal[1])
    aspect = (size.width / size.height) / (ideal[0] / ideal[1])
    return math.log(pixels) ** 2 + math.log(aspect) ** 2


def ideal_in_range(grid: SizeGrid, aspect: float, pixels: float) -> tuple[float, float]:
    """The ideal sides; scaled, where they leave the range, to the nearest number of pixels that keeps the aspect."""
    aspect = min(max(aspect, grid.least / grid.most), grid.most / grid.least)
    most = min(grid.most**2 / aspect, grid.most**2 * aspect)
    least = max(grid.least**2 / aspect, grid.least**2 * aspect)
    pixels = min(max(pixels, least), most)
    return math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)


@given(grids(), ASPECTS, PIXELS)
def test_no_size_on_the_grid_is_nearer(grid, aspect, pixels):
    size = nearest_size(grid, aspect, pixels)
    sides = range(grid.least, grid.most + 1, grid.step)
    assert size.width in sides
    assert size.height in sides
    ideal = ideal_in_range(grid, aspect, pixels)
    best = min(distance(Size(width, height), ideal) for width in sides for height in sides)
    assert distance(size, ideal) <= best + 1e-9


@given(grids(), ASPECTS, PIXELS)
def test_portrait_is_landscape_on_its_side(grid, aspect, pixels):
    width, height = nearest_size(grid, aspect, pixels)
    across = nearest_size(grid, 1 / aspect, pixels)
    # 1 / aspect is rounded: on the very middle of two sides either will do.
    assert abs(across.width - height) <= grid.step
    assert abs(across.height - width) <= grid.step


@given(grids(), st.data())
def test_a_size_on_the_grid_asks_for_itself(grid, data):
    sides = st.integers(grid.least // grid.step, grid.most // grid.step).map(lambda count: count * grid.step)
    size = Size(data.draw(sides), data.draw(sides))
    spec = WorkflowSpec("w", "w", (), (), False, 0, size, grid.step, grid.most, grid.least)
    pixels = size.width * size.height / MEGAPIXEL
    assert shaped_size(spec, Shape(size.width / size.height, pixels)) == size
    assert shaped_size(spec, Shape(size.width / size.height)) == size
    assert shaped_size(spec, Shape(megapixels=pixels)) == size


@given(st.integers(1, 99_999), st.integers(1, 99_999), st.sampled_from(":/"))
def test_text_and_numbers_mean_the_same(width, height, between):
    if 0.01 <= width / height <= 100:
        assert check_aspect(f"{width}{between}{height}") == check_aspect([width, height]) == width / height
