"""The last picture of a stream, kept on disk for whoever comes after a restart."""

import asyncio
import logging
import os
import sys
import threading

import aiohttp
import pytest
from app_rig import AppRig, color, run
from PIL import Image
from serve_rig import Engine, Serve

from bridge.app.pictures import last_frames
from bridge.app.pictures.last_frame_files import LastFrameFolder, file_name
from bridge.codec.messages import Blackout, Panic, Ping

CARD = (192, 32, 32)
"""The test card's upper left corner."""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kept"


@pytest.fixture
def often(monkeypatch):
    """Written as soon as there is something to write."""
    monkeypatch.setattr(last_frames, "EVERY_S", 0.02)


def _rig(tmp_path, folder, streams=None, **config):
    """A rig that keeps its pictures in `folder`."""
    workflows = tmp_path / "workflows"
    workflows.mkdir(exist_ok=True)
    pictures = {"folder": str(folder), "keep_last_frame": True, **config.pop("pictures", {})}
    return AppRig(workflows, streams, pictures=pictures, **config)


async def _show(engine, number, stream="main"):
    await engine.finish(await engine.run(stream, params={"fill": color(number)}))


async def _health(rig):
    url = f"http://{rig.server.addresses.http}/healthz"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        body = await answer.json()
        return body["status"], body["reasons"]


async def _told(rig, status):
    """Wait for a word in /healthz; gives the reasons."""
    async with asyncio.timeout(20):
        while (found := await _health(rig))[0] != status:  # noqa: ASYNC110 - nobody tells of it by itself
            await asyncio.sleep(0.02)
        return found[1]


async def _first(rig, **fields):
    """What a newcomer sees first."""
    engine = await rig.engine()
    await engine.subscribe(**fields)
    return await engine.frame(held=True)


def test_after_a_restart_newcomers_get_the_last_picture_in_their_own_form(tmp_path, folder):
    async def test():
        async with _rig(tmp_path, folder) as rig:
            engine = await rig.engine()
            assert tuple((await _first(rig)).pixels[0, 0, :3]) != (0, 0, 9)
            for number in (7, 8, 9):  # the last one is written at the end, whatever time that is
                await _show(engine, number)
        (file,) = folder.iterdir()
        if sys.platform != "win32":
            assert file.stat().st_mode & 0o777 == 0o600
        async with _rig(tmp_path, folder) as rig:
            frame = await _first(rig)
            assert (frame.header.number, frame.header.request, frame.number) == (0, 0, 9)
            assert (frame.header.width, frame.header.height) == (32, 16)
            large = await _first(rig, size=(2048, 1024), format="bgra8", origin="bottom_left")
            assert (large.header.width, large.header.height, tuple(large.pixels[0, 0])) == (2048, 1024, (9, 0, 0, 255))
            jpeg = await _first(rig, format="jpeg")
            assert (jpeg.header.number, jpeg.data[:2]) == (0, b"\xff\xd8")
            engine = await rig.engine()
            await _show(engine, 11)
            frame = await _first(rig)
            assert (frame.header.number, frame.number) == (1, 11)

    run(test)


def test_off_unless_asked_for(tmp_path, folder):
    async def test():
        async with _rig(tmp_path, folder, pictures={"keep_last_frame": False}) as rig:
            await _show(await rig.engine(), 7)
        assert not folder.exists()
        streams = {
            "kept": {"workflow": "solid", "mode": "oneshot", "keep_last_frame": True},
            "not": {"workflow": "solid", "mode": "oneshot"},
        }
        async with _rig(tmp_path, folder, streams, pictures={"keep_last_frame": False}) as rig:
            engine = await rig.engine()
            await _show(engine, 7, "kept")
            await _show(engine, 7, "not")
        assert [path.name for path in folder.iterdir()] == [file_name("kept")]

    run(test)


def test_a_stream_that_an_engine_opened_has_its_picture_again(tmp_path, folder):
    async def test():
        for number in (5, 6):
            async with _rig(tmp_path, folder) as rig:
                engine = await rig.engine()
                await engine.open("art", "solid")
                frame = await _first(rig, stream="art")
                if number == 6:
                    assert (frame.header.number, frame.number) == (0, 5)
                await _show(engine, number, "art")

    run(test)


@pytest.mark.parametrize("cover", ["panic", "blackout"])
def test_what_was_covered_does_not_come_back(tmp_path, folder, often, cover):
    async def test():
        async with _rig(tmp_path, folder, panic={"picture": "hold"}) as rig:
            engine = await rig.engine()
            await _show(engine, 7)
            async with asyncio.timeout(20):
                while not (folder / file_name("main")).exists():  # noqa: ASYNC110 - a thread writes it
                    await asyncio.sleep(0.02)
            if cover == "panic":
                await engine.ask(Panic)
            else:
                await engine.ask(Blackout, stream="main", on=True)
                await _show(engine, 8)
        async with _rig(tmp_path, folder) as rig:
            assert (await _first(rig)).number == 7

    run(test)


