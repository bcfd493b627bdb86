"""ComfyUI is killed in the middle of load and started again: what must hold in each mode, whatever ComfyUI it is.

What the limits of a lost backend ask for is told apart by order, not by a clock: requests that were posted fail while
ComfyUI is still away, those that wait expire at their deadline while it is away, and those without a deadline are
still waiting when it comes back.
"""

import asyncio
import itertools

from serve_rig import Engine

SIZE = [64, 64]
BACKEND_LOST = 501
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


def plain(red, green, blue):
    """Values that make every pixel this colour, 0..255 each."""
    colour = [red / 255, green / 255, blue / 255]
    return {**dict.fromkeys(CORNERS, colour), "noise": 0.0}


def shows(frame, red, green, blue):
    """Whether an rgba8 frame is this colour all over; blurring and scaling may round by one."""
    for place, wanted in enumerate((red, green, blue, 255)):
        channel = frame.payload[place::4]
        if max(channel) > wanted + 1 or min(channel) < wanted - 1:
            return False
    return True


async def begin(engine, mode):
    """Open a stream and look at it; gives its number."""
    opened = await engine.ask("open", stream="made", workflow="gradient", mode=mode, size=SIZE)
    assert opened["op"] == "opened", opened
    await engine.ask("subscribe", stream="made", format="rgba8", origin="top_left", delivery="latest", credit=2)
    return opened["number"]


async def is_away(engine, number):
    """Wait until everybody was told that there is no ComfyUI."""
    await engine.until(lambda: (number, "waiting_for_comfy") in _states(engine, number), "waiting_for_comfy")


def _states(engine, number):
    return [(number, state) for stream, state in engine.states if stream in ("made", number)]


async def failed(engine, at_least=1):
    """Wait until so many requests have failed."""
    await engine.until(lambda: engine.outcomes()["failed"] >= at_least, f"{at_least} failed")


async def the_last_picture_stays(serve, engine, number):
    """A newcomer gets the last set as held, over the other door and over HTTP, and the stream has seen no newer."""
    async with Engine("websocket", serve.link) as newcomer:
        await newcomer.hello()
        answer = await newcomer.ask("subscribe", stream="made", format="rgba8", origin="top_left", delivery="latest")
        assert answer["op"] == "subscribed", answer
        held = (await newcomer.until(lambda: newcomer.frames.get(number), "the held frame"))[0]
    assert held.held
    # It may have waited for an ack when the loss was told.
    await engine.until(lambda: engine.new_frames(number)[-1].number == held.number, "the last set")
    last = engine.new_frames(number)[-1]
    assert (held.request, held.payload) == (last.request, last.payload)
    status, picture = await serve.get("/streams/made.jpg")
    assert (status, picture[:2]) == (200, b"\xff\xd8")
    assert (await serve.get("/readyz"))[0] == 503


def only_lost(engine, most):
    """Requests that failed did so for the one reason, and there are no more of them than a backend holds."""
    lost = [request for request in engine.accepted if engine.outcome(request) == "failed"]
    assert len(lost) <= most, lost
    for request in lost:
        told = engine.finished[request][0]
        assert (told["code"], told["name"], told["frames"]) == (BACKEND_LOST, "backend_lost", 0), told
    return lost


def never_backwards(engine, number):
    """Frame numbers grow, and so do the requests that they belong to, whatever happened between."""
    frames = engine.new_frames(number)
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    return frames


async def oneshot(comfy, serve, engine):
    """Posted ones fail, those with a deadline expire, and all others are made once ComfyUI is back."""
    number = await begin(engine, "oneshot")
    first = [await engine.run("made", params={"noise": 0.2}, seed=seed) for seed in range(20)]
    await engine.until(lambda: engine.outcomes()["done"] >= 3, "three done")
    await comfy.kill()
    await is_away(engine, number)
    hasty = [await engine.run("made", deadline_ms=100) for _ in range(2)]
    patient = [await engine.run("made", params=plain(0, 128, 255)) for _ in range(2)]
    await failed(engine)
    await engine.until(lambda: all(engine.outcome(request) for request in hasty), "the deadline")
    assert [engine.outcome(request) for request in hasty] == ["expired"] * 2
    assert [engine.outcome(request) for request in patient] == [None] * 2
    await the_last_picture_stays(serve, engine, number)
    await comfy.start()
    await engine.until(lambda: all(engine.outcome(request) for request in engine.accepted), "all answers")
    lost = only_lost(engine, 2)
    # Those that were posted: the oldest two of which nothing had come yet.
    unmade = first[sum(engine.outcome(request) == "done" for request in first[: first.index(lost[0])]) :]
    assert set(lost) <= set(unmade[:2])
    assert engine.outcomes() == {"done": 22 - len(lost), "expired": 2, "failed": len(lost)}
    await engine.until(lambda: engine.new_frames(number)[-1].request == patient[-1], "the last frame")
    assert shows(engine.new_frames(number)[-1], 0, 128, 255)
    never_backwards(engine, number)


