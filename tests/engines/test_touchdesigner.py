"""The TouchDesigner sample under CPython: its callbacks with a stub of `scriptOp`, against a live bridge; the vectors.

What only TouchDesigner itself can show (cooking, the Script TOP's own checks of an array) is not covered here.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import socket
import struct
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_rig import bridge_behind_proxy, run
from cli_rig import Home
from engine_pictures import gradient_pictures, values
from ports import ReservedPort
from vectors import VECTORS, flatten, load, same, unflatten

from bridge.cli.expected import TOLERANCE, gradient_pixels, worst_difference
from bridge.client import BlockingClient

SAMPLE = Path(__file__).parents[2] / "touchdesigner_sample"
LIMIT_S = 60.0
WIDTH, HEIGHT = 64, 48
PICTURES = 50

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", autouse=True)
def sample() -> Iterator[None]:
    sys.path.insert(0, str(SAMPLE))
    yield
    sys.modules["texbridge_td"].close_all()
    sys.path.remove(str(SAMPLE))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory) -> Iterator[dict[str, str]]:
    with Home(tmp_path_factory.mktemp("bridge")).serve("--embedded") as running:
        yield running.addresses


# --- a stub of TouchDesigner ------------------------------------------------------------------------------


class Par:
    def __init__(self, owner: Operator, name: str) -> None:
        self.owner, self.name, self.val, self.default = owner, name, None, None

    def eval(self) -> Any:
        return self.val


class Page:
    def __init__(self, owner: Operator, name: str) -> None:
        self.owner, self.name, self.pars = owner, name, []

    def __getattr__(self, method: str) -> Any:
        endings = {"appendRGBA": "rgba", "appendXY": "xy", "appendXYZ": "xyz", "appendXYZW": "xyzw"}.get(method)
        assert (
            method in {"appendStr", "appendToggle", "appendMenu", "appendInt", "appendFloat", "appendPulse"} or endings
        )

        def append(name: str, label: str) -> list[Par]:
            assert name.isalnum(), name
            assert name == name.capitalize(), f"TouchDesigner refuses {name}"
            pars = [Par(self.owner, name + ending) for ending in (endings or [""])]
            for par in pars:
                assert not hasattr(self.owner.par, par.name), f"{par.name} is there already"
                setattr(self.owner.par, par.name, par)
            self.pars += pars
            return pars

        return append

    def destroy(self) -> None:
        self.owner.customPages.remove(self)
        for par in self.pars:
            delattr(self.owner.par, par.name)


class Operator:
    """A Script TOP: what copyNumpyArray is given is checked as its documentation says, and kept."""

    ids = iter(range(1000, 9999))

    def __init__(self) -> None:
        self.id = next(self.ids)
        self.par = types.SimpleNamespace()
        self.customPages: list[Page] = []
        self.pictures: list[np.ndarray] = []
        self.warnings: list[str] = []

    def appendCustomPage(self, name: str) -> Page:  # noqa: N802
        self.customPages.append(Page(self, name))
        return self.customPages[-1]

    def copyNumpyArray(self, array: np.ndarray) -> None:  # noqa: N802
        assert array.ndim == 3, array.shape
        assert array.shape[2] in (1, 2, 3, 4), array.shape
        assert array.dtype in (np.uint8, np.uint16, np.float32), array.dtype
        self.pictures.append(array.copy())

    def addWarning(self, words: str) -> None:  # noqa: N802
        self.warnings.append(words)


class Top:
    """A Script TOP with the sample's callbacks, and a network that cooks."""

    def __init__(self, address: str, **values: Any) -> None:
        import script_top_callbacks

        self.callbacks = script_top_callbacks
        self.operator = Operator()
        self.callbacks.onSetupParameters(self.operator)
        for name, value in {"Address": address, **values}.items():
            getattr(self.operator.par, name).val = value

    @property
    def link(self) -> Any:
        return self.callbacks._link(self.operator)

    def pulse(self, name: str) -> None:
        self.callbacks.onPulse(getattr(self.operator.par, name))

    def cook_until(self, condition: Any, what: str) -> Any:
        """Cook frame after frame, as TouchDesigner does, until there is what is waited for."""
        pause = threading.Event()
        for _ in range(int(LIMIT_S / 0.005)):
            self.operator.warnings.clear()
            self.callbacks.onCook(self.operator)
            if found := condition():
                return found
            pause.wait(0.005)
        raise AssertionError(f"no {what}; warnings: {self.operator.warnings}, link {self.link.state}")

    def picture(self, key: str) -> np.ndarray:
        """Cook until the picture of a run is shown."""

        def shown() -> bool:
            requests = {told["key"]: told["request"] for told in self.link.finished if told.get("request")}
            return key in requests and any(frame.header.request == requests[key] for frame in self.link._shown)

        self.cook_until(shown, f"picture of {key}")
        return self.operator.pictures[-1]

    def close(self) -> None:
        sys.modules["texbridge_td"].close(self.operator.id)


