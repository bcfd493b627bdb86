"""Sequences over real sockets: every frame with its own values, in order, once; whatever happens on the way."""

from contextlib import AsyncExitStack

import numpy as np
import pytest
from app_rig import AppRig, color, run
from pictures import png
from serve_rig import Comfy

from bridge.codec.messages import (
    Accepted,
    Ack,
    Blackout,
    Cancel,
    Error,
    Image,
    Live,
    Panic,
    Progress,
    Sequence,
    Subscribe,
    Unsubscribe,
)
from bridge.embedded import EmbeddedServer
from bridge.types import Delivery, FrameFlags, Origin

LOSSLESS = {"delivery": Delivery.LOSSLESS}


def keys(frames, first=0):
    """A colour for each frame, which tells its number."""
    return {"fill": [[first + index, color(first + index)] for index in range(frames)]}


async def sequence(engine, frames, stream="main", **fields):
    fields = {"tracks": keys(frames), **fields}
    answer = await engine.ask(Sequence, stream=stream, frames=frames, **fields)
    assert isinstance(answer, Accepted)
    return answer.request


def indexes(engine, request):
    return [frame.header.index for frame in engine.frames if frame.header.request == request]


def check_whole(engine, request, frames, first=0):
    """All frames of a sequence came, in order, once, with the right pixels; the last one says so."""
    mine = [frame for frame in engine.frames if frame.header.request == request]
    assert [frame.header.index for frame in mine] == list(range(frames))
    assert [frame.number for frame in mine] == list(range(first, first + frames))
    numbers = [frame.header.number for frame in mine]
    assert numbers == sorted(set(numbers))
    assert [frame.has(FrameFlags.LAST_SET) for frame in mine] == [False] * (frames - 1) + [True]


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_24_frames(tmp_path, kind):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(kind)
            assert "sequence" in engine.welcome.features
            assert engine.welcome.limits["sequence_window"] == 16
            await engine.subscribe(**LOSSLESS)
            request = await sequence(engine, 24, tracks={"fill": [[0, color(0)], [23, color(23)]]}, key="shot")
            (answer,) = await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 24)
            assert (answer.outcome, answer.frames, answer.key) == ("done", 24, "shot")
            assert answer.number == engine.frames[-1].header.number
            assert answer.timing["total_us"] > 0
            told = [message for message in engine.of(Progress) if message.request == request]
            assert {message.max for message in told} == {24}
            assert [message.value for message in told] == sorted(message.value for message in told)
            assert told[-1].value == 24
            assert rig.bridge.scheduler.open_requests() == 0
            assert len(rig.bridge.sequences) == 0

    run(test)


@pytest.mark.parametrize("transfer", ["jpeg", "webp"])
def test_frames_are_never_sent_lossy(tmp_path, transfer):
    """One shot by several ComfyUIs, some of them far away: no frame shows which one made it."""

    async def test():
        rig = AppRig(tmp_path)
        rig.more_of_backend = {"transfer": transfer}
        async with rig:
            engine = await rig.engine()
            await engine.subscribe(**LOSSLESS)
            (answer,) = await engine.finish(await engine.run())
            assert answer.timing["transfer"] == transfer
            request = await sequence(engine, 3)
            (answer,) = await engine.finish(request)
            assert answer.timing["transfer"] == "png"
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET) and frame.header.request == request)
            check_whole(engine, request, 3)

    run(test)