async def latest(comfy, serve, engine):
    """Under a flood of runs: each is answered, the newest is made, and nothing goes backwards."""
    number = await begin(engine, "latest")

    async def flood():
        for turn in itertools.count():
            await engine.run("made", params={"noise": 0.2, "blur": 0.2 + turn % 8 / 10}, seed=turn)
            await asyncio.sleep(0.005)  # the pace of the load

    load = asyncio.create_task(flood())
    try:
        await engine.until(lambda: engine.outcomes()["done"] >= 5, "five done")
        await comfy.kill()
        await is_away(engine, number)
        before = len(engine.accepted)
        await engine.until(lambda: len(engine.accepted) >= before + 20, "runs taken without a ComfyUI")
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    hasty = await engine.run("made", deadline_ms=100)
    await engine.until(lambda: engine.outcome(hasty), "the deadline")
    assert engine.outcome(hasty) == "expired"
    newest = await engine.run("made", params=plain(255, 64, 0))
    assert await engine.ask("ping")
    await engine.until(lambda: engine.outcomes()["none"] == 1, "all answers but one")
    assert engine.outcome(newest) is None
    await the_last_picture_stays(serve, engine, number)
    await comfy.start()
    await engine.until(lambda: engine.outcome(newest), "the newest run's answer")
    assert engine.outcome(newest) == "done"
    await engine.until(lambda: engine.new_frames(number)[-1].request == newest, "the last frame")
    assert shows(engine.new_frames(number)[-1], 255, 64, 0)
    only_lost(engine, 2)
    assert set(engine.outcomes()) <= {"done", "superseded", "expired", "failed"}
    requests = [frame.request for frame in never_backwards(engine, number)]
    assert requests == sorted(requests)


async def live(comfy, serve, engine):
    """Values go on changing; runs that wait are kept, and the stream goes on by itself with the newest values."""
    number = await begin(engine, "live")

    async def move():
        for turn in itertools.count():
            await engine.tell("set", stream="made", params={"noise": 0.2, "blur": 0.2 + turn % 80 / 100})
            await asyncio.sleep(0.005)  # the pace of the load

    load = asyncio.create_task(move())
    try:
        await engine.until(lambda: len(engine.new_frames(number)) >= 3, "three frames")
        asked = [await engine.run("made", params={"noise": 0.3}, seed=seed) for seed in range(12)]
        await engine.until(lambda: engine.outcome(asked[1]), "two runs' answers")
        await comfy.kill()
        await is_away(engine, number)
        hasty = await engine.run("made", deadline_ms=100)
        await engine.until(lambda: engine.outcome(hasty), "the deadline")
        assert engine.outcome(hasty) == "expired"
        await failed(engine)
        assert engine.outcome(asked[-1]) is None
        await the_last_picture_stays(serve, engine, number)
        last = engine.new_frames(number)[-1].number
        await comfy.start()
        await engine.until(lambda: all(engine.outcome(request) for request in engine.accepted), "all answers")
        own = {request for request in engine.finished if request not in engine.accepted}
        await engine.until(
            lambda: any(f.number > last and f.request not in asked for f in engine.new_frames(number)),
            "pictures of its own again",
        )
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
    lost = only_lost(engine, 2)
    assert engine.outcomes() == {"done": 12 - len(lost), "expired": 1, "failed": len(lost)}
    assert own
    assert all(len(answers) == 1 for answers in engine.finished.values())
    await engine.ask("set", stream="made", params=plain(16, 200, 90))
    await engine.until(lambda: shows(engine.new_frames(number)[-1], 16, 200, 90), "the last values")
    never_backwards(engine, number)


SCENARIOS = {"oneshot": oneshot, "latest": latest, "live": live}
