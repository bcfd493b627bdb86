"""The token of `serve --lan` and what it makes the doors listen at."""

import errno
import stat
import sys

import pytest

from bridge.app import lan
from bridge.app.config.config import load_config
from bridge.app.lan import TOKEN, TOKEN_FILE, keep_token, lan_addresses, lan_listens, read_token
from bridge.errors import ConfigError


def test_the_token_is_made_once_and_stays(tmp_path):
    folder = tmp_path / "a" / "texbridge"
    assert read_token(folder) is None
    token = keep_token(folder)
    assert TOKEN.fullmatch(token)
    assert keep_token(folder) == read_token(folder) == token
    if sys.platform != "win32":
        assert stat.S_IMODE((folder / TOKEN_FILE).stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == [TOKEN_FILE]


def test_another_token(tmp_path):
    token = keep_token(tmp_path)
    other = keep_token(tmp_path, new=True)
    assert other != token
    assert keep_token(tmp_path) == other
    assert [path.name for path in tmp_path.iterdir()] == [TOKEN_FILE]


@pytest.mark.parametrize("text", [b"", b"short", b"sixteen letters and a space", b"\xff" * 32, b"a" * 300])
def test_a_damaged_file_is_named_and_not_shown(tmp_path, text):
    (tmp_path / TOKEN_FILE).write_bytes(text)
    with pytest.raises(ConfigError, match="--new-token") as caught:
        keep_token(tmp_path)
    assert TOKEN_FILE in caught.value.message
    assert keep_token(tmp_path, new=True) == keep_token(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_a_token_that_others_can_read_is_refused(tmp_path):
    keep_token(tmp_path)
    (tmp_path / TOKEN_FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        keep_token(tmp_path)


def test_a_folder_that_cant_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"link\.token|can't read"):
        keep_token(tmp_path / "file")


def config(**sections):
    return load_config(None, {}, sections, check_doors=False)


def test_loopback_becomes_every_interface():
    allowed = config(osc={"allow": ["192.168.1.0/24"]}, tcp={"listen": "[::1]:7000"}, http={"listen": "localhost:0"})
    assert lan_listens(allowed, set()) == {
        "osc": {"listen": "0.0.0.0:9400"},
        "link": {"listen": "0.0.0.0:9401"},
        "tcp": {"listen": "0.0.0.0:7000"},
        "http": {"listen": "0.0.0.0:0"},
    }


def test_what_is_fixed_or_elsewhere_or_off_stays():
    there = config(osc={"listen": ""}, link={"listen": "192.168.1.5:1"}, http={"listen": ""})
    assert lan_listens(there, {"tcp"}) == {}


@pytest.mark.parametrize("osc", [{}, {"listen": "0.0.0.0:1"}, {"listen": "192.168.1.5:1"}])
def test_osc_needs_networks(osc):
    with pytest.raises(ConfigError, match="--osc-allow") as caught:
        lan_listens(config(osc=osc), set())
    assert "\n" not in caught.value.message
    assert lan_listens(config(osc={**osc, "allow": ["10.0.0.0/8"]}), set())


def test_osc_on_loopback_needs_none():
    assert "osc" not in lan_listens(config(), {"osc"})


def test_own_addresses_are_no_loopback():
    assert not any(address.startswith(("127.", "0.")) for address in lan_addresses())


def test_a_network_without_a_way_out_is_found_by_who_may_send(monkeypatch):
    """A lighting network has no router: the system knows a way to its own network alone."""

    class Socket(lan.socket.socket):
        def connect(self, address):
            if not address[0].startswith("192.168.77."):
                raise OSError(errno.ENETUNREACH, "no way there")
            assert address[0] in ("192.168.77.1", "192.168.77.35"), "neither the network nor its broadcast address"

        def getsockname(self):
            return ("192.168.77.5", 40000)

    monkeypatch.setattr(lan.socket, "socket", Socket)
    monkeypatch.setattr(lan.socket, "getaddrinfo", lambda *_: [])
    assert lan_addresses() == ()
    assert lan_addresses(("192.168.77.0/24",)) == ("192.168.77.5",)
    assert lan_addresses(("2001:db8::/32", "10.0.0.0/8", "192.168.77.35")) == ("192.168.77.5",)