def test_every_kind_of_value_and_the_rest_from_the_stream(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.set(params={"fill": color(77)})
            await engine.subscribe(**LOSSLESS)
            request = await sequence(engine, 4, tracks={"note": [[0, "one"], [2, "two"]]})
            await engine.finish(request)
            assert rig.gate.inputs("color") == [77] * 4
            assert rig.posted("value", "3") == ["one", "one", "two", "two"]
            # The stream's own values are as they were, and a run goes on with them.
            run_request = await engine.run()
            await engine.finish(run_request)
            assert rig.gate.inputs("value", "3")[-1] == ""

    run(test)


@pytest.mark.parametrize(
    ("policy", "fields", "seeds"),
    [
        ("fixed", {"seed": 5}, [5, 5, 5]),
        ("increment", {"seed": 5}, [5, 6, 7]),
        ("increment", {"seed": 5, "first": 100}, [105, 106, 107]),
        ("random", {"seed": 0}, [0xE220A839, 0x6E789E6A, 0x06C45D18]),
        ("fixed", {"tracks": {"seed": [[0, 1], [2, 9]]}}, [1, 1, 9]),
    ],
)
def test_seeds(tmp_path, policy, fields, seeds):
    async def test():
        streams = {"main": {"workflow": "clouds", "mode": "oneshot", "seed_policy": policy}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            request = await sequence(engine, 3, **{"tracks": {}, **fields})
            (answer,) = await engine.finish(request)
            assert rig.posted("seed", "2") == seeds
            assert answer.seed == fields.get("seed", 7)

    run(test)


def test_with_increment_the_stream_goes_on_behind_it(tmp_path):
    async def test():
        streams = {"main": {"workflow": "clouds", "mode": "oneshot", "seed_policy": "increment", "seed": 40}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.finish(await sequence(engine, 3, tracks={}))
            await engine.finish(await engine.run())
            assert rig.posted("seed", "2") == [40, 41, 42, 43]

    run(test)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"tracks": {"fil": [[0, color(1)]]}}, 204, "nearest is 'fill'"),
        ({"tracks": {"fill": [[4, color(1)], [2, color(2)]]}}, 302, "stands after"),
        ({"tracks": {"fill": [[0, [2, 0, 0]]]}}, 302, "frame 0: fill"),
        ({"tracks": {"fill": [[0, color(1)], [1, color(2), "ease"]]}}, 303, "fill at frame 1"),
        ({"tracks": {"note": [[0, "a"], [1, "b", "linear"]]}}, 303, "a string switches"),
        ({"frames": 1_000_001}, 302, "frames"),
        ({"first": 2**31}, 302, "first"),
        ({"fps": 1001}, 302, "fps"),
        ({"images": ["fill"]}, 303, "fill is a color"),
        ({"images": ["picture"]}, 204, "picture"),
        ({"stream": "nothing"}, 203, "nothing"),
    ],
)
def test_refused_as_a_whole(tmp_path, fields, code, words):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            fields_ = {"stream": "main", "frames": 3, "tracks": {}, "key": 1, **fields}
            error = await engine.refused(Sequence, **fields_)
            assert error.code == code
            assert words in error.message
            assert rig.bridge.scheduler.open_requests() == 0
            # Its key is free, and the number was not used up.
            request = await sequence(engine, 2, key=1)
            assert request == 1
            await engine.finish(request)
            assert rig.gate.begun == 2

    run(test)


