"""BC1 and BC3 blocks to pixels, written from Microsoft's Direct3D documentation ("Texture Block Compression").

A second witness beside OpenGL: slow and plain. `[height, width, 4]` uint8, rows in the order of the rows of blocks.
"""

import numpy as np


def decode_bc1(data, width, height):
    """BC1: two RGB565 colours, sixteen 2-bit numbers; with colour 0 <= colour 1 a mean and transparent black."""
    blocks = np.frombuffer(data, "u1").reshape(-1, 8)
    colours = _colours(blocks, four=False)
    return _placed(_looked_up(colours, blocks[:, 4:8]), width, height)


def decode_bc3(data, width, height):
    """BC3: an alpha block (two values, sixteen 3-bit numbers), then a BC1 block that always has four colours."""
    blocks = np.frombuffer(data, "u1").reshape(-1, 16)
    texels = _looked_up(_colours(blocks[:, 8:], four=True), blocks[:, 12:16])
    texels[..., 3] = _alphas(blocks[:, :8])
    return _placed(texels, width, height)


def _colours(blocks, four):
    pair = np.ascontiguousarray(blocks[:, :4]).view("<u2").astype(np.int64)
    red, green, blue = pair >> 11, pair >> 5 & 63, pair & 31
    rgb = np.stack((red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2), axis=-1)
    made = np.zeros((len(blocks), 4, 4), np.int64)
    made[..., 3] = 255
    one, two = rgb[:, 0], rgb[:, 1]
    made[:, 0, :3], made[:, 1, :3] = one, two
    quarter = np.ones(len(blocks), bool) if four else pair[:, 0] > pair[:, 1]
    made[:, 2, :3] = np.where(quarter[:, None], (2 * one + two + 1) // 3, (one + two) // 2)
    made[:, 3, :3] = np.where(quarter[:, None], (one + 2 * two + 1) // 3, 0)
    made[:, 3, 3] = np.where(quarter, 255, 0)
    return made


def _looked_up(colours, codes):
    bits = np.ascontiguousarray(codes).view("<u4")[:, 0]
    index = (bits[:, None] >> (2 * np.arange(16, dtype="u4"))) & 3
    return np.take_along_axis(colours, index[:, :, None].astype(np.int64), axis=1)


def _alphas(blocks):
    one, two = blocks[:, 0].astype(np.int64), blocks[:, 1].astype(np.int64)
    table = np.zeros((len(blocks), 8), np.int64)
    table[:, 0], table[:, 1] = one, two
    for place in range(1, 7):
        eight = ((7 - place) * one + place * two + 3) // 7
        six = ((5 - place) * one + place * two + 2) // 5 if place < 5 else np.full_like(one, 0 if place == 5 else 255)
        table[:, place + 1] = np.where(one > two, eight, six)
    bits = sum(blocks[:, 2 + byte].astype(np.uint64) << np.uint64(8 * byte) for byte in range(6))
    index = (bits[:, None] >> (np.uint64(3) * np.arange(16, dtype=np.uint64))) & np.uint64(7)
    return np.take_along_axis(table, index.astype(np.int64), axis=1)


def _placed(texels, width, height):
    across, down = -(-width // 4), -(-height // 4)
    picture = texels.reshape(down, across, 4, 4, 4).transpose(0, 2, 1, 3, 4).reshape(down * 4, across * 4, 4)
    return picture[:height, :width].astype("u1")


def psnr(one, two):
    """Decibels between two uint8 pictures; infinite if they are equal."""
    error = np.mean((one.astype(float) - two.astype(float)) ** 2)
    return float("inf") if not error else 10 * np.log10(255 * 255 / error)
