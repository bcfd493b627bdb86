"""The Unity package: compiled by Debian's Mono against a stub of UnityEngine, and run against a live bridge."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import msgpack
import msgspec
import numpy as np
import pytest
from cli_rig import Home
from engine_pictures import gradient_pictures, values
from osc_senders import process
from ports import ReservedPort

sys.path.insert(0, str(Path(__file__).parent))
from mono import run_csharp, tool
from unity_rig import REPOSITORY, build
from websocket_peer import WELCOME, WebSocketPeer
from wire import Wire

from bridge.app.pictures.card import draw_card
from bridge.cli.expected import TOLERANCE, gradient_pixels, worst_difference
from bridge.client import BlockingClient

HERE = Path(__file__).parent
VECTORS = REPOSITORY / "protocols" / "vectors"
LIMIT_S = 110.0
PICTURES = 200
WIDTH, HEIGHT = 64, 48
RECORD = struct.Struct("<6I")

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The whole package, and the program of this test on top."""
    return build(tmp_path_factory.mktemp("unity"))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The addresses of a running bridge."""
    with Home(tmp_path_factory.mktemp("bridge")).serve("--embedded") as running:
        yield running.addresses


@pytest.fixture(scope="module")
def expected(bridge) -> list[np.ndarray]:
    """What the Python client gets for the same requests and seeds: [height, width, 4], the lowest row first."""
    return gradient_pictures(bridge["tcp"], PICTURES, (WIDTH, HEIGHT), "bottom_left")


class Picture(NamedTuple):
    index: int
    request: int
    number: int
    flags: int
    pixels: np.ndarray


def read_pictures(path: Path) -> list[Picture]:
    """Give what the C# program wrote."""
    data = path.read_bytes()
    pictures = []
    at = 0
    while at < len(data):
        index, request, number, flags, width, height = RECORD.unpack_from(data, at)
        at += RECORD.size
        pixels = np.frombuffer(data, np.uint8, width * height * 4, at).reshape(height, width, 4)
        at += pixels.size
        pictures.append(Picture(index, request, number, flags, pixels))
    return pictures


def assert_same(pictures: list[Picture], expected: list[np.ndarray]) -> None:
    """Every pixel is the one that the Python client got, and the corner that was asked for is where it belongs."""
    assert [picture.index for picture in pictures] == list(range(len(expected)))
    for picture, wanted in zip(pictures, expected, strict=True):
        assert np.array_equal(picture.pixels, wanted), f"picture {picture.index} has other pixels"
        assert picture.flags & 8, "rows are not bottom-up"


def test_vectors_in_csharp(built):
    told = run_csharp(built / "Runner.exe", "vectors", VECTORS)
    counts = dict(word.split("=") for word in told.splitlines()[-1].split())
    files = {folder: len(list((VECTORS / folder).glob("*.hex"))) for folder in counts}
    assert {folder: int(count) for folder, count in counts.items()} == files
    unread = {folder.name for folder in VECTORS.iterdir() if folder.is_dir()} - set(files)
    assert unread == {"node"}, "a new family of vectors: read it, or name it in Vectors.cs"


class Recorder:
    """The C# program that records: it stops after each picture, until it is told to go on."""

    def __init__(self, built: Path, address: str, out: Path, by: str = "link", *options: object) -> None:
        command = [tool("mono"), "--debug", str(built / "Runner.exe"), "record", address, PICTURES, out, by, *options]
        self.out = out
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(
        self, before: dict[int, Callable[[], None]] | None = None, after: dict[int, Callable[[], None]] | None = None
    ) -> dict[str, object]:
        """Record to the end, doing what is said before or after a picture is asked for; give its last words."""
        try:
            while (line := self.process.stdout.readline()).startswith("picture "):
                following = int(line.split()[1]) + 1
                if before and following in before:
                    before[following]()
                self.process.stdin.write("\n")
                self.process.stdin.flush()
                if after and following in after:
                    after[following]()
            assert line, self.process.stderr.read()
            self.process.communicate(timeout=LIMIT_S)
            return json.loads(line)
        finally:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                pipe.close()


