"""OSC programs themselves against a running bridge: liblo, OscJack on Mono, osc.js on Node, Pure Data.

What real senders and receivers do, and the test that holds it (`v:` is a vector in protocols/vectors/osc that
tests/conformance/test_vectors_codec.py reads; engines that can't run here have their quirk as bytes there):

| quirk | test |
|---|---|
| OscJack sends one type a message: everything by set, then run | test_oscjack_sets_then_runs |
| OscJack's strings are (byte)char: Latin-1 | test_oscjack_sends_latin_1, v: string_latin1 |
| OscJack's buffer is 4,096 bytes, and a larger datagram ends its thread | test_a_large_datagram_ends_oscjack |
| so answers stay small, of types i f s | test_oscjack_hears_everything, test_answers_stay_small |
| JavaScript makes every number a float32: ints, choices and bools take them | test_osc_js_numbers_are_floats |
| others turn 1.0 into an int: a float takes it | test_liblo_types |
| a seed over 2^24 as float32 is wrong already: text or h | test_osc_js_seeds |
| blobs padded wrongly or not at all | v: blob_without_padding, truncated_blob; test_unpadded_blobs_and_short_chars |
| bools as ints | test_liblo_types |
| `c` as two bytes | test_unpadded_blobs_and_short_chars |
| bundles of 1970, and those without a time | test_osc_js_bundles, v: bundle_1970 |
| Unreal (read): h d T F, strings that aren't UTF-8, colours, bundles | test_liblo_types, test_osc_js_types, v: color |
| no type tags at all | v: no_type_tags; test_old_senders_have_no_type_tags |
| unknown type tags | test_liblo_types_that_are_refused |
| python-osc's server cuts at 8,192 bytes | test_a_large_datagram |
| ... and reorders | test_messages_arrive_in_order_one_tuple_each |
| its parser never returns from 32 bytes | test_a_size_that_points_backwards_ends |
| ... drops the argument of `I`, shifts after `c` and `S`, raises: Latin-1 | v: tags_tfn, tag_c, tag_S, string_latin1 |
| msgpack of JavaScript and C# | test_msgpack_senders.py: test_messages_are_taken and those below it |
| small WebSocket receivers, fragments | test_godot.py, test_unreal.py; test_every_pixel_is_in_the_texture (parts) |
| which row is first | test_blocks_are_what_the_driver_decodes, test_the_view_draws_every_format_the_right_way_up |
| Pure Data sends floats and symbols only | test_pure_data |
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cli_rig import Home
from npm_packages import npm_packages, npm_source
from osc_senders import LIMIT_S, lines_until, process, show

sys.path.insert(0, str(Path(__file__).parent))
from mono import compile_csharp, tool

HERE = Path(__file__).parent / "osc"
DOCS = Path(__file__).parents[2] / "docs" / "osc"

MARKS = itertools.count()

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with show(Home(tmp_path_factory.mktemp("osc"))) as made:
        yield made


@pytest.fixture
def bridge(running):
    """The one bridge, when all that a test before sent is done."""
    mark = f"mark {next(MARKS)}"
    raw(running, text("/texbridge/show/prompt") + text(",s") + text(mark))
    while running.heard()[0]["arguments"] != [mark]:
        pass
    return running


@pytest.fixture
def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raw(bridge, *packets):
    """Send datagrams as they are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, (bridge.host, bridge.port))


def text(value):
    """An OSC string."""
    data = value.encode()
    return data + bytes(4 - len(data) % 4)


def wait_for_ears(port, stream):
    """Wait until a program that doesn't say when it listens has printed a message: what comes before that is lost."""
    is_heard = threading.Event()

    def knock():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not is_heard.wait(0.05):
                sender.sendto(text("/knock") + text(","), ("127.0.0.1", port))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(knock)
        try:
            lines_until(stream, lambda line: "/knock" in line)
        finally:
            is_heard.set()


def found_in(line, wanted):
    """Take away what a line has of the wanted words; gives what is still wanted."""
    wanted.difference_update([words for words in wanted if words in line])
    return wanted


