"""A pool of ComfyUIs in one bridge: who may make what, drained ones, files that come later; over real sockets."""

import asyncio
import logging
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from admin_rig import asking
from app_rig import AppRig, color, node, run, solid, write_workflow
from pool_rig import Unlike, prompts_run, with_files, without

from bridge.embedded import EmbeddedServer

STREAMS = {"main": {"workflow": "solid", "mode": "oneshot"}, "noisy": {"workflow": "clouds", "mode": "oneshot"}}
BLENDED = {
    "1": solid("Fill @fill:color"),
    "2": solid("Other"),
    "3": node(
        "ImageBlend", "@mode:blend_mode", image1=["1", 0], image2=["2", 0], blend_factor=0.5, blend_mode="screen"
    ),
    "4": node("SaveImageWebsocket", "@out image", images=["3", 0]),
}


@pytest.fixture
def unlike(monkeypatch):
    return Unlike(monkeypatch)


@asynccontextmanager
async def pool(tmp_path, unlike, *changes, streams=STREAMS, **config):
    """An AppRig with a ComfyUI for each of `changes`, called a, b ...; gives rig, ask, and the servers by name."""
    async with AsyncExitStack() as stack:
        servers = {}
        for name, change in zip("abcdef", changes, strict=False):
            servers[name] = await stack.enter_async_context(EmbeddedServer(step_delay_ms=20))
            unlike.say(servers[name], change)
        backend = [{"url": server.url, "name": name} for name, server in servers.items()]
        rig = await stack.enter_async_context(AppRig(tmp_path, streams, comfy=False, backend=backend, **config))
        ask = await stack.enter_async_context(asking(rig))
        await rig.until(lambda: len(rig.bridge.backends_up) == len(servers), "all ComfyUIs")
        await places_known(rig, servers)
        yield rig, ask, servers


async def places_known(rig, servers):
    places, streams = rig.server.actions.places, rig.bridge.streams.by_name.values()
    async with asyncio.timeout(30):
        while any(places.fits(name, stream) is None for name in servers for stream in streams):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def make(engine, stream, count, **params):
    """At once: one after the other they might all find the same one free, where the link is slow."""
    requests = await asyncio.gather(
        *(engine.run(stream, params={"fill": color(1 + at), **params}) for at in range(count))
    )
    answers = await engine.finish(*requests)
    assert {answer.outcome for answer in answers} == {"done"}


async def told(ask, name):
    return next(one for one in (await ask("GET"))[1]["backends"] if one["name"] == name)


def test_a_workflow_goes_only_where_its_nodes_are(tmp_path, unlike):
    async def test():
        async with pool(tmp_path, unlike, None, without("ImageAddNoise")) as (rig, ask, servers):
            engine = await rig.engine()
            await make(engine, "noisy", 6)
            assert (prompts_run(servers["a"]), prompts_run(servers["b"])) == (6, 0)
            await make(engine, "main", 6)
            assert prompts_run(servers["b"]) > 0
            here, there = await told(ask, "a"), await told(ask, "b")
            assert (here["lacks"], list(there["lacks"])) == ({}, ["noisy"])
            assert "ImageAddNoise" in there["lacks"]["noisy"]
            assert (here["done"] + there["done"], here["failed"], here["lost"], here["prompts"]) == (12, 0, 0, 0)
            assert there["durations_ms"].keys() == {"solid 32x16"}
            places = (await ask("GET", "/readyz"))[1]["places"]
            assert places["main"] == {"a": None, "b": None}
            assert "ImageAddNoise" in places["noisy"]["b"]
            assert rig.bridge.streams.by_name["noisy"].state == "ready"

            unlike.say(servers["b"])  # it was installed
            status, answer = await ask("POST", "/admin/backends/b/refresh", {})
            assert (status, answer["backend"]["changed"], answer["backend"]["lacks"]) == (200, True, {})
            assert (await ask("POST", "/admin/backends/b/refresh", {}))[1]["backend"]["changed"] is False
            before = prompts_run(servers["b"])
            for server in servers.values():
                server.step_delay_ms = 50  # long enough for the other to be worth it
            await make(engine, "noisy", 12)
            assert prompts_run(servers["b"]) > before

    run(test)


def test_files_that_values_name_have_places_of_their_own(tmp_path, unlike):
    write_workflow(tmp_path, "blended", BLENDED)

    async def test():
        one, more = ("normal", "screen"), ("normal", "multiply")
        changes = [with_files("ImageBlend", "blend_mode", *files) for files in (one, more)]
        streams = {"main": {"workflow": "blended", "mode": "oneshot"}}
        async with pool(tmp_path, unlike, *changes, streams=streams) as (rig, ask, servers):
            engine = await rig.engine()
            (spec,) = [spec for spec in rig.bridge.streams.by_name["main"].parameters.values() if spec.name == "mode"]
            assert spec.choices == ("normal", "screen", "multiply")  # of both
            await make(engine, "main", 4)
            assert (prompts_run(servers["a"]), prompts_run(servers["b"])) == (4, 0)
            await make(engine, "main", 4, mode="multiply")
            assert (prompts_run(servers["a"]), prompts_run(servers["b"])) == (4, 4)
            assert list((await told(ask, "a"))["lacks"]) == ["main"]
            await engine.set("main", params={"mode": "normal"})
            await make(engine, "main", 8)
            assert min(prompts_run(server) for server in servers.values()) > 4

    run(test)


