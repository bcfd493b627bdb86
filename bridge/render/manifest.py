"""`manifest.json`: what a render is, what is done, and what makes each file the one that it is.

It says nothing of when and how fast, so that the same render has the same manifest. It is written whole or not at all,
right after a frame unless the last time was under a second ago; a frame that it doesn't name is rendered again.

    {"texbridge_render": 1, "hash": ..., "settings": {...}, "frames": "1001-1100", "chunk": null, "state": "done",
     "outputs": [{"output": "image", "pattern": "%04d.png", "format": "png", ...}], "versions": {...},
     "done": {"1001": {"seed": 7, "values": {...}, "files": {"1001.png": {"bytes": ..., "sha256": ...}}, "plates": {}}}}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.errors import ConfigError
from bridge.whole_files import write_whole

VERSION: Final = 1
MAX_BYTES: Final = 256 * 1024 * 1024
_SHOWN: Final = 60
_DIFFERENCES: Final = 4


@dataclass(slots=True)
class FrameRecord:
    """One frame that is done. `files` is by name as seen from the manifest: {"bytes", "sha256"}; `plates` by parameter:
    {"file", "bytes", "mtime_ns", "sha256"}; `bits` by output: 16 if its numbers were more than bytes, else 8; empty
    where no file had room for more."""

    seed: int | None
    values: dict[str, Any]
    size: list[int]
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    plates: dict[str, dict[str, Any]] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give it as the file has it."""
        return {
            "seed": self.seed,
            "values": self.values,
            "size": self.size,
            "files": self.files,
            **({"plates": self.plates} if self.plates else {}),
            **({"bits": self.bits} if self.bits else {}),
        }


@dataclass(slots=True)
class Manifest:
    """A render's record. `outputs` are facts of each output's files, by its name and pattern."""

    path: Path
    settings: dict[str, Any]
    frames: str
    chunk: str | None
    outputs: list[dict[str, Any]]
    versions: dict[str, Any]
    state: str = "rendering"
    done: dict[int, FrameRecord] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """What tells this render from another: SHA-256 of the settings."""
        return settings_hash(self.settings)

    def name_of(self, path: Path) -> str:
        """Give a file as seen from the manifest's folder, absolute where there is no way."""
        return relative_name(path, self.path.parent)

    def path_of(self, name: str) -> Path:
        """Give the file that is recorded by this name."""
        return self.path.parent / name

    def document(self) -> dict[str, Any]:
        """Give it as the file has it; frames that come later are not in it."""
        return {
            "texbridge_render": VERSION,
            "hash": self.hash,
            "settings": self.settings,
            "frames": self.frames,
            "chunk": self.chunk,
            "state": self.state,
            "outputs": self.outputs,
            "versions": self.versions,
            "done": {str(frame): self.done[frame].as_json() for frame in sorted(self.done)},
        }

    def write(self, document: dict[str, Any]) -> None:
        """Write what `document` gave. Raises OSError."""
        write_whole(self.path, _encoded(document), sync=True)

    def write_new(self) -> None:
        """Write it where none is. Raises FileExistsError, OSError."""
        with self.path.open("xb") as file:
            try:
                file.write(_encoded(self.document()))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.close()
                self.path.unlink(missing_ok=True)  # an empty one would stop --resume too
                raise


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Give the SHA-256 of settings, 64 hex digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """Read one.

    Raises:
        ConfigError: it isn't one, is damaged, or of a later version. OSError: it can't be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES:,} bytes")
    try:
        document = json.loads(path.read_bytes())
        if document["texbridge_render"] != VERSION:
            raise ConfigError(f"{path} is of version {document['texbridge_render']}; this texbridge writes {VERSION}")
        done = {
            int(frame): FrameRecord(
                record["seed"],
                dict(record["values"]),
                list(record["size"]),
                {str(name): dict(facts) for name, facts in record["files"].items()},
                {str(name): dict(facts) for name, facts in record.get("plates", {}).items()},
                {str(name): int(bits) for name, bits in record.get("bits", {}).items()},
            )
            for frame, record in document["done"].items()
        }
        return Manifest(
            path,
            dict(document["settings"]),
            str(document["frames"]),
            document["chunk"],
            [dict(facts) for facts in document["outputs"]],
            dict(document["versions"]),
            str(document["state"]),
            done,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is no manifest of a render, or damaged ({type(error).__name__}); name another with --manifest, or "
            "begin anew with --overwrite"
        ) from error


def is_of_nothing(manifest: Manifest) -> bool:
    """Whether it is what a render left that ended before its first frame: nothing that another could spoil."""
    return not manifest.done and manifest.state in ("failed", "stopped")


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Give what differs between two settings, a line each: `tracks.denoise: was [[1001, 0.3]], is [[1001, 0.4]]`."""
    before, after = _flat(was), _flat(now)
    lines = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            lines.append(f"{name}: was {_shown(old)}, is {_shown(new)}")
    return lines


def refuse_other(manifest: Manifest, settings: Mapping[str, Any]) -> None:
    """Raise ConfigError if a manifest is of another render, and say what differs."""
    lines = differences(manifest.settings, settings)
    if lines:
        more = f"; and {len(lines) - _DIFFERENCES} more" if len(lines) > _DIFFERENCES else ""
        raise ConfigError(
            f"--resume: {manifest.path} is of another render. {'; '.join(lines[:_DIFFERENCES])}{more}. Say what it was "
            "made with, name another folder, or render all anew with --overwrite"
        )


def relative_name(path: Path, folder: Path) -> str:
    """Give a path as seen from a folder, with slashes; absolute where it lies elsewhere."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


def _encoded(document: Mapping[str, Any]) -> bytes:
    """JSON with a line for each frame, output and setting: short, and to be compared line by line."""
    parts = []
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            inner = ",\n".join(f"  {_line(key)}: {_line(item)}" for key, item in value.items())
            text = f"{{\n{inner}\n }}"
        elif isinstance(value, list) and value:
            inner = ",\n".join(f"  {_line(item)}" for item in value)
            text = f"[\n{inner}\n ]"
        else:
            text = _line(value)
        parts.append(f" {_line(name)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("utf-8", "backslashreplace")


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value[:12] if isinstance(value, str) and len(value) == 64 else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
