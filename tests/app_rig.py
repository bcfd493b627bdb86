"""The whole bridge in one event loop, over real sockets: server, embedded ComfyUI, and workflows for tests.

`AppRig` starts an embedded ComfyUI and a `bridge.app.serve.Server` on free ports, and connects engines
(`app_engine.Engine`) and OSC sockets. `Gate` holds prompts in ComfyUI, so that a test decides when each runs and
nothing has to be timed.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app_engine import LIMIT_S, Engine, Frame, LinkError, OscSocket, wait_until
from ports import ReservedPort

from bridge.app.config.config import load_config
from bridge.app.serve import Server
from bridge.embedded import EmbeddedServer

__all__ = [
    "WORKFLOWS",
    "AppRig",
    "Engine",
    "Frame",
    "LinkError",
    "OscSocket",
    "color",
    "node",
    "run",
    "solid",
    "write_workflow",
]


# --- workflows for tests --------------------------------------------------------------------------------------


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    """One node as ComfyUI exports it."""
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def solid(title: str = "Fill @fill:color @width @height", **more: Any) -> dict[str, Any]:
    """A picture of one colour; with the colour a number, each picture tells which values went into it."""
    return node("EmptyImage", title, **{"width": 32, "height": 16, "batch_size": 1, "color": 0, **more})


WORKFLOWS: dict[str, dict[str, Any]] = {
    # One colour, a text that is not drawn (a value's name), and a seed that is not drawn either.
    "solid": {
        "1": solid(),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
        "3": node("PrimitiveString", "@note", value=""),
    },
    "clouds": {
        "1": solid("Fill @fill:color"),
        "2": node("ImageAddNoise", "@seed @strength", image=["1", 0], seed=7, strength=0.5),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    },
    "batch": {
        "1": solid("Fill @fill:color @count:batch_size"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
    "pair": {
        "1": solid("Colour @fill:color"),
        "2": solid("Depth @depth:color"),
        "3": node("SaveImageWebsocket", "@out image", images=["1", 0]),
        "4": node("SaveImageWebsocket", "@out depth", images=["2", 0]),
    },
    "saved": {"1": solid("Fill @fill:color"), "2": node("SaveImage", "", images=["1", 0], filename_prefix="x")},
    # A file that is no picture fails when it runs, not when it is posted.
    "photo": {
        "1": node("LoadImage", "@picture:image", image="a.png"),
        "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    },
    # Two pictures can't be blended with three: with count 3 it fails when it runs, not when it is posted.
    "brittle": {
        "1": solid("Fill @fill:color", batch_size=2),
        "2": solid("Other @count:batch_size"),
        "3": node("ImageBlend", "", image1=["1", 0], image2=["2", 0], blend_factor=0.0, blend_mode="normal"),
        "4": node("SaveImageWebsocket", "@out image", images=["3", 0]),
    },
}


def write_workflow(folder: Path, name: str, graph: Mapping[str, Any], binding: str | None = None) -> None:
    """Write a workflow's files below `folder`."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    if binding is not None:
        (folder / name / "binding.toml").write_text(binding, encoding="utf-8")


def color(number: int) -> list[float]:
    """A number 0..2^24-1 as a colour; `number_of` reads it back from a picture."""
    return [(number >> shift & 0xFF) / 255 for shift in (16, 8, 0)]


# --- ComfyUI ---------------------------------------------------------------------------------------------------


class Gate:
    """Holds prompts at their first node that runs. Open at first."""

    def __init__(self) -> None:
        self.graphs: list[dict[str, Any]] = []
        """The graphs of the prompts that began, in order."""
        self._seen: set[str] = set()
        self._free = threading.Condition()
        self._is_open = True
        self._steps = 0
        self._look: Callable[[], dict[str, dict[str, Any]]] = dict
        self._wake: Callable[[], object] = int

    def connect(self, look: Callable[[], dict[str, dict[str, Any]]], wake: Callable[[], object]) -> None:
        self._look, self._wake = look, wake

    def before_node(self, prompt_id: str, node_id: str) -> None:
        """Called in ComfyUI's worker."""
        if prompt_id in self._seen:
            return
        self._seen.add(prompt_id)
        self.graphs.append(self._look().get(prompt_id, {}))
        self._wake()
        with self._free:
            self._free.wait_for(lambda: self._is_open or self._steps > 0, LIMIT_S)
            if not self._is_open:
                self._steps -= 1

    def shut(self) -> None:
        with self._free:
            self._is_open, self._steps = False, 0

    def step(self, prompts: int = 1) -> None:
        """Let so many prompts pass."""
        with self._free:
            self._steps += prompts
            self._free.notify_all()

    def open(self) -> None:
        with self._free:
            self._is_open = True
            self._free.notify_all()

    @property
    def begun(self) -> int:
        return len(self.graphs)

    def inputs(self, name: str, node_id: str = "1") -> list[Any]:
        """One input of one node in every prompt that began."""
        return [graph[node_id]["inputs"][name] for graph in self.graphs]


