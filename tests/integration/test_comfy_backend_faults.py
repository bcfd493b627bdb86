"""The backend when ComfyUI or the network goes away: killed, restarted, silent, half open, out of reach."""

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import replace

import pytest
from aiohttp import web
from backend_listener import FAST, SOON_IN_DOUBT, Listener, backend_at, graph
from fault_proxy import FaultProxy
from ports import ReservedPort
from scripted_comfy import ScriptedComfy

from bridge.backends import comfy_socket
from bridge.backends.address import parse_address
from bridge.backends.comfy import ComfyBackend
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.comfy_socket import open_socket
from bridge.backends.faults import AccessRefused, BackendCut, BackendGone, BackendSilent, WrongAnswer
from bridge.backends.pool import BackendPool
from bridge.backends.records import BackendProgress, BackendWarning
from bridge.embedded.server import EmbeddedServer
from bridge.errors import ConfigError, ErrorCode
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptLost,
    AttemptPosted,
    AttemptStarted,
    AttemptWithdrawn,
    BackendDoubted,
    BackendDown,
    BackendRemoved,
    BackendUp,
)

PROMPT = graph()
OUT = {"9": 0}


def proxied(scenario, *, limits=FAST, **options):
    """Run `scenario(comfy, proxy, backend, listener)` with a backend at a scripted server behind a fault proxy."""

    async def run():
        async with (
            ScriptedComfy(**options) as comfy,
            FaultProxy(comfy.port) as proxy,
            backend_at(proxy.url, limits=limits) as (backend, listener),
        ):
            await scenario(comfy, proxy, backend, listener)

    asyncio.run(run())


# --- away and back ---------------------------------------------------------------------------------------------


SERVER = """
import asyncio, sys
from bridge.embedded.server import EmbeddedServer

async def serve():
    async with EmbeddedServer(port=int(sys.argv[1]), step_delay_ms=float(sys.argv[2])) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(serve())
"""


