"""The contact sheet."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge.render.sheet import CELL, MOST, sheet_frames, thumbnail, write_sheet


def test_frames_are_spread_with_both_ends() -> None:
    assert sheet_frames((5, 7)) == (5, 7)
    shown = sheet_frames(tuple(range(1001, 1301)))
    assert (len(shown), shown[0], shown[-1]) == (MOST, 1001, 1300)
    assert len(set(shown)) == MOST


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_each_frame_is_where_it_belongs(tmp_path: Path, suffix: str) -> None:
    colours = {frame: (frame * 20, 255 - frame * 20, 60) for frame in range(1, 9)}
    shown = {f: thumbnail(np.full((90, 160, 3), colours[f], np.uint8)) for f in reversed(colours)}
    write_sheet(tmp_path / f"sheet.{suffix}", shown)
    with Image.open(tmp_path / f"sheet.{suffix}") as sheet:
        for place, (_, colour) in enumerate(sorted(colours.items())):
            x, y = place % 6 * (CELL + 4) + CELL // 2, place // 6 * (90 + 22) + 45
            found = np.asarray(sheet)[y, x].astype(int)
            assert np.abs(found - colour).max() <= 4


def test_large_pictures_are_made_small() -> None:
    assert thumbnail(np.zeros((1080, 1920, 3), np.uint8)).size == (CELL, 108)
    assert thumbnail(np.zeros((20, 10, 3), np.uint8)).size == (10, 20)
