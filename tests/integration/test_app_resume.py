"""What a session that is back on another connection is told, and what holds without a word."""

import pytest
from app_rig import AppRig, color, run

from bridge.codec.messages import Ack, Finished, Freeze, Ping, Subscribe, Subscribed
from bridge.types import Delivery, FrameFlags, Origin

LARGE = (1024, 1024)  # 16 MiB as rgba32f: more than the kernels on the way hold


@pytest.mark.parametrize("noticed", [True, False], ids=["cut", "taken over"])
@pytest.mark.parametrize("kind", ["tcp", "websocket"])
@pytest.mark.parametrize("key", [None, "a key"])
def test_an_answer_that_was_never_written_comes_on_the_next_connection(tmp_path, kind, noticed, key):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine(kind)
            await engine.open("main", "solid", size=LARGE)
            await engine.subscribe(format="rgba32f")
            await engine.frame(held=True)
            rig.gate.shut()
            request = await engine.run(params={"fill": color(1)}, key=key)
            engine.pause()
            rig.gate.open()
            await rig.until(lambda: (request, "done") in rig.ears.finished)
            if noticed:
                await rig.cut(engine)
            back = await rig.engine(hello={"session": engine.welcome.session})
            assert back.welcome.unfinished == []
            (end,) = await back.finish(request)
            assert (end.outcome, end.key) == ("done", key)
            # Once: the engine has had it now.
            last = await rig.engine(hello={"session": engine.welcome.session})
            await last.ask(Ping)
            assert last.of(Finished) == []

    run(test)


def test_stored_answers_come_right_after_the_welcome_so_a_pong_says_that_there_are_no_more(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            rig.gate.shut()
            requests = [await engine.run(params={"fill": color(number)}) for number in (1, 2)]
            await rig.cut(engine)
            rig.gate.open()
            await rig.until(lambda: {number for number, _ in rig.ears.finished} >= set(requests))
            back = await rig.engine(greet=False)
            await back.greet(session=engine.welcome.session)
            await back.ask(Ping)
            assert [item.request for item in back.log[1:3]] == requests
            assert sorted(back.finished) == requests

    run(test)


def test_an_answer_while_the_link_closes_waits_for_the_next_connection(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            request = await engine.run()
            session = next(iter(rig.server.actions.sessions))
            # As while the last words go out: the connection is there and takes nothing more.
            session.connection.close()
            rig.gate.open()
            await rig.until(lambda: (request, "done") in rig.ears.finished)
            back = await rig.engine(hello={"session": engine.welcome.session})
            (end,) = await back.finish(request)
            assert end.outcome == "done"

    run(test)


def test_a_resumed_subscription_holds_as_it_was_asked_for_and_is_not_answered_again(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            # Cut before the answer: the engine doesn't know whether the bridge had it.
            fields = {"stream": "main", "format": "bgra8", "origin": Origin.BOTTOM_LEFT, "delivery": Delivery.LATEST}
            engine.send(Subscribe(**fields, credit=2, size=(16, 8)))
            await rig.until(lambda: rig.bridge.streams.find("main").viewers == 1)
            await engine.run(params={"fill": color(1)})
            await engine.frame(lambda frame: frame.header.number == 1)  # never acked
            await engine.cut()
            back = await rig.engine(hello={"session": engine.welcome.session})
            back.acks = False
            held = await back.frame(held=True)
            for number in (2, 3):  # full credit again
                await back.run(params={"fill": color(number)})
            await back.until(lambda: len(back.frames) == 2)
            assert back.of(Subscribed) == []
            for frame in (held, *back.frames):
                assert (frame.header.width, frame.header.height, frame.header.format) == (16, 8, 2)
                assert frame.has(FrameFlags.BOTTOM_LEFT)
            assert held.header.number == 1
            # Who wants to be sure asks again: the answer, full credit and the held set.
            told = await back.subscribe(format="bgra8", origin="bottom_left", credit=2, size=(16, 8))
            assert (told.number, told.credit, told.size) == (1, 2, (16, 8))
            await back.until(lambda: len(back.held) == 2)

    run(test)


def test_held_sets_may_come_before_the_run_is_known_by_its_number(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            request = await engine.run(params={"fill": color(1)}, key="lost")  # as if `accepted` had not come
            await engine.frame(lambda frame: frame.header.number == 1)
            await engine.cut()
            back = await rig.engine(hello={"session": engine.welcome.session})
            held = await back.frame(held=True)
            assert held.header.request == request
            assert await back.run(key="lost") == request

    run(test)


def test_the_ack_of_a_held_set_is_one_for_the_sets_before_it(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe()
            placeholder = await engine.frame(held=True)
            assert placeholder.header.number == 0
            assert not placeholder.has(FrameFlags.LAST_SET)
            await engine.run(params={"fill": color(1)})
            await engine.frame(lambda frame: frame.header.number == 1)
            engine.send(Ack(stream="main", number=0))  # says nothing
            await engine.ask(Freeze, stream="main", on=True)
            await engine.finish(await engine.run(params={"fill": color(2)}))
            await engine.ask(Freeze, stream="main", on=False)
            held = await engine.frame(lambda frame: frame.header.number == 2, held=True)
            assert held.has(FrameFlags.LAST_SET)
            assert held.has(FrameFlags.LAST_OF_SET)
            await engine.finish(await engine.run(params={"fill": color(3)}))
            await engine.ask(Ping)
            assert [frame.header.number for frame in engine.frames] == [1]  # whose credit is still out
            engine.send(Ack(stream="main", number=2))
            await engine.frame(lambda frame: frame.header.number == 3)

    run(test)


def test_nothing_is_made_for_who_is_away_and_who_is_back_gets_the_newest(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            away = await rig.engine()
            await away.subscribe(format="png")
            await rig.cut(away)
            there = await rig.engine()
            await there.subscribe()
            await there.finish(await there.run(params={"fill": color(3)}))
            await there.frame()
            _, sources = rig.server.bridge.results._shown.get(1)
            assert {spec.format.word for spec in sources[0]._made} == {"rgba8"}
            back = await rig.engine(hello={"session": away.welcome.session})
            held = await back.frame(held=True)
            assert (held.header.format, held.header.number) == (65, 1)

    run(test)