class Ears:
    """A listener inside the bridge: which requests ended, which sets were released."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.finished: list[tuple[int, str]] = []
        self.released: list[tuple[str, int]] = []
        self._wake = wake

    def request_finished(self, request: Any, command: Any, now: float) -> None:
        self.finished.append((request.number, str(command.outcome)))
        self._wake()

    def request_progress(self, request: Any, value: float, maximum: float, node: str, whole: float) -> None:
        pass

    def set_released(self, stream: Any, shared: Any, size: Any) -> None:
        self.released.append((stream.name, shared.number))
        self._wake()

    def backends_changed(self) -> None:
        self._wake()


class AppRig:
    """An embedded ComfyUI, a bridge that uses it, and whoever connects; all is closed at the end.

    `streams` and `config` are as in texbridge.toml; every workflow of `WORKFLOWS` is there.
    """

    def __init__(
        self,
        folder: Path,
        streams: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        step_delay_ms: float = 0,
        comfy: bool = True,
        **config: Mapping[str, Any],
    ) -> None:
        self.folder = folder
        for name, graph in WORKFLOWS.items():
            write_workflow(folder, name, graph)
        self.gate = Gate()
        self._moved = asyncio.Event()
        self.comfy = EmbeddedServer(step_delay_ms=step_delay_ms, before_node=self.gate.before_node) if comfy else None
        self._streams = {"main": {"workflow": "solid", "mode": "oneshot"}} if streams is None else streams
        self._config = config
        self.more_of_backend: dict[str, Any] = {}
        """Further keys of `[[backend]]`."""
        self.server: Server = None  # type: ignore[assignment]
        self._engines: list[Engine] = []
        self._sockets: list[OscSocket] = []
        self._reserved: ReservedPort | None = None
        self._posted: list[dict[str, Any]] = []

    async def __aenter__(self) -> "AppRig":
        loop = asyncio.get_running_loop()
        overrides: dict[str, Any] = {
            door: {"listen": "127.0.0.1:0", **self._config.pop(door, {})} for door in ("osc", "link", "tcp", "http")
        }
        overrides["scheduler"] = {"warm_up": False, **self._config.pop("scheduler", {})}
        overrides["workflows"] = {"folders": [str(self.folder)], **self._config.pop("workflows", {})}
        if self.comfy is not None:
            self._reserved = ReservedPort()  # for whoever starts it again
            self.comfy._port = self._reserved.port
            await self.comfy.start()
            queue = self.comfy._queue
            self.gate.connect(
                lambda: {prompt.prompt_id: prompt.prompt for prompt in queue.snapshot()[0]},
                lambda: loop.call_soon_threadsafe(self._moved.set),
            )
            overrides["backend"] = [{"url": self.comfy.url, "name": "comfy", **self.more_of_backend}]
        config = load_config(None, {}, {**overrides, **self._config, "streams": self._streams})
        self.server = Server(config)
        self.ears = Ears(self._moved.set)
        self.server.bridge.listeners.append(self.ears)
        tell = self.server.bridge.tell

        def tell_and_wake(event: Any) -> None:
            tell(event)
            self._moved.set()

        self.server.bridge.tell = tell_and_wake  # type: ignore[method-assign]
        await self.server.start()
        if self.comfy is not None:
            await self.until(lambda: bool(self.bridge.backends_up), "a backend that is up")
            # The node types of this ComfyUI are taken over beside: after that nothing moves by itself.
            settling = [task for task in self.server._tasks if "object_info" in repr(task.get_coro())]
            await asyncio.gather(*settling)
            backend = self.bridge.backends.get("comfy")
            submit = backend.submit

            def submit_and_note(attempt: int, prompt: dict[str, Any], *arguments: Any, **options: Any) -> None:
                self._posted.append(prompt)
                submit(attempt, prompt, *arguments, **options)

            backend.submit = submit_and_note
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.open()
        for engine in self._engines:
            await engine.close()
        for osc in self._sockets:
            osc.close()
        if self.server is not None:
            await self.server.close()
        if self.comfy is not None:
            await self.comfy.close()
        if self._reserved is not None:
            self._reserved.close()

    @property
    def bridge(self) -> Any:
        return self.server.bridge

    async def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        """Wait until something moved that makes `condition` true."""
        await wait_until(self._moved, condition, what, lambda: f"released {self.ears.released[-5:]}")

    async def begun(self, prompts: int) -> None:
        """Wait until so many prompts began at ComfyUI."""
        await self.until(lambda: self.gate.begun >= prompts, f"prompt {prompts} to begin, of {self.gate.begun}")

    async def engine(
        self, kind: str = "tcp", *, greet: bool = True, hello: Mapping[str, Any] | None = None
    ) -> "Engine":
        """A connected engine, greeted unless said otherwise."""
        address = self.server.addresses.tcp if kind == "tcp" else self.server.addresses.link
        assert address is not None
        engine = await Engine.connect(kind, address)
        self._engines.append(engine)
        if greet:
            await engine.greet(**(hello or {}))
        return engine

    def posted(self, name: str, node_id: str = "1") -> list[Any]:
        """One input of one node in every prompt in the order in which the bridge posted them.

        On a busy machine two may change places on their way to ComfyUI: each goes over a connection of its own.
        """
        return [prompt[node_id]["inputs"][name] for prompt in self._posted]

    async def cut(self, engine: "Engine") -> None:
        """Lose an engine's connection without a word, and wait until the bridge has noticed."""
        (session,) = (one for one in self.server.actions.sessions if one.token == engine.welcome.session)
        await engine.cut()
        async with asyncio.timeout(LIMIT_S):
            while session.connected:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)

    def osc(self) -> "OscSocket":
        """A socket that sends OSC to the bridge, and hears what is sent to its own port."""
        address = self.server.addresses.osc
        assert address is not None
        osc = OscSocket(address)
        self._sockets.append(osc)
        return osc


def run(test: Callable[[], Any]) -> None:
    """Run an async test with a limit on the whole of it."""

    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())
