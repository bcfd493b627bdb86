"""The test card, drawn once more without ComfyUI: what every pixel of the workflow `test_card` has to be.

Nothing here is taken from the workflow's graph: it is a second way to the same picture, so that a fault in the way
through ComfyUI and the bridge can't hide.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

WORKFLOW: Final = "test_card"
SIDE: Final = 512
"""Pixels, width and height."""

BLOCK: Final = 8
CORNER: Final = (136, 112)
"""Width and height of a labelled corner, pixels."""

RAMPS: Final = (160, 152, 256, 48)
"""Left, top, width, and height of one of the four: red, green, blue, grey."""

CHECKER: Final = (160, 432, 64)
"""Left, top, side."""

HALF_LIGHT: Final = 188
"""The sRGB level that sends out half of white's light, as the checker does."""

GROUND: Final = (48, 48, 48)
WHITE: Final = (255, 255, 255)

Picture = NDArray[np.uint8]

LETTERS: Final = {
    "T": ("###", ".#.", ".#.", ".#.", ".#."),
    "L": ("#..", "#..", "#..", "#..", "###"),
    "B": ("##.", "#.#", "##.", "#.#", "##."),
    "R": ("##.", "#.#", "##.", "#.#", "#.#"),
    "G": (".##", "#..", "#.#", "#.#", ".##"),
}

CORNERS: Final = {
    "TL": (0, 0, (192, 32, 32), WHITE),
    "TR": (SIDE - CORNER[0], 0, (32, 128, 32), WHITE),
    "BL": (0, SIDE - CORNER[1], (32, 64, 192), WHITE),
    "BR": (SIDE - CORNER[0], SIDE - CORNER[1], (224, 192, 32), (0, 0, 0)),
}
"""Name -> left, top, colour of the corner, colour of its letters."""


def draw_card() -> Picture:
    """Give the card, `[512, 512, 3]` uint8, row 0 at the top."""
    card = np.empty((SIDE, SIDE, 3), np.uint8)
    card[:] = GROUND
    for name, (left, top, ground, ink) in CORNERS.items():
        card[top : top + CORNER[1], left : left + CORNER[0]] = ground
        for place, letter in enumerate(name):
            _draw_letter(card, letter, left + 16 + 56 * place, top + 16, 2 * BLOCK, ink)
    middle = SIDE // 2
    for row, half_width in enumerate((8, 16, 24, 32)):
        card[16 + 8 * row : 24 + 8 * row, middle - half_width : middle + half_width] = WHITE
    card[48:104, middle - 8 : middle + 8] = WHITE
    for place, letter in enumerate("RGB"):
        _draw_letter(card, letter, 120, RAMPS[1] + RAMPS[3] * place, BLOCK, WHITE)
    _draw_ramps(card)
    left, top, side = CHECKER
    rows, columns = np.indices((side, side))
    card[top : top + side, left : left + side] = np.where((rows + columns) % 2, 255, 0)[..., None]
    card[top : top + side, left + side : left + 2 * side] = HALF_LIGHT
    card[top : top + side, left + 2 * side : left + 3 * side] = 128
    card[0] = WHITE
    card[-1] = (255, 255, 0)
    card[:, 0] = (0, 255, 255)
    card[:, -1] = (255, 0, 255)
    return card


def _draw_letter(card: Picture, letter: str, left: int, top: int, dot: int, ink: tuple[int, int, int]) -> None:
    for row, line in enumerate(LETTERS[letter]):
        for column, mark in enumerate(line):
            if mark == "#":
                y, x = top + row * dot, left + column * dot
                card[y : y + dot, x : x + dot] = ink


def _draw_ramps(card: Picture) -> None:
    left, top, width, height = RAMPS
    # ComfyUI makes bytes of floats by cutting off, not by rounding.
    levels = np.floor((np.arange(width) + 0.5) / width * 255).astype(np.uint8)
    for place, channels in enumerate(((0,), (1,), (2,), (0, 1, 2))):
        ramp = card[top + place * height : top + (place + 1) * height, left : left + width]
        ramp[:] = 0
        for channel in channels:
            ramp[..., channel] = levels
