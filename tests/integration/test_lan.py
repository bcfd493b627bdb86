"""`serve --lan` as a process, with this machine's own network address playing another host."""

import json
import re
import socket
import stat
import sys
import time
import urllib.request

import pytest
from cli_rig import FREE_DOORS, Home, one_line
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bridge.app.lan import lan_addresses
from bridge.client import BlockingClient
from bridge.codec.osc import encode_osc_message
from bridge.errors import TexbridgeError

LIMIT_S = 20.0
OWN = next(iter(lan_addresses()), "")
NEEDS_A_NETWORK = pytest.mark.skipif(not OWN, reason="this machine has no address beyond loopback")
EVERYWHERE = tuple(word for door in ("osc", "link", "tcp", "http") for word in (f"--{door}", "0.0.0.0:0"))


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def lan(home, *options, **environment):
    return home.start(
        "serve", "--lan", "--json", "--embedded", "--osc-allow", f"{OWN or '192.0.2.1'}/32", *EVERYWHERE, *options,
        **environment,
    )  # fmt: skip


def get(address, path, **headers):
    """(status, body) of an HTTP GET at `OWN`, from `OWN`."""
    port = int(address.rpartition(":")[2])
    head = {"Host": f"{OWN}:{port}", "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    with socket.create_connection((OWN, port), LIMIT_S) as there:
        assert there.getpeername()[0] == there.getsockname()[0] == OWN
        there.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        answer = b"".join(iter(lambda: there.recv(65536), b""))
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


@NEEDS_A_NETWORK
def test_every_door_from_another_address_with_the_token_alone(home):
    with lan(home) as running:
        told = json.loads(running.line())
        token = told["token"]
        assert OWN in told["lan"]
        if sys.platform != "win32":
            assert stat.S_IMODE(home.user_config.with_name("lan-token").stat().st_mode) == 0o600
        # HTTP: by header or query; Host and Origin rules hold.
        assert get(told["http"], "/readyz")[0] == 401
        assert get(told["http"], "/readyz?token=wrong-wrong-wrong")[0] == 401
        assert get(told["http"], f"/?token={token}")[0] == 200
        assert get(told["http"], "/", Authorization=f"Bearer {token}")[0] == 200
        own = f"http://{OWN}:{told['http'].rpartition(':')[2]}"
        assert get(told["http"], "/", Authorization=f"Bearer {token}", Origin=own)[0] == 200
        for bad in ({"Host": "rebound.example"}, {"Origin": "http://evil.example"}, {"Origin": f"http://{OWN}:1"}):
            assert get(told["http"], f"/?token={token}", **bad)[0] == 403
        # TCP and WebSocket: the token in hello.
        for door, form in (("tcp", "{}"), ("link", "ws://{}/link")):
            address = form.format(told[door].replace("0.0.0.0", OWN))
            for wrong in (None, "wrong-wrong-wrong"):
                with pytest.raises(TexbridgeError), BlockingClient(address, token=wrong) as client:
                    client.describe(stream="main")
            with BlockingClient(address, token=token) as client:
                frames = client.subscribe("main", format="rgba8", origin="top_left")
                assert frames.next(timeout_s=LIMIT_S).header.width
        link = f"ws://{told['link'].replace('0.0.0.0', OWN)}/link"
        for headers in ({"Origin": "http://evil.example"},):
            with pytest.raises(InvalidStatus) as refused:
                connect(link, additional_headers=headers, proxy=None)
            assert refused.value.response.status_code == 403
        # OSC: this address is allowed.
        assert osc_arrives(told, OWN)
        done = running.stop()
        assert token not in done.out + done.err


def osc_arrives(told, host):
    """Whether a packet from `host` is taken: the door's own counts tell."""
    port = int(told["osc"].rpartition(":")[2])

    def counts():
        status, body = get(told["http"], f"/healthz?token={told['token']}")
        assert status == 200
        return json.loads(body)["doors"]["osc"]

    before = counts()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((host, 0))
        sender.sendto(encode_osc_message("/texbridge/main/run"), (OWN, port))
    until = time.monotonic() + LIMIT_S
    while (now := counts()).get("packets", 0) == before.get("packets", 0):
        assert time.monotonic() < until, "no packet came"
    return now.get("not_allowed", 0) == before.get("not_allowed", 0)


@NEEDS_A_NETWORK
def test_osc_from_a_network_that_is_not_allowed(home):
    with lan(home, "--osc-allow", "198.51.100.0/24") as running:
        assert osc_arrives(json.loads(running.line()), OWN)
    with home.start(
        "serve", "--lan", "--json", "--embedded", "--osc-allow", "198.51.100.0/24", *EVERYWHERE
    ) as running:  # fmt: skip
        assert not osc_arrives(json.loads(running.line()), OWN)


@NEEDS_A_NETWORK
def test_by_the_configuration(home):
    (home.work / "texbridge.toml").write_text(f'[link]\nlan = true\n[osc]\nallow = ["{OWN}/32"]\n', encoding="utf-8")
    with home.start("serve", "--json", "--embedded", *EVERYWHERE) as running:
        told = json.loads(running.line())
        assert OWN in told["lan"]
        assert get(told["http"], "/readyz")[0] == 401
        assert get(told["http"], f"/readyz?token={told['token']}")[0] in (200, 503)
    (home.work / "texbridge.toml").write_text("[link]\nlan = true\n", encoding="utf-8")
    done = home.run("serve", "--embedded")
    assert (done.code, "--osc-allow NETWORK" in one_line(done.err.partition("\n")[2] or done.err)) == (2, True)
    assert home.run("backends", "list", "--http", "127.0.0.1:9").code == 1, "other commands are not kept from anything"


def test_it_refuses_to_start_without_networks(home):
    done = home.run("serve", "--lan", "--embedded")
    assert (done.code, done.out) == (2, "")
    assert "--osc-allow NETWORK" in one_line(done.err)
    assert not home.user_config.with_name("lan-token").exists(), "no token is made in vain"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--lan", "--osc-allow", "nonsense"], "not a network"),
        (["--lan", "--osc-allow", "10.0.0.0/8", "--link", "here"], "HOST:PORT"),
        (["--new-token"], "--lan"),
    ],
)
def test_bad_use(home, words, told):
    done = home.run("serve", "--embedded", *words)
    assert done.code == 2
    assert told in one_line(done.err)


