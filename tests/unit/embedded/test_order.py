"""The order in which nodes run, and what makes two results the same."""

from typing import Any

import pytest

import bridge.embedded  # noqa: F401 - fills the catalog
from bridge.embedded.files import FileKey, FileStore
from bridge.embedded.order import Schedule, cache_keys


def image(*sources: str, **more: Any) -> dict[str, Any]:
    """ImageBatch of two sources, ImageInvert of one, EmptyImage of none."""
    if len(sources) == 2:
        return {"class_type": "ImageBatch", "inputs": {"image1": [sources[0], 0], "image2": [sources[1], 0], **more}}
    if sources:
        return {"class_type": "ImageInvert", "inputs": {"image": [sources[0], 0], **more}}
    return {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0, **more}}


def out(source: str, kind: str = "SaveImageWebsocket") -> dict[str, Any]:
    return {"class_type": kind, "inputs": {"images": [source, 0]}}


@pytest.mark.parametrize(
    ("graph", "cached", "expected"),
    [
        pytest.param({"9": out("2"), "2": image("1"), "1": image()}, "", "1 2 9", id="a chain"),
        pytest.param(
            {"1": image(), "2": image(), "3": image("1", "2"), "9": out("3")}, "", "2 1 3 9", id="last input first"
        ),
        pytest.param(
            {"1": image(), "2": image("1"), "3": image("2"), "8": out("1"), "9": out("3")},
            "",
            "1 8 2 3 9",
            id="outputs first",
        ),
        pytest.param(
            {"1": image(), "2": image("1"), "9": out("2"), "5": image(), "6": out("5")},
            "",
            "5 6 1 2 9",
            id="near outputs first",
        ),
        pytest.param({"1": image(), "2": image("1"), "9": out("2")}, "1 2", "9", id="cached ones are left out"),
        pytest.param(
            {"1": image(), "2": image("1"), "3": image("2"), "9": out("3")}, "2", "3 9", id="and what they need"
        ),
        pytest.param({"1": image(), "5": image(), "9": out("1")}, "", "1 9", id="what nothing needs"),
        pytest.param({"1": image(), "3": image("1", "1"), "9": out("3")}, "", "1 3 9", id="twice the same"),
        pytest.param({"9": out("1"), "1": image()}, "9", "1 9", id="an output is visited even when cached"),
    ],
)
def test_schedule(graph: dict[str, Any], cached: str, expected: str) -> None:
    outputs = tuple(node_id for node_id, node in graph.items() if node["class_type"] == "SaveImageWebsocket")
    assert list(Schedule(graph, outputs, lambda node_id: node_id in cached.split())) == expected.split()


def key(graph: dict[str, Any], node_id: str, files: FileStore | None = None) -> str | None:
    return cache_keys(graph, files or FileStore())[node_id]


BASE = {"1": image(color=5), "2": image("1"), "3": image("2", "1")}


@pytest.mark.parametrize(
    ("graph", "node_id", "same"),
    [
        pytest.param(BASE, "3", True, id="itself"),
        pytest.param({"a": image(color=5), "b": image("a"), "c": image("b", "a")}, "c", True, id="other ids"),
        pytest.param(BASE | {"7": image("3")}, "3", True, id="what comes after"),
        pytest.param(BASE | {"1": image(color=6)}, "3", False, id="a value before"),
        pytest.param(BASE | {"3": image("1", "2")}, "3", False, id="links changed places"),
        pytest.param(BASE | {"0": image(color=5), "3": image("2", "0")}, "3", False, id="an equal node for the same"),
        pytest.param(BASE | {"3": image("2", "1", extra=1)}, "3", False, id="a value more"),
    ],
)
def test_key(graph: dict[str, Any], node_id: str, same: bool) -> None:
    assert (key(graph, node_id) == key(BASE, "3")) is same


def test_fresh_nodes_have_no_key() -> None:
    graph = {"1": image(), "8": out("1"), "9": out("1", "PreviewImage")}
    keys = cache_keys(graph, FileStore())
    assert keys["8"] is None
    assert keys["1"] is not None
    assert keys["9"] is not None


def test_nodes_that_know_their_id_keep_it() -> None:
    def size(node_id: str) -> dict[str, Any]:
        return {"1": image(), node_id: {"class_type": "GetImageSize", "inputs": {"image": ["1", 0]}}}

    assert key(size("5"), "5") == key(size("5"), "5")
    assert key(size("5"), "5") != key(size("6"), "6")


def test_key_follows_the_file() -> None:
    files = FileStore()
    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}}, "2": image("1")}
    missing = key(graph, "2", files)
    files.write(FileKey("input", "", "x.png"), b"one")
    one = key(graph, "2", files)
    files.write(FileKey("input", "", "x.png"), b"two")
    assert len({missing, one, key(graph, "2", files)}) == 3


@pytest.mark.parametrize("broken", [{"5": image("6"), "6": image("5")}, {"5": image("5")}, {"5": image("77")}])
def test_broken_nodes_that_nothing_needs_do_no_harm(broken: dict[str, Any]) -> None:
    assert cache_keys(BASE | broken, FileStore())["3"] == key(BASE, "3")


def test_a_long_chain() -> None:
    graph = {"0": image()} | {str(i): image(str(i - 1)) for i in range(1, 400)}
    assert len(set(cache_keys(graph, FileStore()).values())) == 400
    assert len(list(Schedule(graph | {"out": out("399")}, ("out",), lambda node_id: False))) == 401