def test_a_key_that_comes_again_is_the_same_sequence(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            first = await sequence(engine, 3, key="x")
            again = await engine.ask(Sequence, stream="main", frames=9, tracks={}, key="x")
            assert again.request == first
            await engine.finish(first)
            assert rig.gate.begun == 3

    run(test)


def test_300_frames_on_three_backends_one_killed_half_way(tmp_path):
    async def test():
        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(EmbeddedServer(step_delay_ms=5)) for _ in range(3)]
            backend = [{"url": server.url, "name": name} for server, name in zip(servers, "abc", strict=True)]
            rig = await stack.enter_async_context(AppRig(tmp_path, comfy=False, backend=backend))
            await rig.until(lambda: len(rig.bridge.backends_up) == 3, "three ComfyUIs")
            engine = await rig.engine()
            await engine.subscribe(credit=4, **LOSSLESS)
            request = await sequence(engine, 300)
            await engine.until(lambda: len(engine.frames) >= 150, "half of it")
            await servers[1].close()
            (answer,) = await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 300)
            assert (answer.outcome, answer.frames) == ("done", 300)
            assert list(engine.finished) == [request]

    run(test)


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_300_frames_on_three_processes_one_of_which_is_shot(tmp_path, kind):
    """As above, but nothing is closed in order: the process is gone from one moment to the next."""

    async def test():
        async with AsyncExitStack() as stack:
            comfys = [await stack.enter_async_context(Comfy(step_delay_ms=20)) for _ in range(3)]
            backend = [{"url": comfy.url, "name": name} for comfy, name in zip(comfys, "abc", strict=True)]
            rig = await stack.enter_async_context(AppRig(tmp_path, comfy=False, backend=backend))
            await rig.until(lambda: len(rig.bridge.backends_up) == 3, "three ComfyUIs")
            engine = await rig.engine(kind)
            await engine.subscribe(credit=4, **LOSSLESS)
            request = await sequence(engine, 300)
            await engine.until(lambda: len(engine.frames) >= 150, "half of it")
            await comfys[1].kill()
            (answer,) = await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 300)
            assert (answer.outcome, answer.frames) == ("done", 300)

    run(test)


def test_a_reader_that_is_slow_pauses_its_own_sequence(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe(credit=2, **LOSSLESS)
            request = await sequence(engine, 60)
            await rig.until(lambda: len(rig.ears.released) == 16, "a window full of frames")
            await engine.until(lambda: len(engine.frames) == 2, "two frames by credit")
            assert rig.gate.begun == rig.bridge.sequences.get(request).until == 16, "no further than the window"
            # Each ack is one more.
            engine.send(Ack(stream="main", number=engine.frames[0].header.number))
            await rig.until(lambda: len(rig.ears.released) == 17, "one more")
            assert rig.gate.begun == rig.bridge.sequences.get(request).until == 17
            engine.acks = True
            engine.send(Ack(stream="main", number=engine.frames[-1].header.number))
            await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 60)

    run(test)


def test_the_window_is_bounded_in_bytes_too(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            rig.bridge.sequences.lossless_bytes = 2 * 5 * 32 * 16 * 4  # half of it is five frames
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe(**LOSSLESS)
            request = await sequence(engine, 40)
            # What was on its way before the first frame told its size comes too: one runs, one waits.
            await rig.until(lambda: len(rig.ears.released) >= rig.bridge.sequences.get(request).until, "all it may")
            assert 5 <= len(rig.ears.released) < 16
            engine.acks = True
            engine.send(Ack(stream="main", number=engine.frames[-1].header.number))
            await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 40)

    run(test)


def test_a_second_lossless_reader_over_the_window_is_told_and_ends(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, other = await rig.engine(), await rig.engine("websocket")
            other.acks = False
            await engine.subscribe(credit=4, **LOSSLESS)
            await other.subscribe(**LOSSLESS)
            request = await sequence(engine, 60)
            await other.until(lambda: bool(other.of(Error)), "the error")
            (error,) = other.of(Error)
            assert (error.code, error.name, error.id, error.fatal) == (415, "window_full", None, False)
            await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 60)
            assert len(other.frames) == 1
            # It may subscribe again.
            await other.subscribe()

    run(test)


def test_latest_readers_of_the_same_stream_see_the_newest_only(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, other = await rig.engine(), await rig.engine()
            other.acks = False
            await engine.subscribe(credit=4, **LOSSLESS)
            await other.subscribe()
            request = await sequence(engine, 30)
            await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 30)
            assert len(other.frames) == 1
            other.send(Ack(stream="main", number=other.frames[0].header.number))
            await other.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            assert [frame.header.index for frame in other.frames][-1] == 29

    run(test)


