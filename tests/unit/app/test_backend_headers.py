"""Headers and cookies from files and the environment."""

import sys

import pytest

from bridge.app.pool.headers import gather_headers, parse_header
from bridge.backends.address import parse_address
from bridge.errors import ConfigError

NOW = 2_000_000_000.0
AT = parse_address("https://gpu.example/comfy")
LATER, EARLIER = int(NOW) + 60, int(NOW) - 60


def cookie(host, name, value="v", *, subdomains="FALSE", path="/", secure="FALSE", expires=LATER):
    return "\t".join([host, subdomains, path, secure, str(expires), name, value])


def gather(tmp_path, text, headers=(), address=AT, environment=None):
    path = tmp_path / "headers.txt"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return gather_headers(address, dict(headers), str(path), now=NOW, environment=environment or {})


def test_no_file_and_the_environment():
    headers = {"Authorization": "env:GPU_KEY", "X": "1"}
    assert gather_headers(AT, headers, "", now=NOW, environment={"GPU_KEY": "Bearer t"}) == {
        "Authorization": "Bearer t",
        "X": "1",
    }
    with pytest.raises(ConfigError, match="GPU_KEY, which is not set here: set it"):
        gather_headers(AT, headers, "", now=NOW, environment={})


def test_header_lines(tmp_path):
    text = "\ufeff# for the GPU\n\nAuthorization: Bearer a:b\n  X-Key :  env:K \r\n"
    assert gather(tmp_path, text, environment={"K": "7"}) == {"Authorization": "Bearer a:b", "X-Key": "7"}


def test_own_headers_come_before_those_of_the_file(tmp_path):
    assert gather(tmp_path, "authorization: a\nX: b\n", {"Authorization": "c"}) == {"X": "b", "Authorization": "c"}


@pytest.mark.parametrize(
    ("line", "url", "is_sent"),
    [
        (cookie("gpu.example", "a"), "https://gpu.example", True),
        (cookie("gpu.example", "a"), "https://x.gpu.example", False),
        (cookie(".gpu.example", "a", subdomains="TRUE"), "https://x.gpu.example", True),
        (cookie(".gpu.example", "a", subdomains="TRUE"), "https://gpu.example", True),
        (cookie("gpu.example", "a", subdomains="TRUE"), "https://evilgpu.example", False),
        (cookie("other.example", "a"), "https://gpu.example", False),
        (cookie("gpu.example", "a", path="/comfy"), "https://gpu.example/comfy", True),
        (cookie("gpu.example", "a", path="/comfy"), "https://gpu.example/comfyx", False),
        (cookie("gpu.example", "a", path="/comfy/"), "https://gpu.example/comfy/y", True),
        (cookie("gpu.example", "a", secure="TRUE"), "https://gpu.example", True),
        (cookie("gpu.example", "a", secure="TRUE"), "http://gpu.example", False),
        (cookie("gpu.example", "a", expires=EARLIER), "https://gpu.example", False),
        (cookie("gpu.example", "a", expires=0), "https://gpu.example", True),
        ("#HttpOnly_" + cookie("gpu.example", "a"), "https://gpu.example", True),
        ("# " + cookie("gpu.example", "a"), "https://gpu.example", False),
    ],
)
def test_which_cookies_are_sent(tmp_path, line, url, is_sent):
    text = "# Netscape HTTP Cookie File\n\n" + line + "\n" + cookie("elsewhere.example", "b") + "\n"
    if is_sent:
        assert gather(tmp_path, text, address=parse_address(url)) == {"Cookie": "a=v"}
    else:
        with pytest.raises(ConfigError, match=r"no cookie for|expired"):
            gather(tmp_path, text, address=parse_address(url))


def test_several_cookies_the_nearest_path_first(tmp_path):
    text = "\n".join([cookie("gpu.example", "a", "1"), cookie("gpu.example", "b", "2", path="/comfy")])
    assert gather(tmp_path, text) == {"Cookie": "b=2; a=1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no header lines"),
        ("# only words\n", "no header lines"),
        ("X: 1\nsecret\n", "line 2"),
        (": secret\n", "line 1"),
        ("a secret: b\n", "line 1"),
        ("\t\t\t\t\t\tx\t\tsecret\n", "line 1"),
        (cookie("gpu.example", "a", "secret", expires="soon"), "line 1"),
        (cookie("a.example", "a", "secret") + "\n" + cookie("b.example", "a"), "a.example, b.example"),
        (cookie("gpu.example", "a", "secret", expires=EARLIER), "log in again"),
    ],
)
def test_a_bad_file_is_named_without_its_secrets(tmp_path, text, words):
    with pytest.raises(ConfigError) as caught:
        gather(tmp_path, text)
    assert words in caught.value.message
    assert "headers.txt" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_file_that_cant_be_read(tmp_path):
    with pytest.raises(ConfigError, match="can't read the headers file"):
        gather_headers(AT, {}, str(tmp_path / "none"), now=NOW)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        gather_headers(AT, {}, str(tmp_path / "binary"), now=NOW)
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="over"):
        gather_headers(AT, {}, str(tmp_path / "large"), now=NOW)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_a_file_that_others_can_read_is_warned_of(tmp_path, caplog):
    path = tmp_path / "headers.txt"
    path.write_text("X: 1\n")
    path.chmod(0o644)
    gather_headers(AT, {}, str(path), now=NOW)
    assert "chmod 600" in caplog.text


def test_parse_header():
    assert parse_header("A-b:  c: d ", "here") == ("A-b", "c: d")
    for line in ("", "a", "a:", ":b", "a b: c"):
        with pytest.raises(ConfigError, match="here"):
            parse_header(line, "here")
