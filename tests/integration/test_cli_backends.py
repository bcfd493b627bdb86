"""`texbridge backends` over a running bridge: several at once, the table, drain and back."""

import contextlib
import json
import re
import time

import pytest
from cli_rig import LIMIT_S, Home, one_line
from held_comfy import HeldComfy

from bridge.client import BlockingClient


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@contextlib.contextmanager
def embedded(home, count, *words):
    """Embedded ComfyUIs; gives their ports."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            running = stack.enter_context(home.start("embedded", "--port", "0", *words))
            ports.append(running.line().split("http://127.0.0.1:")[1].split()[0])
        yield ports


def listed(home, where):
    return {one["name"]: one for one in json.loads(home.run("backends", "list", "--json", *where).out)}


def wait_for(home, where, condition):
    """Ask for the list until it is as wanted."""
    until = time.monotonic() + LIMIT_S
    while not condition(told := listed(home, where)):
        assert time.monotonic() < until, told


def test_several_at_once_with_names_and_how_their_pictures_come(home):
    with home.serve() as running, embedded(home, 2) as ports:
        where = ("--http", running.addresses["http"])
        address = f"http://127.0.0.1:{ports[0]},{ports[1]}"
        done = home.run("backends", "add", address, "--name", "gpu", "--remote", "--transfer", "png", *where)
        assert done.code == 0, done
        names = [f"gpu-{port}" for port in ports]
        assert [line.split()[:2] for line in done.out.splitlines()] == [["up", name] for name in names]
        assert {name: one["transfer"] for name, one in listed(home, where).items()} == dict.fromkeys(names, "png")
        again = home.run("backends", "add", address, "--name", "gpu", *where)
        assert (again.code, "--replace" in one_line(again.err)) == (2, True)
        partly = home.run("backends", "add", f"http://127.0.0.1:9,{ports[0]}", "--name", "more", *where)
        assert partly.code == 2
        assert partly.err.startswith("added before that: more-9\ntexbridge: "), partly
        done = home.run("backends", "add", address, "--name", "gpu", "--near", "--replace", "--json", *where)
        assert [one["name"] for one in json.loads(done.out)] == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("http://a:9-1",), "run backwards"),
        (("http://a:1,http://b:2", "--comfy-header", "X: 1"), "headers go to one host"),
        (("http://a:1", "--remote", "--near"), "not allowed with"),
        (("http://a:1", "--transfer", "bmp"), "invalid choice"),
    ],
)
def test_what_is_refused_before_anybody_is_asked(home, words, said):
    done = home.run("backends", "add", *words)
    assert (done.code, said in done.err) == (2, True), done


def test_the_table_says_what_each_has_done_and_lacks(home):
    config = home.work / "texbridge.toml"
    config.write_text('[streams.art]\nworkflow = "txt2img_turbo"\nmode = "oneshot"\n', encoding="utf-8")
    with (
        embedded(home, 1) as (port,),
        home.serve("--comfy", f"http://127.0.0.1:{port}-{port}", "--require-comfy") as running,
    ):
        where = ("--http", running.addresses["http"])
        assert home.run("backends", "add", "http://127.0.0.1:9", "--name", "away", "--wait", "0", *where).code == 0
        # It is up before its nodes are read.
        wait_for(home, where, lambda told: told[f"127.0.0.1:{port}"]["lacks"])
        table = home.run("backends", "list", *where).out.splitlines()
        assert table[0].split()[:4] == ["name", "state", "now", "done"]
        row = next(line for line in table if line.startswith(f"127.0.0.1:{port}"))
        assert re.search(r" up +0 +\d+ +0 +0 ", row), row
        assert any(line.startswith("  lacks for stream art: node ") for line in table)
        assert "  at http://127.0.0.1:9" in table
        away = next(line for line in table if line.startswith("away"))
        assert away.split()[1] in ("connecting", "down")
        told = home.run("backends", "refresh", f"127.0.0.1:{port}", *where)
        assert (told.code, "has what it had" in told.out, "lacks for stream art" in told.out) == (0, True, True)
        assert home.run("backends", "refresh", "away", *where).code == 1
        assert home.run("backends", "drain", "nobody", *where).code == 2


def test_drained_for_a_restart_and_back(home):
    with HeldComfy() as held, embedded(home, 1) as (quick,):
        slow = held.url.rpartition(":")[2]
        urls = held.url, f"http://127.0.0.1:{quick}"
        config = home.work / "texbridge.toml"
        config.write_text(
            '[scheduler]\nwarm_up = false\n[streams.main]\nworkflow = "shapes"\nmode = "oneshot"\n', encoding="utf-8"
        )
        with home.serve("--comfy", urls[0], "--require-comfy") as running:
            where = ("--http", running.addresses["http"])
            with BlockingClient(running.addresses["tcp"]) as client:
                client.subscribe("main", format="rgba8")
                request = client.run("main")
                done = home.run("backends", "drain", f"127.0.0.1:{slow}", "--wait", "0", *where)
                assert (done.code, "still has 1 prompt " in done.out) == (1, True), done
                assert home.run("backends", "add", urls[1], *where).code == 0
                with home.start("backends", "drain", f"127.0.0.1:{slow}", *where) as draining:
                    draining.wait_for_error(f"127.0.0.1:{slow}: 1 prompt left")
                    held.release()
                    assert draining.process.wait(LIMIT_S) == 0, draining.errors
                    assert "is drained; `texbridge backends undrain" in draining.line()
                assert request.finished(30).outcome == "done"
                assert "drained" in home.run("backends", "list", *where).out
                assert client.run("main").finished(30).outcome == "done"
                told = listed(home, where)
                assert {one["done"] for one in told.values()} == {1}
                done = home.run("backends", "drain", f"127.0.0.1:{quick}", "--no-wait", "--json", *where)
                assert json.loads(done.out)["drained"] is True
                done = home.run("backends", "undrain", f"127.0.0.1:{slow}", *where)
                assert (done.code, done.out.split()[:2]) == (0, ["up", f"127.0.0.1:{slow}"])
    assert home.run("backends", "drain", "x", "--wait", "1", "--no-wait").code == 2