# --- liblo ------------------------------------------------------------------------------------------------------------


def oscsend(bridge, address, types="", *values):
    program = shutil.which("oscsend")
    if program is None:
        pytest.skip("oscsend not found: apt-get install liblo-tools")
    command = [program, bridge.host, str(bridge.port), address, *filter(None, [types]), *map(str, values)]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    (heard,) = bridge.heard()
    assert heard["address"] == address
    assert heard["tags"] == types
    return heard


@pytest.mark.parametrize(
    ("parameter", "types", "values", "becomes"),
    [
        ("bar_width", "i", [33], 33),
        ("bar_width", "f", ["34.0"], 34),
        ("bar_width", "h", [35], 35),
        ("bar_width", "d", ["36"], 36),
        ("bar_width", "s", ["37"], 37),
        ("noise", "f", ["0.25"], 0.25),
        ("noise", "i", [0], 0),
        ("noise", "d", ["0.125"], 0.125),
        ("noise/norm", "f", ["0.5"], 0.25),
        ("noise/norm", "i", [1], 0.5),
        ("fill", "T", [], True),
        ("fill", "F", [], False),
        ("fill", "i", [1], True),
        ("fill", "f", ["0"], False),
        ("prompt", "s", ["red fox"], "red fox"),
        ("prompt", "ss", ["two", "words"], "two words"),
        ("prompt", "S", ["symbol"], "symbol"),
        ("blend", "s", ["overlay"], "overlay"),
        ("blend", "i", [3], "soft_light"),
        ("bar", "ff", ["10", "20"], [10, 20]),
        ("bar", "ii", [11, 21], [11, 21]),
        ("bar/y", "f", ["12"], [11, 12]),
        ("ground", "fff", ["1", "0.5", "0"], [1, 0.5, 0, 1]),
        ("ground", "iii", [255, 0, 51], [1, 0, 0.2, 1]),
        ("ground", "s", ["#00ff00"], [0, 1, 0, 1]),
        ("ground/r", "i", [255], [1, 1, 0, 1]),
        ("seed", "h", [2**53 + 1], 2**53 + 1),
        ("seed", "s", [2**64 - 1], 2**64 - 1),
    ],
)
def test_liblo_types(bridge, parameter, types, values, becomes):
    heard = oscsend(bridge, f"/texbridge/show/{parameter}", types, *values)
    assert "error" not in heard
    found = bridge.value(parameter.partition("/")[0])
    assert found == pytest.approx(becomes) if isinstance(becomes, list) else found == becomes


@pytest.mark.parametrize(
    ("address", "types", "values", "code"),
    [
        ("/texbridge/show/bar_width", "m", ["00903c7f"], 108),
        ("/texbridge/show/bar_width", "f", ["1.5"], 301),
        ("/texbridge/show/bar_width", "s", ["wide"], 301),
        ("/texbridge/show/bar", "fff", [1, 2, 3], 304),
        ("/texbridge/show/barwidth", "i", [3], 204),
        ("/texbridge/shw/bar_width", "i", [3], 203),
    ],
)
def test_liblo_types_that_are_refused(bridge, address, types, values, code):
    program = shutil.which("oscsend")
    if program is None:
        pytest.skip("oscsend not found: apt-get install liblo-tools")
    before = bridge.values()
    subprocess.run([program, bridge.host, str(bridge.port), address, types, *map(str, values)], check=True)
    if code != 108:  # a packet that can't be read has no address
        assert bridge.heard()[0]["error"]["code"] == code
    oscsend(bridge, "/texbridge/show/prompt", "s", "still there")
    assert bridge.values() == before | {"prompt": "still there"}


