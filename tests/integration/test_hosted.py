"""A hosted ComfyUI: behind TLS, a path prefix, a key, latency and cuts, with the whole bridge in front of it."""

import asyncio
import io
import json
import logging

import aiohttp
import numpy as np
import pytest
from app_rig import AppRig, color, run
from fault_proxy import FaultProxy
from hosted_proxy import COMMITTED, HostedProxy, certificate
from PIL import Image

from bridge.app.config.config import BackendConfig
from bridge.app.serve import Server
from bridge.embedded import EmbeddedServer
from bridge.errors import ConfigError

KEY = "key-0123456789abcdef"
BEARER = ("Authorization", f"Bearer {KEY}")
STREAMS = {
    "main": {"workflow": "solid", "mode": "oneshot"},
    "photo": {"workflow": "photo", "mode": "oneshot"},
    "live": {"workflow": "solid", "mode": "live", "params": {"fill": color(0x445566)}},
}


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


async def _polled(condition):
    """Wait, with a limit, for what wakes nobody: a ping's time, a warning."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_the_committed_certificate_serves_where_there_is_no_openssl(tmp_path):
    async def test():
        pem = COMMITTED / "certificate.pem", COMMITTED / "key.pem"
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port, pem) as proxy:
            backend = {"url": proxy.url, "ca_file": proxy.ca_file}
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[backend]) as rig:
                await up(rig)

    run(test)


def grey(value, side=32):
    file = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(file, "PNG")
    return {"encoded": file.getvalue()}


async def up(rig):
    await rig.until(lambda: bool(rig.bridge.backends_up), "a backend that is up")


async def picture(engine, number):
    """Run `main` with a colour, and wait for that very picture."""
    request = await engine.run(params={"fill": color(number)})
    (answer,) = await engine.finish(request)
    assert answer.outcome == "done", answer
    await engine.frame(lambda frame: frame.header.request == request and frame.number == number)


def warnings(rig):
    return [backend.info()["warning"] for backend in rig.bridge.backends]


@pytest.mark.parametrize(("kind", "way"), [("header", "png"), ("query", "raw"), ("cookie", "png")])
def test_prompts_frames_and_uploads_through_tls_prefix_latency_and_a_key(tmp_path, pem, kind, way, caplog):
    caplog.set_level(logging.DEBUG, "bridge")

    async def test():
        keys = {"ca_file": str(pem[0])}
        options = {"header": BEARER}
        if kind == "header":
            keys["headers"] = dict([BEARER])
        elif kind == "query":
            options = {"query": ("token", KEY)}
        else:
            options = {"header": ("Cookie", f"session={KEY}")}
            path = tmp_path / "cookies.txt"
            path.write_text(f"127.0.0.1\tFALSE\t/\tTRUE\t0\tsession\t{KEY}\n")
            path.chmod(0o600)
            keys["headers_file"] = str(path)
        async with (
            EmbeddedServer() as comfy,
            HostedProxy(comfy.port, pem, prefix="/gpu/7", latency_s=0.12, **options) as proxy,
        ):
            url = f"ws://{proxy.url}/ws" + (f"?token={KEY}" if kind == "query" else "")
            keys["transfer"] = way
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[{"url": url, "remote": True, **keys}]) as rig:
                await up(rig)
                engine = await rig.engine()
                await engine.subscribe()
                await engine.subscribe("photo")
                await picture(engine, 0x010203)
                request = await engine.run("photo", params={"picture": grey(77, 400)})
                assert [answer.outcome for answer in await engine.finish(request)] == ["done"]
                frame = await engine.frame(lambda frame: frame.header.request == request)
                assert frame.pixels[0, 0, 0] == 77
                # Every request carried the key, and there were all kinds of them.
                assert proxy.refused == 0
                asked = {(method, target.partition("?")[0]) for method, target, _ in proxy.requests}
                door = "/gpu/7/upload/image" if way == "png" else "/gpu/7/texbridge/image"
                assert {("POST", "/gpu/7/prompt"), ("POST", door), ("GET", "/gpu/7/ws")} <= asked
                if kind == "query":
                    assert all(f"token={KEY}" in target for _, target, _ in proxy.requests)
                # A cut costs no session and no run.
                before = len(proxy.sockets)
                proxy.cut()
                await rig.until(lambda: len(proxy.sockets) > before and bool(rig.bridge.backends_up), "a new socket")
                await picture(engine, 0x040506)
                # The key is shown nowhere.
                where = f"http://{rig.server.addresses.http}/healthz"
                async with aiohttp.ClientSession() as session, session.get(where) as answer:
                    health = await answer.text()
                assert json.loads(health)["backends"][0]["url"] == proxy.url
                told = health + repr(rig.server.config) + repr(list(rig.bridge.backends)) + caplog.text
                told += repr([backend.address for backend in rig.bridge.backends])
                assert KEY not in told

    run(test)


def test_late_binding_goes_on_with_latency(tmp_path, pem):
    """A live stream behind 100 ms each way goes on, and shows what was set."""

    async def test():
        async with EmbeddedServer(step_delay_ms=20) as comfy, HostedProxy(comfy.port, pem, latency_s=0.1) as proxy:
            backend = {"url": proxy.url, "ca_file": proxy.ca_file, "remote": True}
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[backend]) as rig:
                await up(rig)
                engine = await rig.engine()
                await engine.subscribe("live")
                for number in (0x111111, 0x222222, 0x333333):
                    await engine.set("live", params={"fill": color(number)})
                    await engine.frame(lambda frame, number=number: frame.number == number)

    run(test)


def test_the_round_trip_is_measured_and_told(tmp_path, pem):
    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port, pem, latency_s=0.1) as proxy:
            backend = {"url": proxy.url, "ca_file": proxy.ca_file, "remote": True, "ping_interval_s": 0.05}
            async with AppRig(tmp_path, {}, comfy=False, backend=[{**backend, "pong_timeout_s": 2}]) as rig:
                await up(rig)
                (one,) = rig.bridge.backends
                await _polled(lambda: one.info()["round_trip_ms"] is not None)
                assert one.info()["round_trip_ms"] >= 200
                assert one.info()["counts"]["doubts"] == 0

    run(test)


def test_reconnects_by_itself_when_the_tunnel_stalls_and_is_reset(tmp_path, pem):
    async def test():
        async with (
            EmbeddedServer() as comfy,
            HostedProxy(comfy.port, pem, header=BEARER) as proxy,
            FaultProxy(proxy.port) as tunnel,
        ):
            tunnel.latency_s = 0.05
            backend = {"url": f"https://127.0.0.1:{tunnel.port}", "ca_file": proxy.ca_file, "headers": dict([BEARER])}
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[backend]) as rig:
                await up(rig)
                engine = await rig.engine()
                await engine.subscribe()
                await picture(engine, 1)
                (one,) = rig.bridge.backends
                tunnel.stall()
                request = await engine.run(params={"fill": color(2)})
                await rig.until(lambda: one.state == "doubted", "a doubt")
                tunnel.flow()
                tunnel.reset()
                await rig.until(lambda: one.state == "up", "that it is up again")
                await engine.finish(request)
                await picture(engine, 3)
                assert proxy.refused == 0

    run(test)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ((200, {"Content-Type": "text/html"}, b"<title>Cloud console</title>"), ["'Cloud console'", "not by JSON"]),
        ((302, {"Location": "https://id.example/login?x=1"}, b""), ["login page", "https://id.example/login"]),
        ((403, {"Content-Type": "text/html"}, b"<title>Denied</title>"), ["(403)", "'Denied'"]),
        ((404, {"Content-Type": "text/html"}, b"<h1>Not Found</h1>"), ["404", "prefix"]),
        ((502, {"Content-Type": "text/html"}, b"<title>502</title>"), ["502", "ComfyUI behind it"]),
        ((503, {}, b""), ["503"]),
        ((530, {}, b"error code: 1033"), ["the tunnel is down"]),
    ],
)
def test_a_page_instead_of_comfyui_is_explained_and_waited_out(tmp_path, page, words):
    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port) as proxy:
            proxy.page = page
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[{"url": proxy.url}]) as rig:
                (one,) = rig.bridge.backends
                await _polled(lambda: one.info()["warning"])
                for word in words:
                    assert word in one.info()["warning"]
                proxy.page = None
                await up(rig)

    run(test)


def test_a_wrong_key_and_an_unknown_certificate_are_named(tmp_path, pem):
    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port, pem, header=BEARER) as proxy:
            backends = [
                {"url": proxy.url, "name": "none", "ca_file": proxy.ca_file},
                {
                    "url": proxy.url,
                    "name": "wrong",
                    "ca_file": proxy.ca_file,
                    "headers": {"Authorization": "Bearer no"},
                },
                {"url": proxy.url, "name": "stranger", "headers": dict([BEARER])},
            ]
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=backends) as rig:
                await _polled(lambda: all(warnings(rig)))
                none, wrong, stranger = warnings(rig)
                assert "'Sign in - Acme GPU'" in none
                assert "wants 'Bearer'" in none
                assert "no longer valid" in wrong
                assert "ca_file" in stranger
                assert not rig.bridge.backends_up

    run(test)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"ca_file": "none.pem"}, "none.pem"),
        ({"headers_file": "none.txt"}, "none.txt"),
        ({"headers": {"X-Key": "env:TEXBRIDGE_TEST_NOT_SET"}}, "TEXBRIDGE_TEST_NOT_SET"),
        ({"headers": {"X-Key": "a\nb"}}, "line break"),
    ],
)
def test_a_backend_that_cant_be_used_ends_the_start(tmp_path, keys, words):
    async def test():
        with pytest.raises(ConfigError, match=words):
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[{"url": "http://127.0.0.1:1", **keys}]):
                pass

    run(test)


def test_the_key_goes_to_no_other_host_by_a_redirect(tmp_path):
    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port) as other, HostedProxy(comfy.port) as proxy:
            proxy.page = 307, {"Location": f"{other.url}/prompt"}, b""
            backend = {"url": proxy.url, "headers": dict([BEARER])}
            async with AppRig(tmp_path, STREAMS, comfy=False, backend=[backend]) as rig:
                await _polled(lambda: all(warnings(rig)))
                assert "use that address" in warnings(rig)[0]
                assert not other.requests

    run(test)


def test_near_and_far_have_their_own_times(tmp_path):
    async def test():
        async with AppRig(tmp_path, STREAMS, comfy=False) as rig:
            server: Server = rig.server

            def limits(url, **keys):
                name = f"{url} {keys}"
                return server.backends.add(BackendConfig(url=url, name=name, **keys))._limits

            near, far = limits("http://127.0.0.1:1"), limits("https://gpu.invalid")
            assert near.ping_interval_s < far.ping_interval_s
            assert limits("http://127.0.0.1:1", remote=True) == far
            assert limits("https://gpu.invalid", remote=False) == near
            assert limits("https://gpu.invalid", ping_interval_s=9, pong_timeout_s=8).pong_timeout_s == 8

    run(test)
