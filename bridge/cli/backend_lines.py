"""ComfyUIs as lines and a table for a person, out of what `/admin/backends` tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

COLUMNS: Final = ("name", "state", "now", "done", "failed", "lost", "median", "pictures", "ComfyUI", "device")
NUMBERS: Final = COLUMNS[2:7]


def state_word(backend: Mapping[str, Any]) -> str:
    """Give how one stands, in a word: its state, or what keeps one that is up from getting prompts."""
    state = str(backend.get("state", "?"))
    if backend.get("drained") and state in ("up", "mute"):
        return "draining" if backend.get("prompts") else "drained"
    if backend.get("drained"):
        return f"{state}, drained"
    return "broken" if state == "up" and backend.get("broken_s") is not None else state


def backend_line(backend: Mapping[str, Any]) -> str:
    """Give a line for a person: name, state, address, version, round trip, or what is wrong."""
    parts = [f"{state_word(backend):<10} {backend.get('name')}  {backend.get('url')}"]
    if backend.get("version"):
        parts.append(f"ComfyUI {backend['version']}")
    if backend.get("round_trip_ms") is not None:
        parts.append(f"{backend['round_trip_ms']:g} ms away")
    if backend.get("warning"):
        parts.append(str(backend["warning"]))
    return "  ".join(parts)


def backend_table(backends: Sequence[Mapping[str, Any]]) -> str:
    """Give the table for a person, and below each what is wrong with it and what it lacks."""
    rows = [COLUMNS, *map(_cells, backends)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = []
    for row, backend in zip(rows, (None, *backends), strict=True):
        cells = (
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, cell, width in zip(COLUMNS, row, widths, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
        lines += [] if backend is None else [f"  {words}" for words in _words(backend)]
    return "\n".join(lines)


def _cells(backend: Mapping[str, Any]) -> tuple[str, ...]:
    durations = list(backend.get("durations_ms", {}).values())
    up = backend.get("state") in ("up", "mute")
    return (
        str(backend.get("name")),
        state_word(backend),
        *(str(backend.get(key, "")) for key in ("prompts", "done", "failed", "lost")),
        f"{durations[-1]:g} ms" if durations else "-",
        str(backend.get("transfer") or "-") if up else "-",
        str(backend.get("version") or "-"),
        ", ".join(map(str, backend.get("devices") or ())) or "-",
    )


def _words(backend: Mapping[str, Any]) -> list[str]:
    name, url = str(backend.get("name")), str(backend.get("url"))
    words = [] if url.partition("://")[2] == name else [f"at {url}"]
    if backend.get("warning"):
        words.append(str(backend["warning"]))
    if backend.get("broken_s") is not None:
        words.append(f"failed again and again: one prompt tries it in {backend['broken_s']:g} s")
    words += [f"lacks for stream {stream}: {reason}" for stream, reason in backend.get("lacks", {}).items()]
    return words
