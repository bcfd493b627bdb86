"""What every engine's client is held to: the same pictures by the Python client, of the same values and seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.client import BlockingClient

LIMIT_S = 100.0


def values(index: int) -> dict[str, Any]:
    """What picture number `index` is made of; the programs in other languages have the same."""
    corners = {"top_left": [index % 256 / 255, index * 7 % 256 / 255, index * 13 % 256 / 255]}
    corners |= {"top_right": [0.0, 1.0, 0.0], "bottom_left": [0.0, 0.0, 1.0], "bottom_right": [1.0, 1.0, 1.0]}
    return {**corners, "blur": 0.5, "noise": 0.1 if index % 2 else 0.0}


def gradient_pictures(address: str, count: int, size: tuple[int, int], origin: str) -> list[np.ndarray]:
    """What the Python client gets over TCP: arrays [height, width, 4], uint8, the row that `origin` names first."""
    pictures = []
    with BlockingClient(address) as client:
        client.open("python", "gradient", mode="oneshot", size=size)
        frames = client.subscribe("python", format="rgba8", origin=origin)
        for index in range(count):
            request = client.run("python", values(index), seed=index).request
            frame = frames.next(timeout_s=LIMIT_S)
            while frame.held or frame.header.request != request:
                frame = frames.next(timeout_s=LIMIT_S)
            pictures.append(frame.pixels.copy())
    return pictures