def test_liblo_hears_everything(bridge, free_port):
    program = shutil.which("oscdump")
    if program is None:
        pytest.skip("oscdump not found: apt-get install liblo-tools")
    with process(program, "-L", free_port) as dump:
        wait_for_ears(free_port, dump.stdout)
        reply(bridge, free_port)
        bridge.client.set("show", {"bar_width": 40})  # what a host's only target sets itself, it isn't told
        raw(bridge, text("/texbridge/show/run") + text(","))
        wanted = {"/texbridge/show/bar_width i 40", "/texbridge/show/frame iiif"}
        lines_until(dump.stdout, lambda line: not found_in(line, wanted))
        raw(bridge, text("/texbridge/show/nothing") + text(",i") + bytes(4))
        lines_until(dump.stdout, lambda line: "/texbridge/show/error is 204" in line)
        reply(bridge, 0)


# --- OscJack ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jack(tmp_path_factory):
    tool("mono")
    source = npm_source("jp.keijiro.osc-jack@2.0.0") / "Runtime" / "Base"
    out = tmp_path_factory.mktemp("jack") / "Jack.exe"
    return compile_csharp(out, [HERE / "Jack.cs", *source.rglob("*.cs")])


def jack_sends(jack, bridge, *lines):
    """Each message and what became of it."""
    heard = []
    with process(tool("mono"), jack, "send", bridge.host, bridge.port) as sender:
        for words in lines:
            sender.stdin.write("\t".join(map(str, words)) + "\n")
            sender.stdin.flush()
            assert sender.stdout.readline() == "sent\n"
            heard += bridge.heard()
        sender.stdin.write("end\n")
        sender.stdin.flush()
        assert sender.wait(LIMIT_S) == 0
    return heard


def test_oscjack_sets_then_runs(jack, bridge):
    base = "/texbridge/main"
    colors = {"top_left": (1, 0, 0), "top_right": (0, 1, 0), "bottom_left": (0, 0, 1), "bottom_right": (1, 1, 0)}
    frames = bridge.client.subscribe("main", format="rgba8", origin="top_left")
    heard = jack_sends(
        jack,
        bridge,
        (f"{base}/size", "i", 64, 32),
        *((f"{base}/{name}", "f", *color) for name, color in colors.items()),
        (f"{base}/noise", "i", 0),
        (f"{base}/blur", "f", 0.1),
        (f"{base}/prompt", "s", "set then run"),
        (f"{base}/run",),
    )
    assert [entry.get("error") for entry in heard] == [None] * len(heard)
    assert all(len(set(entry["tags"])) <= 1 for entry in heard)
    while (frame := frames.next(LIMIT_S)).held or (frame.header.width, frame.header.height) != (64, 32):
        pass
    for (row, column), color in zip(((0, 0), (0, -1), (-1, 0), (-1, -1)), colors.values(), strict=True):
        assert np.abs(frame.pixels[row, column, :3].astype(int) - np.array(color) * 255).max() <= 24
    frames.close()


def test_oscjack_sends_latin_1(jack, bridge):
    (heard,) = jack_sends(jack, bridge, ("/texbridge/show/prompt", "s", "café à gogo"))
    assert heard["arguments"] == ["café à gogo"]
    assert bridge.value("prompt") == "café à gogo"


def test_oscjack_switches_by_ints(jack, bridge):
    jack_sends(jack, bridge, ("/texbridge/show/fill", "i", 1), ("/texbridge/show/blend", "i", 1))
    assert (bridge.value("fill"), bridge.value("blend")) == (True, "multiply")
    jack_sends(jack, bridge, ("/texbridge/show/fill", "i", 0))
    assert bridge.value("fill") is False


def test_oscjack_hears_everything(jack, bridge, free_port):
    with process(tool("mono"), jack, "hear", free_port) as server:
        assert server.stdout.readline() == "ready\n"
        reply(bridge, free_port)
        said = lines_until(server.stdout, lambda line: line.startswith("/texbridge/show/status"))
        assert said[-1].split("\t")[2] in ("ready", "warming", "loading")
        bridge.client.set("show", {"ground": [1, 0, 0.5]})
        raw(bridge, text("/texbridge/show/run") + text(","))
        wanted = {"/texbridge/show/ground\t4\t1\t0\t0.5\t1", "/texbridge/show/frame\t4"}
        said = lines_until(server.stdout, lambda line: not found_in(line, wanted))
        (frame,) = [line.split("\t") for line in said if "/show/frame" in line]
        assert [int(word) for word in frame[3:5]] == [512, 512]
        reply(bridge, 0)


