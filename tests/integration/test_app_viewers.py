"""Subscribers: formats, sizes, credit, slow and stalled ones, newcomers, several outputs, sessions that come back."""

import io

import numpy as np
import pytest
from app_rig import AppRig, color, run
from PIL import Image

from bridge.codec.messages import (
    Ack,
    Changed,
    Finished,
    Ping,
    Run,
    Stats,
    Subscribe,
    Unsubscribe,
)
from bridge.types import Delivery, Fit, FrameFlags, Origin

CORNERS = {
    "top_left": [1.0, 0.0, 0.0],
    "top_right": [0.0, 1.0, 0.0],
    "bottom_left": [0.0, 0.0, 1.0],
    "bottom_right": [1.0, 1.0, 0.0],
    "noise": 0.0,
}


def test_subscribers_get_one_set_each_in_its_own_form(tmp_path):
    async def test():
        streams = {"main": {"workflow": "gradient", "mode": "oneshot", "size": [64, 40], "params": CORNERS}}
        async with AppRig(tmp_path, streams) as rig:
            forms = {
                "png": {},
                "rgba8": {},
                "bgra8": {"origin": "bottom_left"},
                "rgb8": {"origin": "bottom_left", "credit": 3},
                "r8": {},
                "r16": {},
                "jpeg": {"credit": 99},
            }
            engines = {}
            for place, (word, options) in enumerate(forms.items()):
                engines[word] = await rig.engine("tcp" if place % 2 else "websocket")
                answer = await engines[word].subscribe(format=word, **options)
                assert answer.credit == min(8, options.get("credit", 1))
            small, tall = await rig.engine(), await rig.engine()
            await small.subscribe(size=(32, 20))
            await tall.subscribe(size=(40, 40), fit=Fit.CONTAIN)
            asker = engines["rgba8"]
            await asker.finish(await asker.run(client_time=17))
            frames = {word: await engine.frame() for word, engine in engines.items()}
            frames |= {"small": await small.frame(), "tall": await tall.frame()}
            assert {frame.header.number for frame in frames.values()} == {1}
            assert {word for word, frame in frames.items() if frame.header.client_time} == {"rgba8"}
            bottom_up = {word for word, frame in frames.items() if frame.has(FrameFlags.BOTTOM_LEFT)}
            assert bottom_up == {"bgra8", "rgb8"}

            truth = np.asarray(Image.open(io.BytesIO(frames["png"].data)).convert("RGB"))
            assert truth.shape == (40, 64, 3)
            red, green, blue = (int(channel) for channel in truth[0, 0])
            assert red > 200 > 60 > max(green, blue)  # top left is red
            rgba = frames["rgba8"].pixels
            assert (rgba[..., :3] == truth).all()
            assert (rgba[..., 3] == 255).all()
            bgra = frames["bgra8"].pixels[::-1]
            assert (bgra[..., [2, 1, 0]] == truth).all()
            assert (frames["rgb8"].pixels[::-1] == truth).all()
            jpeg = np.asarray(Image.open(io.BytesIO(frames["jpeg"].data)).convert("RGB"))
            assert np.abs(jpeg.astype(int) - truth).mean() < 4
            grey = frames["r8"].pixels[..., 0].astype(int)
            wide = np.frombuffer(frames["r16"].data, "<u2").reshape(40, 64)
            assert np.abs(wide // 257 - grey).max() <= 1
            header = frames["small"].header
            assert (header.width, header.height, header.row_pitch) == (32, 20, 128)
            contained = frames["tall"].pixels
            assert contained.shape == (40, 40, 4)
            assert (contained[0] == [0, 0, 0, 255]).all()
            assert (contained[20, :, :3].sum(axis=1) > 100).all()

    run(test)


def test_a_newcomer_sees_a_placeholder_or_the_last_set_held(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            early = await rig.engine()
            await early.subscribe()
            placeholder = await early.frame(held=True)
            assert (placeholder.header.number, placeholder.header.request) == (0, 0)
            assert (placeholder.header.width, placeholder.header.height) == (32, 16)
            request = await early.run(params={"fill": color(5)}, client_time=9)
            await early.finish(request)
            for door, word in (("tcp", "rgba8"), ("websocket", "bgra8"), ("tcp", "png")):
                late = await rig.engine(door)
                await late.subscribe(format=word)
                held = await late.frame(held=True)
                header = held.header
                assert (header.number, header.request, header.client_time) == (1, request, 0)
                assert held.has(FrameFlags.LAST_OF_SET)
                assert late.frames == []
                if word == "rgba8":
                    assert held.number == 5

    run(test)


def test_a_second_subscription_replaces_the_first(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe()
            await engine.finish(await engine.run(params={"fill": color(1)}))
            await engine.frame(lambda frame: frame.header.number == 1)
            await engine.finish(await engine.run(params={"fill": color(2)}))  # waits for credit
            await engine.subscribe(format="bgra8")
            held = await engine.frame(lambda frame: frame.header.number == 2, held=True)
            assert held.header.format == 2
            await engine.finish(await engine.run(params={"fill": color(3)}))
            frame = await engine.frame(lambda frame: frame.header.number == 3)  # full credit again
            assert frame.header.format == 2
            assert rig.bridge.streams.find("main").viewers == 1

    run(test)


def test_a_slow_viewer_sees_the_newest_and_slows_nobody(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            fast, slow = await rig.engine(), await rig.engine("websocket")
            slow.acks = False
            await fast.subscribe()
            await slow.subscribe()
            for value in range(1, 21):
                await fast.finish(await fast.run(params={"fill": color(value)}))
                await fast.frame(lambda frame, value=value: frame.number == value)
            await slow.ask(Ping)
            assert [frame.number for frame in fast.frames] == list(range(1, 21))
            assert [frame.number for frame in slow.frames] == [1]
            slow.send(Ack(stream="main", number=999))  # never sent: ignored
            slow.send(Ack(stream="main", number=1))
            await slow.frame(lambda frame: frame.number == 20)
            assert [frame.number for frame in slow.frames] == [1, 20]
            stats = await slow.ask(Stats, stream="main")
            assert (stats.stream, stats.sent, stats.dropped) == (1, 2, 18)
            assert stats.credit_stalls == 19
            assert stats.age_ms > 0  # set 20 is not acked
            slow.send(Ack(stream="main", number=20))
            stats = await slow.ask(Stats, stream="main")
            assert stats.age_ms == 0

    run(test)


@pytest.mark.parametrize("door", ["tcp", "websocket"])
def test_a_viewer_that_does_not_read_costs_the_others_nothing(tmp_path, door):
    async def test():
        streams = {"main": {"workflow": "solid", "mode": "oneshot", "size": [512, 512]}}  # 1 MiB a frame
        rig = AppRig(tmp_path, streams)
        rig.more_of_backend = {"transfer": "raw"}  # on a slow machine the way from ComfyUI may look like a slow line
        async with rig:
            stalled, fast = await rig.engine(door), await rig.engine()
            await stalled.subscribe(credit=8)
            await fast.subscribe()
            await stalled.frame(held=True)
            stalled.pause()
            for value in range(1, 25):
                await fast.finish(await fast.run(params={"fill": color(value)}))
                await fast.frame(lambda frame, value=value: frame.number == value)
            assert [frame.number for frame in fast.frames] == list(range(1, 25))
            # One frame is being written, one waits, one is shown, and the kernel's buffers hold what they hold.
            assert rig.bridge.buffers.stats().peak_bytes <= 8 * (1 << 20)
            stalled.resume()
            last = await stalled.frame(lambda frame: frame.header.number == 24)
            assert last.number == 24
            numbers = [frame.number for frame in stalled.frames]
            assert numbers == sorted(set(numbers))
            assert len(numbers) < 18

    run(test)


def test_two_outputs_share_a_number_and_each_may_be_had_alone(tmp_path):
    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "pair", "mode": "oneshot"}}) as rig:
            both, depth = await rig.engine(), await rig.engine("websocket")
            answer = await both.subscribe()
            assert list(answer.outputs) == [0, 1]
            answer = await depth.subscribe(outputs=[1])
            assert list(answer.outputs) == [1]
            for number in (1, 2, 3):
                params = {"fill": color(number), "depth": color(100 + number)}
                await both.finish(await both.run(params=params))
                await both.until(lambda number=number: len(both.frames) == 2 * number)
            await depth.frame(lambda frame: frame.header.number == 3)
            seen = [(frame.header.number, frame.header.output, frame.number) for frame in both.frames]
            assert seen == [(1, 0, 1), (1, 1, 101), (2, 0, 2), (2, 1, 102), (3, 0, 3), (3, 1, 103)]
            for frame in both.frames:
                assert frame.has(FrameFlags.LAST_SET)
                assert frame.has(FrameFlags.LAST_OF_SET) == (frame.header.output == 1)
                assert frame.has(FrameFlags.LINEAR) == (frame.header.output == 1)  # depth is data, not colour
            assert [frame.number for frame in depth.frames] == [101, 102, 103]
            assert all(frame.has(FrameFlags.LAST_OF_SET) for frame in depth.frames)

    run(test)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"format": "nonsense"}, 306, "format"),
        ({"outputs": [1]}, 206, "outputs"),
        ({"outputs": []}, 107, "outputs"),
        ({"outputs": [0, 0]}, 107, "outputs"),
        ({"size": (0, 4)}, 305, "size"),
        ({"size": (70_000, 4)}, 305, "size"),
        ({"format": "png", "mips": True}, 411, "mips"),
        ({"fps": 12}, 411, "fps"),
        ({"format": "png", "color": "linear"}, 411, "color"),
        ({"stream": "mian"}, 203, "stream"),
    ],
    ids=str,
)
def test_a_subscription_that_cannot_be_is_refused_and_the_one_there_stays(tmp_path, fields, code, field):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            wanted = {
                "stream": "main",
                "format": "rgba8",
                "origin": Origin.TOP_LEFT,
                "delivery": Delivery.LATEST,
                "credit": 1,
            }
            error = await engine.refused(Subscribe, **(wanted | fields))
            assert (error.code, error.field, error.fatal) == (code, field, False)
            await engine.finish(await engine.run(params={"fill": color(3)}))
            assert (await engine.frame()).number == 3

    run(test)


