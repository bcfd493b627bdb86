"""Base URLs in every form that people paste."""

import base64

import pytest

from bridge.backends.address import parse_address
from bridge.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "http", "ws"),
    [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188", "ws://127.0.0.1:8188"),
        ("http://127.0.0.1:8188//", "http://127.0.0.1:8188", "ws://127.0.0.1:8188"),
        ("127.0.0.1:8188", "http://127.0.0.1:8188", "ws://127.0.0.1:8188"),
        ("localhost:8000/", "http://localhost:8000", "ws://localhost:8000"),
        ("  HTTPS://Host.example/a/b/ ", "https://host.example/a/b", "wss://host.example/a/b"),
        ("ws://https://tunnel.example", "https://tunnel.example", "wss://tunnel.example"),
        ("ws://host:1/ws", "http://host:1", "ws://host:1"),
        ("wss://host/x/ws/", "https://host/x", "wss://host/x"),
        ("http://[::1]:8188/", "http://[::1]:8188", "ws://[::1]:8188"),
    ],
)
def test_forms_of_an_address(url, http, ws):
    address = parse_address(url)
    assert (address.http, address.ws) == (http, ws)
    assert address.route("/prompt") == http + "/prompt"
    assert address.socket("abc") == ws + "/ws?clientId=abc"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "ftp://host",
        "http://host:99999",
        "http://host:x",
        "http://ho st/",
        "http://host/?token=1",
        "http://host/#x",
        "http://[::1",
        "http://host:0",
    ],
)
def test_bad_addresses_say_what_would_be_right(url):
    with pytest.raises(ConfigError, match="ComfyUI address"):
        parse_address(url)


def test_user_and_password_become_a_header_and_are_never_shown():
    address = parse_address("https://ann:p%40ss@host/x")
    assert address.http == "https://host/x"
    assert address.headers["Authorization"] == "Basic " + base64.b64encode(b"ann:p@ss").decode()
    assert "p@ss" not in repr(address)
    assert "Basic" not in repr(address)
    with pytest.raises(ConfigError) as caught:
        parse_address("ftp://ann:secret@host")
    assert "secret" not in caught.value.message


def test_own_headers_come_first():
    headers = {"authorization": "Bearer abc", "X-Team": "1"}
    assert parse_address("http://ann:pw@host", headers).headers == headers


def test_header_with_a_line_break_is_refused_without_showing_it():
    with pytest.raises(ConfigError) as caught:
        parse_address("http://host", {"X-Key": "secret\r\nEvil: 1"})
    assert "secret" not in caught.value.message
