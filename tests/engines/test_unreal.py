"""The Unreal plugin's core, compiled by g++ with sanitizers: every vector, and an engine made of it with a bridge."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from engine_pictures import gradient_pictures, values
from fault_proxy import FaultProxy
from ports import ReservedPort
from serve_rig import Comfy, Serve, run
from vectors import load

from bridge.cli.expected import TOLERANCE, gradient_pixels, worst_difference
from bridge.client import BlockingClient

HERE = Path(__file__).parent / "unreal"
REPOSITORY = Path(__file__).parents[2]
PLUGIN = REPOSITORY / "unreal_sample" / "Plugins" / "TexBridge"
SOURCE = PLUGIN / "Source" / "TexBridge"
VECTORS = REPOSITORY / "protocols" / "vectors"
STRESS = Path(__file__).parents[1] / "shared_memory_stress.py"
LIMIT_S = 110.0
LIVE_LIMIT_S = 300.0
PICTURES = 200
WIDTH, HEIGHT = 64, 48
FAMILIES = ("frame", "part", "framing", "message", "memory")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror")
# As the engine compiles it: no exceptions, no RTTI.
CORE = ("-fno-exceptions", "-fno-rtti")
VARIANTS = {
    "address": ("-std=c++17", "-fsanitize=address,undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"),
    # It knows no fences, and has no need to: the one in SharedMemory.cpp is against another process.
    "thread": ("-std=c++17", "-fsanitize=thread", "-Wno-tsan"),
}

# Compiling with sanitizers takes a minute or two where nothing is kept of it.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def compiler() -> str:
    found = shutil.which("g++")
    if found is None:
        pytest.skip("g++ not found: apt-get install -y --no-install-recommends g++")
    return found


def built(variant: str, program: str) -> Path:
    """Give a program of tests/engines/unreal with the core, compiled with all warnings as errors.

    Objects are kept under .cache by what they are made of: compiling with sanitizers takes a minute.
    """
    tool = compiler()
    headers = sorted(SOURCE.glob("Public/Core/*.h"))
    flags = ("-O1", *VARIANTS[variant], *WARNINGS, f"-I{SOURCE / 'Public'}", "-pthread")
    common = hashlib.sha256(repr(flags).encode() + b"".join(path.read_bytes() for path in headers))
    common.update(subprocess.run([tool, "--version"], capture_output=True, check=True).stdout)
    cache = REPOSITORY / ".cache" / "unreal"
    cache.mkdir(parents=True, exist_ok=True)

    def compiled(source: Path) -> Path:
        digest = common.copy()
        digest.update(source.read_bytes())
        out = cache / f"{source.stem}-{digest.hexdigest()[:20]}.o"
        if not out.exists():
            fresh = out.with_suffix(f".{os.getpid()}")
            extra = CORE if source.is_relative_to(SOURCE) else ()
            done = subprocess.run([tool, *flags, *extra, "-c", source, "-o", fresh], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            fresh.replace(out)
        return out

    sources = [*sorted(SOURCE.glob("Private/Core/*.cpp")), HERE / f"{program}.cpp"]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, sources))
    names = "".join(path.name for path in objects)
    out = cache / f"{program}-{hashlib.sha256(names.encode()).hexdigest()[:20]}"
    if not out.exists():
        fresh = out.with_suffix(f".{os.getpid()}")
        subprocess.run([tool, *flags, *objects, "-o", fresh], check=True)
        fresh.replace(out)
    return out


def test_vectors_in_cpp() -> None:
    """Every file of the families that an engine needs; what only a bridge refuses is named by the program."""
    names = [f"{folder}/{path.stem}" for folder in FAMILIES for path in sorted((VECTORS / folder).glob("*.hex"))]
    done = subprocess.run(
        [built("address", "vectors"), VECTORS, *names], capture_output=True, text=True, timeout=LIMIT_S
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, [line for line in lines if not line.startswith("ok ")] + [done.stderr[-4000:]]
    assert [line.rsplit(" ", 1)[1] for line in lines] == names
    alone = [line for line in lines if line.startswith("refused by the bridge alone ")]
    assert len(alone) == len([vector for vector in load("message") if vector.reader == "bridge"])
    assert len([line for line in lines if line.startswith("ok ")]) == len(names) - len(alone)
    # OSC is the engine's own plugin's, node events are between ComfyUI and the bridge.
    assert {path.name for path in VECTORS.iterdir() if path.is_dir()} - set(FAMILIES) == {"osc", "node"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_rules_of_the_session(variant: str) -> None:
    done = subprocess.run([built(variant, "rules")], capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "every rule holds" in done.stdout


# --- against a live bridge -----------------------------------------------------------------------------------------


class Engine:
    """The program `engine`: a line in, a line of JSON out."""

    def __init__(self, program: Path) -> None:
        self._program = program

    async def __aenter__(self) -> Engine:
        self._folder = tempfile.TemporaryDirectory(prefix="txb")
        self.pictures = Path(self._folder.name) / "pictures"
        self._errors = (Path(self._folder.name) / "errors").open("w+b")
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "stderr": self._errors}
        self._child = await asyncio.create_subprocess_exec(str(self._program), str(self.pictures), **pipes)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child.returncode is None:
            self._child.kill()
        await self._child.wait()
        self._child._transport.close()  # type: ignore[attr-defined]
        self._errors.close()
        self._folder.cleanup()

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")[-4000:]

    async def send(self, *words: object) -> None:
        self._child.stdin.write(" ".join(map(str, words)).encode() + b"\n")  # type: ignore[union-attr]
        await self._child.stdin.drain()  # type: ignore[union-attr]

    async def answer(self) -> dict[str, int]:
        async with asyncio.timeout(LIMIT_S):
            line = await self._child.stdout.readline()  # type: ignore[union-attr]
        assert line, self.errors()
        return json.loads(line)  # type: ignore[no-any-return]

    async def ask(self, *words: object) -> dict[str, int]:
        await self.send(*words)
        return await self.answer()

    async def connect(
        self, address: str, kind: str = "tcp", limit: int = 0, shared: int = 0, piece: int = 1 << 20
    ) -> None:
        host, _, port = address.rpartition(":")
        await self.ask("connect", host, port, kind, limit, shared, piece)
        told = await self.ask("connected", 1)
        assert (told["connected"], told["refused"]) == (True, 0), (told, self.errors())

    async def end(self) -> None:
        """It ends by itself: a sanitizer's complaint is another exit code than 0."""
        self._child.stdin.close()  # type: ignore[union-attr]
        async with asyncio.timeout(LIMIT_S):
            assert await self._child.wait() == 0, self.errors()


