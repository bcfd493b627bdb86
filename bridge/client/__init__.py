"""The Python client of the engine link, blocking and asynchronous, over TCP and WebSocket.

    from bridge.client import BlockingClient

    with BlockingClient("127.0.0.1:9402") as client:
        frames = client.subscribe("main", format="rgba8", origin="bottom_left")
        client.set("main", {"blur": 0.5})
        frame = frames.next(timeout_s=5)
        print(frame.pixels.shape)

It stands on the codecs alone, and shows what any other client has to do. Source: protocols/engine-link.md.
"""

from bridge.client.blocking import BlockingClient, BlockingFrames, BlockingRun, BlockingSequence
from bridge.client.client import Client
from bridge.client.faults import LinkLostError
from bridge.client.frames import Frame, Frames
from bridge.client.requests import Run
from bridge.client.sequence import FrameSet, Sequence, SequenceEndedError
from bridge.client.session import Event

__all__ = [
    "BlockingClient",
    "BlockingFrames",
    "BlockingRun",
    "BlockingSequence",
    "Client",
    "Event",
    "Frame",
    "FrameSet",
    "Frames",
    "LinkLostError",
    "Run",
    "Sequence",
    "SequenceEndedError",
]