def test_where_nobody_has_it_comfyui_says_what_is_missing(tmp_path, unlike):
    write_workflow(tmp_path, "blended", BLENDED)

    async def test():
        lacking = with_files("ImageBlend", "blend_mode", "normal")
        streams = {"main": {"workflow": "blended", "mode": "oneshot"}}
        async with pool(tmp_path, unlike, lacking, lacking, streams=streams) as (rig, ask, servers):
            stream = rig.bridge.streams.by_name["main"]
            assert stream.state == "degraded"
            words = (await ask("GET", "/readyz"))[1]["why"]["main"]
            assert "any of the 2 ComfyUIs" in words
            assert "screen" in words
            engine = await rig.engine()
            await make(engine, "main", 1)  # these can do it, whatever they say
            assert stream.state == "ready"
            assert sum(prompts_run(server) for server in servers.values()) == 1

    run(test)


def test_a_model_file_that_comes_while_it_runs_is_found(tmp_path, unlike, monkeypatch, caplog):
    """By itself, where a stream lacks it; everything else is asked for by `refresh`, or when ComfyUI starts anew."""
    monkeypatch.setattr("bridge.app.pool.node_types.LOOK_EVERY_S", 0.05)
    film = {**BLENDED, "3": {**BLENDED["3"], "inputs": {**BLENDED["3"]["inputs"], "blend_mode": "film.safetensors"}}}
    write_workflow(tmp_path, "blended", film)
    caplog.set_level(logging.INFO, "bridge.app")

    async def test():
        streams = {"main": {"workflow": "blended", "mode": "oneshot"}}
        having = with_files("ImageBlend", "blend_mode", "normal", "film.safetensors")
        lacking = with_files("ImageBlend", "blend_mode", "normal")
        async with pool(tmp_path, unlike, having, lacking, streams=streams) as (_, ask, servers):
            assert "models" in (await told(ask, "b"))["lacks"]["main"]
            unlike.say(servers["b"], having)
            async with asyncio.timeout(30):
                while (await told(ask, "b"))["lacks"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        assert "backend b has other files for ImageBlend than before" in caplog.text

    run(test)


def test_a_drained_one_ends_what_it_has_and_gets_nothing_new(tmp_path):
    async def test():
        async with EmbeddedServer() as other, AppRig(tmp_path) as rig, asking(rig) as ask:
            engine = await rig.engine()
            rig.gate.shut()
            running = await engine.run(params={"fill": color(1)})
            await rig.begun(1)
            await ask("POST", body={"url": other.url, "name": "other"})
            await rig.until(lambda: "other" in rig.bridge.backends_up, "the other")
            status, answer = await ask("POST", "/admin/backends/comfy/drain", {})
            assert (status, answer["backend"]["drained"], answer["backend"]["prompts"]) == (200, True, 1)
            await make(engine, "main", 6)
            assert (rig.gate.begun, prompts_run(other)) == (1, 6)
            assert (await ask("GET", "/readyz"))[1]["drained"] == ["comfy"]
            rig.gate.open()
            (end,) = await engine.finish(running)
            assert end.outcome == "done"
            assert (await told(ask, "comfy"))["prompts"] == 0

            # With the last one drained the streams wait, and say why; what is asked for meanwhile waits too.
            await ask("POST", "/admin/backends/other/drain", {})
            ready, words = await ask("GET", "/readyz")
            assert (ready, "texbridge backends undrain comfy" in words["reason"]) == (503, True)
            assert rig.bridge.streams.find("main").state == "waiting_for_comfy"
            waiting = await engine.run(params={"fill": color(9)})
            # Started anew it stays drained: an operator who restarts it twice is not surprised.
            await rig.comfy.abort()
            await rig.until(lambda: "comfy" not in rig.bridge.backends_up, "comfy gone")
            await rig.comfy.start()
            await rig.until(lambda: "comfy" in rig.bridge.backends_up, "comfy back")
            assert (await told(ask, "comfy"))["drained"] is True
            assert waiting not in engine.finished
            status, answer = await ask("POST", "/admin/backends/comfy/undrain", {})
            assert (status, answer["backend"]["drained"]) == (200, False)
            (end,) = await engine.finish(waiting)
            assert end.outcome == "done"
            assert (await ask("GET", "/readyz"))[0] == 200

            # Another one of the same name is another.
            await ask("POST", body={"url": other.url, "name": "other", "replace": True})
            assert (await told(ask, "other"))["drained"] is False

    run(test)


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("nobody/drain", {}, 404),
        ("nobody/undrain", {}, 404),
        ("nobody/refresh", {}, 404),
        ("comfy/drain", {"force": True}, 400),
        ("comfy/drain", b"", 200),
        ("comfy/stop", {}, 405),
    ],
)
def test_what_is_refused(tmp_path, path, body, expected):
    async def test():
        async with AppRig(tmp_path) as rig, asking(rig) as ask:
            assert (await ask("POST", f"/admin/backends/{path}", body))[0] == expected

    run(test)


def test_one_that_is_away_can_be_drained_but_not_refreshed(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, asking(rig) as ask:
            await ask("POST", body={"url": "http://127.0.0.1:9/ab", "name": "a/drain"})
            status, answer = await ask("POST", "/admin/backends/a%2Fdrain/refresh", {})
            assert (status, answer["error"]["name"]) == (503, "backend_unavailable")
            assert (await ask("POST", "/admin/backends/a%2Fdrain/drain", {}))[1]["backend"]["drained"] is True
            status, answer = await ask("POST", body={"url": "http://127.0.0.1:1-3"})
            assert (status, "one address a request" in answer["error"]["message"]) == (400, True)

    run(test)
