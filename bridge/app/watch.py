"""Workflow folders: read at the start, and looked at again while running, so that an edit shows at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bridge.workflow.library import Library, find_changes

logger = logging.getLogger("bridge.app.watch")

FILES: Final = ("workflow_api.json", "binding.toml")
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
LOOK_EVERY_S: Final = 1.0

Fingerprint = tuple[tuple[str, int, int], ...]


def find_workflows(folders: Iterable[Path]) -> dict[str, Path]:
    """Give the folder of each workflow, by name: a sub-folder with a `workflow_api.json`. Later folders win."""
    found: dict[str, Path] = {}
    for folder in folders:
        try:
            for entry in sorted(folder.iterdir()):
                if entry.is_dir() and (entry / FILES[0]).is_file():
                    found[entry.name] = entry
        except OSError as error:
            logger.warning("workflow folder %s can't be read: %s", folder, error)
    return found


def read_files(folder: Path) -> dict[str, bytes]:
    """Give the files of one workflow's folder that matter, by name; one over 16 MiB, or unreadable, is left out."""
    files, unreadable = _read(folder)
    for error in unreadable:
        logger.warning("%s", error)
    return files


def _read(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """Give the files that matter, and what kept others from being read."""
    files: dict[str, bytes] = {}
    unreadable: list[str] = []
    for name in FILES:
        path = folder / name
        try:
            if path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
                files[name] = path.read_bytes()
        except OSError as error:
            unreadable.append(f"{path} can't be read: {error}")
    return files, unreadable


def fingerprint(folder: Path) -> Fingerprint:
    """Give what changes when a workflow's files are edited: name, size and time of each."""
    marks: list[tuple[str, int, int]] = []
    for name in FILES:
        try:
            state = (folder / name).stat()
        except OSError:
            continue
        marks.append((name, state.st_size, state.st_mtime_ns))
    return tuple(marks)


def load_library(library: Library, folders: Iterable[Path], *, log_errors: bool = True) -> None:
    """Load every workflow of these folders; `library.errors` keeps why one can't be used, which is logged as well."""
    for name, folder in find_workflows(folders).items():
        error = library.reload(name, read_files(folder))
        if error is not None and log_errors:
            logger.error("workflow %s is not used: %s", folder, error)


class Watch:
    """Looks at workflow folders once a second and takes over what was edited.

    `edited(name)` is called on the event loop after a workflow was loaded anew. A bad edition is logged once and the
    old one stays. A file that can't be read is read again at the next look: on Windows the program that saves it, or a
    virus scanner, holds it for a moment.
    """

    def __init__(self, library: Library, folders: Iterable[Path], edited: Callable[[str], None]) -> None:
        self._library = library
        self._folders = tuple(folders)
        self._edited = edited
        self._seen = self._look()
        self._unread: set[str] = set()

    def _look(self) -> dict[str, Fingerprint]:
        return {name: fingerprint(folder) for name, folder in find_workflows(self._folders).items()}

    async def run(self) -> None:
        """Look, for ever; cancel it to end it."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.take_over_changes(await asyncio.to_thread(self._look))

    def take_over_changes(self, now: dict[str, Fingerprint]) -> None:
        """Load what has another fingerprint `now`."""
        changes = find_changes(self._seen, now)
        self._seen = now
        places = find_workflows(self._folders) if changes else {}
        for name in (*changes.added, *changes.changed):
            if name in places:
                self.take_over(name, places[name])

    def take_over(self, name: str, folder: Path) -> None:
        """Load one workflow anew."""
        files, unreadable = _read(folder)
        if unreadable:
            if name not in self._unread:
                logger.warning("workflow %s: %s; it is tried again every second", name, "; ".join(unreadable))
            self._unread.add(name)
            self._seen.pop(name, None)
            return
        self._unread.discard(name)
        error = self._library.reload(name, files)
        if error is not None:
            logger.error("workflow %s: the edited files can't be used, the old ones stay: %s", name, error)
            return
        logger.info("workflow %s: edited files taken over", name)
        self._edited(name)
