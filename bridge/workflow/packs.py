"""Which node pack brings a node class: a table of facts in `workflows/node_packs.json`.

A ComfyUI says only that it has no such node; people have to know which of thousands of packs to install.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from bridge.errors import WorkflowError

MAX_PACKS_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class NodePack:
    """A pack with the classes that it brings: whole names, beginnings and ends of names."""

    name: str
    url: str
    classes: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """How messages name it."""
        return f"{self.name} ({self.url})"


class NodePacks:
    """Known packs. Whole names win over ends of names, and those over beginnings; the longest wins."""

    __slots__ = ("_by_class", "_packs")

    def __init__(self, packs: tuple[NodePack, ...] = ()) -> None:
        self._packs = packs
        self._by_class = {name: pack for pack in reversed(packs) for name in pack.classes}

    @classmethod
    def from_json(cls, data: bytes) -> NodePacks:
        """Read the table.

        Raises:
            WorkflowError: it is damaged.
        """
        try:
            if len(data) > MAX_PACKS_BYTES:
                raise ValueError(f"over {MAX_PACKS_BYTES} bytes")
            return cls(tuple(_pack(entry) for entry in json.loads(data)["packs"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise WorkflowError(f"the table of node packs can't be read: {error}") from None

    def find(self, class_type: str) -> NodePack | None:
        """The pack that brings a class, or None if it isn't known."""
        if class_type in self._by_class:
            return self._by_class[class_type]
        for ends in (True, False):
            found = [
                (len(part), pack)
                for pack in self._packs
                for part in (pack.suffixes if ends else pack.prefixes)
                if (class_type.endswith(part) if ends else class_type.startswith(part))
            ]
            if found:
                return max(found, key=lambda item: item[0])[1]
        return None


NO_PACKS: Final = NodePacks()


def _pack(entry: Any) -> NodePack:
    return NodePack(
        str(entry["name"]),
        str(entry["url"]),
        frozenset(_texts(entry, "classes")),
        tuple(_texts(entry, "prefixes")),
        tuple(_texts(entry, "suffixes")),
    )


def _texts(entry: Any, key: str) -> list[str]:
    texts = entry.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"{key} must be a list of texts")
    return texts
