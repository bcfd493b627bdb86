"""The HTTP door: pages and pictures, errors, hosts and origins; half-sent and oversized heads by raw sockets."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from link_rig import run

from bridge.errors import BridgeError, ConfigError, ErrorCode, UnknownNameError
from bridge.links.http import HttpDoor
from bridge.links.http_guard import HttpLimits

LIMIT_S = 20.0


def change(limits, **fields):
    """From now on. Until then nothing is cut that a machine which is held up takes long for."""
    for name, value in fields.items():
        object.__setattr__(limits, name, value)


class Pictures:
    """A hub with streams whose pictures the test sets."""

    def __init__(self, *names: str) -> None:
        self.pictures: dict[str, bytes | None] = dict.fromkeys(names)
        self.changed = asyncio.Condition()
        self.ready = False
        self.made = 0
        self.readers = 0
        self.bug = False

    def health(self):
        if self.bug:
            raise ZeroDivisionError
        return {"status": "ok", "streams": len(self.pictures)}

    def readiness(self):
        return self.ready, {"ready": self.ready}

    def metrics(self):
        return "texbridge_ready 1\n"

    def stream_names(self):
        return list(self.pictures)

    async def jpeg(self, name):
        if name not in self.pictures:
            raise UnknownNameError("gone meanwhile", code=ErrorCode.UNKNOWN_STREAM)
        picture = self.pictures[name]
        if picture is None:
            raise BridgeError(f"no picture of {name} yet", code=ErrorCode.NO_IMAGE)
        return picture

    async def jpegs(self, name):
        last = None
        async with self.changed:
            self.readers += 1
            self.changed.notify_all()
        try:
            while True:
                async with self.changed:
                    while self.pictures[name] is last:
                        await self.changed.wait()
                    last = self.pictures[name]
                self.made += 1
                yield last
        finally:
            self.readers -= 1
            async with self.changed:
                self.changed.notify_all()

    async def show(self, name, picture):
        async with self.changed:
            self.pictures[name] = picture
            self.changed.notify_all()


@asynccontextmanager
async def door_of(hub, limits=None, **options):
    door = HttpDoor(hub, limits, **options)
    await door.start("127.0.0.1", 0)
    try:
        yield door
    finally:
        await door.close()


async def connect(door):
    host, _, port = door.address.rpartition(":")
    return await asyncio.open_connection(host.strip("[]"), int(port))


async def finish(writer):
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def read_answer(reader, *, head_only=False):
    """Give status, headers (lower case) and body of one answer."""
    async with asyncio.timeout(LIMIT_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        size = 0 if head_only else int(headers.get("content-length", 0))
        return int(lines[0].split()[1]), headers, await reader.readexactly(size)


async def ask(door, path, method="GET", *lines, host=""):
    reader, writer = await connect(door)
    head = [f"{method} {path} HTTP/1.1", *lines]
    if host is not None:
        head.append(f"Host: {host or door.address}")
    writer.write("".join(line + "\r\n" for line in (*head, "")).encode())
    answer = await read_answer(reader, head_only=method == "HEAD")
    await finish(writer)
    return answer


def test_health_and_readiness():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            status, headers, body = await ask(door, "/healthz")
            assert (status, json.loads(body)) == (200, {"status": "ok", "streams": 1})
            assert headers["content-type"].startswith("application/json")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["server"] == "texbridge"
            status, _, body = await ask(door, "/readyz")
            assert (status, json.loads(body)) == (503, {"ready": False})
            hub.ready = True
            assert (await ask(door, "/readyz"))[0] == 200

    run(test)


def test_a_picture():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            status, _, body = await ask(door, "/streams/main.jpg")
            assert status == 503
            assert json.loads(body)["error"]["name"] == "no_image"
            picture = bytes(range(256)) * 1000
            await hub.show("main", picture)
            status, headers, body = await ask(door, "/streams/main.jpg")
            assert (status, headers["content-type"], body) == (200, "image/jpeg", picture)
            status, headers, body = await ask(door, "/streams/main.jpg", "HEAD")
            assert (status, headers["content-length"], body) == (200, str(len(picture)), b"")

    run(test)


def test_waiting_for_the_first_picture():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            assert (await ask(door, "/streams/main.jpg?wait=0.05"))[0] == 503
            assert hub.readers == 0
            asking = asyncio.create_task(ask(door, "/streams/main.jpg?wait=20"))
            async with asyncio.timeout(LIMIT_S), hub.changed:
                await hub.changed.wait_for(lambda: hub.readers == 1)
            await hub.show("main", b"first")
            assert (await asking)[2] == b"first"
            for bad in ("x", "-1", "31", "nan", "inf", "1e400"):
                status, _, body = await ask(door, f"/streams/main.jpg?wait={bad}")
                assert (status, json.loads(body)["error"]["field"]) == (400, "wait")

    run(test)


@pytest.mark.parametrize("suffix", ["jpg", "mjpg"])
def test_an_unknown_stream_names_the_nearest(suffix):
    async def test():
        async with door_of(Pictures("main", "backdrop")) as door:
            status, _, body = await ask(door, f"/streams/mian.{suffix}")
            error = json.loads(body)["error"]
            assert (status, error["code"], error["name"]) == (404, 203, "unknown_stream")
            assert "did you mean 'main'?" in error["message"]
            assert (await ask(door, "/streams/..%2f..%2fx.jpg"))[0] == 404

    run(test)


@pytest.mark.parametrize("path", ["/nope", "/streams", "/streams/main", "/streams/main.png", "//", "/healthz/"])
def test_an_unknown_path_says_what_there_is(path):
    async def test():
        async with door_of(Pictures("main")) as door:
            status, _, body = await ask(door, path)
            assert status == 404
            assert "/healthz" in json.loads(body)["error"]["message"]

    run(test)


def test_the_index_shows_every_stream_and_loads_nothing_from_elsewhere():
    async def test():
        async with door_of(Pictures("main", "b", "c", "d", "e", "f")) as door:
            status, headers, body = await ask(door, "/")
            page = body.decode()
            assert status == 200
            assert "default-src 'none'" in headers["content-security-policy"]
            assert page.count("<img") == 6
            assert 'src="/streams/main.mjpg"' in page
            assert 'src="/streams/f.jpg"' in page
            assert "http:" not in page
            assert "<script" not in page

    run(test)


async def read_chunk(reader):
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    assert await reader.readline() == b"\r\n"
    return data


class Parts:
    """Reads multipart/x-mixed-replace out of a chunked body."""

    def __init__(self, reader):
        self.reader = reader
        self.held = b""

    async def take(self, marker):
        while marker not in self.held:
            self.held += await read_chunk(self.reader)
        before, _, self.held = self.held.partition(marker)
        return before

    async def picture(self):
        async with asyncio.timeout(LIMIT_S):
            head = await self.take(b"\r\n\r\n")
            assert head.startswith(b"--texbridge-picture\r\nContent-Type: image/jpeg\r\nContent-Length: "), head
            size = int(head.rpartition(b" ")[2])
            while len(self.held) < size + 2 + len("--texbridge-picture\r\n"):  # its end is there at once
                self.held += await read_chunk(self.reader)
            picture, self.held = self.held[:size], self.held[size:]
            assert self.held.startswith(b"\r\n--texbridge-picture\r\n")
            self.held = self.held[2:]
            return picture


async def watch(door, path="/streams/main.mjpg"):
    reader, writer = await connect(door)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {door.address}\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"multipart/x-mixed-replace; boundary=texbridge-picture" in head
    return Parts(reader), writer


def test_live_pictures():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            parts, writer = await watch(door)
            for number in range(5):
                picture = bytes([number]) * (1000 * number + 1)
                await hub.show("main", picture)
                assert await parts.picture() == picture
            status, headers, _ = await ask(door, "/streams/main.mjpg", "HEAD")
            assert (status, headers["content-type"][:25]) == (200, "multipart/x-mixed-replace")
            await finish(writer)
            async with asyncio.timeout(LIMIT_S), hub.changed:
                await hub.changed.wait_for(lambda: hub.readers == 0)  # the viewer that left is noticed

    run(test)


def test_a_slow_viewer_skips_and_sees_the_newest():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            reader, writer = await connect(door)
            reader._transport.pause_reading()
            writer.write(f"GET /streams/main.mjpg HTTP/1.1\r\nHost: {door.address}\r\n\r\n".encode())
            for number in range(200):
                await hub.show("main", bytes([number]) * 1_000_000)
                await asyncio.sleep(0.001)  # pictures at a pace: what is tested is that none piles up
            assert hub.made < 20
            reader._transport.resume_reading()
            await reader.readuntil(b"\r\n\r\n")
            parts = Parts(reader)
            seen = [(await parts.picture())[0]]
            while seen[-1] != 199:
                seen.append((await parts.picture())[0])
            assert seen == sorted(set(seen))
            assert len(seen) == hub.made
            await finish(writer)

    run(test)


def test_a_viewer_that_never_reads_is_cut():
    async def test():
        hub = Pictures("main")
        async with door_of(hub, HttpLimits(stall_timeout_s=0.1)) as door:
            reader, writer = await connect(door)
            reader._transport.pause_reading()
            writer.write(f"GET /streams/main.mjpg HTTP/1.1\r\nHost: {door.address}\r\n\r\n".encode())
            await hub.show("main", bytes(30_000_000))
            async with asyncio.timeout(LIMIT_S), hub.changed:
                await hub.changed.wait_for(lambda: hub.made == 1 and hub.readers == 0)
            assert door.counts["stalled"] == 1
            await finish(writer)

    run(test)


def test_closing_the_door_ends_the_viewers():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            parts, writer = await watch(door)
            await hub.show("main", b"x")
            assert await parts.picture() == b"x"
            idle_reader, idle_writer = await connect(door)
            async with asyncio.timeout(LIMIT_S):
                await door.close()
                assert await idle_reader.read() == b""
            assert hub.readers == 0
            await finish(writer)
            await finish(idle_writer)

    run(test)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("[::1]:{port}", 200),
        ("show.local:8080", 200),
        ("show.local:{port}", 403),
        ("evil.example", 403),
        ("evil.example:{port}", 403),
        ("127.0.0.1", 403),
        (None, 400),
    ],
)
def test_host(host, status):
    async def test():
        async with door_of(Pictures("main"), hosts=["show.local:8080"]) as door:
            name = None if host is None else host.format(port=door.address.rpartition(":")[2])
            got, _, body = await ask(door, "/healthz", host=name)
            assert got == status, body
            if status == 403:
                assert json.loads(body)["error"]["field"] == "Host"

    run(test)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: evil.example"], 400),
        (["Origin: http://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin: http://{address}"], 200),
        (["Origin: https://{address}"], 403),
        (["Origin: http://show.local"], 200),
        (["Origin: http://show.local", "Origin: http://evil.example"], 403),
        (["Content-Length: 5"], 400),
        (["Transfer-Encoding: chunked"], 400),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], 400),
        (["Content-Length: 5", "Content-Length: 6"], 400),
        (["X-Long: " + "a" * 9000], 400),
        (["X-Long: " + "a" * 20_000], 431),
        ([f"X-H{number}: 1" for number in range(300)], 431),
        (["X-\x01: 1"], 400),
    ],
)
def test_bad_heads(lines, status, caplog):
    async def test():
        async with door_of(Pictures("main"), origins=["http://show.local"]) as door:
            lines_here = [line.format(address=door.address) for line in lines]
            got, headers, body = await ask(door, "/healthz", "GET", *lines_here)
            assert got == status, body
            assert headers["content-type"].partition(";")[0] == "application/json"
            if status != 200:
                assert json.loads(body)["error"]["message"]
                assert door.counts[f"http_{status}"] == 1
            assert (await ask(door, "/healthz"))[0] == 200

    run(test)
    assert not caplog.records  # whoever sends it again and again must not fill the log


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "GET /healthz HTTP/9.x",
        "GET /\x01 HTTP/1.1",
        "G\x7fT / HTTP/1.1",
        "\xff\xfe / HTTP/1.1",
    ],
)
def test_a_bad_request_line_is_told_as_json(line, caplog):
    async def test():
        async with door_of(Pictures("main")) as door:
            reader, writer = await connect(door)
            writer.write(line.encode("latin-1") + b"\r\nHost: " + door.address.encode() + b"\r\n\r\n")
            status, headers, body = await read_answer(reader)
            assert status == 400
            assert headers["content-type"].partition(";")[0] == "application/json"
            error = json.loads(body)["error"]
            assert (error["code"], error["name"]) == (411, "not_supported")
            assert error["message"].startswith("the request can't be read: ")
            assert "\n" not in error["message"]
            assert await reader.read() == b""
            assert door.counts["http_400"] == 1
            await finish(writer)

    run(test)
    assert not caplog.records


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_only_get_and_head(method):
    async def test():
        async with door_of(Pictures("main")) as door:
            status, headers, body = await ask(door, "/healthz", method)
            assert (status, headers["allow"]) == (405, "GET, HEAD")
            assert method in json.loads(body)["error"]["message"]

    run(test)


def test_a_fault_of_the_hub_is_500_and_nothing_stops(caplog):
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            hub.bug = True
            status, _, body = await ask(door, "/healthz")
            assert (status, json.loads(body)["error"]["code"]) == (500, 602)
            hub.bug = False
            assert (await ask(door, "/healthz"))[0] == 200

    run(test)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"GET"])
def test_a_half_sent_head_is_cut_by_our_timer(start):
    async def test():
        async with door_of(Pictures("main"), HttpLimits(header_timeout_s=0.2)) as door:
            reader, writer = await connect(door)
            writer.write(start)
            status, _, body = await read_answer(reader)
            assert status == 408
            assert b"0.2 s" in body
            assert await reader.read() == b""
            await finish(writer)

    run(test)


def test_a_trickled_head_is_cut_too_and_a_trickled_good_one_is_served():
    async def test():
        limits = HttpLimits(header_timeout_s=LIMIT_S)
        async with door_of(Pictures("main"), limits) as door:
            reader, writer = await connect(door)
            for byte in f"GET /healthz HTTP/1.1\r\nHost: {door.address}\r\n\r\n".encode():
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert (await read_answer(reader))[0] == 200
            await finish(writer)

            change(limits, header_timeout_s=0.3)
            reader, writer = await connect(door)

            async def trickle():
                writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
                while True:
                    writer.write(b"a")
                    await asyncio.sleep(0.02)  # slower than the limit for a head: that is what is tested

            sending = asyncio.create_task(trickle())
            assert (await read_answer(reader))[0] == 408
            sending.cancel()
            await finish(writer)

    run(test)


def test_keep_alive_and_a_second_half_sent_head():
    async def test():
        limits = HttpLimits(header_timeout_s=LIMIT_S, idle_timeout_s=LIMIT_S)
        async with door_of(Pictures("main"), limits) as door:
            reader, writer = await connect(door)
            request = f"GET /healthz HTTP/1.1\r\nHost: {door.address}\r\n\r\n".encode()
            for _ in range(10):
                writer.write(request)
                assert (await read_answer(reader))[0] == 200
            writer.write(request + request)
            assert [(await read_answer(reader))[0] for _ in range(2)] == [200, 200]
            change(limits, header_timeout_s=0.2)
            writer.write(b"GET /hea")
            assert (await read_answer(reader))[0] == 408
            await finish(writer)

    run(test)


def test_endless_pipelining_is_cut():
    async def test():
        hub = Pictures("main")
        async with door_of(hub) as door:
            reader, writer = await connect(door)
            writer.write(f"GET /streams/main.mjpg HTTP/1.1\r\nHost: {door.address}\r\n\r\n".encode() * 50)
            async with asyncio.timeout(LIMIT_S):
                with suppress(ConnectionError):
                    await reader.read()
            assert door.counts["pipelined"] == 1
            await finish(writer)
            assert (await ask(door, "/healthz"))[0] == 200

    run(test)


def test_half_open_sockets_do_not_lock_anybody_out():
    async def test():
        async with door_of(Pictures("main"), HttpLimits(max_connections_per_address=8)) as door:
            half_open = []
            for _ in range(50):
                _, writer = await connect(door)
                writer.write(b"GET / HT")
                half_open.append(writer)
            for _ in range(5):
                assert (await ask(door, "/healthz"))[0] == 200
            assert door.counts["evicted"] >= 42
            for writer in half_open:
                await finish(writer)

    run(test)


def test_over_the_cap_is_503():
    async def test():
        hub = Pictures("main")
        async with door_of(hub, HttpLimits(max_connections_per_address=2)) as door:
            viewers = [await watch(door) for _ in range(2)]
            status, _, body = await ask(door, "/healthz")
            assert status == 503
            assert "the limit is 2 from one address" in json.loads(body)["error"]["message"]
            await finish(viewers[0][1])
            async with asyncio.timeout(LIMIT_S), hub.changed:
                await hub.changed.wait_for(lambda: hub.readers == 1)
            assert (await ask(door, "/healthz"))[0] == 200
            await finish(viewers[1][1])

    run(test)


@pytest.mark.parametrize(
    "bytes_in",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\0" * 100 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(bytes_in, caplog):
    async def test():
        limits = HttpLimits(header_timeout_s=0.2, idle_timeout_s=0.2)
        async with door_of(Pictures("main"), limits) as door:
            reader, writer = await connect(door)
            writer.write(bytes_in)
            async with asyncio.timeout(LIMIT_S):
                with suppress(ConnectionError):
                    answer = await reader.read()
                    assert answer == b"" or answer.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4")), answer
            await finish(writer)
            change(limits, header_timeout_s=LIMIT_S)
            assert (await ask(door, "/healthz"))[0] == 200

    run(test)
    assert not caplog.records  # whoever sends it again and again must not fill the log


def test_a_taken_port_is_one_clear_line():
    async def test():
        async with door_of(Pictures()) as door:
            with pytest.raises(ConfigError) as caught:
                await HttpDoor(Pictures()).start("127.0.0.1", int(door.address.rpartition(":")[2]))
            assert "is in use by another program" in caught.value.message
            assert "\n" not in caught.value.message
            assert f"http://{door.address}" in door.origins

    run(test)


# --- tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line", "status"),
    [
        ("/healthz", None, 401),
        ("/healthz", "Authorization: Bearer wrong", 401),
        ("/healthz?token=wrong", None, 401),
        ("/healthz", "Authorization: Basic c2VjcmV0", 401),
        ("/healthz", "Authorization: Bearer secret-of-the-show", 200),
        ("/healthz?token=secret-of-the-show", None, 200),
        ("/metrics", None, 401),
        ("/metrics", "Authorization: Bearer secret-of-the-show", 200),
    ],
)
def test_from_another_machine_the_token_is_asked_for(monkeypatch, path, line, status):
    async def test():
        monkeypatch.setattr("bridge.links.http.is_loopback_peer", lambda host: False)
        async with door_of(Pictures("main"), token="secret-of-the-show") as door:
            given, _, body = await ask(door, path, "GET", *([] if line is None else [line]))
            assert given == status
            assert b"secret-of-the-show" not in body

    run(test)


def test_on_this_machine_no_token_is_needed():
    async def test():
        async with door_of(Pictures("main"), token="secret-of-the-show") as door:
            assert (await ask(door, "/healthz"))[0] == 200

    run(test)


def test_the_index_hands_its_token_on_to_its_pictures(monkeypatch):
    async def test():
        monkeypatch.setattr("bridge.links.http.is_loopback_peer", lambda host: False)
        async with door_of(Pictures("main"), token="secret-of-the-show") as door:
            _, _, body = await ask(door, "/?token=secret-of-the-show")
            assert b'src="/streams/main.mjpg?token=secret-of-the-show"' in body

    run(test)
