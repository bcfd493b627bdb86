"""Pages and statuses of tunnels, proxies and logins, in words."""

import pytest

from bridge.backends.address import parse_address
from bridge.backends.faults import AccessRefused, WrongAnswer
from bridge.backends.foreign_answers import foreign_answer

AT = parse_address("https://gpu.example/x")
HTML = {"Content-Type": "text/html; charset=utf-8"}


def page(title="", body="", **headers):
    return {**HTML, **headers}, f"<!DOCTYPE html><html><head><title>{title}</title></head>{body}".encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "words"),
    [
        # A page where JSON is expected, whatever its status says.
        (200, *page("Sign in to Example"), WrongAnswer, ["'Sign in to Example'", "/prompt", "--comfy-header"]),
        (200, *page("Hi", "<input type=password>"), WrongAnswer, ["login page", "cookie"]),
        (200, {}, b"  <html><h1>Welcome &amp; hello</h1>", WrongAnswer, ["'Welcome & hello'"]),
        (200, HTML, b"", WrongAnswer, ["a web page"]),
        (404, *page("Not here"), WrongAnswer, ["404", "prefix"]),
        (413, *page("Too large"), WrongAnswer, ["client_max_body_size"]),
        (200, *page("x" * 500), WrongAnswer, ["x" * 80 + "'"]),
        # Doors that want a key.
        (
            401,
            {"WWW-Authenticate": 'Basic realm="r"'},
            b"",
            AccessRefused,
            ["(401)", "wants 'Basic'", "user:password@"],
        ),
        (403, *page("Forbidden"), AccessRefused, ["(403)", "'Forbidden'", "--comfy-header-file"]),
        (407, {}, b"", AccessRefused, ["(407)", "proxy wants a login"]),
        (302, {"Location": "https://accounts.example/login?next=secret"}, b"", AccessRefused, ["login page", "cookie"]),
        (302, {"location": "https://t.cloudflareaccess.com/cdn-cgi/x"}, b"", AccessRefused, ["t.cloudflareaccess.com"]),
        (303, {"Location": "/oauth2/start"}, b"", AccessRefused, ["'/oauth2/start'"]),
        (301, {"Location": "https://other.example/y?secret#secret"}, b"", WrongAnswer, ["'https://other.example/y'"]),
        (302, {}, b"", WrongAnswer, ["sends elsewhere"]),
        # Gateways and tunnels.
        (502, *page("502 Bad Gateway"), WrongAnswer, ["502", "behind it doesn't"]),
        (503, {}, b"upstream connect error", WrongAnswer, ["503", "instance running"]),
        (504, {}, b"{}", WrongAnswer, ["504"]),
        (429, {}, b"slow down", WrongAnswer, ["limits requests"]),
        (530, *page("", "<p>error code: 1033"), WrongAnswer, ["1033", "the tunnel is down"]),
        (530, {}, b"", WrongAnswer, ["the tunnel is down"]),
        (404, *page("ngrok", "ERR_NGROK_3200"), WrongAnswer, ["ERR_NGROK_3200", "the tunnel is down"]),
        (502, {"Ngrok-Error-Code": "ERR_NGROK_8012"}, b"", WrongAnswer, ["ERR_NGROK_8012", "port that it leads to"]),
        (200, *page("ngrok", "ERR_NGROK_6024"), WrongAnswer, ["ngrok-skip-browser-warning"]),
        (404, {"ngrok-error-code": "ERR_NGROK_9999"}, b"", WrongAnswer, ["ERR_NGROK_9999", "ngrok.com/docs/errors"]),
        (503, {"x-localtunnel-status": "Tunnel Unavailable"}, b"503", WrongAnswer, ["the tunnel is down"]),
        (401, *page("Tunnel Password", "localtunnel"), AccessRefused, ["bypass-tunnel-reminder"]),
    ],
)
def test_what_is_said(status, headers, body, kind, words):
    error = foreign_answer(AT, "/prompt", status, headers, body)
    assert type(error) is kind
    assert error.value == status
    assert error.message.startswith("https://gpu.example/x ")
    assert "secret" not in error.message
    assert "\n" not in error.message
    for word in words:
        assert word in error.message


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"Content-Type": "application/json"}, b'{"exec_info": {"queue_remaining": 0}}'),
        (200, {}, b""),
        (400, {"Content-Type": "application/json"}, b'{"error": {"message": "<html>"}}'),
        (404, {"Content-Type": "text/plain"}, b"404: Not Found"),
        (413, {"Content-Type": "text/plain"}, b"Maximum request body size exceeded"),
        (500, {"Content-Type": "text/plain"}, b"500 Internal Server Error"),
        (409, {"Content-Type": "application/json"}, b'{"error": "duplicate"}'),
    ],
)
def test_comfyuis_own_answers_pass(status, headers, body):
    assert foreign_answer(AT, "/prompt", status, headers, body) is None


def test_http_that_sends_to_https_of_the_same_host():
    error = foreign_answer(parse_address("http://gpu.example"), "/", 301, {"Location": "https://gpu.example/"}, b"")
    assert "write https://" in error.message


def test_a_key_that_was_given_is_doubted():
    address = parse_address("https://gpu.example/?token=abcdef")
    error = foreign_answer(address, "/prompt", 401, *page("no abcdef"))
    assert "no longer valid" in error.message
    assert "abcdef" not in error.message


def test_a_location_with_a_login_in_it_is_not_shown():
    location = "https://ann:secret@other.example/y"
    assert "secret" not in foreign_answer(AT, "/", 302, {"Location": location}, b"").message


@pytest.mark.parametrize("body", [b"\xff" * 70_000, b"<" * 70_000, b"<title " * 10_000, b"<title>" + b"\0" * 70_000])
def test_a_page_of_nonsense_takes_no_time(body):
    assert isinstance(foreign_answer(AT, "/prompt", 200, HTML, body), WrongAnswer)
