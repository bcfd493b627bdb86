"""`texbridge osc monitor` as a process: beside a running bridge, alone, and where neither is possible."""

import contextlib
import json
import socket
import threading

import pytest
from cli_rig import FREE, LIMIT_S, Home

from bridge.app.config.config import Config
from bridge.cli import osc
from bridge.codec.osc import encode_osc_message


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def sender():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender


def send(sender, target, address, *arguments):
    host, _, port = target.rpartition(":")
    sender.sendto(encode_osc_message(address, *arguments), (host, int(port)))


def test_beside_a_running_bridge(home, sender):
    with home.serve("--embedded") as bridge:
        with home.start("osc", "monitor", "--json", "--http", bridge.addresses["http"]) as watching:
            assert json.loads(watching.line()) == {"listening": True, "streams": ["main"]}
            send(sender, bridge.addresses["osc"], "/texbridge/main/blur/norm", 1.0)
            entry = json.loads(watching.line())
            assert entry["address"] == "/texbridge/main/blur/norm"
            assert entry["sender"].endswith(f":{sender.getsockname()[1]}")
            assert (entry["tags"], entry["arguments"]) == ("f", [1.0])
            (meaning,) = entry["meaning"]
            assert meaning.startswith("main: blur = ")
            send(sender, bridge.addresses["osc"], "/texbridge/main/blurr", 1.0)
            error = json.loads(watching.line())["error"]
            assert (error["code"], error["nearest"]) == (204, "/texbridge/main/blur")
            send(sender, bridge.addresses["osc"], "/texbridge/main/workflow", "nothing_such")
            assert "meaning" in json.loads(watching.line())
            assert json.loads(watching.line())["error"]["code"] == 202
            sender.sendto(b"no osc", (bridge.addresses["osc"].rpartition(":")[0], int(bridge.addresses["osc"][10:])))
            assert json.loads(watching.line())["error"]["code"] == 108
        with home.start("osc", "monitor", "--http", bridge.addresses["http"]) as watching:
            assert watching.line().startswith("OSC messages, as the running bridge hears them; streams: main")
            send(sender, bridge.addresses["osc"], "/texbridge/main/run")
            assert watching.line().rstrip().endswith("/texbridge/main/run ,                            -> main: run")


def test_what_a_sender_writes_moves_no_terminal(home, sender):
    with home.start("osc", "monitor", "--listen", FREE) as watching:
        where = watching.line().partition("udp://")[2].partition(";")[0]
        for address in ("/texbridge/nobody/\x1b[2J\x07", "/\x1b]0;title\x07", "/texbridge/main/\u202eblur"):
            send(sender, where, address, "\x1b[31m")
            assert watching.line().rstrip("\n").isprintable()
        sender.sendto(b"/\x1b]0;title\x07\0\0no tags\0", (where.rpartition(":")[0], int(where.rpartition(":")[2])))
        assert watching.line().rstrip("\n").isprintable()


def test_alone_it_listens_itself(home, sender):
    with home.start("osc", "monitor", "--json", "--listen", FREE) as watching:
        first = json.loads(watching.line())
        assert first["streams"] == ["main"]
        send(sender, first["osc"], "/texbridge/main/top_left/g", 51)
        assert json.loads(watching.line())["meaning"] == ["main: top_left[1] = 0.2"]
        send(sender, first["osc"], "/1/fader3", 0.5)
        assert json.loads(watching.line())["error"]["code"] == 207
        sender.sendto(b"no osc", ("127.0.0.1", int(first["osc"].rpartition(":")[2])))
        assert json.loads(watching.line())["error"]["code"] == 108


def test_it_ends_with_the_bridge_or_by_a_key(home):
    with home.serve("--embedded") as bridge, home.start("osc", "monitor", "--http", bridge.addresses["http"]) as first:
        assert first.line()
        with home.start("osc", "monitor", "--http", bridge.addresses["http"]) as second:
            assert second.line()
            done = second.stop()
            assert (done.code, done.out, done.err) == (0, "", "")
        assert bridge.stop().code == 0
        assert first.line() == ""
        assert first.process.wait(30) == 0
        first.join()
        assert first.errors == "the bridge has ended\n"
    with home.start("osc", "monitor", "--listen", FREE) as alone:
        assert alone.line()
        assert alone.stop().code == 0


def test_a_port_that_is_taken(home):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        done = home.run("osc", "monitor", "--listen", "127.0.0.1:{1}".format(*taken.getsockname()))
    assert done.code == 2
    assert "--http HOST:PORT" in done.err


def test_no_bridge_where_one_is_named(home):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        done = home.run("osc", "monitor", "--http", "127.0.0.1:{1}".format(*free.getsockname()))
    assert done.code == 1
    assert "no bridge answers" in done.err


def test_how_long_a_bridge_may_be_quiet(monkeypatch):
    """It has its own time, which the time to connect is not: aiohttp answers with `Connection: close`.

    The one to connect is the longer one here: with it, the second line would be among them.
    """
    monkeypatch.setattr(osc, "CONNECT_S", LIMIT_S)
    monkeypatch.setattr(osc, "SILENCE_S", 0.05)
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer():
            peer, _ = door.accept()
            with peer:
                while b"\r\n\r\n" not in peer.recv(65536):
                    pass
                head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
                peer.sendall(head.encode() + b"first\n")
                is_over.wait(LIMIT_S)
                with contextlib.suppress(OSError):
                    peer.sendall(b"second\n")

        answering = threading.Thread(target=answer)
        answering.start()
        lines = osc.bridge_lines(f"127.0.0.1:{door.getsockname()[1]}", Config())
        assert list(lines) == [b"first\n"]
        is_over.set()
        answering.join()
