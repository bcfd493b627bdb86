"""The workflow `test_card` through the whole bridge: every pixel as it is drawn a second time, without ComfyUI."""

import asyncio

import numpy as np
import pytest
from app_rig import AppRig

from bridge.app.pictures.card import CHECKER, CORNERS, HALF_LIGHT, SIDE, WORKFLOW, draw_card


def test_every_pixel_of_the_card(tmp_path):
    async def main():
        async with AppRig(tmp_path, {"card": {"workflow": WORKFLOW}}) as rig:
            engine = await rig.engine()
            await engine.subscribe("card")
            frame = await engine.frame()
            assert (frame.header.width, frame.header.height) == (SIDE, SIDE)
            rows = frame.pixels[::-1] if frame.header.flags & 8 else frame.pixels
            assert np.array_equal(rows[..., :3], draw_card())

    asyncio.run(main())


def test_the_card_can_not_be_taken_for_itself_turned_mirrored_or_swapped():
    card = draw_card().astype(int)
    for turned in (card[::-1], card[:, ::-1], card[::-1, ::-1], card[..., ::-1], card.transpose(1, 0, 2)):
        assert np.abs(turned - card).mean() > 8
        corners = [
            np.abs((turned - card)[top : top + 112, left : left + 136]).mean() for left, top, _, _ in CORNERS.values()
        ]
        assert sum(difference > 8 for difference in corners) >= 3, corners  # green is green with red and blue swapped


def test_the_edges_are_four_colours_of_one_pixel():
    card = draw_card()
    middle = SIDE // 2
    edges = [tuple(map(int, card[y, x])) for y, x in ((0, middle), (-1, middle), (middle, 0), (middle, -1))]
    assert len(set(edges)) == 4
    assert tuple(card[1, middle]) == tuple(card[-2, middle]) == tuple(card[middle, 1])


def test_the_checker_sends_out_the_light_of_the_grey_beside_it():
    left, top, side = CHECKER
    checker = draw_card()[top : top + side, left : left + side, 0] / 255.0
    light = np.where(checker <= 0.04045, checker / 12.92, ((checker + 0.055) / 1.055) ** 2.4).mean()
    level = (1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert level == pytest.approx(HALF_LIGHT, abs=0.6)
