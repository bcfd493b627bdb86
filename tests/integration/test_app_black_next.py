"""Black is the next frame out: nothing older is taken for any viewer once a blackout or panic was carried out.

What is taken before it is out of the bridge's hands: the one frame that is being written to a connection, and what the
kernel holds. Nothing else of a stream may come before black, however busy it is and however slow a viewer.
"""

import asyncio
import io

import aiohttp
import numpy as np
import pytest
from app_engine import wait_until
from app_rig import AppRig, run
from PIL import Image

from bridge.app.actions import Actions
from bridge.app.pictures.covers import Covers
from bridge.codec.messages import Blackout, Ok, Panic, Ping, Subscribe
from bridge.delivery.outbox import Outbox
from bridge.types import Delivery, Origin, PixelFormat

BUSY = {"workflow": "clouds", "mode": "live", "seed_policy": "increment"}
SIZE = (256, 256)


class Takes:
    """What every viewer takes, in order, and when the black began."""

    def __init__(self, monkeypatch):
        self.taken = []
        """(outbox, number, is black) of each set; None where the black began."""
        self.moved = asyncio.Event()
        whole, blackout, panic = Outbox.take, Covers.blackout, Actions.panic

        def take(outbox, **options):
            item = whole(outbox, **options)
            if item is not None:
                payload = item.payloads[0][1]
                self.taken.append((outbox, item.number, is_black(payload.format, payload.data)))
                self.moved.set()
            return item

        def begins(action):
            def wrapped(*arguments, **options):
                action(*arguments, **options)
                self.taken.append(None)
                self.moved.set()

            return wrapped

        monkeypatch.setattr(Outbox, "take", take)
        monkeypatch.setattr(Covers, "blackout", begins(blackout))
        monkeypatch.setattr(Actions, "panic", begins(panic))

    def after(self, viewer):
        """What this viewer took since the black began."""
        begun = self.taken.index(None)
        return [entry[1:] for entry in self.taken[begun + 1 :] if entry is not None and entry[0] is viewer.outbox]

    async def until(self, condition):
        await wait_until(self.moved, condition, "it", lambda: f"taken {len(self.taken)}")


def is_black(format, data):
    if format in (PixelFormat.JPEG, PixelFormat.PNG):
        return not np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")).any()
    return not np.frombuffer(data, np.uint8).reshape(-1, 4)[:, :3].any()


@pytest.mark.parametrize("way", ["blackout by link", "blackout by OSC", "panic by link", "panic by OSC"])
@pytest.mark.parametrize("size", [SIZE, (1024, 768)], ids=["small", "made in a thread"])
def test_nothing_older_is_taken_after_black_began(tmp_path, monkeypatch, way, size):
    takes = Takes(monkeypatch)

    async def test():
        streams = {"main": BUSY, "other": BUSY}
        async with AppRig(tmp_path, streams, panic={"picture": "black"}) as rig:
            url = f"http://{rig.server.addresses.http}/streams/main.mjpg"
            tcp, websocket = await rig.engine("tcp"), await rig.engine("websocket")
            stalled, no_credit = await rig.engine("tcp"), await rig.engine("websocket")
            no_credit.acks = False
            for engine in (tcp, websocket, no_credit):
                await engine.subscribe("main", size=size)
                await engine.subscribe("other", format="bgra8", size=SIZE)
            stalled.pause()  # full credit, and it reads nothing, not even the answer
            stalled.send(
                Subscribe(
                    stream="main",
                    format="rgba8",
                    origin=Origin.TOP_LEFT,
                    delivery=Delivery.LATEST,
                    credit=8,
                    size=size,
                )
            )
            async with aiohttp.ClientSession() as session, session.get(url) as stream:
                pictures = aiohttp.MultipartReader.from_response(stream)
                async with asyncio.timeout(20):
                    await (await pictures.next()).read()
                for engine in (tcp, websocket):
                    await engine.until(lambda engine=engine: len(engine.frames) >= 8, "a busy stream")
                await no_credit.until(lambda: len(no_credit.frames) >= 2, "a picture of each stream")
                await rig.until(lambda: len(viewers_of(rig, "main")) == 5, "the stalled one")

                panics = way.startswith("panic")
                if way.endswith("link"):
                    await (tcp.ask(Panic) if panics else tcp.ask(Blackout, stream="main", on=True))
                else:
                    rig.osc().send(
                        "/texbridge/panic" if panics else "/texbridge/main/blackout", *([] if panics else [1])
                    )
                await takes.until(lambda: None in takes.taken)
                names = ("main", "other") if panics else ("main",)
                viewers = [viewer for name in names for viewer in viewers_of(rig, name)]
                assert len(viewers) == (8 if panics else 5)
                stalled.resume()
                await takes.until(lambda: all(takes.after(viewer) for viewer in viewers))
                for engine in (tcp, websocket, stalled, no_credit):
                    await engine.ask(Ping)
                for viewer in viewers:
                    assert takes.after(viewer) == [(0, True)], "black is the next frame, and the only one"
                if way.endswith("link"):  # on the connection that asked, whatever follows `ok` is black
                    place = next(place for place, item in enumerate(tcp.log) if isinstance(item, Ok))
                    later = [item for item in tcp.log[place:] if hasattr(item, "data") and item.header.stream == 1]
                    assert [item.header.number for item in later] == [0]
                stream.close()

    run(test)


def viewers_of(rig, name):
    return rig.bridge.viewers.of_stream(rig.bridge.streams.find(name).number)
