"""2,000 `run`s in `latest` mode at 500 a second, against a ComfyUI that makes 20 a second.

    python tests/e2e/latest_load.py [--runs 2000] [--rate 500] [--step-delay-ms 50] [--door tcp|websocket]

Bridge and embedded ComfyUI run as processes of their own. Prints the raw counts as JSON; exit code 1 if one of these
does not hold: every accepted request has exactly one terminal answer; the counts add up; the last values sent are the
last frame shown; no frame goes backwards; the bridge's memory after the last run is at most 1.05 times that after run
500 (a quarter of the way).
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import aiohttp
from app_rig import WORKFLOWS, Engine, color, write_workflow
from e2e.processes import BridgeProcess, EmbeddedProcess, resident_bytes

from bridge.codec.messages import Accepted, Error, Run
from bridge.types import Outcome

MEMORY_RATIO = 1.05


async def send_runs(
    engine: Engine, stream: str, runs: int, rate: float | None, after: Callable[[int], Any] = int
) -> dict[str, Any]:
    """Send runs whose values are their numbers, 1 .. `runs`, wait for every answer, and give the counts.

    `rate` is runs a second, None as fast as they go. `after(number)` is called after each one sent.
    """
    begun = time.perf_counter()
    for number in range(1, runs + 1):
        if rate is not None:
            await asyncio.sleep(max(0.0, begun + (number - 1) / rate - time.perf_counter()))
        engine.send(Run(stream=stream, params={"fill": color(number)}, key=number, client_time=number))
        if number % 50 == 0:
            await asyncio.sleep(0)
        after(number)
    sent_s = time.perf_counter() - begun
    await engine.until(lambda: len(engine.of(Accepted)) + len(engine.of(Error)) == runs, "all to be accepted")
    accepted = {message.key: message.request for message in engine.of(Accepted)}
    await engine.until(lambda: len(engine.finished) >= len(accepted), "all terminal answers")
    await engine.frame(lambda frame: frame.header.client_time == runs)
    finished = engine.finished  # raises if a request has two
    outcomes = Counter(str(answer.outcome) for answer in finished.values())
    frames = engine.frames
    last = finished[accepted[runs]]
    return {
        "sent": runs,
        "sent_in_s": round(sent_s, 3),
        "accepted": len(accepted),
        "refused": len(engine.of(Error)),
        "requests": len(set(accepted.values())),
        "finished": len(finished),
        **{str(outcome): outcomes[str(outcome)] for outcome in Outcome},
        "frames": len(frames),
        "frames_of_answers": sum(answer.frames for answer in finished.values()),
        "last_value_sent": runs,
        "last_value_shown": frames[-1].number,
        "last_client_time_shown": frames[-1].header.client_time,
        "last_request_outcome": str(last.outcome),
        "backwards": sum(
            a.number > b.number or a.header.number >= b.header.number or a.header.client_time > b.header.client_time
            for a, b in pairwise(frames)
        ),
        "foreign_answers": len(finished.keys() - set(accepted.values())),
    }


def faults(counts: dict[str, Any]) -> list[str]:
    """What does not hold."""
    wrong = []
    if counts["accepted"] != counts["sent"] or counts["requests"] != counts["accepted"] or counts["refused"]:
        wrong.append("not every run was accepted as a request of its own")
    if counts["finished"] != counts["accepted"] or counts["foreign_answers"]:
        wrong.append("not every accepted request has exactly one terminal answer")
    if sum(counts[str(outcome)] for outcome in Outcome) != counts["accepted"]:
        wrong.append("the outcomes don't add up")
    if counts["failed"] or counts["expired"] or counts["cancelled"]:
        wrong.append("a request ended neither done nor superseded")
    if counts["last_request_outcome"] != "done":
        wrong.append("the last request is not done")
    if not counts["last_value_sent"] == counts["last_value_shown"] == counts["last_client_time_shown"]:
        wrong.append("the last values sent are not the last frame shown")
    if counts["backwards"]:
        wrong.append("a frame went backwards")
    return wrong


async def measure(options: argparse.Namespace) -> int:
    """Run it all and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_workflow(folder / "workflows", "solid", WORKFLOWS["solid"])
        async with (
            EmbeddedProcess(options.step_delay_ms) as comfy,
            BridgeProcess(
                folder, "--comfy", comfy.url, "--workflows", str(folder / "workflows"), "--stream", "wall=solid:latest"
            ) as bridge,
        ):
            engine = await Engine.connect(options.door, bridge.address("tcp" if options.door == "tcp" else "link"))
            try:
                await engine.greet()
                await engine.subscribe("wall")
                await engine.finish(await engine.run("wall", key="warm"))  # ComfyUI is there
                engine.log.clear()
                memory: dict[int, int | None] = {}

                def after(number: int) -> None:
                    if number in (options.runs // 4, options.runs):
                        memory[number] = resident_bytes(bridge.pid)

                counts = await send_runs(engine, "wall", options.runs, options.rate, after)
                memory[options.runs + 1] = resident_bytes(bridge.pid)
                async with (
                    aiohttp.ClientSession() as session,
                    session.get(f"http://{bridge.address('http')}/healthz") as answer,
                ):
                    health = await answer.json()
            finally:
                await engine.close()
    early, late, last = memory.values()
    counts["rss_after_a_quarter"], counts["rss_after_the_last_run"], counts["rss_after_all_answers"] = early, late, last
    counts["bridge"] = {
        "requests": health["requests"],
        "results": health["results"],
        "backend": health["backends"][0]["counts"],
    }
    wrong = faults(counts)
    if early is None or late is None or last is None:
        counts["rss_ratio"] = "not measured: this system doesn't tell"
    else:
        counts["rss_ratio"] = round(max(late, last) / early, 4)
        if counts["rss_ratio"] > MEMORY_RATIO:
            wrong.append(f"memory grew {counts['rss_ratio']} times, over {MEMORY_RATIO}")
    counts["wrong"] = wrong
    print(json.dumps(counts, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=500.0, help="runs a second")
    parser.add_argument("--step-delay-ms", type=float, default=50.0)
    parser.add_argument("--door", choices=("tcp", "websocket"), default="tcp")
    sys.exit(asyncio.run(measure(parser.parse_args())))