def test_a_large_datagram_ends_oscjack(jack, bridge, free_port):
    """That it does is why answers are small: after one from elsewhere it hears nothing any more."""
    with process(tool("mono"), jack, "hear", free_port) as server:
        assert server.stdout.readline() == "ready\n"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(text("/small") + text(",i") + bytes(4), ("127.0.0.1", free_port))
            assert server.stdout.readline() == "/small\t1\t0\n"
            sender.sendto(text("/large") + text(",s") + text("x" * 5000), ("127.0.0.1", free_port))
            lines_until(server.stdout, lambda line: "Exception" in line)


def test_answers_stay_small(jack, bridge, free_port):
    """A text of 8,000 characters is a value like any other; what comes back of it is cut, and OscJack goes on."""
    with process(tool("mono"), jack, "hear", free_port) as server:
        assert server.stdout.readline() == "ready\n"
        reply(bridge, free_port)
        lines_until(server.stdout, lambda line: line.startswith("/texbridge/show/status"))
        long = "long " * 1600
        bridge.client.set("show", {"prompt": long})
        (told,) = lines_until(server.stdout, lambda line: "/show/prompt" in line)[-1:]
        assert long.startswith(told.split("\t")[2])
        assert 1000 < len(told) < 1400
        raw(bridge, text("/texbridge/show/" + "x" * 4000) + text(",i") + bytes(4))
        bridge.client.set("show", {"bar_width": 41})
        lines_until(server.stdout, lambda line: line.startswith("/texbridge/show/bar_width\t1\t41"))
        reply(bridge, 0)


def reply(bridge, port):
    raw(bridge, text("/texbridge/reply") + text(",i") + port.to_bytes(4, "big"))


# --- osc.js -----------------------------------------------------------------------------------------------------------


def osc_js(bridge, verb, *packets):
    modules = npm_packages("osc@2.4.5")
    command = [shutil.which("node"), HERE / "osc.js", verb, bridge.host, bridge.port]
    if packets:
        command.append(json.dumps(packets))
    return command, {**os.environ, "NODE_PATH": str(modules)}


def osc_js_sends(bridge, *packets, messages=None):
    command, environment = osc_js(bridge, "send", *packets)
    subprocess.run([str(word) for word in command], env=environment, check=True, timeout=LIMIT_S)
    return bridge.heard(messages or len(packets))


def test_osc_js_numbers_are_floats(bridge):
    heard = osc_js_sends(
        bridge,
        {"address": "/texbridge/show/bar_width", "args": [7]},
        {"address": "/texbridge/show/blend", "args": [2]},
        {"address": "/texbridge/show/fill", "args": [1]},
        {"address": "/texbridge/show/ground", "args": [1, 0, 1]},
        {"address": "/texbridge/show/prompt", "args": ["é 猫"]},
    )
    assert [entry["tags"] for entry in heard] == ["f", "f", "f", "fff", "s"]
    values = bridge.values()
    assert (values["bar_width"], values["blend"], values["fill"]) == (7, "overlay", True)
    assert (values["ground"], values["prompt"]) == ([1, 0, 1, 1], "é 猫")


def test_osc_js_seeds(bridge):
    """2^24 + 1 is no float32: it is wrong before it is sent. As text or as h it is right."""
    seed = 2**24 + 1
    osc_js_sends(bridge, {"address": "/texbridge/show/seed", "args": [seed]})
    assert bridge.value("seed") == seed - 1
    osc_js_sends(bridge, {"address": "/texbridge/show/seed", "args": [str(seed)]})
    assert bridge.value("seed") == seed
    osc_js_sends(
        bridge, {"address": "/texbridge/show/seed", "args": [{"type": "h", "value": {"long": str(2**40 + 1)}}]}
    )
    assert bridge.value("seed") == 2**40 + 1


