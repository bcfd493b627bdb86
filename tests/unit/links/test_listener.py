"""Addresses, names and bind errors."""

import socket
import sys

import pytest

from bridge.errors import ConfigError
from bridge.links.listener import bind_listener, format_address, host_names, is_own_host, socket_address, unmapped


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [("127.0.0.1", 9401, "127.0.0.1:9401"), ("::1", 9401, "[::1]:9401"), ("show.local", 80, "show.local:80")],
)
def test_format_address(host, port, expected):
    assert format_address(host, port) == expected


def test_socket_address():
    assert socket_address(("::1", 5, 0, 0)) == "[::1]:5"
    assert socket_address(None) == "?"


def test_host_names():
    names = host_names("192.168.1.5", 9480, ["Show.local", "gate:8080", "2001:db8::1", "[2001:db8::2]:81"])
    assert names == {
        "127.0.0.1:9480",
        "localhost:9480",
        "[::1]:9480",
        "192.168.1.5:9480",
        "show.local:9480",
        "gate:8080",
        "[2001:db8::1]:9480",
        "[2001:db8::2]:81",
    }
    assert "0.0.0.0:9480" not in host_names("0.0.0.0", 9480)
    assert {"localhost", "localhost:80"} <= host_names("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("header", "local", "own"),
    [
        ("localhost:9480", ("127.0.0.1", 9480), True),
        ("192.168.1.7:9480", ("192.168.1.7", 9480), True),
        ("192.168.1.7:9480", ("::ffff:192.168.1.7", 9480, 0, 0), True),
        ("[fe80::1]:9480", ("fe80::1%eth0", 9480, 0, 2), True),
        ("192.168.1.7:9480", ("192.168.1.8", 9480), False),
        ("192.168.1.7", ("192.168.1.7", 9480), False),
        ("rebound.example:9480", ("192.168.1.7", 9480), False),
        ("", ("127.0.0.1", 9480), False),
        ("192.168.1.7:9480", None, False),
    ],
)
def test_is_own_host(header, local, own):
    assert is_own_host(header, host_names("0.0.0.0", 9480), local) is own


@pytest.mark.parametrize(
    ("host", "plain"),
    [("::ffff:1.2.3.4", "1.2.3.4"), ("fe80::1%eth0", "fe80::1"), ("1.2.3.4", "1.2.3.4"), ("?", "?")],
)
def test_unmapped(host, plain):
    assert unmapped(host) == plain


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("192.0.2.1", 0, "not an address of this machine"),
        ("no.such.host.invalid", 0, "can't resolve"),
        ("127.0.0.1", 70_000, "--tcp"),
        ("a" * 300, 0, "can't resolve"),
    ],
)
def test_bind_errors_are_one_line_that_says_what_to_do(host, port, words):
    with pytest.raises(ConfigError) as caught:
        bind_listener("engine link over TCP", "--tcp", host, port, socket.SOCK_STREAM)
    assert words in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("engine link over TCP: ")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("host", ["", "0.0.0.0", "localhost", "127.0.0.1"])
def test_hosts_that_bind(host, kind):
    with bind_listener("x", "--x", host, 0, kind) as sock:
        assert sock.getsockname()[1] > 0
        assert sock.getblocking() is False


class WindowsSocket(socket.socket):
    """A socket whose bind fails as Windows fails."""

    winerror = 10013

    def bind(self, address):
        error = PermissionError(13, "An attempt was made to access a socket in a way forbidden by its permissions")
        error.winerror = self.winerror
        raise error


@pytest.mark.parametrize(
    ("winerror", "words"),
    [(10013, "in a range that Windows reserves"), (10048, "is in use by another program")],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_ports_that_windows_does_not_give(monkeypatch, winerror, words, kind):
    monkeypatch.setattr(WindowsSocket, "winerror", winerror)
    monkeypatch.setattr(socket, "socket", WindowsSocket)
    with pytest.raises(ConfigError) as caught:
        bind_listener("OSC", "--osc", "127.0.0.1", 9400, kind)
    assert words in caught.value.message
    assert "127.0.0.1:9400" in caught.value.message
    assert "--osc HOST:PORT" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.skipif(sys.platform == "win32", reason="there the option exists")
def test_on_windows_no_other_program_can_take_over_a_port(monkeypatch):
    """SO_EXCLUSIVEADDRUSE there; SO_REUSEADDR would let two bridges listen at one port."""
    options = []

    class Watched(socket.socket):
        def setsockopt(self, *option):
            options.append(option[:2])
            if option[1] != 0xFFFB:
                super().setsockopt(*option)

    monkeypatch.setattr(socket, "socket", Watched)
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", 0xFFFB, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    with bind_listener("TCP", "--tcp", "127.0.0.1", 0, socket.SOCK_STREAM):
        assert (socket.SOL_SOCKET, 0xFFFB) in options
        assert (socket.SOL_SOCKET, socket.SO_REUSEADDR) not in options
