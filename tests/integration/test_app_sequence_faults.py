"""What went wrong with sequences once, over real sockets."""

import threading
from contextlib import AsyncExitStack

from app_rig import WORKFLOWS, AppRig, color, node, run, write_workflow
from fault_proxy import FaultProxy

from bridge.codec.messages import Ack, Error, Sequence
from bridge.embedded import EmbeddedServer
from bridge.types import Delivery


async def sequence(engine, frames, stream="main", **fields):
    tracks = {"fill": [[index, color(index)] for index in range(frames)]}
    answer = await engine.ask(Sequence, stream=stream, frames=frames, **{"tracks": tracks, **fields})
    return answer.request


def test_a_lost_ack_is_said_again_before_its_set_is_sent_again(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            engine.acks = False
            await engine.subscribe(credit=3, delivery=Delivery.LOSSLESS)
            request = await sequence(engine, 20)
            await engine.until(lambda: len(engine.frames) == 3, "what credit allows")
            have = engine.frames[-1].header.number
            await engine.cut()
            back = await rig.engine(greet=False)
            back.acks = False
            await back.greet(session=engine.welcome.session)
            back.send(Ack(stream="main", number=have))
            await back.until(lambda: any(frame.header.number > have for frame in back.frames), "a set that is new")
            back.acks = True
            back.send(Ack(stream="main", number=back.frames[-1].header.number))
            (answer,) = await back.finish(request)
            assert answer.outcome == "done"
            await back.frame(lambda frame: frame.header.index == 19)

    run(test)


def test_many_slow_readers_pause_and_leave_memory_to_others(tmp_path):
    async def test():
        limits = {"frame_memory_mb": 8, "lossless_memory_mb": 2}
        async with AppRig(tmp_path, limits=limits) as rig:
            readers = []
            for place in range(12):
                engine = await rig.engine()
                engine.acks = False
                await engine.open(f"s{place}", "solid", size=(128, 128))
                await engine.subscribe(f"s{place}", delivery=Delivery.LOSSLESS)
                readers.append((engine, await sequence(engine, 40, f"s{place}")))

            def paused():
                running = [rig.bridge.sequences.get(request) for _, request in readers]
                return all(one is None or (one.released and one.released >= one.until) for one in running)

            await rig.until(paused, "all to pause")
            assert rig.ears.finished == []
            assert rig.bridge.buffers.stats().lent_bytes <= 7 << 20
            other = await rig.engine()
            await other.open("other", "solid", "latest", size=(128, 128))
            await other.subscribe("other")
            await other.run("other", params={"fill": color(7)})
            assert (await other.frame()).number == 7
            for engine, request in readers:
                engine.acks = True
                engine.send(Ack(stream=engine.frames[-1].header.stream, number=engine.frames[-1].header.number))
                (answer,) = await engine.finish(request)
                assert (answer.outcome, answer.frames) == ("done", 40)

    run(test)


def test_many_slow_readers_of_runs_are_told_before_memory_is_full(tmp_path):
    async def test():
        limits = {"frame_memory_mb": 8, "lossless_memory_mb": 2}
        async with AppRig(tmp_path, limits=limits) as rig:
            readers = []
            for place in range(12):
                engine = await rig.engine()
                engine.acks = False
                await engine.open(f"s{place}", "solid", size=(128, 128))
                await engine.subscribe(f"s{place}", delivery=Delivery.LOSSLESS)
                readers.append(engine)
            asker = await rig.engine()
            for _ in range(30):
                requests = [await asker.run(f"s{place}") for place in range(12)]
                await asker.finish(*requests)
            assert rig.bridge.buffers.stats().lent_bytes <= 7 << 20
            assert rig.bridge.buffers.stats().refused == 0
            assert any(engine.of(Error) for engine in readers)

    run(test)


def test_a_run_whose_picture_was_shown_is_done_though_its_comfyui_dies(tmp_path):
    async def test():
        graph = {**WORKFLOWS["solid"], "9": node("PreviewImage", "", images=["1", 0])}
        write_workflow(tmp_path, "two_ends", graph)
        held = threading.Event()

        def hold(prompt_id, node_id):
            if node_id == "9":
                held.wait(20)

        async with AsyncExitStack() as stack:
            servers = [await stack.enter_async_context(EmbeddedServer(before_node=hold)) for _ in range(2)]
            proxies = [await stack.enter_async_context(FaultProxy(server.port)) for server in servers]
            backend = [{"url": proxy.url, "name": name} for proxy, name in zip(proxies, "ab", strict=True)]
            streams = {"main": {"workflow": "two_ends", "mode": "oneshot"}}
            rig = await stack.enter_async_context(AppRig(tmp_path, streams, comfy=False, backend=backend))
            stack.callback(held.set)
            await rig.until(lambda: len(rig.bridge.backends_up) == 2, "two ComfyUIs")
            engine = await rig.engine()
            await engine.subscribe()
            request = await engine.run(params={"fill": color(9)})
            assert (await engine.frame()).number == 9
            assert rig.ears.finished == []
            asked = next(iter(rig.bridge.requests.values())).backend
            gone = proxies["ab".index(asked)]
            await gone.refuse()
            (answer,) = await engine.finish(request)
            assert (answer.outcome, answer.frames) == ("done", 1)
            assert len(engine.frames) == 1

    run(test)


def test_the_last_frame_may_have_the_highest_number(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            high = 2**31 - 1
            error = await engine.refused(Sequence, stream="main", frames=2, first=high, tracks={})
            assert (error.code, error.field) == (302, "first")
            tracks = {"fill": [[high - 1, color(1)], [high, color(2)]]}
            (answer,) = await engine.finish(await sequence(engine, 2, first=high - 1, tracks=tracks))
            assert answer.outcome == "done"
            assert rig.gate.inputs("color") == [1, 2]

    run(test)
