"""Base URLs in every form that people paste them."""

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
        ("//localhost:8000", "http://localhost:8000", "ws://localhost:8000"),
        ("  HTTPS://Host.example/a/b/ ", "https://host.example/a/b", "wss://host.example/a/b"),
        ("\"'https://host.example'\"\n", "https://host.example", "wss://host.example"),
        ("<https://host.example/>", "https://host.example", "wss://host.example"),
        ("“https://host.example”", "https://host.example", "wss://host.example"),
        ("http:\\\\host:8188\\x", "http://host:8188/x", "ws://host:8188/x"),
        ("http:/host:8188", "http://host:8188", "ws://host:8188"),
        ("ws://https://tunnel.example", "https://tunnel.example", "wss://tunnel.example"),
        ("ws://https://tunnel.example/", "https://tunnel.example", "wss://tunnel.example"),
        ("https://https://tunnel.example", "https://tunnel.example", "wss://tunnel.example"),
        ("ws://host:1/ws", "http://host:1", "ws://host:1"),
        ("wss://host/x/ws/", "https://host/x", "wss://host/x"),
        ("wss://host/x/ws?clientId=abc", "https://host/x", "wss://host/x"),
        ("https://host/api", "https://host", "wss://host"),
        ("https://host/api/ws", "https://host", "wss://host"),
        ("https://host/x/api/", "https://host/x", "wss://host/x"),
        ("https://host/api/api", "https://host/api", "wss://host/api"),
        ("https://host/prompt", "https://host", "wss://host"),
        ("https://host/apis", "https://host/apis", "wss://host/apis"),
        ("http://host/#x", "http://host", "ws://host"),
        ("https://host/#/workflow?x=1", "https://host", "wss://host"),
        ("http://[::1]:8188/", "http://[::1]:8188", "ws://[::1]:8188"),
        ("host:443", "https://host:443", "wss://host:443"),
        ("a-b.trycloudflare.com", "https://a-b.trycloudflare.com", "wss://a-b.trycloudflare.com"),
        ("http://a.ngrok-free.app", "https://a.ngrok-free.app", "wss://a.ngrok-free.app"),
        ("ws://a.ngrok-free.app/ws", "https://a.ngrok-free.app", "wss://a.ngrok-free.app"),
        ("http://a.ngrok-free.app:80", "http://a.ngrok-free.app:80", "ws://a.ngrok-free.app:80"),
        ("eviltrycloudflare.com", "http://eviltrycloudflare.com", "ws://eviltrycloudflare.com"),
    ],
)
def test_forms_of_an_address(url, http, ws):
    address = parse_address(url)
    assert (address.http, address.ws) == (http, ws)
    assert address.route("/prompt") == http + "/prompt"
    assert address.socket("abc") == ws + "/ws?clientId=abc"
    assert address.place == http.partition("://")[2]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "ftp://host",
        "http://host:99999",
        "http://host:x",
        "http://ho st/",
        "http://[::1",
        "http://host:0",
        "http://" + "a" * 64,
        "http://host..example",
        "http://" + "long." * 60,
    ],
)
def test_bad_addresses_say_what_would_be_right(url):
    with pytest.raises(ConfigError, match="ComfyUI address"):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("https://host/?token=s3cret-abc", "token=s3cret-abc"),
        ("https://host?token=s3cret-abc#top", "token=s3cret-abc"),
        ("wss://host/ws?clientId=1&token=s3cret-abc&b=%2F", "token=s3cret-abc&b=%2F"),
        ("https://host/?s3cret-abc", "s3cret-abc"),
        ("https://host/?token=s3cret-abc é", "token=s3cret-abc%20%C3%A9"),
    ],
)
def test_a_query_goes_with_every_request_and_is_never_shown(url, query):
    address = parse_address(url)
    assert address.route("/history/1") == f"https://host/history/1?{query}"
    assert address.socket("c") == f"wss://host/ws?clientId=c&{query}"
    assert "s3cret" not in repr(address) + str(address.notes)
    assert address.hide(f"GET https://host/prompt?{query} failed: s3cret-abc") == (
        "GET https://host/prompt?*** failed: " + ("s3cret-abc" if " " in url else "***")
    )