def test_osc_js_types(bridge):
    red = {"r": 255, "g": 0, "b": 0, "a": 1}
    heard = osc_js_sends(
        bridge,
        {"address": "/texbridge/show/ground", "args": [{"type": "r", "value": red}]},
        {"address": "/texbridge/show/prompt", "args": [{"type": "b", "value": {"bytes": list("blöb".encode())}}]},
        {"address": "/texbridge/show/fill", "args": [{"type": "I", "value": None}]},
        {"address": "/texbridge/show/noise", "args": [{"type": "d", "value": 0.125}]},
        {"address": "/texbridge/show/prompt", "args": [{"type": "s", "value": "a"}, {"type": "c", "value": "b"}]},
    )
    assert [entry["tags"] for entry in heard] == ["r", "b", "I", "d", "sc"]
    assert [entry.get("error") for entry in heard] == [None] * 5
    values = bridge.values()
    assert (values["ground"], values["fill"], values["noise"], values["prompt"]) == ([1, 0, 0, 1], True, 0.125, "a b")


@pytest.mark.parametrize("time_tag", [{"raw": [0, 1]}, {"raw": [2208988800, 0]}, {"raw": [0, 0]}, None])
def test_osc_js_bundles(bridge, time_tag):
    """Immediately, 1970, zero, and a time tag that osc.js makes of now."""
    packets = [
        {"address": "/texbridge/show/bar_width", "args": [50]},
        {"address": "/texbridge/show/bar_height", "args": [60]},
        {"address": "/texbridge/show/bar_width", "args": [51]},
    ]
    bundle = {"timeTag": time_tag or {"native": 0}, "packets": packets}
    heard = osc_js_sends(bridge, bundle, messages=3)
    assert [entry["arguments"] for entry in heard] == [[50], [60], [51]]
    values = bridge.values()
    assert (values["bar_width"], values["bar_height"]) == (51, 60)


def test_osc_js_hears_everything(bridge):
    command, environment = osc_js(bridge, "hear")
    with process(*command, env=environment) as node:
        lines_until(node.stdout, lambda line: '"/texbridge/show/status"' in line)
        bridge.client.set("show", {"fill": False})
        bridge.client.set("show", {"fill": True, "prompt": "héard", "bar_width": 61})
        wanted = {"/texbridge/show/fill", "/texbridge/show/prompt", "/texbridge/show/bar_width"}
        heard = {}

        def enough(line):
            message = json.loads(line)
            heard[message["address"]] = message["args"]
            last = heard.get("/texbridge/show/fill", [{}])[0].get("type") == "T"
            return last and wanted <= set(heard)

        lines_until(node.stdout, enough)
        assert heard["/texbridge/show/prompt"] == [{"type": "s", "value": "héard"}]
        assert heard["/texbridge/show/bar_width"] == [{"type": "i", "value": 61}]


# --- Pure Data --------------------------------------------------------------------------------------------------------


def test_pure_data(bridge, free_port, tmp_path):
    """The patch of the docs page, at the ports of this test: floats and symbols out, answers in."""
    program = shutil.which("pd") or shutil.which("puredata")
    if program is None:
        pytest.skip("pd not found: apt-get install --no-install-recommends puredata-core")
    patch = (DOCS / "texbridge.pd").read_text(encoding="utf-8")
    patch = patch.replace("127.0.0.1 9400", f"{bridge.host} {bridge.port}").replace("9001", str(free_port))
    path = tmp_path / "texbridge.pd"
    path.write_text(patch, encoding="utf-8")
    sends = [f"reply {free_port}", "noise 0.25", "top_left 1 0.5 0", "prompt symbol puredata", "run bang"]
    options = [word for message in sends for word in ("-send", message)]
    with process(
        program, "-nogui", "-noaudio", "-nomidi", "-stderr", *options, "-open", path, stderr=subprocess.STDOUT
    ) as pd:
        heard = {entry["address"]: entry for entry in bridge.heard(len(sends))}
        assert [entry.get("error") for entry in heard.values()] == [None] * len(sends)
        assert heard["/texbridge/reply"]["tags"] == "f"
        values = bridge.values("main")
        assert (values["noise"], values["top_left"], values["prompt"]) == (0.25, [1, 0.5, 0, 1], "puredata")
        lines_until(pd.stdout, lambda line: line.startswith("texbridge: texbridge main frame"))
        reply(bridge, 0)


