"""What msgpack libraries of npm make of messages, sent to a running bridge; and its answers, read by them.

C#'s habits (numbered keys as arrays with nil holes, LZ4 as ext 98, timestamps) and keys given twice are vectors:
message/array, ext, timestamp, duplicate_keys. The library's own dates and arrays are here as well.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import msgpack
import pytest
from cli_rig import Home
from npm_packages import npm_packages

PROGRAM = Path(__file__).parent / "msgpack" / "msgpack.js"
LIMIT_S = 60.0
LIBRARIES = ("msgpackr", "@msgpack/msgpack")

pytestmark = pytest.mark.engine


def node(verb, library, text=""):
    modules = npm_packages("@msgpack/msgpack@3.1.2", "msgpackr@1.11.5")
    command = [shutil.which("node"), str(PROGRAM), verb, library]
    options = {"env": {**os.environ, "NODE_PATH": str(modules)}, "timeout": LIMIT_S, "encoding": "utf-8"}
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True, **options).stdout


class Link:
    """The engine link over TCP, by its bytes; `exchange` gives the raw answer with the id, or what ended the link."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), LIMIT_S)
        self._file = self._socket.makefile("rb")
        self.exchange(msgpack.packb({"op": "hello", "id": 0, "version": 1, "client": "npm"}), 0)

    def exchange(self, message, number):
        self._socket.sendall(struct.pack("<I", len(message)) + message)
        while True:
            (length,) = struct.unpack("<I", self._file.read(4))
            answer = self._file.read(length)
            if answer[:2] != b"TX" and ((read := msgpack.unpackb(answer)).get("id") == number or read.get("fatal")):
                return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._socket.close()


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("msgpack"))
    (home.work / "texbridge.toml").write_text('[streams.main]\nworkflow = "gradient"\nmode = "oneshot"\n', "utf-8")
    with home.serve("--embedded") as running:
        yield running


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request):
    return request.param


@pytest.fixture(scope="module")
def packed(library):
    return {name: bytes.fromhex(data) for name, data in json.loads(node("pack", library)).items()}


def test_messages_are_taken(bridge, packed):
    taken = {
        "plain": 1,
        "large_ids": 2**40,
        "whole_numbers": 3,
        "absent_fields": 4,
        "big_seed": 5,
        "text": 7,
        "bytes": 8,
    }
    if "float32" in packed:
        assert b"\xca\x3e\x80\x00\x00" in packed["float32"]
        taken["float32"] = 10
    with Link(bridge.addresses["tcp"]) as link:
        for name, number in taken.items():
            answer = msgpack.unpackb(link.exchange(packed[name], number))
            assert answer["op"] in ("ok", "accepted"), (name, answer)
            assert answer["id"] == number


def test_undefined_is_an_extension_of_msgpackr(bridge, packed, library):
    """So a page leaves such fields out; @msgpack/msgpack writes nil, which counts as absent."""
    with Link(bridge.addresses["tcp"]) as link:
        answer = msgpack.unpackb(link.exchange(packed["undefined_fields"], 11))
    assert answer["op"] == ("error" if library == "msgpackr" else "accepted")
    assert (b"\xd4\x00\x00" in packed["undefined_fields"]) is (library == "msgpackr")
    if library == "msgpackr":
        assert (answer["code"], "extension" in answer["message"]) == (107, True)


def test_large_ids_may_be_floats(packed, library):
    """msgpackr writes whole numbers above 2^32 as float64: the bridge has to take that (and does, above)."""
    assert (b"\xcb\x42\x70" in packed["large_ids"]) is (library == "msgpackr")


def test_dates_and_lists_are_refused_with_words(bridge, packed):
    with Link(bridge.addresses["tcp"]) as link:
        answer = msgpack.unpackb(link.exchange(packed["dates"], 6))
        assert (answer["op"], answer["code"]) == ("error", 107)
        assert msgpack.unpackb(link.exchange(packed["plain"], 1))["op"] == "ok"  # the link goes on
        answer = msgpack.unpackb(link.exchange(packed["numbered"], 9))
        assert (answer["name"], answer["fatal"]) == ("not_msgpack", True)


def test_answers_are_read(bridge, library):
    with Link(bridge.addresses["tcp"]) as link:
        questions = {1: {"op": "describe", "stream": "main"}, 2: {"op": "run", "stream": "main", "seed": 2**64 - 1}}
        answers = [link.exchange(msgpack.packb({**fields, "id": n}), n) for n, fields in questions.items()]
    read = [json.loads(line) for line in node("unpack", library, "\n".join(map(bytes.hex, answers))).splitlines()]
    assert [answer["op"] for answer in read] == ["described", "accepted"]
    assert read[0] == json.loads(json.dumps(msgpack.unpackb(answers[0])))