@pytest.fixture(scope="module")
def expected(bridge) -> list[np.ndarray]:
    """What the Python client gets for the same requests and seeds."""
    return gradient_pictures(bridge["tcp"], PICTURES, (WIDTH, HEIGHT), "bottom_left")


@pytest.fixture
def top(bridge, request) -> Iterator[Any]:
    """Makes Script TOPs that show a stream of their own, of the size of `expected`."""
    made: list[Top] = []

    def make(stream: str, **pars: Any) -> Top:
        with BlockingClient(bridge["tcp"]) as client:
            client.open(stream, "gradient", mode="oneshot", size=(WIDTH, HEIGHT))
        made.append(Top(bridge["tcp"], Stream=stream, Workflow="gradient", Mode="oneshot", **pars))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(("shared", "limit"), [(False, 0), (True, 0), (False, 2048)], ids=["tcp", "memory", "parts"])
def test_pictures_pixel_by_pixel(top, expected, monkeypatch, shared, limit):
    one = top(f"td-{shared}-{limit}", Sharedmemory=shared)
    if limit:
        plain = one.callbacks.texbridge_td.link_for
        small = lambda key, **settings: plain(key, **{**settings, "max_message_bytes": limit})  # noqa: E731
        monkeypatch.setattr(one.callbacks.texbridge_td, "link_for", small)
    one.cook_until(lambda: one.operator.pictures, "first picture, held")
    for index, wanted in enumerate(expected):
        picture = one.picture(one.link.run(values(index), seed=index))
        assert np.array_equal(picture, wanted), f"picture {index} has other pixels"
        if not index % 2:  # computed from the colours alone: rows are bottom-up
            asked = values(index)
            corners = tuple(tuple(asked[name]) for name in ("top_left", "top_right", "bottom_left", "bottom_right"))
            computed = gradient_pixels(corners, WIDTH, HEIGHT, asked["blur"])
            assert worst_difference(picture[::-1], computed) <= TOLERANCE
    assert one.link.copied == (PICTURES if shared else 0)
    assert one.link.torn == 0


@pytest.mark.parametrize(("word", "dtype", "channels"), [("rgba32f", "f4", 4), ("r8", "u1", 1), ("r16", "u2", 1)])
def test_formats_that_a_top_takes(top, word, dtype, channels):
    one = top(f"td-{word}", Format=word, Sharedmemory=False)
    picture = one.picture(one.link.run({**values(2), "top_left": [1.0, 1.0, 1.0]}, seed=1))
    assert picture.shape == (HEIGHT, WIDTH, channels)
    assert picture.dtype == np.dtype(dtype)
    full = {"f4": 1.0, "u1": 255, "u2": 65535}[dtype]
    assert picture[-1, 0, 0] > 0.7 * full  # the last row is the top, where it is white
    assert picture[0, 0, 0] < 0.3 * full  # and the first the bottom, where it is blue


def test_size_and_bad_settings(top, bridge):
    one = top("td-size", Width=20, Height=10)
    one.cook_until(lambda: one.operator.pictures, "picture")
    assert one.operator.pictures[-1].shape == (10, 20, 4)
    for wrong in ({"address": "nonsense"}, {"format": "bc7"}):
        with pytest.raises(ValueError, match=r"HOST:PORT|can't be copied"):
            sys.modules["texbridge_td"].Link(**wrong)


