"""`texbridge send` as a process: the packet as a socket of the test gets it, decoded by python-osc."""

import socket
import sys
import time

import pytest
from cli_rig import LIMIT_S, Home, one_line
from pythonosc.osc_message import OscMessage

from bridge.client import BlockingClient


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def receiver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        yield receiver


def address(receiver):
    return "127.0.0.1:{1}".format(*receiver.getsockname())


def test_one_message_with_every_type(home, receiver):
    words = [
        "0.5",
        "-1.5",
        "3",
        "-3",
        "5000000000",
        "1e300",
        "true",
        "false",
        "a red fox",
        "",
        "ä",
        "s:7",
        "h:7",
        "f:7",
    ]
    words += ["d:0.25", "i:-7", "18446744073709551615", "1920x1080", "--", "-x"]
    done = home.run("send", "--to", address(receiver), "/texbridge/main/all", *words)
    assert done == (0, "", "")
    packet = receiver.recv(65536)
    message = OscMessage(packet)
    assert message.address == "/texbridge/main/all"
    tags = packet[packet.index(b",") + 1 :].split(b"\0")[0]
    assert tags == b"ffiihdTFssss" + b"hfdi" + b"sss"
    half = [0.5, -1.5, 3, -3, 5_000_000_000, 1e300, True, False, "a red fox", "", "ä", "7", 7, 7.0, 0.25, -7]
    assert message.params == [*half, "18446744073709551615", "1920x1080", "-x"]


def test_without_arguments(home, receiver):
    assert home.run("send", "/texbridge/panic", "--to", address(receiver)) == (0, "", "")
    message = OscMessage(receiver.recv(65536))
    assert (message.address, message.params) == ("/texbridge/panic", [])


def test_it_goes_where_the_configuration_says(home, receiver):
    """A variable, a file here, and --to before both."""
    (home.work / "texbridge.toml").write_text(f'[osc]\nlisten = "{address(receiver)}"\n', encoding="utf-8")
    assert home.run("send", "/a", "1").code == 0
    assert OscMessage(receiver.recv(65536)).params == [1]
    assert home.run("send", "/a", "2", TEXBRIDGE_OSC_LISTEN=address(receiver)).code == 0
    assert OscMessage(receiver.recv(65536)).params == [2]
    to = ("--to", address(receiver))
    assert home.run("send", *to, "/a", "3", TEXBRIDGE_OSC_LISTEN="127.0.0.1:1").code == 0
    assert OscMessage(receiver.recv(65536)).params == [3]


def test_it_moves_a_bridge(home):
    """The line that `serve` prints to try is a line that works."""
    with home.serve("--embedded") as running, BlockingClient(running.addresses["tcp"]) as client:
        frames = client.subscribe("main")
        frame = frames.next(timeout_s=30)
        while frame.held:
            frame = frames.next(timeout_s=30)
        to = ("--to", running.addresses["osc"])
        assert home.run("send", *to, "/texbridge/main/blur", "0.9").code == 0
        newer = frames.next(timeout_s=30)
        assert newer.number > frame.number
        until = time.monotonic() + LIMIT_S
        values = {}
        while values.get("blur") != pytest.approx(0.9):  # the packet may still lie in the system's buffer
            assert time.monotonic() < until, values
            values = {parameter.name: parameter.value for parameter in client.describe("main").parameters}


def test_too_much_for_a_packet(home, receiver):
    done = home.run("send", "--to", address(receiver), "/a", "x" * 70_000)
    assert (done.code, done.out) == (2, "")
    assert "a UDP packet carries 65,507 at most" in one_line(done.err)


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are Unicode there")
def test_bytes_that_are_no_text(home, receiver):
    """What isn't UTF-8 is refused, not sent as something else."""
    done = home.run("send", "--to", address(receiver), "/a", b"caf\xe9", PYTHONUTF8="1")
    assert (done.code, done.out) == (2, "")
    assert "not valid UTF-8" in one_line(done.err)
