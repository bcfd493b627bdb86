"""The embedded server answers as the recorded ComfyUI did.

TEXBRIDGE_RECORDINGS adds folders of recordings (os.pathsep between them). With COMFYUI_URL the recordings are played
to that ComfyUI instead of the embedded server.
"""

import asyncio
import base64
import copy
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from comfy_comparison import Names, differences
from comfy_player import EmbeddedTarget, RealTarget, load, play
from PIL import Image

from bridge.embedded import EmbeddedServer

FOLDER = Path(__file__).parents[1] / "recordings"
EXTRA = [Path(folder) for folder in os.environ.get("TEXBRIDGE_RECORDINGS", "").split(os.pathsep) if folder]
RECORDINGS = sorted(path for folder in (FOLDER, *EXTRA) for path in folder.glob("*.jsonl"))
COMFYUI_URL = os.environ.get("COMFYUI_URL", "")
ENDS_SERVER = ("worker_death", "server_kill")
"""Recordings after which a server is of no more use: for embedded ones alone."""


def target() -> EmbeddedTarget | RealTarget:
    return RealTarget(COMFYUI_URL) if COMFYUI_URL else EmbeddedTarget()


def test_there_are_recordings() -> None:
    assert len(list(FOLDER.glob("*.jsonl"))) >= 10
    assert all(folder.is_dir() for folder in EXTRA), EXTRA


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_answers_as_recorded(path: Path) -> None:
    if COMFYUI_URL and path.stem in ENDS_SERVER:
        pytest.skip(f"{path.stem} ends the server that it is played to")
    found = asyncio.run(play(load(path), target()))
    assert not found, "\n".join(found)


# --- does the comparison see anything? -------------------------------------------------------------------------


def events(lines: list[dict], kind: str) -> list[int]:
    """Where messages of a type stand in a recording."""
    return [i for i, line in enumerate(lines) if line.get("event") == "text" and line["json"].get("type") == kind]


def swap(first: str, second: str) -> Callable[[list[dict]], None]:
    """Swap an event of one type with the next one of another."""

    def mutate(lines: list[dict]) -> None:
        one = events(lines, first)[0]
        other = next(i for i in events(lines, second) if i > one)
        lines[one], lines[other] = lines[other], lines[one]

    return mutate


def change(kind: str, change_data: Callable[[dict], object]) -> Callable[[list[dict]], None]:
    """Change the data of the last event of a type."""

    def mutate(lines: list[dict]) -> None:
        change_data(lines[events(lines, kind)[-1]]["json"]["data"])

    return mutate


def drop(kind: str) -> Callable[[list[dict]], None]:
    def mutate(lines: list[dict]) -> None:
        del lines[events(lines, kind)[-1]]

    return mutate


def answer(number: int, change_line: Callable[[dict], object]) -> Callable[[list[dict]], None]:
    """Change the HTTP answer of a number."""

    def mutate(lines: list[dict]) -> None:
        change_line(next(line for line in lines if line["dir"] == "recv" and line.get("id") == number))

    return mutate


def change_picture(lines: list[dict]) -> None:
    """Let one pixel of one frame be two steps brighter."""
    frame = next(line for line in lines if line.get("event") == "binary")
    data = base64.b64decode(frame["b64"])
    image = Image.open(io.BytesIO(data[8:]))
    red, green, blue = image.getpixel((5, 6))
    image.putpixel((5, 6), (red, green + 2, blue))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    frame["b64"] = base64.b64encode(data[:8] + buffer.getvalue()).decode()


MUTATIONS = {
    "execution_start and execution_cached swapped": swap("execution_start", "execution_cached"),
    "status and execution_start swapped": swap("status", "execution_start"),
    "executing and progress_state swapped": swap("executing", "progress_state"),
    "execution_success and status swapped": swap("execution_success", "status"),
    "execution_cached lost": drop("execution_cached"),
    "progress lost": drop("progress"),
    "a status lost": drop("status"),
    "another node cached": change("execution_cached", lambda data: data["nodes"].append("1")),
    "a float for an int": change("progress", lambda data: data.update(value=float(data["value"]))),
    "another maximum": change("progress", lambda data: data.update(max=9)),
    "another node": change("executing", lambda data: data.update(node="9")),
    "a field more": change("execution_success", lambda data: data.update(extra=1)),
    "a field less": change("execution_success", lambda data: data.pop("timestamp")),
    "another prompt's id": change(
        "execution_success", lambda data: data.update(prompt_id="00000000-0000-4000-8000-00000000ffff")
    ),
    "a node's state": change("progress_state", lambda data: next(iter(data["nodes"].values())).update(state="running")),
    "another remaining number": change("status", lambda data: data["status"]["exec_info"].update(queue_remaining=5)),
    "another status code": answer(1, lambda line: line.update(status=201)),
    "another content type": answer(1, lambda line: line["headers"].update({"content-type": "text/plain"})),
    "a prompt number": answer(6, lambda line: line["json"].update(number=line["json"]["number"] + 1)),
    "a history without its messages": answer(
        4, lambda line: next(iter(line["json"].values()))["status"]["messages"].pop()
    ),
    "a pixel": change_picture,
}


@pytest.mark.skipif(bool(COMFYUI_URL), reason="the comparison is tested against the embedded server")
@pytest.mark.parametrize("name", MUTATIONS)
def test_comparison_notices(name: str) -> None:
    lines = copy.deepcopy(load(FOLDER / "basics.jsonl"))
    # Its first two prompts are enough.
    end = next(i for i, line in enumerate(lines) if line.get("text", "").startswith("own prompt_id"))
    lines = lines[:end]
    assert not asyncio.run(play(lines, EmbeddedTarget()))
    MUTATIONS[name](lines)
    assert asyncio.run(play(lines, EmbeddedTarget()))


# --- object_info ------------------------------------------------------------------------------------------------


async def get_object_info() -> dict:
    async with aiohttp.ClientSession() as session:
        if COMFYUI_URL:
            async with session.get(f"{COMFYUI_URL}/object_info") as got:
                return await got.json()
        async with EmbeddedServer() as server, session.get(f"{server.url}/object_info") as got:
            return await got.json()


@pytest.mark.skipif(bool(COMFYUI_URL), reason="a real ComfyUI has tooltips, descriptions and files")
def test_object_info_is_as_recorded() -> None:
    """Each node of the embedded server has the recorded entry, to the order of its fields."""
    recorded = json.loads((FOLDER / "object_info.json").read_text(encoding="utf-8"))
    actual = asyncio.run(get_object_info())
    assert len(actual) >= 28
    for name, entry in actual.items():
        if name.startswith(("TexBridge", "Embedded")):
            continue  # the node pack's, and the embedded server's own sampler: a stock ComfyUI doesn't have them
        assert not differences(recorded[name], entry, Names()), name
        assert list(recorded[name]["input"]) == list(entry["input"])
        assert list(recorded[name]["input"]["required"]) == list(entry["input"]["required"])
