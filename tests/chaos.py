"""Three modes under load while backends are cut, stalled, stopped, killed and started again, drawn by a seed.

    python tests/chaos.py SEED [SECONDS] [BACKENDS]

What must hold: one terminal answer for each request and no more; frame numbers grow at every viewer; in `latest` no
older run's picture follows a newer one's; in the end a live stream shows the last values, and nothing is left open.
Which fault meets which moment differs from run to run; the seed draws what is done, not how fast the machine is.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time

from fault_proxy import FaultProxy
from restart_scenarios import plain, shows
from serve_rig import Comfy, Engine, Serve, polled

MODES = ("oneshot", "latest", "live")
BACKEND_LOST, TOO_MANY_WAITING = 501, 405
FAULTS = ["cut sockets", "cut all", "refuse", "stall", "stall sockets", "kill", "slow"] + ["stop"] * hasattr(
    signal, "SIGSTOP"
)


async def load(engine, draw, until):
    """Runs and values for all three streams, some with deadlines, priorities, or cancelled at once."""
    turn = 0
    while time.monotonic() < until:
        turn += 1
        params = {"noise": 0.2, "blur": 0.1 + turn % 90 / 100}
        stream = draw.choice(["oneshot", "latest", "latest", "live", "values"])
        if stream == "values":
            await engine.ask("set", stream="live", params=params)
        else:
            more = {"deadline_ms": draw.choice([1, 50, 500])} if draw.random() < 0.2 else {}
            more |= {"priority": draw.randrange(10)} if draw.random() < 0.2 else {}
            answer = await engine.ask("run", stream=stream, params=params, **more)
            if answer["op"] != "accepted":
                assert answer["code"] == TOO_MANY_WAITING, answer
            elif draw.random() < 0.1:
                await engine.ask("cancel", request=answer["request"])
        await asyncio.sleep(draw.choice([0.001, 0.02, 0.05]))


async def fault(comfy, proxy, draw):
    """One fault, from its beginning to its end; gives its name."""
    what = draw.choice(FAULTS)
    if what in ("cut sockets", "cut all"):
        proxy.reset(sockets_only=what == "cut sockets")
    elif what == "refuse":
        await proxy.refuse()
        await asyncio.sleep(draw.choice([0.05, 0.5, 3]))
        await proxy.open()
    elif what in ("stall", "stall sockets"):
        proxy.stall(sockets_only=what == "stall sockets")
        await asyncio.sleep(draw.choice([0.3, 1, 3]))
        proxy.flow()
    elif what == "kill":
        await comfy.kill()
        await asyncio.sleep(draw.choice([0, 1, 3]))
        await comfy.start()
    elif what == "slow":
        proxy.slice_bytes, proxy.latency_s = draw.choice([0, 100]), draw.choice([0, 0.01])
    else:
        comfy.send(signal.SIGSTOP)
        await asyncio.sleep(draw.choice([0.3, 3]))
        comfy.send(signal.SIGCONT)
    return what


async def scenario(seed, seconds, backends):
    """Run it all, and raise AssertionError for what doesn't hold; gives a line of counts."""
    draw = random.Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        comfys, proxies, urls = [], [], []
        for _ in range(backends):
            comfys.append(await stack.enter_async_context(Comfy(step_delay_ms=draw.choice([5, 30, 80]))))
            proxies.append(await stack.enter_async_context(FaultProxy(comfys[-1].port)))
            urls += ["--comfy", proxies[-1].url]
        serve = await stack.enter_async_context(Serve(*urls))
        engines = [
            await stack.enter_async_context(Engine(*link)) for link in (("tcp", serve.tcp), ("websocket", serve.link))
        ]
        for engine in engines:
            await engine.hello(events=["live"])
        numbers = {}
        for mode in MODES:
            opened = await engines[0].ask("open", stream=mode, workflow="gradient", mode=mode, size=[64, 64])
            numbers[mode] = opened["number"]
            for engine in engines:
                form = {"format": "rgba8", "origin": "top_left", "delivery": "latest", "credit": 2}
                await engine.ask("subscribe", stream=mode, **form)
        until = time.monotonic() + seconds
        happened = []

        async def faults():
            while time.monotonic() < until:
                place = draw.randrange(backends)
                happened.append(await fault(comfys[place], proxies[place], draw))
                await asyncio.sleep(draw.choice([0.05, 0.3, 1]))

        await asyncio.gather(faults(), *(load(engine, draw, until) for engine in engines))
        for proxy in proxies:
            proxy.slice_bytes = proxy.latency_s = 0
            proxy.flow()
        for engine in engines:
            await engine.until(lambda e=engine: all(e.outcome(request) for request in e.accepted), "all answers")
            check(engine, numbers)
        await engines[0].ask("set", stream="live", params=plain(51, 102, 153))
        for engine in engines:
            await engine.until(
                lambda e=engine: shows(e.new_frames(numbers["live"])[-1], 51, 102, 153), "the last values"
            )

        async def nothing_open():
            return (await serve.health())["requests"]["open"] == 0

        await polled(nothing_open)
        assert await serve.stop() == 0
        wrong = [line for line in serve.lines if "Traceback" in line or " ERROR " in line]
        assert not wrong, "\n".join(serve.lines)
        outcomes = sum((engine.outcomes() for engine in engines[1:]), engines[0].outcomes())
        accepted = sum(len(engine.accepted) for engine in engines)
        return f"accepted {accepted}, {dict(sorted(outcomes.items()))}, faults {happened}"


def check(engine, numbers):
    """What must hold for one engine at the end."""
    engine.assert_one_answer_each()
    assert all(len(answers) == 1 for answers in engine.finished.values())
    for request in engine.accepted:
        told = engine.finished[request][0]
        assert told["outcome"] != "failed" or told["code"] == BACKEND_LOST, told
    for mode, number in numbers.items():
        frames = engine.new_frames(number)
        assert [frame.number for frame in frames] == sorted({frame.number for frame in frames}), mode
        requests = [frame.request for frame in frames]
        if mode == "latest":
            assert requests == sorted(requests)
        if mode == "oneshot":
            assert len(set(requests)) == len(requests)


if __name__ == "__main__":
    arguments = [float(argument) for argument in sys.argv[1:]] or [float(os.getpid())]
    chosen = (int(arguments[0]), *(arguments[1:] or [30.0])[:1], int((arguments[2:] or [2])[0]))
    print(f"seed {chosen[0]}: {asyncio.run(scenario(*chosen))}")