def test_without_a_lossless_reader_of_its_own_nothing_pauses_it(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            request = await sequence(engine, 40)
            (answer,) = await engine.finish(request)
            assert answer.frames == 40

    run(test)


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_a_cut_half_way_costs_nothing(tmp_path, kind):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(kind)
            engine.acks = False
            await engine.subscribe(credit=3, **LOSSLESS)
            request = await sequence(engine, 50, key="shot")
            await engine.until(lambda: len(engine.frames) == 3, "what credit allows")
            engine.send(Ack(stream="main", number=engine.frames[1].header.number))
            await engine.until(lambda: len(engine.frames) == 5, "two more")
            await rig.cut(engine)
            # While it is away the sequence goes on, as far as its window reaches.
            await rig.until(lambda: len(rig.ears.released) == 2 + 16, "a window full")
            back = await rig.engine(kind, hello={"session": engine.welcome.session})
            assert back.welcome.resumed
            assert [(one.request, one.key) for one in back.welcome.unfinished] == [(request, "shot")]
            (answer,) = await back.finish(request)
            assert answer.outcome == "done"
            await back.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            # From the first that was not acknowledged.
            assert indexes(back, request) == list(range(2, 50))
            assert [frame.number for frame in back.frames] == list(range(2, 50))

    run(test)


def test_who_does_not_come_back_has_its_sequence_cancelled(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            rig.gate.shut()
            engine = await rig.engine()
            request = await sequence(engine, 50)
            await rig.begun(1)
            await rig.cut(engine)
            now = rig.bridge.clock()
            rig.bridge.clock = lambda: now + 31
            rig.server.actions._expire(now + 31)
            assert rig.ears.finished == [(request, "cancelled")]
            rig.gate.open()

    run(test)


def test_cancel(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe(**LOSSLESS)
            rig.gate.shut()
            request = await sequence(engine, 50)
            rig.gate.step(3)
            await engine.frame(lambda frame: frame.header.index == 1)
            await rig.begun(
                4
            )  # three are made; two prompts may change places on their way, and the third be the fourth
            ok = await engine.ask(Cancel, request=request)
            assert ok.cancelled == [request]
            (answer,) = await engine.finish(request)
            assert answer.outcome == "cancelled"
            assert 2 <= answer.frames <= 3
            rig.gate.open()
            after = await engine.run(params={"fill": color(9)})
            await engine.finish(after)
            await engine.frame(lambda frame: frame.header.request == after)
            assert indexes(engine, request) == list(range(answer.frames))
            assert len(rig.bridge.sequences) == 0

    run(test)


def test_panic(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe(**LOSSLESS)
            rig.gate.shut()
            request = await sequence(engine, 50)
            rig.gate.step(1)
            await engine.frame(lambda frame: frame.header.index == 0)
            await engine.ask(Panic)
            (answer,) = await engine.finish(request)
            assert answer.outcome == "cancelled"
            error = await engine.refused(Sequence, stream="main", frames=2, tracks={})
            assert error.name == "panic"
            rig.gate.open()

    run(test)


def test_a_frame_that_fails_says_which(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "brittle", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(**LOSSLESS)
            request = await sequence(engine, 20, tracks={"count": [[0, 2], [5, 3, "step"], [6, 2, "step"]]})
            (answer,) = await engine.finish(request)
            assert (answer.outcome, answer.name) == ("failed", "execution_failed")
            assert answer.message.startswith("frame 5 of 0..19 failed at comfy: ")
            assert answer.frames == 5
            await engine.until(lambda: len(indexes(engine, request)) >= 5, "those that were made")
            assert indexes(engine, request)[:5] == list(range(5))

    run(test)


def test_of_a_batch_a_frame_is_the_first_picture(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "batch", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(**LOSSLESS)
            await engine.set(params={"count": 3})
            request = await sequence(engine, 6)
            await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 6)

    run(test)


def test_several_outputs_are_one_set(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "pair", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(**LOSSLESS)
            tracks = {**keys(5), "depth": [[index, color(100 + index)] for index in range(5)]}
            request = await sequence(engine, 5, tracks=tracks)
            await engine.finish(request)
            await engine.until(lambda: len(engine.frames) == 10, "all frames")
            assert [(frame.header.index, frame.header.output, frame.number) for frame in engine.frames] == [
                (index, output, 100 * output + index) for index in range(5) for output in range(2)
            ]

    run(test)


def test_runs_come_in_between(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, other = await rig.engine(), await rig.engine()
            await engine.subscribe(credit=4, **LOSSLESS)
            rig.gate.shut()
            request = await sequence(engine, 40)
            await rig.begun(1)
            single = await other.run(params={"fill": color(5000)})
            rig.gate.step(12)
            await other.finish(single)
            assert request not in engine.finished
            rig.gate.open()
            await engine.finish(request)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET) and frame.header.request == request)
            check_whole(engine, request, 40)

    run(test)


def test_a_live_stream_rests_meanwhile(tmp_path):
    async def test():
        streams = {"main": {"workflow": "clouds", "mode": "live", "seed_policy": "random"}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=4, **LOSSLESS)
            await engine.frame()
            await engine.ask(Live, stream="main", on=True)
            request = await sequence(engine, 30)
            await engine.finish(request)
            last = await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET) and frame.header.request == request)
            mine = [frame.header.number for frame in engine.frames if frame.header.request == request]
            assert mine == list(range(mine[0], mine[0] + 30)), "nothing in between"
            await engine.frame(lambda frame: frame.header.number > last.header.number)

    run(test)


def test_paced_comes_at_its_rate(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            clock = rig.bridge.clock
            engine = await rig.engine()
            subscribed = await engine.subscribe(credit=8, delivery=Delivery.PACED, fps=50)
            assert (subscribed.delivery, subscribed.fps) == (Delivery.PACED, 50)
            began = clock()
            request = await sequence(engine, 20)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            assert clock() - began >= 19 / 50
            check_whole(engine, request, 20)

    run(test)


def test_paced_without_a_rate_takes_that_of_the_sequence(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            clock = rig.bridge.clock
            engine = await rig.engine()
            await engine.subscribe(credit=8, delivery=Delivery.PACED)
            began = clock()
            request = await sequence(engine, 10, fps=40)
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            assert clock() - began >= 9 / 40
            check_whole(engine, request, 10)

    run(test)


def test_a_blackout_takes_from_lossless_too(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=4, **LOSSLESS)
            await engine.ask(Blackout, stream="main", on=True)
            request = await sequence(engine, 40)
            (answer,) = await engine.finish(request)
            assert answer.frames == 40
            assert engine.frames == []

    run(test)


def test_a_blackout_frees_what_waited_for_its_pace(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine, other = await rig.engine(), await rig.engine()
            await engine.subscribe(credit=8, delivery=Delivery.PACED, fps=0.05)
            request = await sequence(engine, 60)
            await rig.until(lambda: len(rig.ears.released) >= 16, "a window full")
            await other.ask(Blackout, stream="main", on=True)
            (answer,) = await engine.finish(request)
            assert answer.frames == 60

    run(test)


def test_a_reader_that_leaves_does_not_stop_its_sequence(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe(**LOSSLESS)
            request = await sequence(engine, 60)
            await rig.until(lambda: len(rig.ears.released) == 16, "a window full")
            await engine.ask(Unsubscribe, stream="main")
            (answer,) = await engine.finish(request)
            assert (answer.outcome, answer.frames) == ("done", 60)

    run(test)


def test_a_form_that_can_not_be_made_fails_the_sequence(tmp_path):
    async def test():
        async with AppRig(tmp_path, limits={"frame_memory_mb": 1}) as rig:
            engine, other = await rig.engine(), await rig.engine()
            await engine.subscribe(size=(4096, 4096), **LOSSLESS)
            await other.subscribe(**LOSSLESS)
            request = await sequence(engine, 6)
            (answer,) = await engine.finish(request)
            assert (answer.outcome, answer.code) == ("failed", 603)
            single = await other.run()
            await engine.until(lambda: bool(engine.of(Error)), "the error")
            assert engine.of(Error)[0].code == 415
            await other.finish(single)

    run(test)


def test_what_is_not_for_a_delivery_is_refused(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            common = {"stream": "main", "format": "rgba8", "origin": Origin.TOP_LEFT, "credit": 1}
            error = await engine.refused(Subscribe, **common, delivery=Delivery.LOSSLESS, previews=True)
            assert (error.code, error.field) == (411, "previews")
            error = await engine.refused(Subscribe, **common, delivery=Delivery.LATEST, fps=10)
            assert (error.code, error.field) == (411, "fps")

    run(test)


# --- pictures of single frames ---------------------------------------------------------------------------------


def picture(number):
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:] = (number >> 16 & 255, number >> 8 & 255, number & 255)
    return {"encoded": png(pixels)}


PHOTO = {"main": {"workflow": "photo", "mode": "oneshot"}}


def test_a_picture_for_each_frame(tmp_path):
    async def test():
        async with AppRig(tmp_path, PHOTO) as rig:
            engine = await rig.engine()
            ahead = int(engine.welcome.limits["sequence_pictures"])
            await engine.subscribe(credit=4, **LOSSLESS)
            request = await sequence(engine, 40, tracks={}, images=["picture"])
            for index in (*reversed(range(ahead)), *range(ahead, 40)):
                await engine.until(lambda index=index: index < len(engine.frames) + ahead, "frames")
                await engine.ask(
                    Image, stream="main", param="picture", value=picture(index), request=request, index=index
                )
            (answer,) = await engine.finish(request)
            assert answer.outcome == "done"
            await engine.frame(lambda frame: frame.has(FrameFlags.LAST_SET))
            check_whole(engine, request, 40)
            assert rig.bridge.retained.bytes == 0

    run(test)


def test_pictures_too_far_ahead_and_wrong_ones(tmp_path):
    async def test():
        async with AppRig(tmp_path, PHOTO) as rig:
            engine, other = await rig.engine(), await rig.engine()
            request = await sequence(engine, 40, tracks={}, images=["picture"])
            common = {"stream": "main", "param": "picture", "value": picture(1)}
            error = await engine.refused(Image, **common, request=request, index=16)
            assert (error.code, error.limit) == (405, 16)
            error = await engine.refused(Image, **common, request=request, index=40)
            assert (error.code, error.limit) == (302, "0..39")
            error = await engine.refused(Image, **{**common, "param": "other"}, request=request, index=0)
            assert error.code == 303
            error = await engine.refused(Image, **{**common, "value": {"encoded": b"GIF"}}, request=request, index=0)
            assert error.code == 109
            error = await other.refused(Image, **common, request=request, index=0)
            assert error.code == 410
            error = await engine.refused(Image, **common, request=request + 5, index=0)
            assert error.code == 205
            await engine.ask(Cancel, request=request)
            # What crosses the end of its sequence is no error.
            await engine.ask(Image, **common, request=request, index=0)

    run(test)


def test_a_picture_that_does_not_come_fails_it(tmp_path):
    async def test():
        async with AppRig(tmp_path, PHOTO) as rig:
            engine = await rig.engine()
            began = rig.bridge.clock()
            request = await sequence(engine, 3, tracks={}, images=["picture"])
            await engine.ask(Image, stream="main", param="picture", value=picture(1), request=request, index=0)
            await rig.until(lambda: len(rig.ears.released) == 1, "the first frame")
            deadline = rig.bridge.sequences.next_deadline()
            assert began + 30 < deadline <= rig.bridge.clock() + 30
            rig.bridge.sequences.expire(deadline)
            (answer,) = await engine.finish(request)
            assert (answer.outcome, answer.code, answer.name) == ("failed", 416, "picture_missing")
            assert "picture for frame 1" in answer.message

    run(test)
