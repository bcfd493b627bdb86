"""`restart_command` with a real process, which has the embedded ComfyUI of the test started anew."""

import asyncio
import itertools
import logging
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import aiohttp
import pytest
from app_engine import wait_until
from app_rig import AppRig, color, run
from backend_listener import FAST
from mute_comfy import Mute, quicken
from ports import ReservedPort

from bridge.app.config.config import load_config
from bridge.app.pool.restarts import Restarter
from bridge.codec.messages import Changed
from bridge.embedded import EmbeddedServer
from bridge.errors import ConfigError

COMMAND = """
import os, socket, sys
names = ("TEXBRIDGE_BACKEND", "TEXBRIDGE_REASON", "TEXBRIDGE_BACKEND_URL", "TEXBRIDGE_LINK_TOKEN")
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as link:
    link.sendall(" ".join(os.environ.get(name, "-") for name in names).encode() + b"\\n")
    link.recv(16)
print("begun anew; $HOME & friends: " + sys.argv[2])
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    quicken(monkeypatch, replace(FAST, mute_probe_s=60.0))
    monkeypatch.setattr("bridge.app.pool.restarts.LOOK_EVERY_S", 0.05)


@asynccontextmanager
async def operator(calls, restart):
    """Does what a restart command asks for; `calls` gets what each one said."""

    async def serve(reader, writer):
        calls.append((await reader.readline()).decode().split())
        await restart()
        writer.write(b"done")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield str(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


class Log(logging.Handler):
    """What the bridge logs, to be waited for."""

    def __init__(self):
        super().__init__()
        self.text = ""
        self._woken = asyncio.Event()

    def emit(self, record):
        self.text += record.getMessage() + "\n"
        self._woken.set()

    async def until(self, words):
        await wait_until(self._woken, lambda: words in self.text, words, lambda: self.text)


@pytest.fixture
def log():
    handler, logger = Log(), logging.getLogger("bridge.app")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.mark.parametrize("trouble", ["mute", "away"])
def test_a_comfyui_that_is_mute_or_away_is_restarted_once(tmp_path, log, trouble):

    async def test():
        calls = []
        rig = AppRig(tmp_path)

        async def restart():
            if trouble == "mute":
                await rig.comfy.abort()
            await rig.comfy.start()

        async with operator(calls, restart) as port:
            rig.more_of_backend = {
                "restart_command": [sys.executable, "-c", COMMAND, port, "it's one; argument {port}", "0"],
                "restart_after_s": 1.0,
            }
            async with rig:
                engine = await rig.engine()
                await engine.open("main", "solid")
                if trouble == "mute":
                    Mute(rig.comfy).on = True  # `start` makes new sockets: the restart ends it
                    await engine.run(params={"fill": color(1)})
                else:
                    await rig.comfy.abort()
                await log.until("restart command gave 0")
                await engine.until(lambda: [c.state for c in engine.of(Changed) if c.state][-1:] == ["ready"])
                (end,) = await engine.finish(await engine.run(params={"fill": color(2)}))
                assert end.outcome == "done"
                assert calls == [["comfy", trouble, rig.comfy.url, "-"]]
                assert rig.bridge.counts["restarts"] == 1
                return rig.comfy.port

    ports = []

    async def noted():
        ports.append(await test())

    run(noted)
    # No shell had a look at it.
    assert f"begun anew; $HOME & friends: it's one; argument {ports[0]}" in log.text


def test_a_restart_is_not_made_again_too_soon(tmp_path, log):
    async def test():
        calls = []

        async def restart():
            pass  # it doesn't help

        rig = AppRig(tmp_path)
        async with operator(calls, restart) as port:
            rig.more_of_backend = {
                "restart_command": [sys.executable, "-c", COMMAND, port, "", "3"],
                "restart_after_s": 1.0,
            }
            async with rig:
                await rig.comfy.abort()
                await log.until("may run again in")
                assert len(calls) == 1
                assert "restart command gave 3" in log.text

    run(test)


def test_a_command_that_does_not_end_is_ended(tmp_path, log, monkeypatch):
    said = tmp_path / "said"
    command = "import sys, time; print('so far', flush=True); open(sys.argv[1], 'w').close(); time.sleep(600)"

    hours = itertools.count(1)

    def clock():  # once it has said something an hour goes by at each look, and none before, however slowly it starts
        return time.perf_counter() + 3600 * (next(hours) if said.exists() else 0)

    monkeypatch.setattr("bridge.app.pool.restarts.Restarter", partial(Restarter, clock=clock))

    async def test():
        rig = AppRig(tmp_path)
        rig.more_of_backend = {
            "restart_command": [sys.executable, "-c", command, str(said)],
            "restart_after_s": 1.0,
            "restart_timeout_s": 60.0,
        }
        async with rig:
            await rig.comfy.abort()
            await log.until("was ended after 60 s")
            assert "it said: so far" in log.text

    run(test)


def test_a_command_that_is_not_there_is_told(tmp_path, log):
    async def test():
        rig = AppRig(tmp_path)
        rig.more_of_backend = {"restart_command": [str(tmp_path / "absent")], "restart_after_s": 1.0}
        async with rig:
            await rig.comfy.abort()
            await log.until("restart command can't be run")

    run(test)


def test_a_full_disk_keeps_no_command_from_running(tmp_path, log, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))

    async def test():
        rig = AppRig(tmp_path)
        rig.more_of_backend = {"restart_after_s": 1, "restart_command": [sys.executable, "-c", "print('begun')"]}
        async with rig:
            await rig.comfy.close()
            await log.until("its restart command gave 0")

    run(test)


def test_nothing_over_the_network_sets_a_command(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, aiohttp.ClientSession() as session:
            url = f"http://{rig.server.addresses.http}/admin/backends"
            body = {"url": "http://127.0.0.1:9", "restart_command": ["touch", str(tmp_path / "made")]}
            async with session.post(url, json=body) as answer:
                assert answer.status == 400
                assert "restart_command" in (await answer.json())["error"]["message"]
            assert len(rig.bridge.backends) == 1

    run(test)


def test_the_environment_sets_no_command():
    names = ("TEXBRIDGE_BACKEND_RESTART_COMMAND", "TEXBRIDGE_BACKEND", "TEXBRIDGE_RESTART_COMMAND")
    config = load_config(None, {**dict.fromkeys(names, '["x"]'), "TEXBRIDGE_COMFY": "http://a"})
    assert [backend.restart_command for backend in config.backend] == [()]


def test_a_comfyui_that_was_never_there_is_started(tmp_path, log):
    async def test():
        calls = []
        with ReservedPort() as kept:
            comfy = EmbeddedServer(port=kept)
            async with operator(calls, comfy.start) as port:
                command = [sys.executable, "-c", COMMAND, port, "", "0"]
                backend = [{"url": comfy.url, "restart_command": command, "restart_after_s": 1.0}]
                try:
                    async with AppRig(tmp_path, comfy=False, backend=backend) as rig:
                        await rig.until(lambda: bool(rig.bridge.backends_up), "a ComfyUI")
                        assert [call[1] for call in calls] == ["away"]
                finally:
                    await comfy.close()

    run(test)


@pytest.mark.parametrize("command", ['"rm -rf /"', '["ok", 3]'])
def test_a_command_is_a_list_of_texts(tmp_path, command):
    path = tmp_path / "texbridge.toml"
    path.write_text(f'[[backend]]\nurl = "http://a"\nrestart_command = {command}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="restart_command"):
        load_config(path, {})