@pytest.mark.parametrize(
    ("door", "by", "options"),
    [("tcp", "link", ()), ("link", "link", ()), ("tcp", "memory", ()), ("tcp", "link", (4096,))],
    ids=["tcp", "websocket", "shared memory", "tcp in parts"],
)
def test_two_hundred_pictures(built, bridge, expected, tmp_path, door, by, options):
    address = f"ws://{bridge[door]}" if door == "link" else bridge[door]
    recorder = Recorder(built, address, tmp_path / "pictures", by, *options)
    told = recorder.run()
    assert told["malformed"] == told["torn"] == 0
    assert told["memory"] == (PICTURES if by == "memory" else 0)
    pictures = read_pictures(recorder.out)
    assert_same(pictures, expected)
    assert sorted({picture.request for picture in pictures}) == [picture.request for picture in pictures]
    # Without the Python client, and without the bridge: every second picture has no clouds, and can be computed.
    for picture in pictures[::2]:
        asked = values(picture.index)
        corners = tuple(tuple(asked[name]) for name in ("top_left", "top_right", "bottom_left", "bottom_right"))
        computed = gradient_pixels(corners, WIDTH, HEIGHT, asked["blur"])
        assert worst_difference(picture.pixels[::-1], computed) <= TOLERANCE


@pytest.mark.parametrize(("door", "by"), [("tcp", "memory"), ("link", "link")], ids=["tcp and memory", "websocket"])
def test_the_bridge_is_killed_and_comes_back(built, expected, tmp_path, door, by):
    """Once while nothing is under way, once just after a picture was asked for; the recording has all of them."""
    home = Home(tmp_path)
    with ExitStack() as bridges:
        told_address = f"127.0.0.1:{bridges.enter_context(ReservedPort())}"
        running = bridges.enter_context(home.serve("--embedded", f"--{door}", told_address))

        def restart() -> None:
            nonlocal running
            running.process.kill()
            running.process.wait()
            running = bridges.enter_context(home.serve("--embedded", f"--{door}", told_address))

        address = f"ws://{told_address}" if door == "link" else told_address
        recorder = Recorder(built, address, tmp_path / "pictures", by)
        told = recorder.run(before={50: restart}, after={120: restart})
    assert told["malformed"] == 0
    assert not told["resumed"], "a bridge that was killed has no sessions"
    assert told["memory"] == (PICTURES if by == "memory" else 0)
    assert_same(read_pictures(recorder.out), expected)


def test_a_cut_link_goes_on_with_its_session(built, bridge, expected, tmp_path):
    with Wire(bridge["tcp"]) as wire:
        recorder = Recorder(built, wire.address, tmp_path / "pictures")
        told = recorder.run(before={20: wire.cut, 150: wire.cut}, after={80: wire.cut})
        assert wire.connections == 4
    assert told["resumed"]
    assert_same(read_pictures(recorder.out), expected)


@pytest.mark.parametrize(
    ("door", "by"),
    [("tcp", "link"), ("tcp", "memory"), ("link", "link")],
    ids=["tcp", "shared memory", "websocket"],
)
def test_no_allocation_per_picture(built, bridge, door, by):
    """In bytes of heap a picture of 64 KiB, after 50 of them: where one is shown, and where the link is read."""
    address = f"ws://{bridge[door]}" if door == "link" else bridge[door]
    told = json.loads(run_csharp(built / "Runner.exe", "allocate", address, 200, by))
    assert told["showing"] == 0, told
    assert told["reading"] == 0, told
    assert (told["memory"] > 0) is (by == "memory")


