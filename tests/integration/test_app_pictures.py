"""Picture parameters on their way to ComfyUI: uploads that are cancelled, fail, or lose their backend."""

import asyncio
import io

import numpy as np
import pytest
from app_rig import AppRig, run
from PIL import Image

from bridge.backends.faults import BackendGone
from bridge.backends.transfer import TransferMode
from bridge.codec.messages import Cancel, Open, Ping, Run, Set
from bridge.scheduler.events import BackendDown, BackendUp
from bridge.types import Mode

STREAMS = {"main": {"workflow": "photo", "mode": "oneshot"}}


def without_nodes(rig: AppRig) -> None:
    """Pictures go up as files, as to a ComfyUI without the node pack."""
    rig.bridge.backends.get("comfy").nodes.transfer.mode = TransferMode.PNG


def picture(value: int) -> dict[str, bytes]:
    """A grey PNG as an image parameter's value."""
    file = io.BytesIO()
    Image.fromarray(np.full((16, 32, 3), value, np.uint8)).save(file, "PNG")
    return {"encoded": file.getvalue()}


def test_runs_cancelled_before_their_upload_began_leave_their_place_at_the_backend(tmp_path):
    """Both messages come at once: the upload never takes its first step. Three lost places would be all there are."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            without_nodes(rig)
            engine = await rig.engine()
            await engine.subscribe()
            for value in range(1, 5):
                engine.send(Run(stream="main", params={"picture": picture(value)}))
                engine.send(Cancel(stream="main"))
            await engine.until(lambda: len(engine.finished) == 4, "four answers")
            assert {answer.outcome for answer in engine.finished.values()} == {"cancelled"}
            request = await engine.run(params={"picture": picture(9)})
            assert [answer.outcome for answer in await engine.finish(request)] == ["done"]
            assert not rig.bridge._attempts
            assert not rig.bridge._uploads

    run(test)


def test_a_run_cancelled_in_the_middle_of_its_upload(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            without_nodes(rig)
            engine = await rig.engine()
            for value in range(1, 5):
                request = await engine.run(params={"picture": picture(value)})
                await engine.ask(Cancel, stream="main")
                (answer,) = await engine.finish(request)
                assert answer.outcome in ("cancelled", "done")
            request = await engine.run(params={"picture": picture(9)})
            assert [answer.outcome for answer in await engine.finish(request)] == ["done"]
            assert not rig.bridge._attempts
            assert not rig.bridge._uploads

    run(test)


def test_an_upload_that_fails_for_an_unknown_reason_ends_its_request(tmp_path, monkeypatch, caplog):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            without_nodes(rig)

            async def upload(*_):
                raise ZeroDivisionError("a bug")

            engine = await rig.engine()
            with monkeypatch.context() as patch:
                patch.setattr(rig.bridge.backends.get("comfy"), "store_picture", upload)
                for value in range(1, 5):
                    request = await engine.run(params={"picture": picture(value)})
                    assert [(a.outcome, a.name) for a in await engine.finish(request)] == [("failed", "internal")]
            assert "a bug" in caplog.text
            request = await engine.run(params={"picture": picture(9)})
            assert [answer.outcome for answer in await engine.finish(request)] == ["done"]

    run(test)


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_backend_that_goes_down_during_an_upload(tmp_path, monkeypatch, comes_back):
    """The upload's end is nobody's any more: the request is the scheduler's to place anew, and is made once."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            without_nodes(rig)
            engine = await rig.engine()
            backend = rig.bridge.backends.get("comfy")
            began, go_on = asyncio.Event(), asyncio.Event()
            upload = backend.store_picture

            async def slow(*arguments):
                began.set()
                await go_on.wait()
                return await upload(*arguments)

            monkeypatch.setattr(backend, "store_picture", slow)
            request = await engine.run(params={"picture": picture(3)})
            await began.wait()
            rig.bridge.backend_event(BackendDown("comfy"))
            assert not rig.bridge._uploads or all(task.cancelling() for task in rig.bridge._uploads.values())
            go_on.set()
            if comes_back:
                rig.bridge.backend_event(BackendUp("comfy"))
                assert [answer.outcome for answer in await engine.finish(request)] == ["done"]
                assert rig.gate.begun == 1
            else:
                assert [answer.name for answer in await engine.finish(request)] == ["backend_lost"]
                assert rig.gate.begun == 0
            assert not rig.bridge._attempts

    run(test)


def noise(seed: int, side: int = 330) -> dict[str, bytes]:
    """A picture of about 300 KB that is no other's."""
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return {"encoded": file.getvalue()}