def test_parameters_of_the_workflow(top, bridge):
    one = top("td-pars")
    one.cook_until(lambda: one.link.described, "description")
    one.pulse("Parameters")
    one.pulse("Parameters")  # again: the page is made anew
    par = one.operator.par
    assert (par.Noise.min, par.Noise.max, par.Noise.clampMax) == (0.0, 0.5, True)
    par.Noise.val = 0.0
    for name, value in zip("rgba", (1.0, 0.0, 0.0, 1.0), strict=True):
        for corner in ("Topleft", "Topright", "Bottomleft", "Bottomright"):
            getattr(par, corner + name).val = value
    one.cook_until(lambda: one.link.values.get("top_left") == [1.0, 0.0, 0.0, 1.0], "values")
    one.pulse("Run")
    one.cook_until(lambda: one.link.finished, "finished")
    one.cook_until(lambda: (one.operator.pictures[-1] == [255, 0, 0, 255]).all(), "red picture")
    with BlockingClient(bridge["tcp"]) as client:
        told = {parameter.name: parameter.value for parameter in client.describe("td-pars").parameters}
    assert told["noise"] == 0.0
    assert told["bottom_right"] == [1.0, 0.0, 0.0, 1.0]


def test_osc_as_the_chop_and_the_dat_send_it(top, bridge):
    """One float a message, all of a cook in one bundle with a time tag long past; and text from the DAT."""

    def padded(text: str) -> bytes:
        return text.encode() + bytes(4 - len(text) % 4)

    channels = {"noise": 0.25, "top_left/r": 0.5, "top_left/g": 0.75, "blur/norm": 1.0, "run": 0.0}
    bundle = b"#bundle\0" + struct.pack(">II", 12, 0)
    for name, value in channels.items():
        message = padded(f"/texbridge/td-osc/{name}") + padded(",f") + struct.pack(">f", value)
        bundle += struct.pack(">i", len(message)) + message
    text = padded("/texbridge/td-osc/prompt") + padded(",s") + padded("a red sky")
    one = top("td-osc")
    one.cook_until(lambda: one.operator.pictures, "picture")
    host, _, port = bridge["osc"].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door, BlockingClient(bridge["tcp"]) as client:
        pause = threading.Event()
        for _ in range(int(LIMIT_S / 0.05)):
            door.sendto(bundle, (host, int(port)))
            door.sendto(text, (host, int(port)))
            told = {parameter.name: parameter.value for parameter in client.describe("td-osc").parameters}
            if told["prompt"] == "a red sky":
                break
            pause.wait(0.05)
    assert (told["noise"], told["blur"], told["prompt"]) == (0.25, 1.0, "a red sky")
    assert told["top_left"][:2] == [0.5, 0.75]
    assert not one.link.finished, "0 is a button's release, not a run"


def test_what_a_person_is_told(top, bridge):
    one = Top(bridge["tcp"], Stream="nobody")
    try:
        one.cook_until(lambda: any("unknown_stream" in words for words in one.operator.warnings), "warning")
        with BlockingClient(bridge["tcp"]) as client:
            client.open("nobody", "gradient")
            one.cook_until(lambda: one.operator.pictures, "picture of a stream that came later")
        assert one.operator.warnings == []
    finally:
        one.close()


def test_a_bridge_that_is_killed_and_restarted(tmp_path):
    home = Home(tmp_path)
    with ExitStack() as stack:
        address = f"127.0.0.1:{stack.enter_context(ReservedPort())}"
        running = stack.enter_context(home.serve("--embedded", "--tcp", address))
        one = Top(address, Stream="show", Workflow="gradient", Mode="oneshot")
        stack.callback(one.close)
        one.cook_until(lambda: one.operator.pictures, "picture")
        one.link.set({"noise": 0.0, **{name: [0, 0, 1] for name in values(0) if "_" in name}})
        one.picture(one.link.run())
        running.process.kill()
        running.process.wait()
        one.cook_until(lambda: one.operator.warnings and one.link.state == "connecting", "warning")
        assert len(one.operator.pictures) > 1  # what was copied stays in the TOP
        lost = one.link.run()
        stack.enter_context(home.serve("--embedded", "--tcp", address))
        one.cook_until(lambda: any(told["key"] == lost for told in one.link.finished), "answer to the lost run")
        picture = one.picture(one.link.run())
        assert (picture == [0, 0, 255, 255]).all()  # values outlive the bridge