def test_a_websocket_with_fragments_pings_and_a_refusal(built):
    def script(peer: WebSocketPeer) -> None:
        opcode, hello = peer.receive()
        assert (opcode, msgpack.unpackb(hello)["op"]) == (2, "hello")
        welcome = msgpack.packb(WELCOME)
        peer.send(2, welcome[:7], final=False)
        peer.send(9, b"still there?")
        peer.send(0, b"", final=False)
        peer.send(0, welcome[7:])
        answers = [peer.receive(), peer.receive()]
        assert (10, b"still there?") in answers
        (ping,) = (msgpack.unpackb(payload) for opcode, payload in answers if opcode == 2)
        assert ping["op"] == "ping"
        peer.send(2, msgpack.packb({"op": "pong", "id": ping["id"]}))
        peer.send(8, struct.pack(">H", 4401) + b"not that token")
        assert peer.receive()[0] == 8

    with WebSocketPeer(script) as peer:
        told = run_csharp(built / "Runner.exe", "greet", peer.address)
    assert peer.error is None
    assert "Sec-WebSocket-Protocol: texbridge.v1\r\n" in peer.head
    assert "Origin:" not in peer.head
    assert told.splitlines() == ["Connected scripted", "Disconnected 401 not that token", "ping RanToCompletion"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\x81\x02{}", "the bridge sent text"),
        (b"\x82\x81\0\0\0\0a", "a server masks nothing"),
        (b"\xc2\x01a", "reserved bits"),
        (b"\x83\x01a", "opcode 3"),
        (b"\x80\x01a", "fragments out of order"),
        (b"\x89\x7e\x00\x7e", "a control frame of 126"),
        (b"\x82\xff" + b"\x7f" * 8, "a server masks nothing"),
        (b"\x82\x7f" + b"\x7f" * 8, "a message is over"),
        (b"\x82\x01a", "is no map"),
    ],
    ids=str,
)
def test_websocket_bytes_that_end_the_link_for_good(built, frame, words):
    def script(peer: WebSocketPeer) -> None:
        peer.receive()
        peer.send(2, msgpack.packb(WELCOME))
        peer.socket.sendall(frame)
        while peer.socket.recv(4096):
            pass

    with WebSocketPeer(script) as peer:
        told = run_csharp(built / "Runner.exe", "greet", peer.address)
    assert not isinstance(peer.error, AssertionError), peer.error
    assert words in told.splitlines()[1], told


def frame(number: int, output: int, value: int, flags: int = 64) -> bytes:
    """One pixel of a stream with number 3."""
    head = struct.pack("<4sHHIIQIBBHIIII", b"TXB1", 64, flags, 3, number, number, 0, output, 1, 1, 1, 1, 4, 4)
    return head + bytes(16) + bytes([value]) * 4


LAST, HELD = 64, 4


@pytest.mark.parametrize(
    ("delivery", "frames", "taken", "acks"),
    [
        ("latest", [frame(n, 0, n) for n in range(1, 6)], ["5 0:5", "came 5, replaced 4"], [5]),
        ("lossless", [frame(n, 0, n) for n in (1, 2, 3)], ["1 0:1", "2 0:2", "3 0:3", "came 3, replaced 0"], [1, 2, 3]),
        ("latest", [frame(1, 0, 7, 0), frame(1, 1, 8)], ["1 0:7 1:8", "came 1, replaced 0"], [1]),
        # Blackout breaks a set off: its rest never comes.
        ("latest", [frame(1, 0, 7, 0), frame(0, 0, 9, LAST | HELD)], ["0 held 0:9", "came 1, replaced 0"], []),
        ("latest", [frame(1, 0, 7, 0)], ["came 0, replaced 0"], []),
        # The blends of a fade have one number, and cost a credit each.
        ("latest", [frame(4, 0, n, LAST | HELD) for n in (1, 2)], ["4 held 0:2", "came 2, replaced 1"], [4]),
    ],
    ids=["latest", "lossless", "two outputs", "broken off", "half a set", "blends"],
)
def test_what_is_taken_and_acked(built, delivery, frames, taken, acks):
    """A scripted bridge sends frames between the answer to `subscribe` and a pong."""
    subscribed = {"op": "subscribed", "number": 3}
    with TcpPeer({"subscribe": lambda: [subscribed, *frames], "ping": lambda: [{"op": "pong"}]}) as peer:
        told = run_csharp(built / "Runner.exe", "take", peer.address, delivery, 3)
    assert told.splitlines() == taken
    assert [message["number"] for message in peer.got if message["op"] == "ack"] == acks
    assert all(message["stream"] == 3 for message in peer.got if message["op"] == "ack")