@contextlib.asynccontextmanager
async def server_process(port=0, delay_ms=0.0):
    """The embedded server in a process of its own: (port, process)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(port), str(delay_ms), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield int(line), process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()


def test_killed_in_the_middle_and_restarted_at_the_same_port():
    """Trap 7: queue and history are gone with the process."""

    async def scenario():
        with ReservedPort() as port:
            await killed(port)

    async def killed(port):
        async with (
            server_process(port, delay_ms=30_000) as (_, process),
            backend_at(f"127.0.0.1:{port}") as (backend, listener),
        ):
            backend.submit(1, graph(1), OUT)
            await listener.one(AttemptStarted, 1)
            backend.submit(2, graph(2), OUT)
            await listener.one(AttemptPosted, 2)
            process.kill()
            for number in (1, 2):
                assert await listener.end_of(number) == AttemptLost(number)
            await listener.one(BackendDown)
            assert listener.lives() == ["BackendUp", "BackendDoubted", "BackendDown"]
            assert backend.state == "down"
            await process.wait()
            async with server_process(port=port):
                await listener.many(BackendUp, 2)
                backend.submit(3, graph(3), OUT)
                assert await listener.end_of(3) == AttemptEnded(3)
                listener.assert_one_end_each(1, 2, 3)

    asyncio.run(scenario())


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
def test_stopped_and_continued():
    """ComfyUI hangs, then goes on: the work it had in hand arrives."""

    async def scenario():
        async with (
            server_process(delay_ms=300) as (port, process),
            backend_at(f"127.0.0.1:{port}", limits=SOON_IN_DOUBT) as (backend, listener),
        ):
            for number in (1, 2):
                backend.submit(number, graph(number), OUT)
            await listener.one(AttemptStarted, 1)
            process.send_signal(signal.SIGSTOP)
            await listener.one(BackendDoubted)
            process.send_signal(signal.SIGCONT)
            for number in (1, 2):
                assert await listener.end_of(number) == AttemptEnded(number)
                assert len(listener.pictures(number)) == 1
            await listener.many(BackendUp, 2)

    asyncio.run(scenario())


def test_nobody_there_is_told_once_and_waited_for():
    async def scenario():
        with ReservedPort() as port:
            await come_late(port)

    async def come_late(port):
        async with backend_at(f"http://127.0.0.1:{port}", up=False) as (backend, listener):
            warning = await listener.one(BackendWarning)
            assert warning.code is ErrorCode.BACKEND_UNAVAILABLE
            assert str(port) in warning.message
            backend.submit(1, PROMPT, OUT)
            assert listener.of(AttemptLost) == []  # nothing from within submit
            assert await listener.end_of(1) == AttemptLost(1)
            comfy = ScriptedComfy()
            comfy.port = port
            async with comfy:
                await listener.one(BackendUp)
                backend.submit(2, PROMPT, OUT)
                assert await listener.end_of(2) == AttemptEnded(2)
                assert len(listener.of(BackendWarning)) == 1
            await listener.one(BackendDown)

    asyncio.run(scenario())


def test_localhost_finds_whichever_loopback_listens():
    async def scenario():
        async with EmbeddedServer() as server, backend_at(f"localhost:{server.port}/") as (backend, listener):
            backend.submit(1, PROMPT, OUT)
            assert await listener.end_of(1) == AttemptEnded(1)
        try:
            six = EmbeddedServer(host="::1")
            await six.start()
        except OSError:
            pytest.skip("no IPv6 loopback here")
        try:
            resolved = {entry[4][0] for entry in socket.getaddrinfo("localhost", six.port, type=socket.SOCK_STREAM)}
            for host in ["[::1]", *(["localhost"] if "::1" in resolved else [])]:
                url = f"http://{host}:{six.port}"
                async with backend_at(url) as (backend, listener):
                    backend.submit(1, PROMPT, OUT)
                    assert await listener.end_of(1) == AttemptEnded(1)
        finally:
            await six.close()

    asyncio.run(scenario())


def test_restarted_while_the_network_hid_it():
    """Ids that neither /queue nor /history knows are lost, and what stays unknown is not posted again by us."""

    async def scenario(comfy, proxy, backend, listener):
        comfy.finish_gate.clear()
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        await listener.one(AttemptPosted, 2)
        proxy.stall()
        comfy.pending, comfy.history = [], {}
        comfy.running.prompt_id = "somebody-else"
        await listener.one(BackendDoubted)
        proxy.reset()
        proxy.flow()
        for number in (1, 2):
            assert await listener.end_of(number) == AttemptLost(number)
        await listener.many(BackendUp, 2)
        assert len(comfy.posts) == 2
        comfy.open_gates()
        backend.submit(3, PROMPT, OUT)
        assert await listener.end_of(3) == AttemptEnded(3)

    proxied(scenario, limits=SOON_IN_DOUBT)


# --- silence ---------------------------------------------------------------------------------------------------


def test_a_stall_of_everything_is_a_doubt_and_loses_nothing():
    """ComfyUI's loop stands still while it loads a checkpoint: nothing fails, nothing is posted again."""

    async def scenario(comfy, proxy, backend, listener):
        comfy.finish_gate.clear()
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        await listener.one(AttemptPosted, 2)
        (client_id,) = comfy.sockets
        proxy.stall()
        await listener.one(BackendDoubted)
        backend.submit(3, PROMPT, OUT)  # a POST into the stall waits for its end
        # Longer than every limit but the doubt's.
        with contextlib.suppress(AssertionError):
            await listener.one(BackendDown, limit_s=2.5)
        assert listener.lives() == ["BackendUp", "BackendDoubted"]
        assert backend.away_since is not None  # what a restart command goes by
        proxy.flow()
        await listener.many(BackendUp, 2)
        assert backend.away_since is None
        comfy.open_gates()
        for number in (1, 2, 3):
            assert await listener.end_of(number) == AttemptEnded(number)
            assert len(listener.pictures(number)) == 1
        assert len(comfy.posts) == 3
        assert list(comfy.sockets) == [client_id]

    proxied(scenario, limits=SOON_IN_DOUBT)


