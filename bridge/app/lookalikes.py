"""Files in folders of workflows that look like workflows and are none, since they have another name, form or place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from bridge.app.watch import FILES, MAX_FILE_BYTES
from bridge.workflow.lookalikes import FileForm, file_form

MAX_FILES: Final = 200
"""In each folder of workflows; more is no folder of workflows."""


@dataclass(frozen=True, slots=True)
class Lookalike:
    """A file, the name of the workflow that it could be, and what to do."""

    name: str
    path: Path
    hint: str


def find_lookalikes(folders: Iterable[Path]) -> list[Lookalike]:
    """Give the files that look like workflows: beside the workflows' folders, and in folders without a workflow.

    What can't be read is passed over: it is no workflow either way.
    """
    found: list[Lookalike] = []
    for folder in folders:
        for path in islice(_files(folder), MAX_FILES):
            hint = _hint(path, alone=path.parent == folder)
            if hint:
                found.append(Lookalike(path.stem if path.parent == folder else path.parent.name, path, hint))
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Every JSON file that is no part of a workflow, of the folder itself and one level below."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.is_dir() and not (entry / FILES[0]).is_file():
            try:
                yield from sorted(path for path in entry.iterdir() if _is_json(path))
            except OSError:
                continue
        elif _is_json(entry):
            yield entry


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json" and path.is_file()


def _hint(path: Path, *, alone: bool) -> str:
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError:
        return ""
    if alone and path.name == FILES[0]:
        return f"{path.parent} is a workflow itself: name the folder above it, {path.parent.absolute().parent}"
    match file_form(data):
        case FileForm.UI:
            return f'{path} is a workflow as ComfyUI saves it: `texbridge workflows bind "{path}"` makes one of it'
        case FileForm.API if alone:
            return f'{path} looks like a workflow: `texbridge workflows bind "{path}"` gives it a folder of its own'
        case FileForm.API:
            return f"{path} looks like a workflow: rename it to {FILES[0]}"
    return ""
