"""Workflows in ComfyUI's UI format for tests: those of `workflow_ui/`, and small ones made here."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bridge.app.data import data_folder
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.packs import NodePacks

FOLDER = Path(__file__).parent / "workflow_ui"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
INFO = ObjectInfo.from_json((data_folder("workflows") / "object_info.json").read_bytes())
PACKS = NodePacks.from_json((data_folder("workflows") / "node_packs.json").read_bytes())


def ui_file(name: str) -> bytes:
    """One of the files in `workflow_ui/`."""
    return (FOLDER / f"{name}.json").read_bytes()


def ui_node(
    node_id: int,
    kind: str,
    inputs: Sequence[tuple[str, str, int | None] | tuple[str, str, int | None, str]] = (),
    outputs: Iterable[str] = (),
    values: Any = None,
    **more: Any,
) -> dict[str, Any]:
    """A node; an input is (name, type, link) or, for a widget's socket, (name, type, link, widget)."""
    slots = [
        {"name": slot[0], "type": slot[1], "link": slot[2], **({"widget": {"name": slot[3]}} if len(slot) > 3 else {})}
        for slot in inputs
    ]
    return {
        "id": node_id,
        "type": kind,
        "mode": 0,
        "inputs": slots,
        "outputs": [{"name": word, "type": word, "links": None} for word in outputs],
        "widgets_values": [] if values is None else values,
        **more,
    }


def ui_graph(nodes: list[dict[str, Any]], links: list[list[Any]], **more: Any) -> bytes:
    """A file of these nodes and links."""
    return json.dumps({"nodes": nodes, "links": links, "version": 0.4, **more}).encode()