def test_silence_past_the_limit_takes_it_down():
    async def scenario(comfy, proxy, backend, listener):
        comfy.finish_gate.clear()
        backend.submit(1, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        proxy.stall()
        assert await listener.end_of(1) == AttemptLost(1)
        await listener.one(BackendDown)
        assert listener.lives() == ["BackendUp", "BackendDoubted", "BackendDown"]
        proxy.flow()
        # Back again: what was given up is removed there, or it would run for nobody.
        await listener.many(BackendUp, 2)
        await comfy.until(lambda: comfy.running is None and not comfy.pending, "end of the orphan")
        assert "POST /interrupt" in comfy.paths()
        comfy.open_gates()
        backend.submit(2, PROMPT, OUT)
        assert await listener.end_of(2) == AttemptEnded(2)
        listener.assert_one_end_each(1)

    proxied(scenario, limits=replace(SOON_IN_DOUBT, doubt_timeout_s=1.0))


def test_a_half_open_socket_is_replaced_while_http_answers(caplog):
    caplog.set_level("INFO", "bridge.backends")

    async def scenario(comfy, proxy, backend, listener):
        comfy.finish_gate.clear()
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        await listener.one(AttemptPosted, 2)
        (old,) = comfy.sockets
        proxy.stall(sockets_only=True)
        await listener.one(BackendDoubted)
        proxy.flow()
        proxy.reset(sockets_only=True)
        await listener.many(BackendUp, 2)
        assert await listener.end_of(2) == AttemptLost(2)  # waiting under the old client id: deleted
        assert comfy.pending == []
        assert old not in comfy.sockets
        assert listener.of(AttemptLost) == [AttemptLost(2)]  # the running one is waited for
        comfy.open_gates()
        assert await listener.end_of(1) == AttemptLost(1)
        assert "POST /interrupt" not in comfy.paths()
        assert [line for line in caplog.messages if " is back after " in line]

    proxied(scenario, limits=SOON_IN_DOUBT)


def test_a_socket_that_stays_half_open_does_not_stop_the_bridge():
    async def scenario(comfy, proxy, backend, listener):
        proxy.stall(sockets_only=True)
        await listener.one(BackendDoubted)
        await listener.one(BackendDown)
        assert backend.state == "down"
        proxy.flow()
        await listener.many(BackendUp, 2)
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptEnded(1)

    proxied(scenario, limits=replace(SOON_IN_DOUBT, open_timeout_s=0.3, doubt_timeout_s=1.0))


def test_a_running_prompt_that_fails_while_blind_tells_why():
    async def scenario(comfy, proxy, backend, listener):
        async def fail(comfy, item):
            await comfy.tell(item, "execution_start")
            await comfy.finish_gate.wait()
            return "execution_error", {
                "node_id": "3",
                "node_type": "X",
                "exception_type": "E",
                "exception_message": "m",
            }

        comfy.script = fail
        comfy.finish_gate.clear()
        backend.submit(1, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        proxy.reset(sockets_only=True)
        await listener.many(BackendUp, 2)
        comfy.open_gates()
        ended = await listener.end_of(1)
        assert ended.error.message == "node 3 (X) failed: E: m"

    proxied(scenario)


def test_withdraw_of_blind_prompts():
    async def scenario(comfy, proxy, backend, listener):
        comfy.finish_gate.clear()
        for number in (1, 2):
            backend.submit(number, PROMPT, OUT)
        await listener.one(AttemptStarted, 1)
        await listener.one(AttemptPosted, 2)
        proxy.reset(sockets_only=True)
        backend.withdraw(1)
        backend.withdraw(2)
        assert await listener.end_of(2) == AttemptWithdrawn(2)
        assert await listener.end_of(1) == AttemptEnded(1)
        await comfy.until(lambda: comfy.running is None)

    proxied(scenario)


def test_success_that_was_seen_before_the_cut_counts():
    async def scenario(comfy, proxy, backend, listener):
        original = comfy.tell

        async def told(item, kind, **data):
            await original(item, kind, **data)
            if kind == "execution_success":
                await original(item, "progress", value=1, max=1, node="9")  # shows that success was read before it
                await listener.many(BackendProgress, 2)
                proxy.reset(sockets_only=True)

        comfy.tell = told
        backend.submit(1, PROMPT, OUT)
        assert await listener.end_of(1) == AttemptEnded(1)
        assert len(listener.pictures(1)) == 1

    proxied(scenario)


def test_cuts_at_every_moment_leave_one_end_each():
    async def scenario(comfy, proxy, backend, listener):
        for number in range(24):
            await listener.until(lambda: backend.state == "up", "up")
            backend.submit(number, PROMPT, OUT)
            if number % 4 == 1:
                await comfy.until(lambda: len(comfy.posts) > 0)
            elif number % 4 == 2:
                await asyncio.sleep(0.002)  # somewhere between: which moment doesn't matter, every one must end well
            elif number % 4 == 3:
                await listener.one((AttemptPosted, AttemptLost), number)
            proxy.reset()
            if number % 5 == 0:
                backend.withdraw(number)
            await listener.end_of(number)
            await listener.until(lambda: backend.state == "up", "up")
        listener.assert_one_end_each(*range(24))

    proxied(scenario)


def test_sockets_that_end_at_once_are_not_opened_in_a_rush():
    async def scenario(comfy, proxy, backend, listener):
        original = comfy._socket

        async def brief(request):
            asyncio.get_running_loop().call_later(0.01, request.transport.abort)
            return await original(request)

        comfy._socket = brief
        proxy.reset(sockets_only=True)
        await listener.many(BackendUp, 6)
        comfy._socket = original
        proxy.reset(sockets_only=True)
        backend_ups = len(listener.of(BackendUp))
        await listener.many(BackendUp, backend_ups + 1)
        backend.submit(1, PROMPT, OUT)
        assert isinstance(await listener.end_of(1), AttemptEnded | AttemptLost)

    proxied(scenario)


# --- doors that don't open -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"), [(401, "refuses access (401)"), (403, "token or password"), (500, "500"), (302, "elsewhere")]
)
def test_a_door_that_refuses_is_told_with_words_and_tried_again(status, words):
    async def scenario():
        async with ScriptedComfy() as comfy:
            headers = {"Location": "https://other.example/?token=abc"} if status == 302 else {}
            comfy.answers[("GET", "/prompt")] = lambda _: web.Response(status=status, headers=headers)
            async with backend_at(comfy.url, up=False, headers={"Authorization": "Bearer s3cret"}) as (_, listener):
                warning = await listener.one(BackendWarning)
                assert words in warning.message
                assert "s3cret" not in warning.message
                assert "abc" not in warning.message
                comfy.answers.clear()
                await listener.one(BackendUp)
                # Later the socket alone is refused: doubt, then down, not a loop of doubts.
                comfy.answers[("GET", "/ws")] = lambda _: web.Response(status=status, headers=headers)
                await next(iter(comfy.sockets.values())).close()
                await listener.one(BackendDown)

    asyncio.run(scenario())


def test_a_peer_that_negotiates_compression_is_refused():
    async def deflate(reader, writer):
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        accepted = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        accept = base64.b64encode(accepted).decode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n".encode()
        )
        await writer.drain()
        await reader.read()
        writer.close()

    async def scenario():
        server = await asyncio.start_server(deflate, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(WrongAnswer):
                await opened(f"ws://127.0.0.1:{port}/ws?clientId=a")

    asyncio.run(scenario())


def opened(url, timeout_s=1.0):
    return open_socket(url, {}, open_timeout_s=timeout_s, max_message_bytes=1 << 20, tls=None)


def test_opening_a_socket_fails_by_kind():
    async def scenario():
        async with ScriptedComfy() as comfy:
            url = f"ws://127.0.0.1:{comfy.port}/ws?clientId=a"
            for status, error in ((401, AccessRefused), (404, WrongAnswer), (302, WrongAnswer)):
                headers = {"Location": url} if status == 302 else {}
                comfy.answers[("GET", "/ws")] = lambda _, s=status, h=headers: web.Response(status=s, headers=h)
                with pytest.raises(error):
                    await opened(url)
            async with FaultProxy(comfy.port) as proxy:
                proxy.stall()
                with pytest.raises(BackendCut):
                    await opened(f"ws://127.0.0.1:{proxy.port}/ws?clientId=a", timeout_s=0.2)
            closed_port = comfy.port
        with pytest.raises(BackendGone):
            await opened(f"ws://127.0.0.1:{closed_port}/ws")
        with pytest.raises(BackendCut):
            await opened("ws://no-such-host.invalid/ws")
        # No way there is no word from there: a network that is cut may come back.
        async with ComfyHttp(parse_address("http://no-such-host.invalid"), FAST) as http:
            with pytest.raises(BackendSilent, match="no way to"):
                await http.probe()

    asyncio.run(scenario())


def test_answers_are_bounded_in_size():
    async def scenario():
        async with ScriptedComfy() as comfy:
            limits = replace(FAST, max_answer_bytes=1000)
            async with ComfyHttp(parse_address(comfy.url), limits) as http:

                async def chunked(request):
                    response = web.StreamResponse()
                    await response.prepare(request)
                    with contextlib.suppress(ConnectionError):
                        for _ in range(1000):
                            await response.write(b"x" * 1000)
                    return response

                for handler in (lambda _: web.Response(text="x" * 2000), chunked):
                    comfy.answers[("GET", "/queue")] = handler
                    with pytest.raises(WrongAnswer, match="over 1000 bytes"):
                        await http.queue()
                for text in ("{}", '{"queue_running": [[1]], "queue_pending": []}', "[" * 500):
                    comfy.answers[("GET", "/queue")] = lambda _, text=text: web.Response(text=text)
                    with pytest.raises(WrongAnswer):
                        await http.queue()

    asyncio.run(scenario())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate for this test")
def test_https_with_prefix_and_basic_login(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OPENSSL_CONF": os.devnull})
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)
    client_side = ssl.create_default_context(cafile=str(certificate))

    async def scenario():
        async with ScriptedComfy(prefix="/gpu", tls=server_side) as comfy:
            url = comfy.url.replace("https://", "https://ann:pw@") + "/"
            async with backend_at(url, tls=client_side) as (backend, listener):
                backend.submit(1, PROMPT, OUT)
                assert await listener.end_of(1) == AttemptEnded(1)
                assert len(listener.pictures(1)) == 1
                assert all(headers["Authorization"] == "Basic YW5uOnB3" for _, headers in comfy.requests)
                assert "pw" not in str(backend.info())
            async with backend_at(comfy.url, up=False) as (backend, listener):
                warning = await listener.one(BackendWarning)
                assert "certificate" in warning.message.lower()

    asyncio.run(scenario())


# --- the pool --------------------------------------------------------------------------------------------------


def test_the_pool_adds_starts_removes_and_closes():
    async def scenario():
        listener = Listener()
        pool = BackendPool(listener)
        async with EmbeddedServer() as first, EmbeddedServer() as second:
            pool.add("one", first.url, limits=FAST)
            pool.start()
            pool.add("two", second.url, limits=FAST)
            with pytest.raises(ConfigError, match="'two'"):
                pool.add("two", second.url)
            await listener.many(BackendUp, 2)
            assert {backend.name for backend in pool} == {"one", "two"}
            assert (len(pool), pool.get("three")) == (2, None)
            pool.get("two").submit(1, PROMPT, OUT)
            assert await listener.end_of(1) == AttemptEnded(1)
            await pool.remove("two")
            await pool.remove("two")
            assert listener.records[-1] == BackendRemoved("two")
            pool.get("one").submit(2, PROMPT, OUT)
            assert await listener.end_of(2) == AttemptEnded(2)
            await pool.close()
            assert pool.get("one").state == "closed"

    asyncio.run(scenario())


def test_a_fault_of_our_own_does_not_end_the_backend(caplog):
    async def scenario():
        async with ScriptedComfy() as comfy:
            listener = Listener()
            calls = []

            async def opener(*arguments, **options):
                calls.append(1)
                if len(calls) == 1:
                    raise RuntimeError("unforeseen")
                return await comfy_socket.open_socket(*arguments, **options)

            backend = ComfyBackend("one", comfy.url, on_event=listener, limits=FAST, opener=opener)
            backend.start()
            try:
                await listener.one(BackendUp)
            finally:
                await backend.close()

    asyncio.run(scenario())
    assert "unforeseen" in caplog.text
