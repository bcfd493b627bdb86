"""The contact sheet: frames from all over the shot with their numbers, in one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bridge.whole_files import write_whole

MOST: Final = 24
COLUMNS: Final = 6
CELL: Final = 192
_LABEL: Final = 18
_GAP: Final = 4


def sheet_frames(frames: Sequence[int]) -> tuple[int, ...]:
    """Give the frames that are shown: all, or 24 evenly spread ones with the first and the last."""
    if len(frames) <= MOST:
        return tuple(frames)
    return tuple(frames[place * (len(frames) - 1) // (MOST - 1)] for place in range(MOST))


def thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    """Give `[height, width, 3]` as it stands in the sheet."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((CELL, CELL), Image.Resampling.BOX, reducing_gap=2.0)
    return image


def write_sheet(path: Path, shown: Mapping[int, Image.Image]) -> None:
    """Write the sheet, a .png or .jpg. Raises OSError."""
    columns = min(COLUMNS, max(1, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    high = max((image.height for image in shown.values()), default=CELL)
    sheet = Image.new("RGB", (columns * (CELL + _GAP) + _GAP, rows * (high + _LABEL + _GAP) + _GAP), (24, 24, 24))
    draw = ImageDraw.Draw(sheet)
    for place, frame in enumerate(sorted(shown)):
        x, y = _GAP + place % columns * (CELL + _GAP), _GAP + place // columns * (high + _LABEL + _GAP)
        image = shown[frame]
        sheet.paste(image, (x + (CELL - image.width) // 2, y))
        draw.text((x + 2, y + high + 3), str(frame), fill=(220, 220, 220))
    options: dict[str, Any] = {"quality": 92} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    with io.BytesIO() as file:
        sheet.save(file, "JPEG" if options else "PNG", **options)
        write_whole(path, file.getvalue())