# --- senders that can't run here, as bytes ----------------------------------------------------------------------------


def test_unpadded_blobs_and_short_chars(bridge):
    """A last blob without padding, one with four bytes too many, and `c` in two bytes."""
    blob = text("/texbridge/show/prompt") + text(",b") + (5).to_bytes(4, "big") + b"12345"
    raw(bridge, blob)
    assert "error" not in bridge.heard()[0]
    assert bridge.value("prompt") == "12345"
    raw(bridge, text("/texbridge/show/prompt") + text(",b") + (4).to_bytes(4, "big") + b"wide" + bytes(4))
    assert "error" not in bridge.heard()[0]
    assert bridge.value("prompt") == "wide"
    raw(bridge, text("/texbridge/show/prompt") + text(",c") + b"\0x")
    assert "error" not in bridge.heard()[0]


def test_old_senders_have_no_type_tags(bridge):
    raw(bridge, text("/texbridge/show/run"))
    (heard,) = bridge.heard()
    assert "error" not in heard


# --- the pages --------------------------------------------------------------------------------------------------------


def written(page):
    """(line, address, types, values, expected error) of each line of a page's ```osc blocks, in oscsend's form."""
    for block in re.findall(r"^ *```osc\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.M | re.S):
        for line in filter(None, map(str.strip, block.splitlines())):
            words = shlex.split(line)
            error = int(words.pop()[1:]) if words[-1].startswith("!") else None
            yield line, words[0], words[1] if len(words) > 1 else "", words[2:], error


def packed(address, types, values):
    """A message's bytes, by the OSC specification."""
    data = text(address) + text("," + types)
    left = iter(values)
    for tag in types:
        if tag in "TFNI":
            continue
        word = next(left)
        if tag in "fdih":
            data += struct.pack(
                f">{ {'f': 'f', 'd': 'd', 'i': 'i', 'h': 'q'}[tag] }", float(word) if tag in "fd" else int(word)
            )
        else:
            data += bytes.fromhex(word[1:]) if tag == "r" else text(word)
    assert next(left, None) is None
    return data


PAGES = sorted(DOCS.glob("*.md"))
ELSEWHERE = "touchdesigner"  # test_touchdesigner.py has its messages


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem != ELSEWHERE], ids=lambda page: page.stem)
def test_every_message_of_a_page_is_taken(bridge, page):
    lines = list(written(page))
    assert len(lines) >= 4
    for line, address, types, values, error in lines:
        raw(bridge, packed(address, types, values))
        (heard,) = bridge.heard()
        assert (heard["address"], heard["tags"]) == (address, types), line
        assert heard.get("error", {}).get("code") == error, (line, heard)
    reply(bridge, 0)
    bridge.client.live("main", False)


def test_every_page_is_in_the_list():
    listed = set(re.findall(r"\]\((\w[\w-]*\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert listed == {page.name for page in PAGES} - {"README.md"}


def test_every_test_that_the_table_names_is_there():
    names = set(re.findall(r"\b(test_\w+)\b(?!\.py)", __doc__))
    vectors = set(re.findall(r"\b[a-z]+_\w+\b|\btag_\w", " ".join(re.findall(r"v: ([^|;]+)", __doc__))))
    tests = Path(__file__).parents[1]
    defined = "".join(path.read_text(encoding="utf-8") for path in tests.rglob("test_*.py"))
    assert {name for name in names if f"def {name}(" not in defined} == set()
    there = {path.stem for path in (tests.parent / "protocols" / "vectors" / "osc").glob("*.hex")}
    assert vectors - there == set()