def test_one_who_wants_too_much_spoils_nothing_for_others(tmp_path):
    async def test():
        # 16 MiB of buffers in all: 4096 x 4096 rgba8 alone would be 64 MiB.
        async with AppRig(tmp_path, limits={"frame_memory_mb": 16}) as rig:
            greedy = await rig.engine()
            await greedy.subscribe(size=(4096, 4096))
            for value in (1, 2):
                (end,) = await greedy.finish(await greedy.run(params={"fill": color(value)}))
                assert (end.outcome, end.frames) == ("done", 1)
            other = await rig.engine()
            await other.subscribe()
            held = await other.frame(held=True)
            assert (held.header.number, held.number) == (2, 2)
            await other.finish(await other.run(params={"fill": color(3)}))
            assert (await other.frame()).number == 3
            assert greedy.frames == []

    run(test)


def test_unsubscribed_there_are_no_more_frames(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.finish(await engine.run(params={"fill": color(1)}))
            await engine.ask(Unsubscribe, stream="main")
            engine.send(Ack(stream="main", number=1))  # it may have been on its way: nothing is said of it
            await engine.finish(await engine.run(params={"fill": color(2)}))
            await engine.ask(Ping)
            assert [frame.number for frame in engine.frames] == [1]
            for kind in (Unsubscribe, Stats):
                error = await engine.refused(kind, stream="main")
                assert (error.code, error.name) == (412, "not_subscribed")
            assert [item for item in engine.log if getattr(item, "op", "") == "error" and item.id is None] == []

    run(test)


# --- sessions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doors", [("tcp", "websocket"), ("websocket", "tcp")])
def test_a_session_goes_on_after_a_cut(tmp_path, doors):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(doors[0])
            await engine.subscribe(format="rgba8", origin="bottom_left")
            await engine.finish(await engine.run(params={"fill": color(1)}, key="first"))
            await engine.frame(lambda frame: frame.number == 1)
            rig.gate.shut()
            over = await engine.run(params={"fill": color(2)}, key="over")
            still = await engine.run(params={"fill": color(3)}, key="still")
            await rig.begun(2)
            await rig.cut(engine)
            rig.gate.step()  # the second run ends while nobody is there
            await rig.until(lambda: (over, "done") in rig.ears.finished)

            back = await rig.engine(doors[1], hello={"session": engine.welcome.session})
            assert back.welcome.resumed
            assert back.welcome.session == engine.welcome.session
            assert back.welcome.boot == engine.welcome.boot
            assert [(item.request, item.key) for item in back.welcome.unfinished] == [(still, "still")]
            (end,) = await back.finish(over)  # stored
            assert (end.outcome, end.key, end.frames) == ("done", "over", 1)
            held = await back.frame(lambda frame: frame.header.number == 2, held=True)
            assert (held.number, held.header.request) == (2, over)
            assert held.has(FrameFlags.BOTTOM_LEFT)
            # Sent again, since the client can't know whether they had come through.
            again = [await back.run(params={"fill": color(99)}, key=key) for key in ("over", "still")]
            assert again == [over, still]
            rig.gate.open()
            (end,) = await back.finish(still)
            assert end.outcome == "done"
            frame = await back.frame(lambda frame: frame.number == 3)
            assert frame.header.number == 3
            assert sorted(back.finished) == [over, still]
            # The first run's answer came before the cut: asked for again by its key, it comes again, once.
            first = await back.run(key="first")
            (end,) = await back.finish(first)
            assert end.outcome == "done"
            await back.run(key="first")
            await back.ask(Ping)
            assert len(back.of(Finished)) == 3
            assert rig.gate.inputs("color") == [1, 2, 3]

    run(test)


def test_a_half_sent_set_is_not_gone_on_with_after_a_cut(tmp_path):
    async def test():
        streams = {"main": {"workflow": "pair", "mode": "oneshot"}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            await engine.finish(await engine.run(params={"fill": color(1), "depth": color(101)}))
            await engine.until(lambda: len(engine.frames) == 2)
            viewer = rig.bridge.viewers.of_stream(1)[0]
            # As if the link had been cut between two frames of a set: the first is taken, the second is not.
            await engine.cut()
            await rig.until(lambda: rig.bridge.streams.find("main").viewers == 0)
            viewer.away = False  # a set is made for it, as just before the cut was noticed
            rig.gate.shut()
            other = await rig.engine()
            last = await other.run(params={"fill": color(2), "depth": color(102)})
            rig.gate.open()
            await other.finish(last)
            taken = viewer.next_frame()
            assert taken is not None
            taken[1].release()
            assert viewer.inside_set
            back = await rig.engine(hello={"session": engine.welcome.session})
            await back.until(lambda: len(back.of(type(engine.frames[0]))) == 2)
            seen = [(frame.held, frame.header.output, frame.number) for frame in back.held + back.frames]
            assert seen == [(True, 0, 2), (True, 1, 102)]

    run(test)


def test_the_same_session_from_a_new_socket_closes_the_old_one(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            old = await rig.engine("websocket")
            await old.subscribe()
            new = await rig.engine("tcp", hello={"session": old.welcome.session})
            assert new.welcome.resumed
            await old.closed()
            assert old.close_code == 4409
            assert (old.log[-1].code, old.log[-1].fatal) == (409, True)
            await new.finish(await new.run(params={"fill": color(1)}))
            assert (await new.frame()).number == 1
            assert rig.bridge.streams.find("main").viewers == 1

    run(test)


def test_an_unknown_session_is_a_new_one(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(hello={"session": "0" * 32})
            assert not engine.welcome.resumed
            assert engine.welcome.session != "0" * 32
            error = await engine.refused(Stats, stream="main")
            assert error.code == 412

    run(test)


# --- what others hear ------------------------------------------------------------------------------------------


def test_others_hear_of_changes_and_who_made_them_does_not(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            maker, other, stranger = await rig.engine(), await rig.engine("websocket"), await rig.engine()
            opened = await maker.open("mine", "solid", params={"fill": color(3)})
            await other.subscribe("mine")
            await maker.set("mine", params={"fill": color(4), "note": "hello"})

            def changes(engine):
                """But for its state: on a slow machine the first prompt takes so long that it is told."""
                return [change for change in engine.of(Changed) if change.state is None]

            await other.until(lambda: bool(changes(other)))
            (heard,) = changes(other)
            assert (heard.stream, heard.workflow, heard.state) == (opened.number, None, None)
            assert heard.params == {"fill": [*color(4), 1.0], "note": "hello"}
            await maker.ask(Run, stream="mine", params={"note": "again"})
            await other.until(lambda: len(changes(other)) == 2)
            assert changes(other)[1].params == {"note": "again"}
            await maker.ask(Ping)
            assert changes(maker) == []
            await stranger.ask(Ping)
            assert stranger.of(Changed) == []

    run(test)


def test_a_slow_line_gets_the_newest_set_when_it_is_free_again(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            quick, slow, crawling = [await rig.engine() for _ in range(3)]
            await quick.subscribe(credit=8)
            assert "rate_limit" in quick.welcome.features
            assert (await slow.subscribe(max_mbps=0.5, credit=8)).max_mbps == 0.5
            await crawling.subscribe(max_mbps=0.0001, credit=8)  # minutes for each picture
            for level in range(1, 7):
                await quick.run(params={"fill": color(level)})
                await quick.frame()
            await slow.frame(lambda frame: frame.header.number == 6)
            numbers = [frame.header.number for frame in slow.frames]
            assert numbers == sorted(set(numbers))
            await crawling.ask(Ping)
            assert not crawling.frames  # its line is busy with the placeholder
            # The stream's picture, and what stands before any credit, wait for no line.
            await crawling.subscribe(max_mbps=0.0001)
            await crawling.frame(lambda frame: frame.header.number == 6, held=True)

    run(test)