class TcpPeer:
    """A bridge that answers each message with what its op's function gives; the first answer gets the `id`."""

    def __init__(self, answers: dict[str, Callable[[], list[bytes | dict[str, object]]]]) -> None:
        self.got: list[dict[str, object]] = []
        self._answers = {"hello": lambda: [dict(WELCOME)]} | answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._moved = threading.Condition()

    def wait_for(self, op: str) -> None:
        """Wait until a message of this kind is here."""
        with self._moved:
            assert self._moved.wait_for(lambda: op in [message["op"] for message in self.got], LIMIT_S), self.got

    def _serve(self) -> None:
        with suppress(ConnectionError), self._listener.accept()[0] as link, link.makefile("rb") as stream:
            while len(head := stream.read(4)) == 4:
                (count,) = struct.unpack("<I", head)
                if len(data := stream.read(count)) < count:
                    return  # it was closed in the middle of a message
                message = msgpack.unpackb(data)
                with self._moved:
                    self.got.append(message)
                    self._moved.notify_all()
                for place, answer in enumerate(self._answers.get(message["op"], list)()):
                    if not isinstance(answer, bytes):
                        answer = msgpack.packb(answer | ({} if place else {"id": message["id"]}))
                    link.sendall(struct.pack("<I", len(answer)) + answer)

    def __enter__(self) -> TcpPeer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join()


def test_a_picture_that_another_took_the_place_of_is_asked_for_again(built, tmp_path):
    """`latest` keeps one set waiting, and somebody else's may be newer: `finished` names a number that never comes."""

    def finished(request: int, number: int) -> dict[str, object]:
        return {"op": "finished", "request": request, "outcome": "done", "frames": 1, "number": number}

    runs = iter(
        [
            [{"op": "accepted", "request": 1}, frame(2, 0, 22, 66), finished(1, 1)],
            [{"op": "accepted", "request": 3}, finished(3, 3), frame(3, 0, 33, 66)],
        ]
    )
    answers = {
        "open": lambda: [{"op": "opened", "number": 3, "created": True}],
        "subscribe": lambda: [{"op": "subscribed", "number": 3}],
        "run": lambda: [message | peer.key() if isinstance(message, dict) else message for message in next(runs)],
    }

    class KeyPeer(TcpPeer):
        def key(self) -> dict[str, object]:
            return {"key": self.got[-1]["key"]}

    with KeyPeer(answers) as peer:
        run_csharp(built / "Runner.exe", "record", peer.address, 1, tmp_path / "pictures", "link", text="\n")
    (picture,) = read_pictures(tmp_path / "pictures")
    assert (picture.request, picture.pixels.tolist()) == (3, [[[33] * 4]])
    keys = [message["key"] for message in peer.got if message["op"] == "run"]
    assert len(set(keys)) == 2


def test_a_wrong_token_is_not_tried_again(built, tmp_path):
    with Home(tmp_path).serve("--embedded", TEXBRIDGE_LINK_TOKEN="a token of some length") as running:
        for address in (running.addresses["tcp"], f"ws://{running.addresses['link']}"):
            told = run_csharp(built / "Runner.exe", "greet", address)
            assert told.startswith("Disconnected 401 "), told


def test_the_rules_of_shared_memory(built, tmp_path):
    assert run_csharp(built / "Runner.exe", "memory", tmp_path / "memory.txbs") == "ok\n"


def test_shared_memory_that_is_written_over_while_it_is_read(built, tmp_path):
    """The bridge's own writer takes slots from their readers: what is accepted is whole."""
    pipes: dict[str, object] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with ExitStack() as stack:

        def start(*command: object) -> subprocess.Popen[str]:
            child = subprocess.Popen([str(word) for word in command], **pipes)
            for pipe in (child.stdin, child.stdout):
                stack.callback(pipe.close)
            stack.callback(child.wait)
            stack.callback(child.kill)
            return child

        reader = start(tool("mono"), built / "Runner.exe", "stress", 200)
        port = int(reader.stdout.readline())
        writer = start(sys.executable, HERE.parent / "shared_memory_stress.py", "writer", tmp_path / "memory", port)
        memory = json.loads(writer.stdout.readline())
        seen = json.loads(reader.communicate("{file} {nonce} {slots} {stride}\n".format(**memory), timeout=LIMIT_S)[0])
    assert seen["accepted"] == 200
    assert seen["wrong"] == 0, seen


