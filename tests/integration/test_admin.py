"""Backends at run time: `/admin/backends` over real sockets, who may and who may not, and `texbridge backends`."""

import asyncio
import io
import json

import aiohttp
import pytest
from admin_rig import JSON, asking
from app_rig import AppRig, color, run
from cli_rig import Home, one_line
from hosted_proxy import HostedProxy, certificate

from bridge.app.lan import lan_addresses
from bridge.embedded import EmbeddedServer
from bridge.links.http_body import MAX_BODY_BYTES

KEY = "key-0123456789abcdef"
TOKEN = "token-0123456789abcdef"


def test_added_used_replaced_and_removed_while_running(tmp_path):
    async def test():
        async with (
            EmbeddedServer() as first,
            EmbeddedServer() as second,
            AppRig(tmp_path, comfy=False, search={"places": []}) as rig,
            asking(rig) as ask,
        ):
            assert await ask("GET") == (200, {"backends": []})
            engine = await rig.engine()
            await engine.subscribe()
            waiting = await engine.run(params={"fill": color(1)})
            body = {"url": f" ws://{first.url}/ws ", "name": "tunnel", "headers": {"X-Key": KEY}}
            status, answer = await ask("POST", body=body)
            assert status == 201
            assert (answer["added"]["name"], answer["added"]["url"]) == ("tunnel", first.url)
            assert any("/ws" in note for note in answer["added"]["notes"])
            assert KEY not in str(answer)
            assert [answer.outcome for answer in await engine.finish(waiting)] == ["done"]

            status, answer = await ask("POST", body={"url": second.url, "name": "tunnel"})
            assert status == 400
            assert "--replace" in answer["error"]["message"]
            status, answer = await ask("POST", body={"url": first.url, "name": "other"})
            assert "already, as 'tunnel'" in answer["error"]["message"]

            status, answer = await ask("POST", body={"url": second.url, "name": "tunnel", "replace": True})
            assert (status, answer["added"]["url"]) == (201, second.url)
            request = await engine.run(params={"fill": color(2)})
            assert [answer.outcome for answer in await engine.finish(request)] == ["done"]

            status, answer = await ask("DELETE", "/admin/backends/tunnel")
            assert (status, answer["removed"]["url"]) == (200, second.url)
            assert await ask("GET") == (200, {"backends": []})
            assert not rig.bridge.backends_up
            status, answer = await ask("DELETE", "/admin/backends/tunnel")
            assert (status, answer["error"]["code"]) == (404, 207)

    run(test)


def test_what_runs_at_a_removed_one_is_asked_elsewhere(tmp_path):
    async def test():
        async with EmbeddedServer() as second, AppRig(tmp_path) as rig, asking(rig) as ask:
            engine = await rig.engine()
            await engine.subscribe()
            rig.gate.shut()
            request = await engine.run(params={"fill": color(7)})
            await rig.begun(1)
            await ask("POST", body={"url": second.url, "name": "second"})
            await rig.until(lambda: "second" in rig.bridge.backends_up, "the second")
            removing = asyncio.ensure_future(ask("DELETE", "/admin/backends/comfy"))
            assert [answer.outcome for answer in await engine.finish(request)] == ["done"]
            rig.gate.open()
            assert (await removing)[0] == 200

    run(test)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "can't be read"),
        (b"{", "can't be read"),
        (b"[" * 5000, "can't be read"),
        ({}, "url"),
        ({"url": 1}, "url"),
        ({"url": "x", "headers_file": "/etc/passwd"}, "headers_file"),
        ({"url": f"ftp://ann:{KEY}@host"}, "http://host:port"),
        ({"url": f"http://host:99999/?token={KEY}"}, "Port out of range"),
        ({"url": "host", "headers": {"X-Key": f"{KEY}\r\nX: 1"}}, "line break"),
        ({"url": "host", "ca": "nonsense"}, "certificate"),
        ({"url": "host", "name": "a\nb"}, "name"),
        ({"url": "host", "name": "x" * 201}, "name"),
    ],
)
def test_bad_bodies_change_nothing_and_show_no_secret(tmp_path, body, words):
    async def test():
        async with AppRig(tmp_path) as rig, asking(rig) as ask:
            status, answer = await ask("POST", body=body)
            assert status == 400
            assert words in answer["error"]["message"]
            assert KEY not in str(answer)
            assert [one["name"] for one in (await ask("GET"))[1]["backends"]] == ["comfy"]

    run(test)


