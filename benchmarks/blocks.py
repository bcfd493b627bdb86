"""P11: block compression against decoding, and how good it is by a decoder of the tests' own."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.goals import Row, median, ms
from benchmarks.source import photo, png
from bridge.frames.decoders import decoders
from bridge.frames.leases import BufferPool
from bridge.frames.payloads import make_payload, payload_formats
from bridge.types import OutputKind, PayloadSpec, PixelFormat

SIDE = 512


def measure_blocks(rounds: int) -> list[Row]:
    """The time from pixels to blocks, as a share of the time from the PNG to pixels; and decibels."""
    from block_decoder import decode_bc1, decode_bc3, psnr

    if PixelFormat.BC1 not in payload_formats():
        print("P11: not measured, etcpak is not installed: pip install texbridge[bc]")
        return []
    decoders.load()
    array = photo(SIDE, SIDE)
    file, buffers = png(array), BufferPool()
    pixels = decoders.decode(file)
    rows = []
    for word, decode in (("bc1", decode_bc1), ("bc3", decode_bc3)):
        spec = PayloadSpec(PixelFormat[word.upper()])
        made: list[float] = []
        alone: list[float] = []
        for place in range(-2, rounds):
            begin = time.perf_counter()
            payload = make_payload(pixels, spec, buffers, OutputKind.COLOR)
            middle = time.perf_counter()
            decoders.decode(file)
            end = time.perf_counter()
            shown = bytes(payload.data) if place == rounds - 1 else b""
            payload.release()
            if place >= 0:
                made.append(middle - begin)
                alone.append(end - middle)
        quality = float(psnr(np.asarray(decode(shown, SIDE, SIDE))[..., :3], array))
        sides = f"{ms(median(made))} against D {ms(median(alone))}"
        samples = {"made_s": made, "decoder_s": alone}
        rows.append(Row("P11", f"{word} of 512 x 512", median(made) / median(alone), 0.2, sides=sides, samples=samples))
        rows.append(Row("P11", f"{word}, PSNR", quality, 31.0, " dB", at_least=True))
    return rows
