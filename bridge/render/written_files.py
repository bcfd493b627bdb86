"""Files of a render that are there: what tells them from others, and what killed renders left beside them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from bridge.whole_files import MARK

_READ_BYTES: Final = 1 << 20


def remove_parts(paths: Iterable[Path]) -> int:
    """Remove what killed renders left of these files; give how many there were."""
    stems: dict[Path, set[str]] = {}
    for path in paths:
        stems.setdefault(path.parent, set()).add(path.stem)
    removed = 0
    for folder, names in stems.items():
        if not folder.is_dir():
            continue
        for part in folder.glob(f".*{MARK}*"):
            if part.name[1:].rsplit(".", 3)[0] in names:
                with contextlib.suppress(OSError):
                    part.unlink()
                    removed += 1
    return removed


def file_facts(path: Path) -> dict[str, Any]:
    """Give a file's length and SHA-256. Raises OSError."""
    return {"bytes": path.stat().st_size, "sha256": file_digest(path)}


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file's bytes, 64 hex digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