def test_a_link_that_is_cut():
    """The session goes on: the subscription holds, and a run that was asked for meanwhile is made once."""

    def cook(address: str, cut: Any) -> None:
        one = Top(address, Stream="show", Workflow="gradient", Mode="oneshot", Sharedmemory=False)
        try:
            one.picture(one.link.run())
            session = one.link._session
            cut()
            key = one.link.run()
            one.picture(key)
            assert one.link._session == session
            assert [told["outcome"] for told in one.link.finished] == ["done", "done"]
        finally:
            one.close()

    async def test() -> None:
        async with bridge_behind_proxy("tcp") as (_, proxy, address):
            loop = asyncio.get_running_loop()
            await asyncio.to_thread(cook, address, lambda: loop.call_soon_threadsafe(proxy.reset))

    run(test)


def test_without_shared_memory_where_it_cannot_be_had(top, monkeypatch):
    def refuse(message: dict[str, Any]) -> None:
        raise PermissionError(message["file"])

    monkeypatch.setattr("texbridge_td.link.MemoryReader", refuse)
    one = top("td-refused", Sharedmemory=True)
    picture = one.picture(one.link.run(values(0), seed=0))
    assert picture.shape == (HEIGHT, WIDTH, 4)
    assert one.link.copied == 0


def test_other_settings_begin_another_link(top):
    one = top("td-one")
    one.cook_until(lambda: one.link.described, "description")
    one.pulse("Parameters")
    one.operator.par.Noise.val = 0.375
    one.cook_until(lambda: one.link.values.get("noise") == 0.375, "value")
    before, one.operator.par.Stream.val = one.link, "td-two"
    one.cook_until(lambda: one.link.values.get("noise") == 0.375, "the value for the new stream too")
    assert one.link is not before
    before._thread.join(LIMIT_S)
    assert before.state == "closed"


def memory_file(path: Path) -> dict[str, Any]:
    """A file as the bridge makes it, with 4 slots: 2x1 pixels are whole in slot 1 (seq 6), slot 2 is in work (7)."""
    data = bytearray(4096 + 4 * 4096)
    struct.pack_into("<4sHHIIIIQQ", data, 0, b"TXBS", 1, 0, 4, 4096, 3968, 1, 77, 1)
    struct.pack_into("<Q", data, 4096 + 4096, 6)
    data[4096 + 4096 + 128 : 4096 + 4096 + 136] = bytes(range(8))
    struct.pack_into("<Q", data, 4096 + 2 * 4096, 7)
    path.write_bytes(data)
    return {"op": "memory", "stream": 1, "file": str(path), "nonce": 77, "slots": 4, "stride": 4096}


def test_shared_memory_by_its_bytes(tmp_path):
    memory = importlib.import_module("texbridge_td.memory")
    told = memory_file(tmp_path / "memory")
    header = wire().Header(b"TXB1", 80, 192, 1, 9, 1, 0, 0, 1, 1, 2, 1, 8, 8, 0, 0, 0, slot=1, seq=6)
    reader = memory.MemoryReader(told)
    assert bytes(reader.copy(header)) == bytes(range(8))
    assert reader.copy(header._replace(seq=4)) is None  # it was taken for a newer picture
    assert reader.copy(header._replace(slot=2, seq=6)) is None  # it is being written
    for wrong in ({"slot": 4}, {"seq": 7}, {"payload_bytes": 3972}):
        with pytest.raises(wire().WireError):
            reader.copy(header._replace(**wrong))

    class Writer:
        """Takes the slot between the copy and the second look, where the reader has its fence."""

        def __enter__(self) -> None:
            with (tmp_path / "memory").open("r+b") as file:
                file.seek(4096 + 4096)
                file.write(struct.pack("<Q", 8))

        def __exit__(self, *_: object) -> None:
            pass

    reader._fence = Writer()
    assert reader.copy(header) is None
    reader.close()
    for other in ({"nonce": 78}, {"slots": 5}, {"stride": 8192}):
        with pytest.raises(wire().WireError):
            memory.MemoryReader(told | other)


