"""Sizes of a stream's pictures: in pixels, or as a shape (aspect and megapixels) that becomes the nearest size.

A workflow makes sizes on a grid: both sides are multiples of its step, from its least to its greatest. What a shape
asks for lies beside that grid, so it is snapped, by one rule:

    ideal     width = sqrt(pixels * aspect), height = sqrt(pixels / aspect)
    in range  where a side of it is over the greatest or under the least, both are scaled until it isn't: the aspect
              holds and the number of pixels gives way. Only an aspect that no such size has gives way itself.
    nearest   each side is the multiple whose ratio to the ideal side is nearest to 1. That is the size on the grid
              for which ln(its pixels / ideal)^2 + ln(its aspect / ideal)^2 is least; of two just as near the larger.

A megapixel is 1024 * 1024 = 1,048,576 pixels, as in ComfyUI's ImageScaleToTotalPixels, so that 1:1 with 1 megapixel is
the 1024 x 1024 that SDXL, SD3 and Flux were made for; with a step of 64, 16:9 is SDXL's own 1344 x 768.
Source: wire contract, Engine link (`open`) and OSC (`/size`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.names import plain, shown
from bridge.types import Size, WorkflowSpec

MEGAPIXEL: Final = 1024 * 1024
MAX_MEGAPIXELS: Final = 256
"""The 16,384 x 16,384 of the largest size."""
MAX_ASPECT: Final = 100
"""Wider than 100:1, or taller than 1:100, is no picture but a slip."""

_ASPECT: Final = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,6})?)(?:[:/]([0-9]{1,5}(?:\.[0-9]{1,6})?))?")
_PIXELS: Final = re.compile(r"\s*([0-9]{2,5})\s*[xX*,]\s*([0-9]{2,5})\s*")
_ASPECTS: Final = 'width to height as "16:9", "3/2", "1.85", 1.85 or [16, 9], from 1:100 to 100:1'


@dataclass(frozen=True, slots=True)
class SizeGrid:
    """The sides that a workflow's pictures may have: multiples of `step` from `least` to `most`, pixels."""

    step: int
    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}..{self.most}, a multiple of {self.step}"

    def nearest_side(self, side: float) -> int:
        """Give the side whose ratio to `side` is nearest to 1; of two just as near the larger."""
        side = min(max(side, self.least), self.most)
        under = math.floor(side / self.step) * self.step
        over = under + self.step
        return min(max(over if side * side >= under * over else under, self.least), self.most)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a size is asked for by, checked. None is what was asked for before; one of the two is there.

    `aspect` is width / height, `megapixels` are of 1,048,576 pixels.
    """

    aspect: float | None = None
    megapixels: float | None = None

    def over(self, before: Shape) -> Shape:
        """Give this shape with what it leaves open as in `before`."""
        return Shape(
            before.aspect if self.aspect is None else self.aspect,
            before.megapixels if self.megapixels is None else self.megapixels,
        )

    def __str__(self) -> str:
        words = [] if self.aspect is None else [f"aspect {self.aspect:.4g}"]
        if self.megapixels is not None:
            words.append(f"{self.megapixels:.4g} megapixels")
        return ", ".join(words)


def size_grid(workflow: WorkflowSpec) -> SizeGrid:
    """Give the sides that this workflow takes. `size_maximum` is at least one step, as `load_workflow` sees to."""
    step = workflow.size_step
    return SizeGrid(step, max(step, -(-workflow.size_minimum // step) * step), workflow.size_maximum // step * step)


def check_size(workflow: WorkflowSpec, raw: object, *, snap: bool = False) -> Size:
    """Give `raw` ([width, height], pixels) as a size that `workflow` can make.

    Each side must be a multiple of `size_step`, from `size_minimum` (one step at least) to `size_maximum`. With
    `snap` it becomes the nearest that is, as OSC wants it.
    Raises: InvalidValueError (305 bad_size; 301 for what isn't two numbers), also if the graph has no size inputs.
    """
    _check_has_size(workflow, raw)
    if not isinstance(raw, list | tuple) or len(raw) != 2:
        raise InvalidValueError(
            f"size: {shown(raw)} is not [width, height]", field="size", value=plain(raw), limit="[width, height]"
        )
    grid = size_grid(workflow)
    return Size(*(_check_side(grid, word, side, snap) for word, side in zip(("width", "height"), raw, strict=True)))


def _check_has_size(workflow: WorkflowSpec, raw: object, field: str = "size") -> None:
    if workflow.size is None:
        raise InvalidValueError(
            f"{field}: workflow {workflow.name!r} has no size inputs; name them @width and @height",
            code=ErrorCode.BAD_SIZE,
            field=field,
            value=plain(raw),
            limit="no size",
        )


def _check_side(grid: SizeGrid, word: str, raw: object, snap: bool) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise InvalidValueError(f"size: {word} {shown(raw)} is not a number", field="size", value=plain(raw))
    if isinstance(raw, float) and not math.isfinite(raw):
        raise InvalidValueError(
            f"size: {word} is not finite", code=ErrorCode.NOT_FINITE, field="size", value=shown(raw), limit=str(grid)
        )
    # Clamped first: the nearest multiple of a side far out of range needs no large arithmetic.
    near = math.floor(min(max(raw, grid.least), grid.most) / grid.step + 0.5) * grid.step
    if not snap and raw != near:
        raise InvalidValueError(
            f"size: {word} {shown(raw)} is not {grid}; nearest is {near}",
            code=ErrorCode.BAD_SIZE,
            field="size",
            value=plain(raw),
            limit=str(grid),
        )
    return near


def check_shape(aspect: object = None, megapixels: object = None) -> Shape | None:
    """Give what `aspect` and `megapixels` ask for, None if both are None.

    Raises: InvalidValueError (305 bad_size; 301 wrong_type, 308 not_finite).
    """
    if aspect is None and megapixels is None:
        return None
    return Shape(
        None if aspect is None else check_aspect(aspect), None if megapixels is None else check_megapixels(megapixels)
    )


def check_aspect(raw: object) -> float:
    """Give an aspect (width to height) as a number: "16:9", "3/2", "1.85", 1.85, [16, 9]; from 1:100 to 100:1.

    Raises: InvalidValueError (305 bad_size; 301 wrong_type, 308 not_finite).
    """
    sides: tuple[object, ...]
    if isinstance(raw, str):
        found = _ASPECT.fullmatch(raw)
        if found is None:
            pixels = _PIXELS.fullmatch(raw)
            more = f"; pixels are two whole numbers: {pixels[1]} {pixels[2]}" if pixels else ""
            raise _bad("aspect", raw, f"is not {_ASPECTS}{more}", _ASPECTS)
        sides = (float(found[1]), float(found[2] or 1))
    else:
        sides = tuple(raw) if isinstance(raw, list | tuple) else (raw, 1)
    if len(sides) != 2:
        raise _bad("aspect", raw, f"is not {_ASPECTS}", _ASPECTS, ErrorCode.WRONG_TYPE)
    width, height = (_number("aspect", side, _ASPECTS) for side in sides)
    # Compared without dividing: 0 and numbers beyond floats are refused like the others.
    if not (0 < width <= MAX_ASPECT * height and height <= MAX_ASPECT * width):
        raise _bad("aspect", raw, "is not 1:100 to 100:1", "1:100..100:1")
    return width / height


def check_megapixels(raw: object) -> float:
    """Give a number of megapixels, over 0 and at most 256. Raises as `check_aspect`."""
    limit = f"over 0, at most {MAX_MEGAPIXELS}"
    number = _number("megapixels", raw, limit)
    if not 0 < number <= MAX_MEGAPIXELS:
        raise _bad("megapixels", raw, f"is not {limit}", limit)
    return float(number)


def _number(field: str, raw: object, limit: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _bad(field, raw, f"is not {limit}", limit, ErrorCode.WRONG_TYPE)
    if isinstance(raw, float) and not math.isfinite(raw):
        raise _bad(field, raw, "is not finite", limit, ErrorCode.NOT_FINITE)
    return float(min(max(raw, -1e9), 1e9))


def _bad(field: str, raw: object, words: str, limit: str, code: ErrorCode = ErrorCode.BAD_SIZE) -> InvalidValueError:
    return InvalidValueError(f"{field}: {shown(raw)} {words}", code=code, field=field, value=plain(raw), limit=limit)


def nearest_size(grid: SizeGrid, aspect: float, pixels: float) -> Size:
    """Give the size on the grid that is nearest to this aspect and number of pixels; see the rule at the head."""
    width, height = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
    down = min(1.0, grid.most / max(width, height))
    width, height = width * down, height * down
    up = max(1.0, grid.least / min(width, height))
    width, height = width * up, height * up
    return Size(grid.nearest_side(width), grid.nearest_side(height))


def shape_of(size: Size) -> Shape:
    """Give the shape that these pixels are."""
    return Shape(size.width / size.height, size.width * size.height / MEGAPIXEL)


def shaped_size(workflow: WorkflowSpec, shape: Shape) -> Size:
    """Give the size that `workflow` makes for a shape; what the shape leaves open is as in the graph.

    Raises: InvalidValueError (305 bad_size) if the graph has no size inputs.
    """
    _check_has_size(workflow, str(shape), "megapixels" if shape.aspect is None else "aspect")
    whole = shape.over(shape_of(workflow.size or Size(1, 1)))
    assert whole.aspect is not None
    assert whole.megapixels is not None
    return nearest_size(size_grid(workflow), whole.aspect, whole.megapixels * MEGAPIXEL)