def test_pictures_of_waiting_runs_are_bounded_in_bytes(tmp_path):
    """A thousand runs may wait on a stream; a thousand pictures of 16 MiB would be all the memory there is."""

    async def test():
        streams = {**STREAMS, "new": {"workflow": "photo", "mode": "latest"}, "fill": {"workflow": "solid"}}
        async with AppRig(tmp_path, streams, limits={"request_memory_mb": 1}) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            requests = [await engine.run(params={"picture": noise(seed)}) for seed in range(3)]
            before = rig.bridge.streams.find("main").values["picture"].sha256
            refusal = await engine.refused(Run, stream="main", params={"picture": noise(3)})
            assert (refusal.code, refusal.name) == (405, "too_many_waiting")
            assert rig.bridge.streams.find("main").values["picture"].sha256 == before, "a refused run changes nothing"
            # What costs nothing more goes on.
            requests.append(await engine.run())
            requests.append(await engine.run("fill", params={"note": "short"}))
            assert (await engine.refused(Run, stream="fill", params={"note": "x" * 99_999 + "é"})).code == 405
            # Room comes with the end of requests, whichever it is.
            await engine.ask(Cancel, stream="main")
            await engine.finish(*requests[:4])
            assert rig.bridge.retained.bytes == len(noise(2)["encoded"]), "the stream has the newest still"
            await engine.set(params={"picture": noise(2, side=8)})
            for seed in range(4, 10):  # each supersedes the one before
                requests.append(await engine.run("new", params={"picture": noise(seed)}))
            rig.gate.open()
            await engine.finish(*requests)
            held = [rig.bridge.streams.find(name).values["picture"] for name in ("main", "new")]
            assert rig.bridge.retained.bytes == sum(len(value.data) for value in held)

    run(test)


def test_pictures_that_streams_hold_are_bounded_in_bytes(tmp_path):
    """Nobody runs anything: what streams were set to is memory all the same."""

    async def test():
        async with AppRig(tmp_path, STREAMS, limits={"request_memory_mb": 1}) as rig:
            engine = await rig.engine()
            for place in range(3):
                await engine.open(f"s{place}", "photo", params={"picture": noise(place)})
            refusal = await engine.refused(
                Open, stream="s3", workflow="photo", mode=Mode.ONESHOT, params={"picture": noise(3)}
            )
            assert (refusal.code, refusal.name) == (414, "memory_full")
            assert "pictures and texts of streams take" in refusal.message
            assert "s3" not in rig.bridge.streams.by_name
            await engine.open("s3", "photo")
            assert (await engine.refused(Set, stream="s3", params={"picture": noise(3)})).code == 414
            assert (await engine.refused(Run, stream="s3", params={"picture": noise(3)})).code == 414
            # In the place of another one is room, and after a stream has gone.
            for seed in range(4, 9):
                await engine.set("s0", params={"picture": noise(seed)})
            rig.server.actions.close_stream(rig.bridge.streams.find("s1"))
            await engine.set("s3", params={"picture": noise(3)})
            # Another workflow has another parameter: the picture is gone with the one before.
            rig.server.actions.set_workflow(rig.bridge.streams.find("s2"), "solid")
            await engine.open("s5", "photo", params={"picture": noise(5)})
            assert rig.bridge.retained.bytes < 1 << 20
            for name in ("s0", "s2", "s3", "s5"):
                rig.server.actions.close_stream(rig.bridge.streams.find(name))
            assert (rig.bridge.retained.bytes, len(rig.bridge.retained)) == (0, 0)

    run(test)


def test_a_comfyui_that_goes_away_during_an_upload_is_waited_for(tmp_path, monkeypatch):
    """Nothing was posted yet, so the run waits for its deadline, as any that came while no ComfyUI is there."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            without_nodes(rig)
            engine = await rig.engine()
            backend = rig.bridge.backends.get("comfy")
            uploads = 0

            async def refuse(*_):
                nonlocal uploads
                uploads += 1
                raise BackendGone("nobody answers")

            with monkeypatch.context() as away:
                away.setattr(backend._http, "upload", refuse)
                away.setattr(backend._http, "probe", refuse)
                request = await engine.run(params={"picture": picture(3)})
                await rig.until(lambda: not rig.bridge.backends_up, "the backend to be down")
                assert not engine.finished
                assert rig.bridge.scheduler.waiting(1) == 1
                await engine.ask(Ping)
            assert [answer.outcome for answer in await engine.finish(request)] == ["done"]
            assert rig.gate.begun == 1

    run(test)