def words(params: dict[str, object]) -> list[str]:
    """The same as the engine reads it; every float to the last bit."""
    told = []
    for name, value in params.items():
        numbers = value if isinstance(value, list) else [value]
        told.append(f"{name}={','.join(repr(float(number)) for number in numbers)}")
    return told


async def reference(tcp: str, count: int) -> list[np.ndarray]:
    """What the Python client gets for the same requests and seeds, as `rgba8` with the lowest row first.

    Another order of rows and of channels than the engine asks for: both are turned in the test, not in the bridge.
    """

    pictures = await asyncio.to_thread(gradient_pictures, tcp, count, (WIDTH, HEIGHT), "bottom_left")
    return [picture[::-1, :, [2, 1, 0, 3]].copy() for picture in pictures]


def assert_pictures(data: bytes, expected: list[np.ndarray]) -> None:
    """BGRA8, the uppermost row first, and nothing between the pictures."""
    shape = (HEIGHT, WIDTH, 4)
    assert len(data) == len(expected) * HEIGHT * WIDTH * 4
    pictures = np.frombuffer(data, np.uint8).reshape(-1, *shape)
    for index, (picture, wanted) in enumerate(zip(pictures, expected, strict=True)):
        assert np.array_equal(picture, wanted), f"picture {index} has other pixels"
        if index % 2 == 0:
            # The uppermost left pixel is nearly the corner that was asked for, in the order blue, green, red, alpha.
            red, green, blue = (round(255 * part) for part in values(index)["top_left"])
            assert np.abs(picture[0, 0].astype(int) - [blue, green, red, 255]).max() <= 45, (index, picture[0, 0])
            assert picture[-1, 0, 0] > 200, "the lowest left corner is blue"
            assert picture[-1, 0, 2] < 50, "and not red"
            corners = tuple(tuple(colour) for colour in values(index).values() if isinstance(colour, list))
            computed = gradient_pixels(corners, WIDTH, HEIGHT, 0.5)
            assert worst_difference(picture[:, :, [2, 1, 0, 3]], computed) <= TOLERANCE