def test_a_configured_token_is_used_and_cant_be_made_anew(home):
    token = "configured-token-1234"
    with lan(home, TEXBRIDGE_LINK_TOKEN=token) as running:
        told = json.loads(running.line())
        assert (told["token"], told["token_file"]) == (token, None)
    assert not home.user_config.with_name("lan-token").exists()
    done = home.run("serve", "--lan", "--osc", "", "--new-token", TEXBRIDGE_LINK_TOKEN=token)
    assert (done.code, token in done.err) == (2, False)
    assert "--new-token" in one_line(done.err)
    done = home.run("serve", "--lan", "--osc", "", TEXBRIDGE_LINK_TOKEN="short")
    assert done.code == 2
    assert "16 characters" in one_line(done.err)


def test_the_token_stays_over_restarts_until_a_new_one(home):
    def token(*options):
        with lan(home, *options) as running:
            return json.loads(running.line())["token"]

    first = token()
    assert token() == first
    second = token("--new-token")
    assert second != first
    assert token() == second


def test_the_block_has_ready_strings_and_then_the_token_never_comes_again(home):
    """Everything that is refused, asked for and logged at the most talkative level, after the block."""
    options = ("--lan", "--embedded", "--osc-allow", f"{OWN or '192.0.2.1'}/32", *EVERYWHERE)
    with home.start("serve", *options, TEXBRIDGE_LOG_LEVEL="debug") as running:
        block = ""
        while "Ctrl+C" not in block:
            line = running.line()
            assert line, running.errors
            block += line
        token = re.search(r"^  token +(\S+)$", block, re.MULTILINE)[1]
        assert home.user_config.with_name("lan-token").read_text().strip() == token
        if OWN:
            ports = dict(re.findall(rf"(udp|ws|tcp|http)://{re.escape(OWN)}:(\d+)", block))
            assert set(ports) == {"udp", "ws", "tcp", "http"}
            assert f"http://{OWN}:{ports['http']}/?token={token}" in block
            assert f'BlockingClient("{OWN}:{ports["tcp"]}", token="{token}")' in block
            assert f"only from {OWN}/32" in block
            # Use every door, rightly and wrongly, with the token in it.
            http = f"{OWN}:{ports['http']}"
            for path in ("/", "/healthz", "/streams/main.jpg", "/streams/none.jpg", "/none", "/admin/backends"):
                status, body = get(http, f"{path}?token={token}")
                assert status < 500
                if path != "/":  # whose links carry on the token that it was asked with
                    assert token.encode() not in body
            assert get(http, f"/?token={token}", Host="rebound.example")[0] == 403
            with BlockingClient(f"{OWN}:{ports['tcp']}", token=token) as client:
                client.describe(stream="main")
            with BlockingClient(f"ws://{OWN}:{ports['ws']}/link", token=token) as client:
                client.describe(stream="main")
            with pytest.raises(InvalidStatus):
                connect(f"ws://{OWN}:{ports['ws']}/else?token={token}", proxy=None)
            assert home.run("backends", "list", "--http", f"127.0.0.1:{ports['http']}").code == 0
        done = running.stop()
        assert done.code == 0
        assert token not in done.out + done.err


def test_doors_that_are_named_stay_where_they_are(home):
    with home.start("serve", "--lan", "--json", "--embedded", *FREE_DOORS) as running:
        told = json.loads(running.line())
    assert all(told[door].startswith("127.0.0.1:") for door in ("osc", "link", "tcp", "http"))


def test_everybody_is_warned_of(home):
    with lan(home, "--osc-allow", "0.0.0.0/0") as running:
        running.line()
        running.wait_for_error("everybody who reaches this machine may send OSC")


def test_commands_on_this_machine_find_the_kept_token(home):
    """Panic has to work at once, whatever the doors want."""
    with lan(home) as running:
        told = json.loads(running.line())
        to = ("--to", told["tcp"].replace("0.0.0.0", "127.0.0.1"))
        for words in (["panic"], ["resume"], ["blackout", "--fade", "0.1"], ["blackout", "main", "--off"]):
            assert home.run(*words, *to) == (0, "", "")
        health = f"http://{told['http'].replace('0.0.0.0', '127.0.0.1')}/healthz?token={told['token']}"
        with urllib.request.urlopen(health) as answer:
            assert "closed_bad_token" not in json.load(answer)["doors"]["tcp"], "who has no token is made to wait"
        assert home.run("panic", *to, TEXBRIDGE_LINK_TOKEN="wrong-wrong-wrong").code == 1
        home.user_config.with_name("lan-token").unlink()
        done = home.run("panic", *to)
        assert (done.code, done.out) == (1, "")
        assert "TEXBRIDGE_LINK_TOKEN" in one_line(done.err)
        assert home.run("panic", *to, TEXBRIDGE_LINK_TOKEN=told["token"]).code == 0
        done = running.stop()
        assert told["token"] not in done.err