def test_a_panic_does_not_show_the_picture_from_the_disk(tmp_path, folder):
    async def test():
        async with _rig(tmp_path, folder) as rig:
            await _show(await rig.engine(), 7)
        async with _rig(tmp_path, folder, panic={"picture": "placeholder"}, pictures={"placeholder": "black"}) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            assert (await engine.frame(held=True)).number == 7
            await engine.ask(Panic)
            await engine.until(lambda: len(engine.held) == 2, "the panic picture")
            assert engine.held[1].number == 0

    run(test)


def test_ones_own_placeholder_comes_first_and_another_workflow_of_other_kinds_gets_the_card(tmp_path, folder):
    async def test():
        own = tmp_path / "wait.png"
        Image.new("RGB", (8, 4), (10, 20, 30)).save(own)
        async with _rig(tmp_path, folder) as rig:
            await _show(await rig.engine(), 7)
        async with _rig(
            tmp_path, folder, {"main": {"workflow": "solid", "mode": "oneshot", "placeholder": str(own)}}
        ) as rig:
            assert tuple((await _first(rig)).pixels[0, 0, :3]) == (10, 20, 30)
        async with _rig(tmp_path, folder, {"main": {"workflow": "pair", "mode": "oneshot"}}) as rig:
            frame = await _first(rig, size=(512, 512))
            assert tuple(frame.pixels[8, 8, :3]) == CARD

    run(test)


@pytest.mark.parametrize("fault", ["no folder", "full", "damaged"])
def test_whatever_the_disk_does_the_show_goes_on(tmp_path, folder, often, caplog, monkeypatch, fault):
    async def test():
        mend = lambda: None  # noqa: E731
        if fault == "no folder":
            folder.write_text("a file where the folder should be", encoding="utf-8")
            mend = folder.unlink
        elif fault == "damaged":
            folder.mkdir()
            (folder / file_name("main")).write_bytes(b"PK and then nothing")
        else:
            write = LastFrameFolder.write

            def full(*arguments):
                raise OSError(28, os.strerror(28))

            monkeypatch.setattr(LastFrameFolder, "write", full)

            def mend():
                monkeypatch.setattr(LastFrameFolder, "write", write)

        async with _rig(tmp_path, folder) as rig:
            engine = await rig.engine()
            assert (await _first(rig)).header.number == 0
            if fault == "damaged":
                assert "damaged" in (await _told(rig, "degraded"))[0]
            for number in range(1, 6):
                await _show(engine, number)
            if fault != "damaged":
                (reason,) = await _told(rig, "degraded")
                assert "stream main can't be kept in" in reason
                assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
            mend()
            assert await _told(rig, "ok") == []
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert ["the show goes on" in warning.message for warning in warnings] == [True]
        async with _rig(tmp_path, folder) as rig:
            assert (await _first(rig)).number == 5

    run(test)


def test_a_disk_that_never_answers_holds_up_neither_start_nor_show_nor_end(tmp_path, folder, monkeypatch):
    async def test():
        never = threading.Event()
        monkeypatch.setattr(last_frames, "READ_S", 0.05)
        monkeypatch.setattr(last_frames, "END_S", 0.05)
        monkeypatch.setattr(LastFrameFolder, "read", lambda *_: never.wait(60))
        async with _rig(tmp_path, folder) as rig:
            engine = await rig.engine()
            await engine.subscribe()
            assert (await engine.frame(held=True)).header.number == 0
            await _show(engine, 7)
            assert (await engine.frame()).number == 7
            await engine.ask(Ping)
        never.set()

    run(test)


def test_ended_by_a_signal_and_started_again_without_a_comfyui(tmp_path, folder):
    """The processes are real ones."""
    config = f"""
[pictures]
keep_last_frame = true
folder = '{folder}'
[search]
places = []
[streams.main]
workflow = "gradient"
mode = "oneshot"
size = [64, 64]
"""
    form = {"stream": "main", "format": "rgba8", "origin": "top_left", "delivery": "latest"}

    async def test():
        async with Serve("--embedded", config=config) as serve, Engine("tcp", serve.tcp) as engine:
            await engine.hello()
            number = (await engine.ask("subscribe", **form, credit=8))["number"]
            for seed in (1, 2, 3):
                request = await engine.run("main", params={"noise": seed / 8})
                await engine.until(lambda request=request: engine.outcome(request) == "done")
            await engine.until(lambda: len(engine.new_frames(number)) == 3)
            last = engine.new_frames(number)[-1].payload
            assert await serve.stop() == 0
        async with Serve(config=config) as serve, Engine("tcp", serve.tcp) as engine:
            await engine.hello()
            number = (await engine.ask("subscribe", **form))["number"]
            (frame,) = await engine.until(lambda: engine.frames.get(number), "the held picture")
            assert (frame.held, frame.number, frame.request, frame.payload == last) == (True, 0, 0, True)

    run(test)
