"""Figures of a blackout and a panic on busy streams: how long until each viewer has black, and what comes before it.

    python tests/e2e/black_next.py --rounds 20 --side 512

The bridge and its embedded ComfyUI run as a process of their own, four live streams busy all the time. So many
viewers look at the first one, half of them over TCP and half over WebSocket, beside one that has full credit and reads
nothing. `old` are frames that are not black after the `ok`: those that were in the kernel or being written when the
blackout came, one for each viewer at most; `after` are frames that are not black after black, which there may not be.
Figures are printed, nothing is judged but `after`: they belong to the machine and to what else ran on it.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from app_engine import Engine, Frame  # noqa: E402 - the folder above comes first
from serve_rig import Serve  # noqa: E402

from bridge.codec.messages import Blackout, Live, Panic, Ping, Resume  # noqa: E402

STREAMS = ("main", "second", "third", "fourth")
GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 512, "height": 512, "batch_size": 1, "color": 0x808080},
        "_meta": {"title": "@width @height"},
    },
    "2": {
        "class_type": "ImageAddNoise",
        "inputs": {"image": ["1", 0], "seed": 1, "strength": 0.2},
        "_meta": {"title": "@seed"},
    },
    "3": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}, "_meta": {"title": "@out image"}},
}


class TimedEngine(Engine):
    """An engine that notes when each frame was there whole. `seen` has (time, is held, number) of each."""

    def _take(self, message):
        super()._take(message)
        if isinstance(self.log[-1], Frame):
            frame = self.log.pop()
            self.seen.append((time.perf_counter(), frame.held and not frame.header.number, frame.header.number))

    @classmethod
    async def to(cls, kind, address):
        engine = await cls.connect(kind, address)
        engine.seen = []
        await engine.greet()
        return engine


async def figures(serve, viewers, rounds, act, undo):
    """Times to black in milliseconds, `old` and `after`, over all viewers and rounds."""
    asker = await TimedEngine.to("tcp", serve.tcp)
    kinds = [("tcp", serve.tcp), ("websocket", serve.link)]
    engines = [await TimedEngine.to(*kinds[place % 2]) for place in range(viewers)]
    stalled = await TimedEngine.to("tcp", serve.tcp)
    others = [await TimedEngine.to("tcp", serve.tcp) for _ in STREAMS[1:]]
    for engine in engines:
        await engine.subscribe("main")
    for engine, stream in zip(others, STREAMS[1:], strict=True):
        await engine.subscribe(stream)
    await stalled.subscribe("main", credit=8)
    times, answers, old, after = [], [], [], 0
    for _ in range(rounds):
        starts = [len(engine.seen) for engine in engines]
        await asyncio.gather(
            *(
                engine.until(lambda engine=engine, start=start: len(engine.seen) >= start + 3, "a busy stream")
                for engine, start in zip(engines, starts, strict=True)
            )
        )
        stalled.pause()
        starts = [len(engine.seen) for engine in engines]
        begun = time.perf_counter()
        await act(asker)
        answered = time.perf_counter()
        answers.append((answered - begun) * 1000)
        for engine, start in zip(engines, starts, strict=True):
            await engine.until(lambda e=engine, s=start: any(black for _, black, _ in e.seen[s:]), "black")
        for engine, start in zip(engines, starts, strict=True):
            await engine.ask(Ping)
            came = engine.seen[start:]
            place = next(place for place, (_, black, _) in enumerate(came) if black)
            times.append((came[place][0] - begun) * 1000)
            old.append(sum(at > answered for at, _, _ in came[:place]))
            after += sum(not black for _, black, _ in came[place:])
        stalled.resume()
        await undo(asker)
    for engine in (asker, stalled, *engines, *others):
        await engine.close()
    return times, answers, old, after


async def measure(rounds, side):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "noise"
        place.mkdir()
        (place / "workflow_api.json").write_text(json.dumps(GRAPH))
        streams = "".join(
            f'[streams.{name}]\nworkflow = "noise"\nmode = "live"\nseed_policy = "increment"\nsize = [{side}, {side}]\n'
            for name in STREAMS
        )
        config = (
            f'[embedded]\nenabled = true\n[panic]\npicture = "black"\n[workflows]\nfolders = ["{folder}"]\n{streams}'
        )

        async def blackout(engine):
            await engine.ask(Blackout, stream="main", on=True)

        async def light(engine):
            await engine.ask(Blackout, stream="main", on=False)

        async def panic(engine):
            await engine.ask(Panic)

        async def resume(engine):
            await engine.ask(Resume)
            for name in STREAMS:
                await engine.ask(Live, stream=name, on=True)

        print(f"{side} x {side} rgba8, {rounds} rounds; ms from the message sent")
        print("action    viewers   ok median   black median   p95     max   old (all viewers, max of one)   after")
        worst = 0
        for name, act, undo in (("blackout", blackout, light), ("panic", panic, resume)):
            for viewers in (1, 4, 16):
                async with Serve(config=config) as serve:
                    times, answers, old, after = await figures(serve, viewers, rounds, act, undo)
                times.sort()
                worst = max(worst, after)
                print(
                    f"{name:9} {viewers:7} {statistics.median(answers):11.2f} {statistics.median(times):14.2f}"
                    f" {times[int(len(times) * 0.95)]:7.2f} {times[-1]:7.2f}   {sum(old):6} {max(old):24} {after:7}"
                )
        return worst


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--side", type=int, default=512, help="pixels of the pictures' sides")
    chosen = options.parse_args()
    print(f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "")
    return 1 if asyncio.run(measure(chosen.rounds, chosen.side)) else 0


if __name__ == "__main__":
    sys.exit(main())
