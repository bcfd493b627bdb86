"""Where the shipped workflows, the contract and the node pack are: in the checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path

from bridge.errors import ConfigError

PACKAGE = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """Give the folder `workflows`, `protocols` or `comfyui_nodes`.

    An installed wheel has it in `bridge/_data`, a checkout (also an editable install) at its top level.

    Raises:
        ConfigError: neither is there; the installation is damaged.
    """
    for folder in (PACKAGE / "_data" / name, PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder {name!r} is missing from this installation ({PACKAGE}); install texbridge again")
