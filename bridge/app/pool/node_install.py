"""The node pack brought into a ComfyUI's folder of custom nodes: copied beside, then put in place in one step."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.app.data import data_folder
from bridge.errors import BridgeError, ConfigError

FOLDER: Final = "texbridge"
"""What the pack's folder is called in `custom_nodes`."""
CUSTOM_NODES: Final = "custom_nodes"
_VERSION: Final = re.compile(r'^VERSION = "([0-9A-Za-z.+-]{1,40})"$', re.MULTILINE)
_SETTINGS: Final = "autostart.json"
"""The user's own: kept when the pack is replaced."""
_SKIPPED: Final = shutil.ignore_patterns("__pycache__", "*.pyc", _SETTINGS)


@dataclass(frozen=True, slots=True)
class PackStatus:
    """A pack in a ComfyUI: where it is or would be, what is there (None: nothing), and what this texbridge has."""

    folder: Path
    installed: str | None
    shipped: str
    linked: bool

    @property
    def is_current(self) -> bool:
        """Whether what is there is what this texbridge has."""
        return self.installed == self.shipped


def custom_nodes_of(path: Path) -> Path:
    """The folder `custom_nodes` of a ComfyUI, given that folder itself, ComfyUI's, or one that holds ComfyUI's.

    Raises:
        ConfigError: there is none.
    """
    path = path.expanduser()
    if path.name == CUSTOM_NODES and path.is_dir():
        return path
    for folder in (path / CUSTOM_NODES, path / "ComfyUI" / CUSTOM_NODES):
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"{path} is no ComfyUI: it has no folder {CUSTOM_NODES}. Name the folder in which ComfyUI's main.py is (the "
        "desktop application: the one that was chosen when it was installed)"
    )


def pack_status(path: Path) -> PackStatus:
    """What stands in the ComfyUI at `path`.

    Raises:
        ConfigError: no ComfyUI, or something else that is called texbridge.
    """
    folder = custom_nodes_of(path) / FOLDER
    shipped = _version(data_folder("comfyui_nodes"))
    assert shipped is not None
    linked = folder.is_symlink()
    if not folder.exists():
        return PackStatus(folder, None, shipped, linked)
    installed = _version(folder)
    if installed is None and any(folder.iterdir()):
        raise ConfigError(f"{folder} is something else than texbridge's nodes: move it away")
    return PackStatus(folder, installed, shipped, linked)


def install_pack(path: Path) -> tuple[PackStatus, str]:
    """Bring the pack into the ComfyUI at `path`; gives what was there before, and what was done.

    That is `installed`, `replaced`, `unchanged`, or `linked`: a link to a checkout stays as it is. What is there is
    whole at every moment, the old one or the new one; `autostart.json` is kept.

    Raises:
        ConfigError: as `pack_status`.
        BridgeError: it can't be written.
    """
    before = pack_status(path)
    if before.linked:
        return before, "linked"
    source, folder = data_folder("comfyui_nodes"), before.folder
    if before.is_current and _same(source, folder):
        return before, "unchanged"
    try:
        # A name with a dot in front isn't taken for a node by ComfyUI, should it start now.
        with tempfile.TemporaryDirectory(prefix=".texbridge-", dir=folder.parent, ignore_cleanup_errors=True) as beside:
            fresh, old = Path(beside) / "fresh", Path(beside) / "old"
            shutil.copytree(source, fresh, ignore=_SKIPPED)
            settings = folder / _SETTINGS
            if settings.is_file():
                shutil.copy2(settings, fresh / _SETTINGS)
            if folder.exists():
                os.replace(folder, old)
            try:
                os.replace(fresh, folder)
            except OSError:
                if old.exists():
                    os.replace(old, folder)
                raise
    except OSError as error:
        raise BridgeError(f"can't write {folder}: {error.strerror or error}; end ComfyUI if it runs") from error
    return before, "installed" if before.installed is None else "replaced"


def _version(folder: Path) -> str | None:
    try:
        found = _VERSION.search((folder / "version.py").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return found[1] if found else None


def _same(source: Path, folder: Path) -> bool:
    """Whether every file of the pack is there with the same bytes."""
    for path in source.rglob("*"):
        if not path.is_file() or "__pycache__" in path.parts or path.name == _SETTINGS:
            continue
        twin = folder / path.relative_to(source)
        if not twin.is_file() or twin.read_bytes() != path.read_bytes():
            return False
    return True