def test_nothing_of_the_bridges_machine_can_be_sent_away(tmp_path, monkeypatch):
    """A variable's name stays a word: only configuration and command line read the environment."""
    monkeypatch.setenv("TEXBRIDGE_TEST_SECRET", KEY)

    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port) as proxy, AppRig(tmp_path) as rig:
            async with asking(rig) as ask:
                headers = {"X-Key": "env:TEXBRIDGE_TEST_SECRET"}
                await ask("POST", body={"url": proxy.url, "name": "far", "headers": headers})
                await rig.until(lambda: "far" in rig.bridge.backends_up, "the new one")
            assert {request[2]["x-key"] for request in proxy.requests} == {"env:TEXBRIDGE_TEST_SECRET"}

    run(test)


REFUSED = {
    "another name": ({"Host": "gpu.example"}, 403),
    "a page": ({"Origin": "http://evil.example"}, 403),
    "null": ({"Origin": "null"}, 403),
    "a browser without an origin": ({"Sec-Fetch-Site": "same-origin"}, 403),
    "a proxy": ({"X-Forwarded-For": "203.0.113.9"}, 403),
    "a proxy that tells the host alone": ({"X-Forwarded-Host": "words.example"}, 403),
    "another proxy": ({"Forwarded": "for=203.0.113.9"}, 403),
    "no JSON": ({"Content-Type": "text/plain"}, 415),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_may_not(tmp_path, case):
    headers, expected = REFUSED[case]

    async def test():
        async with AppRig(tmp_path) as rig, asking(rig) as ask:
            status, answer = await ask("POST", body={"url": "http://127.0.0.1:9"}, **headers)
            assert (status, "message" in answer["error"]) == (expected, True)
            assert len(rig.bridge.backends) == 1

    run(test)


def test_our_own_page_may_not_either(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig, asking(rig) as ask:
            own = f"http://{rig.server.addresses.http}"
            assert (await ask("POST", body={"url": "http://127.0.0.1:9"}, Origin=own))[0] == 403
            assert (await ask("GET", "/readyz", Origin=own))[0] == 200

    run(test)


def test_a_configured_name_is_for_pictures_alone(tmp_path):
    """A reverse proxy on this machine comes from loopback too."""

    async def test():
        async with AppRig(tmp_path, link={"hosts": ["show.example:80"]}) as rig, asking(rig) as ask:
            assert (await ask("GET", "/healthz", Host="show.example:80"))[0] == 200
            assert (await ask("GET", Host="show.example:80"))[0] == 403

    run(test)


@pytest.mark.skipif(not lan_addresses(), reason="this machine has no address beyond loopback")
def test_not_from_the_network_even_with_the_token(tmp_path):
    async def test():
        doors = {"http": {"listen": "0.0.0.0:0"}, "link": {"token": TOKEN}}
        async with AppRig(tmp_path, **doors) as rig, asking(rig, Authorization=f"Bearer {TOKEN}") as ask:
            assert (await ask("GET", "/healthz", at=lan_addresses()[0]))[0] == 200
            assert (await ask("GET", at=lan_addresses()[0]))[0] == 403
            assert (await ask("GET"))[0] == 200

    run(test)


def test_the_token_is_needed_from_loopback_too(tmp_path):
    async def test():
        async with AppRig(tmp_path, link={"token": TOKEN}) as rig, asking(rig) as ask:
            assert (await ask("GET", "/healthz"))[0] == 200
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
                status, answer = await ask("GET", **headers)
                assert (status, answer["error"]["name"]) == (401, "bad_token")
            assert (await ask("GET", f"/admin/backends?token={TOKEN}"))[0] == 401
            assert (await ask("GET", Authorization=f"bearer {TOKEN}"))[0] == 200

    run(test)


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PUT", "/admin/backends", None, 405),
        ("HEAD", "/healthz", None, 200),
        ("DELETE", "/admin/backends", None, 405),
        ("GET", "/admin/else", None, 404),
        ("GET", "/admin/backends", b"x", 400),
        ("POST", "/healthz", b"{}", 405),
        ("POST", "/admin/backends", b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_methods_paths_and_sizes(tmp_path, method, path, body, expected):
    async def test():
        async with AppRig(tmp_path) as rig, aiohttp.ClientSession() as session:
            url = f"http://{rig.server.addresses.http}{path}"
            async with session.request(method, url, data=body, headers=JSON if body else {}) as answer:
                assert answer.status == expected

    run(test)


def test_a_body_in_pieces_and_one_that_is_longer_than_it_says(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            host, _, port = rig.server.addresses.http.rpartition(":")
            head = f"POST /admin/backends HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            body = b'{"url": "http://127.0.0.1:9", "name": "a"}'
            chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
            for data in (
                f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"GET /admin/backends HTTP/1.1\r\n\r\n",
                f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked.replace(b"a", b"b"),
            ):
                reader, writer = await asyncio.open_connection(host, int(port))
                for start in range(0, len(data), 7):
                    writer.write(data[start : start + 7])
                    await writer.drain()
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 201 ") or b"HTTP/1.1 400" in answer
                assert answer.count(b"HTTP/1.1 ") == 1
                writer.close()
                await writer.wait_closed()

    run(test)


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 20_000, 200_000, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_gets_its_answer(tmp_path, size, chunked):
    async def in_chunks(data):
        for start in range(0, len(data), 4096):
            yield data[start : start + 4096]

    async def test():
        async with AppRig(tmp_path) as rig, aiohttp.ClientSession(headers=JSON) as session:
            url, data = f"http://{rig.server.addresses.http}/admin/backends", b"x" * size
            async with session.post(url, data=in_chunks(data) if chunked else io.BytesIO(data)) as answer:
                error = (await answer.json())["error"]
                assert (answer.status, error["name"]) == (413, "not_supported")
                assert str(MAX_BODY_BYTES) in error["message"]

    run(test)


@pytest.mark.parametrize("piece", [1, 1000, MAX_BODY_BYTES])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_up_to_the_limit_is_read(tmp_path, piece, chunked):
    async def in_chunks(data):
        for start in range(0, len(data), piece):
            yield data[start : start + piece]

    async def test():
        async with AppRig(tmp_path) as rig, aiohttp.ClientSession(headers=JSON) as session:
            url = f"http://{rig.server.addresses.http}/admin/backends"
            data = b'{"url": "http://127.0.0.1:9", "name": "a"}'.ljust(MAX_BODY_BYTES)
            async with session.post(url, data=in_chunks(data) if chunked else data) as answer:
                assert answer.status == 201, await answer.text()

    run(test)


# --- the command -----------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def http_port(home):
    with home.serve() as running:
        yield running.addresses["http"]


def test_the_command_lists_adds_and_removes(home, http_port):
    where = ("--http", http_port)
    assert "none" in home.run("backends", "list", *where).out
    with home.start("embedded", "--port", "0") as embedded:
        url = next(word for word in embedded.line().split() if word.startswith("http"))
        done = home.run("backends", "add", f"'{url}/#/'", "--name", "tunnel", *where)
        assert done.code == 0, done
        assert done.out.startswith("up "), done
        assert "left out what followed #" in done.err
        (told,) = json.loads(home.run("backends", "list", "--json", *where).out)
        assert (told["name"], told["state"], told["url"]) == ("tunnel", "up", url)
        again = home.run("backends", "add", url, "--name", "tunnel", *where)
        assert (again.code, "--replace" in one_line(again.err)) == (2, True)
        assert home.run("backends", "add", url, "--name", "tunnel", "--replace", *where).code == 0
        assert "removed tunnel" in home.run("backends", "remove", "tunnel", *where).out
    assert home.run("backends", "remove", "tunnel", *where).code == 2


def test_the_command_says_why_one_does_not_come_up(home, http_port):
    done = home.run("backends", "add", "http://127.0.0.1:9", "--http", http_port)
    assert done.code == 1
    assert "nobody answers at http://127.0.0.1:9" in done.out


def test_the_command_reads_keys_and_certificates_here_and_shows_none(home, http_port, tmp_path):
    pem = certificate(tmp_path)

    async def proxied():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port, pem, header=("X-Key", KEY)) as proxy:
            words = ["backends", "add", proxy.url, "--comfy-ca-file", pem[0], "--http", http_port]
            words += ["--comfy-header", "X-Key: env:GPU_KEY"]
            done = await asyncio.to_thread(home.run, *words, GPU_KEY=KEY)
            listed = await asyncio.to_thread(home.run, "backends", "list", "--json", "--http", http_port)
            return done, listed

    done, listed = asyncio.run(proxied())
    assert done.code == 0, done
    assert KEY not in str(done) + str(listed)


def test_the_command_without_a_bridge_or_with_something_else_there(home):
    done = home.run("backends", "list", "--http", "127.0.0.1:9")
    assert (done.code, "texbridge serve" in one_line(done.err)) == (1, True)
    with home.start("embedded", "--port", "0") as embedded:
        port = embedded.line().split("http://127.0.0.1:")[1].split()[0]
        done = home.run("backends", "list", "--http", f"127.0.0.1:{port}")
        assert done.code in (1, 2)
        one_line(done.err)
    assert home.run("backends", "list", TEXBRIDGE_HTTP_LISTEN="").code == 2
    done = home.run("backends", "list", "--http", "192.0.2.1:9480")
    assert (done.code, "own machine" in one_line(done.err)) == (2, True), "not asked at 127.0.0.1 in its place"
    assert home.run("backends", "add", "ftp://x").code == 2
    assert home.run("backends").code == 2