WAYS = {
    "tcp": {},
    "tcp_in_parts_by_7_bytes": {"limit": 1024, "piece": 7},
    "websocket": {"kind": "websocket"},
    "websocket_in_parts_and_fragments": {"kind": "websocket", "limit": 2048, "piece": 5},
    "shared_memory": {"shared": 1},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pixel(variant: str, way: str) -> None:
    count = PICTURES if way in ("tcp", "shared_memory") else 20
    program = built(variant, "engine")

    async def test() -> None:
        async with Serve("--embedded") as bridge, Engine(program) as engine:
            options = WAYS[way]
            await engine.connect(bridge.link if "kind" in options else bridge.tcp, **options)  # type: ignore[arg-type]
            await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
            await engine.ask("subscribe", "unreal", "bgra8", "top_left")
            held = await engine.ask("newest", "unreal")
            assert (held["number"], held["flags"] & 4) == (0, 4), "the placeholder comes first"
            skip = held["bytes"]
            for index in range(count):
                told = await engine.ask("run", "unreal", index, *words(values(index)))
                assert told.get("number") == index + 1, (told, engine.errors())
                assert (told["format"], told["width"], told["height"]) == (2, WIDTH, HEIGHT)
                assert (told["row_pitch"], told["flags"] & 8) == (WIDTH * 4, 0)
            told = await engine.ask("stats")
            assert (told["dropped"], told["refused"], told["welcomes"]) == (0, 0, 1), engine.errors()
            if way == "shared_memory":
                assert told["doorbells"] >= count - 1, told
            else:
                assert told["doorbells"] == 0
                assert told["reused"] > count / 2, "every picture asks for memory"
            assert_pictures(engine.pictures.read_bytes()[skip:], await reference(bridge.tcp, count))
            await engine.ask("stop")
            await engine.end()

    run(test, LIVE_LIMIT_S)


def run_with_port(test: Callable[[str], Awaitable[None]]) -> None:
    """Run a test with an address for bridges, one after the other."""
    with ReservedPort() as port:
        run(lambda: test(f"127.0.0.1:{port}"), LIVE_LIMIT_S)


def test_a_bridge_that_is_killed_and_started_again() -> None:
    """The engine comes back by itself, opens its stream with the values that held, and subscribes again."""
    program = built("address", "engine")

    async def test(tcp: str) -> None:
        async with (
            Comfy() as comfy,
            Serve("--comfy", comfy.url, "--tcp", tcp) as before,
            Engine(program) as engine,
        ):
            await engine.connect(tcp)
            await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
            await engine.ask("subscribe", "unreal", "bgra8", "top_left")
            skip = (await engine.ask("newest", "unreal"))["bytes"]
            first = await engine.ask("run", "unreal", 0, *words(values(0)))
            assert first["number"] == 1, (first, engine.errors())
            await before.kill()
            await engine.ask("cut")
            # Asked while there is no bridge: the values and the picture are made by the next one.
            await engine.ask("set", "unreal", "top_left=0.2,0.2,0.2")
            await engine.ask("set", "unreal", *words(values(2)))
            await engine.send("run", "unreal", 2)
            async with Serve("--comfy", comfy.url, "--tcp", tcp) as after:
                second = await engine.answer()
                assert second["number"] == 1, (second, engine.errors())
                assert second["client_time"] == 77
                told = await engine.ask("connected", 2)
                assert (told["welcomes"], told["resumed"], told["refused"]) == (2, 0, 0), engine.errors()
                # Nothing was said of the values again: the new bridge was told of them with `open`.
                await after.kill()
                async with Serve("--comfy", comfy.url, "--tcp", tcp) as third:
                    told = await engine.ask("connected", 3)
                    assert (told["welcomes"], told["refused"]) == (3, 0), engine.errors()
                    last = await engine.ask("run", "unreal", 2)
                    assert last["number"] == 1, (last, engine.errors())
                    expected = await reference(third.tcp, 3)
                    data = engine.pictures.read_bytes()[skip:]
                    assert_pictures(data[: first["bytes"]], expected[:1])
                    for picture in (data[first["bytes"] :][: first["bytes"]], data[-first["bytes"] :]):
                        assert picture == expected[2].tobytes()
            await engine.ask("stop")
            await engine.end()

    run_with_port(test)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_link_that_is_cut_goes_on(variant: str) -> None:
    """The session is resumed: a picture that was under way is not lost, nor made twice."""
    program = built(variant, "engine")

    async def test() -> None:
        async with Comfy(step_delay_ms=30) as comfy, Serve("--comfy", comfy.url) as bridge, Engine(program) as engine:
            port = int(bridge.tcp.rpartition(":")[2])
            async with FaultProxy(port) as proxy:
                proxy.slice_bytes = 100
                await engine.connect(f"127.0.0.1:{proxy.port}")
                await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
                await engine.ask("subscribe", "unreal", "bgra8", "top_left")
                skip = (await engine.ask("newest", "unreal"))["bytes"]
                for index in range(5):
                    await engine.ask("begin", "unreal", index, *words(values(index)))
                    await proxy.refuse()
                    await proxy.open()
                    told = await engine.ask("connected", index + 2)
                    assert (told["welcomes"], told["resumed"], told["refused"]) == (index + 2, index + 1, 0)
                    told = await engine.ask("frame")
                    assert told.get("number") == index + 1, (told, engine.errors())
                assert_pictures(engine.pictures.read_bytes()[skip:], await reference(bridge.tcp, 5))
                await engine.ask("stop")
                await engine.end()

    run(test, LIVE_LIMIT_S)


SHOT = {
    "top_left": [[100, [1.0, 0.5, 0.25]], [123, [0.25, 0.25, 1.0], "cubic_in_out"]],
    "blur": [[100, 0.25], [120, 0.75, "smoothstep"]],
    "noise": [[105, 0.0], [123, 0.25, "cubic_in"]],
}
FRAMES = 24


def keys(tracks: dict[str, list[list[object]]]) -> list[str]:
    """The same as the engine reads it."""
    told = []
    for name, track in tracks.items():
        for frame, value, *easing in track:
            numbers = ",".join(map(repr, value if isinstance(value, list) else [value]))
            told.append(f"{name}@{frame}={numbers}" + (f":{easing[0]}" if easing else ""))
    return told


def sequence_by_python(tcp: str) -> list[np.ndarray]:
    """What the Python client gets, as `rgba8` with the lowest row first, turned to what the engine asks for."""
    with BlockingClient(tcp) as client:
        client.open("python_shot", "gradient", mode="oneshot", size=(WIDTH, HEIGHT))
        with client.sequence("python_shot", FRAMES, SHOT, first=100, seed=7, origin="bottom_left") as sequence:
            return [one.pixels[::-1, :, [2, 1, 0, 3]].copy() for one in sequence]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sequence_frame_by_frame(variant: str) -> None:
    """Each index has its own picture, though the link is cut at three of them."""
    program = built(variant, "engine")

    async def test() -> None:
        async with (
            Serve("--embedded") as bridge,
            Engine(program) as engine,
            FaultProxy(int(bridge.tcp.rpartition(":")[2])) as proxy,
        ):
            await engine.connect(f"127.0.0.1:{proxy.port}")
            await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
            await engine.ask("sequence", "unreal", FRAMES, 100, 7, "bgra8", "top_left", *keys(SHOT))
            for index in range(FRAMES):
                if index in (1, 11, FRAMES - 1):
                    await proxy.refuse()
                    await proxy.open()
                told = await engine.ask("index", index)
                assert "number" in told, (index, told, engine.errors())
            answer = await engine.ask("answer")
            assert answer == {"frames": FRAMES, "seed": 7, "outcome": "done"}, engine.errors()
            told = await engine.ask("stats")
            assert (told["refused"], told["resumed"]) == (0, told["welcomes"] - 1), (told, engine.errors())
            assert told["resumed"] > 0
            data = engine.pictures.read_bytes()
            expected = await asyncio.to_thread(sequence_by_python, bridge.tcp)
            pictures = np.frombuffer(data, np.uint8).reshape(-1, HEIGHT, WIDTH, 4)
            assert len(pictures) == FRAMES
            for index, (picture, wanted) in enumerate(zip(pictures, expected, strict=True)):
                assert np.array_equal(picture, wanted), f"frame {index} has other pixels"
            await engine.ask("stop")
            await engine.end()

    run(test, LIVE_LIMIT_S)


def test_a_bridge_that_is_killed_is_asked_for_the_rest_of_a_sequence() -> None:
    program = built("address", "engine")

    async def test(tcp: str) -> None:
        async with Engine(program) as engine:
            async with Serve("--embedded", "--tcp", tcp) as before:
                await engine.connect(tcp)
                await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
                await engine.ask("sequence", "unreal", FRAMES, 100, 7, "bgra8", "top_left", *keys(SHOT))
                for index in range(7):
                    assert "number" in await engine.ask("index", index), engine.errors()
                await before.kill()
            async with Serve("--embedded", "--tcp", tcp) as after:
                for index in range(7, FRAMES):
                    told = await engine.ask("index", index)
                    assert "number" in told, (index, told, engine.errors())
                answer = await engine.ask("answer")
                assert answer == {"frames": FRAMES - 7, "seed": 7, "outcome": "done"}, engine.errors()
                expected = await asyncio.to_thread(sequence_by_python, after.tcp)
            data = engine.pictures.read_bytes()
            pictures = np.frombuffer(data, np.uint8).reshape(-1, HEIGHT, WIDTH, 4)
            assert len(pictures) == FRAMES
            for index, (picture, wanted) in enumerate(zip(pictures, expected, strict=True)):
                assert np.array_equal(picture, wanted), f"frame {index} has other pixels"
            await engine.ask("stop")
            await engine.end()

    run_with_port(test)


def test_a_frame_of_a_sequence_that_cannot_be_had_is_named() -> None:
    program = built("address", "engine")

    async def test() -> None:
        async with Serve("--embedded") as bridge, Engine(program) as engine:
            await engine.connect(bridge.tcp)
            await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
            await engine.ask("sequence", "unreal", 6, 1001, 7, "bgra8", "top_left", "blur@1001=7")
            told = await engine.ask("index", 0)
            assert told["code"] == 302, told
            assert told["message"].startswith("frame 1001 (1 of 6) of unreal: the sequence ended failed: "), told
            await engine.ask("sequence", "unreal", 100, 1001, 7, "bgra8", "top_left", "blur@1001=0.5")
            assert "number" in await engine.ask("index", 3)
            told = await engine.ask("index", 40)  # those between are thrown away
            assert "number" in told, told
            await engine.ask("cancel")
            assert (await engine.ask("answer"))["outcome"] == "cancelled"
            told = await engine.ask("index", 99)
            assert told["message"] == "frame 1100 (100 of 100) of unreal: the sequence ended cancelled", told
            await engine.ask("stop")
            await engine.end()

    run(test, LIVE_LIMIT_S)


def test_a_cross_fade() -> None:
    """Held blends come between two pictures, with `blend_fps`."""
    program = built("address", "engine")

    async def test() -> None:
        async with Serve("--embedded") as bridge, Engine(program) as engine:
            await engine.connect(bridge.tcp)
            await engine.ask("open", "unreal", "gradient", "live", WIDTH, HEIGHT)
            await engine.ask("blend", "unreal", 120)
            held = made = 0
            while held < 5:
                told = await engine.ask("newest", "unreal")
                assert "number" in told, (told, engine.errors())
                if told["number"] == 0:
                    continue
                if told["flags"] & 4:
                    held += 1
                    continue
                made += 1  # black and red in turn
                # Who looks seldom sees few of them, and now and then none between two pictures.
                assert made < 1000, "no blends between the pictures"
                await engine.ask("set", "unreal", f"top_left={made % 2}.0,0.0,0.0")
            await engine.ask("stop")
            await engine.end()

    run(test, LIVE_LIMIT_S)


def test_a_wrong_answer_is_told() -> None:
    program = built("address", "engine")

    async def test() -> None:
        async with Serve("--embedded") as bridge, Engine(program) as engine:
            await engine.connect(bridge.tcp)
            await engine.ask("open", "unreal", "gradient", "oneshot", WIDTH, HEIGHT)
            await engine.ask("subscribe", "unreal", "bgra8", "top_left")
            told = await engine.ask("run", "unreal", 1, "blur=7")
            assert told["code"] == 302
            told = await engine.ask("run", "unreal", 1, "blur=0.5")
            assert told["number"] == 1, "one refused message costs nothing else"
            await engine.ask("subscribe", "unreal", "nothing", "top_left")
            told = await engine.ask("newest", "unreal")
            assert told["code"] == 306
            await engine.ask("stop")
            await engine.end()

    run(test, LIVE_LIMIT_S)


# --- shared memory ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="txb") as name:
        yield Path(name)


def test_whole_pictures_alone_from_a_writer_without_regard(folder: Path) -> None:
    program = built("address", "memory")
    with ExitStack() as stack:

        def start(*command: object) -> subprocess.Popen[str]:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
            child = subprocess.Popen([str(word) for word in command], **pipes)  # type: ignore[call-overload]
            stack.callback(child.wait)
            stack.callback(child.kill)
            for pipe in (child.stdin, child.stdout):
                stack.callback(pipe.close)
            return child

        reader = start(program, 100)
        port = int(reader.stdout.readline())  # type: ignore[union-attr]
        writer = start(sys.executable, STRESS, "writer", folder / "memory", port)
        memory = json.loads(writer.stdout.readline())  # type: ignore[union-attr]
        told = "{file} {nonce} {slots} {stride}\n".format(**memory)
        seen = json.loads(reader.communicate(told, timeout=LIMIT_S)[0])
        assert reader.returncode == 0
    assert (seen["accepted"], seen["wrong"]) == (100, 0), seen


@pytest.mark.parametrize("what", ["another nonce", "no slots", "a link", "nothing there"])
def test_another_file_is_refused(folder: Path, what: str) -> None:
    page = b"TXBS\1\0\0\0" + (4).to_bytes(4, "little") + (4096).to_bytes(4, "little") + (1000).to_bytes(4, "little")
    (folder / "real").write_bytes(page + bytes(4) + (5).to_bytes(8, "little") + bytes(50_000))
    name, nonce, slots = "real", 5, 4
    if what == "another nonce":
        nonce = 6
    elif what == "no slots":
        slots = 5
    elif what == "a link":
        name = "link"
        (folder / name).symlink_to(folder / "real")
    else:
        name = "nothing"
    program = built("address", "memory")

    def ask(name: str, nonce: int, slots: int) -> subprocess.CompletedProcess[str]:
        line = f"{folder / name} {nonce} {slots} 4096\n"
        return subprocess.run([program, "0"], input=line, capture_output=True, text=True, encoding="utf-8")

    assert ask("real", 5, 4).returncode == 0
    refused = ask(name, nonce, slots)
    assert (refused.returncode, "refused" in refused.stdout) == (1, True), refused


# --- the plugin around the core --------------------------------------------------------------------------------------


def test_the_core_knows_no_engine() -> None:
    allowed = re.compile(r'#include (<[a-z_0-9/.]+>|"Core/\w+\.h")$')
    for path in [*SOURCE.glob("*/Core/*")]:
        text = path.read_text(encoding="utf-8")
        for line in text.splitlines():
            assert not line.startswith("#include") or allowed.match(line), (path.name, line)
        assert not re.search(r"\b(try|catch|throw|dynamic_cast|typeid)\b", re.sub(r"//.*", "", text)), path.name


def test_the_plugin_parses_against_a_stub(folder: Path) -> None:
    """The engine is not here: its headers are a stub, with what the plugin calls as the documentation has it."""
    tool = compiler()
    sources = sorted(SOURCE.glob("Private/*.cpp"))
    ours = {
        path.relative_to(SOURCE / place).as_posix()
        for place in ("Public", "Private")
        for path in SOURCE.rglob("*.h")
        if path.is_relative_to(SOURCE / place)
    }
    for path in [*sources, *SOURCE.glob("*/*.h")]:
        for name in re.findall(r'#include "([\w/.]+)"', path.read_text(encoding="utf-8")):
            if name not in ours:
                header = folder / name
                header.parent.mkdir(parents=True, exist_ok=True)
                is_made = name.endswith(".generated.h")
                header.write_text("" if is_made else f'#include "{HERE / "stub" / "UnrealStub.h"}"\n', encoding="utf-8")
    assert len(sources) == 4
    # C++20 as Unreal 5.3 and later have it; the core is C++17, and so is fine in both.
    flags = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", *CORE]
    places = [f"-I{folder}", f"-I{SOURCE / 'Public'}", f"-I{SOURCE / 'Private'}"]
    for path in sources:
        done = subprocess.run([tool, *flags, *places, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["Socket", "SharedMemory", "TcpClient", "Session"])
def test_what_is_windows_own_compiles(folder: Path, name: str) -> None:
    """By Debian's MinGW where it is installed: nobody installs a cross compiler for this alone."""
    tool = shutil.which("x86_64-w64-mingw32-g++-posix")
    if tool is None:
        pytest.skip("MinGW not found: apt-get install -y --no-install-recommends g++-mingw-w64-x86-64-posix")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Werror", *CORE, f"-I{SOURCE / 'Public'}"]
    command = [tool, *flags, "-c", SOURCE / "Private" / "Core" / f"{name}.cpp", "-o", folder / "object"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_plugin_is_what_the_engine_looks_for() -> None:
    plugin = json.loads((PLUGIN / "TexBridge.uplugin").read_text(encoding="utf-8"))
    (module,) = plugin["Modules"]
    rules = (SOURCE / f"{module['Name']}.Build.cs").read_text(encoding="utf-8")
    assert f"class {module['Name']} : ModuleRules" in rules
    assert f"IMPLEMENT_MODULE(FDefaultModuleImpl, {module['Name']})" in (
        SOURCE / "Private" / "TexBridgeModule.cpp"
    ).read_text(encoding="utf-8")
    project = json.loads((REPOSITORY / "unreal_sample" / "TexBridgeSample.uproject").read_text(encoding="utf-8"))
    assert project["Plugins"] == [{"Name": "TexBridge", "Enabled": True}]
    for header in SOURCE.glob("Public/*.h"):
        text = header.read_text(encoding="utf-8")
        includes = re.findall(r'#include "(.+)"', text)
        assert includes[-1] == f"{header.stem}.generated.h", "the header tool wants it last"
        assert text.count("GENERATED_BODY()") == text.count("UCLASS(")