def test_the_packages_own_tests(built):
    assert "0 failed" in run_csharp(built / "Runner.exe", "tests", built / "TexBridge.Tests.dll")


def play(built: Path, bridge: dict[str, str], what: str, out: Path) -> np.ndarray:
    """Play a sample; give the bytes of its texture."""
    run_csharp(built / "Runner.exe", what, bridge["tcp"], out)
    return np.frombuffer(out.read_bytes(), np.uint8)


def held(bridge: dict[str, str], stream: str) -> np.ndarray:
    """What the Python client is given of a stream, as a newcomer: [height, width, 4], the lowest row first."""
    with BlockingClient(bridge["tcp"]) as client:
        return client.subscribe(stream, format="rgba8", origin="bottom_left").next(timeout_s=LIMIT_S).pixels.copy()


def test_sample_live_quad(built, bridge, tmp_path):
    shown = play(built, bridge, "live", tmp_path / "live").reshape(512, 512, 4)
    assert np.array_equal(shown, held(bridge, "unity_live"))


def test_the_project_itself(built, bridge, tmp_path, monkeypatch):
    monkeypatch.chdir(built)
    shown = play(built, bridge, "demo", tmp_path / "demo").reshape(512, 512, 4)
    assert np.array_equal(shown, held(bridge, "main"))


def test_sample_test_card(built, bridge, tmp_path):
    """Drawn a second time, without ComfyUI and without the client: the top row is the texture's last."""
    shown = play(built, bridge, "card", tmp_path / "card").reshape(512, 512, 4)
    assert np.array_equal(shown[::-1, :, :3], draw_card())


def test_sample_camera(built, bridge, tmp_path):
    """The camera's lower half is blue, its upper half red; the test in C# waits until that has come back."""
    shown = play(built, bridge, "camera", tmp_path / "camera").reshape(512, 512, 4).astype(int)
    assert np.abs(shown[:240] - [0, 0, 255, 255]).max() < 40
    assert np.abs(shown[-240:] - [255, 0, 0, 255]).max() < 40


def test_a_frame_locked_recording_with_the_component(built, bridge, expected, tmp_path):
    shown = play(built, bridge, "locked", tmp_path / "locked").reshape(10, HEIGHT, WIDTH, 4)
    assert np.array_equal(shown, expected[:10])


def test_play_that_ends_before_an_answer_is_no_error(built):
    """Whoever stops a game while its stream is being opened reads nothing red in the console."""
    with (
        TcpPeer({}) as peer,
        process(tool("mono"), "--debug", built / "Runner.exe", "unanswered", peer.address) as game,
    ):
        peer.wait_for("open")
        assert game.communicate("\n", timeout=LIMIT_S)[0] == ""
        assert game.returncode == 0


def test_osc(built, tmp_path):
    with Home(tmp_path).serve("--embedded") as running, BlockingClient(running.addresses["tcp"]) as client:
        frames = client.subscribe("main", format="rgba8", origin="bottom_left")
        run_csharp(built / "Runner.exe", "osc", *running.addresses["osc"].rsplit(":", 1))
        while True:  # the bundle is the last that came: a picture with its colour has all the others
            corner = frames.next(timeout_s=LIMIT_S).pixels[-1, -1]
            values = {parameter["name"]: parameter.get("value") for parameter in described(client)}
            if values["top_right"][:3] == [1.0, 0.0, 0.0] and corner[0] > 150 > 100 > corner[1]:
                break
    assert values["noise"] == 0.25
    assert values["blur"] == pytest.approx(0.55)
    assert values["prompt"] == "a red fox é"
    assert values["top_left"] == [1.0, 0.5, 0.25, 1.0]


def described(client: BlockingClient) -> list[dict[str, object]]:
    return msgspec.to_builtins(client.describe("main").parameters)


def test_the_editor_window(built, bridge):
    told = run_csharp(built / "Runner.exe", "window", bridge["tcp"])
    assert "main  (gradient, live, " in told
    assert "amount  (Amount) | float 0 .. 1" in told
    assert "camera  (Camera) | image" in told