def test_python_of_older_touchdesigners():
    for path in (*SAMPLE.glob("*.py"), *(SAMPLE / "texbridge_td").glob("*.py")):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 9))


# --- the vectors -------------------------------------------------------------------------------------------


def wire() -> Any:
    return importlib.import_module("texbridge_td.wire")


def read_frame(data: bytes) -> dict[str, Any]:
    header, payload = wire().read_frame(data)
    return {**header._asdict(), "payload": bytes(payload)}


def read_memory(vector: Any) -> dict[str, Any]:
    memory = importlib.import_module("texbridge_td.memory")
    page = memory.read_page(vector.items[0], vector.limits["file_bytes"])
    found = page._asdict()
    for item in vector.items[1:]:
        if item[:4] == b"TXB1":
            header, _ = wire().read_frame(item)
            places = zip(("seq_at", "header_at", "payload_at"), memory.place_doorbell(page, header), strict=True)
            found |= {f"doorbell.{name}": value for name, value in (header._asdict() | dict(places)).items()}
        else:
            seq, header = memory.read_slot(page, item)
            found |= {f"slot.{name}": value for name, value in (header._asdict() | {"seq": seq}).items()}
    return found


def read_parts(vector: Any) -> dict[str, Any]:
    assembler = wire().PartAssembler(vector.limits.get("max_total_bytes", 1 << 20))
    wholes = [assembler.feed(item) for item in vector.items]
    return {f"after.{place}": None if whole is None else bytes(whole) for place, whole in enumerate(wholes)}


def read_stream(data: bytes, limit: int, step: int) -> dict[str, Any]:
    reader = wire().LengthReader(limit)
    messages = []
    for place in range(0, len(data), step):
        piece = data[place : place + step]
        while piece:
            room = reader.buffer()[: len(piece)]
            room[:] = piece[: len(room)]
            piece = piece[len(room) :]
            message = reader.filled(len(room))
            if message is not None:
                messages.append(bytes(message))
    found: dict[str, Any] = {"messages": len(messages), "waiting": reader.waiting}
    for place, message in enumerate(messages):
        found |= {f"message.{place}": message, f"message.{place}.bytes": len(message)}
    return found


def read_message(data: bytes) -> dict[str, Any]:
    return {path: value for path, value in flatten(wire().unpack_map(data)).items() if value is not None}


def readings(vector: Any) -> list[Any]:
    """The ways in which the sample reads a vector: each a function of the first item's bytes."""
    folder = vector.name.partition("/")[0]
    if folder == "framing":
        limit = vector.limits.get("max_message_bytes", 1 << 20)
        return [lambda data, step=step: read_stream(data, limit, step) for step in (1, 3, 1 << 20)]
    if folder == "frame":
        return [read_frame]
    if folder == "message":
        return [read_message]
    cut = {"part": read_parts, "memory": read_memory}[folder]

    def of_items(data: bytes) -> dict[str, Any]:
        vector.items = [data, *vector.items[1:]]
        return cut(vector)

    return [of_items]


FOLDERS = ("frame", "part", "framing", "message", "memory")


@pytest.mark.parametrize("vector", [vector for folder in FOLDERS for vector in load(folder)], ids=lambda v: v.name)
def test_vectors(vector):
    error = wire().WireError
    item = vector.items[0]
    for read in readings(vector):
        if vector.error is not None and vector.reader != "bridge":
            for data in [item[:cut] for cut in vector.cuts] or [item]:
                with pytest.raises(error):
                    read(data)
            if not vector.cuts:
                continue
        found = read(item)
        for path, value in vector.values.items():
            if vector.error is not None:
                break
            got = found[path]
            if isinstance(got, bytes) and isinstance(value, str):
                got = got.decode()  # bin where text is meant
            assert same(got, value), (path, found[path], value)
    if vector.canonical and vector.name.startswith("message/"):
        written = wire().pack(unflatten(vector.values))
        assert len(written) == len(item)
        assert same(wire().unpack_map(written), wire().unpack_map(item))


def test_no_family_of_vectors_is_forgotten():
    left = {path.name for path in VECTORS.iterdir() if path.is_dir()} - set(FOLDERS)
    assert left == {"node", "osc"}, "node is between ComfyUI and the bridge; OSC goes by TouchDesigner's own operators"