def test_what_was_understood_is_said():
    def notes(url):
        return "; ".join(parse_address(url).notes)

    assert notes("http://127.0.0.1:8188/") == notes(" https://host/x ") == ""
    assert "http, no scheme" in notes("127.0.0.1:8188")
    assert "https, no scheme" in notes("x.trycloudflare.com")
    assert "https instead of http" in notes("http://x.trycloudflare.com")
    assert "ws:// https://" in notes("ws://https://host")
    assert "/ws" in notes("ws://host/ws")
    assert "/api" in notes("http://host/api")
    assert "#" in notes("http://host/#x")
    assert "(token, ...)" in notes("http://host/?token=1&secret")
    assert "basic" in notes("http://ann:pw@host")


def test_user_and_password_become_a_header_and_are_never_shown():
    address = parse_address("https://ann:p%40ss@host/x")
    assert address.http == "https://host/x"
    assert address.headers["Authorization"] == "Basic " + base64.b64encode(b"ann:p@ss").decode()
    assert "p@ss" not in repr(address)
    assert "Basic" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ann:secret@host",
        "http://ann:secret@host:99999",
        "http://ann:sec/secret@host",
        "http://ann:secret?@host",
        "http://ann:secret#@host",
        "http://host:99999/?token=secret",
        "http://host:99999/?mail=a@secret",
        "http://host:99999/#secret",
    ],
)
def test_a_refusal_shows_no_secret(url):
    with pytest.raises(ConfigError) as caught:
        parse_address(url)
    assert "secret" not in caught.value.message


def test_own_headers_come_first():
    headers = {"authorization": "Bearer abc", "X-Team": "1"}
    address = parse_address("http://ann:pw@host", headers)
    assert address.headers == headers
    assert "instead of user and password" in address.notes[-1]


def test_pages_for_browsers_are_skipped():
    assert parse_address("https://a.ngrok-free.app").headers == {"ngrok-skip-browser-warning": "1"}
    assert parse_address("https://a.loca.lt").headers == {"bypass-tunnel-reminder": "1"}
    own = {"Ngrok-Skip-Browser-Warning": "yes"}
    assert parse_address("https://a.ngrok-free.app", own).headers == own


@pytest.mark.parametrize(
    "headers",
    [{"X-Key": "secret\r\nEvil: 1"}, {"X-Key": "secret\0"}, {"X-Key": "secreté"}, {"X Key": "secret"}, {"": "s"}],
)
def test_a_header_that_cant_be_sent_is_refused_without_showing_it(headers):
    with pytest.raises(ConfigError) as caught:
        parse_address("http://host", headers)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "is_remote"),
    [
        ("127.0.0.1:8188", False),
        ("localhost", False),
        ("gpu", False),
        ("gpu.local", False),
        ("192.168.1.20", False),
        ("10.1.2.3:1", False),
        ("[fe80::1]:1", False),
        ("8.8.8.8", True),
        ("gpu.example.com", True),
        ("x.trycloudflare.com", True),
    ],
)
def test_what_is_remote(url, is_remote):
    assert parse_address(url).is_remote is is_remote


def test_hide_takes_headers_cookies_and_tokens_out_of_a_text():
    headers = {"Authorization": "Bearer tok-123456", "Cookie": "a=session-abc; b=x", "X-Key": "k%2Fey-9"}
    address = parse_address("https://host/?token=q-987654", headers)
    told = address.hide("Bearer tok-123456 | tok-123456 | session-abc | k/ey-9 | q-987654 | host")
    assert told == "*** | *** | *** | *** | *** | host"
