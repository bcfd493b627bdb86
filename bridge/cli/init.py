"""`texbridge init`: a configuration and a workflows folder of one's own."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from bridge.app.config.config import FILE_NAME
from bridge.app.config.file import commented_config
from bridge.app.data import data_folder
from bridge.errors import ConfigError

DESCRIPTION = """\
Make a folder with a commented texbridge.toml (every key with its default) and a workflows folder with a copy of
`gradient` under the name `my_first`, to change as you like. Nothing that exists is overwritten.

  texbridge init my_show
  cd my_show
  texbridge serve --embedded
"""

EXAMPLE = "my_first"


def add_parser(commands: Any, purpose: str) -> None:
    """Add `init` to the command line."""
    parser = commands.add_parser(
        "init",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR")
    parser.set_defaults(action=init)


def init(options: argparse.Namespace) -> int:
    """Write the files."""
    if not options.folder.strip():
        raise ConfigError("DIR is empty; name a folder, e.g. my_show, or . for this one")
    folder = Path(options.folder)
    config = folder / FILE_NAME
    example = folder / "workflows" / EXAMPLE
    for path in (config, example):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} is there already; it is left as it is")
    text = commented_config().replace("# folders = []", 'folders = ["workflows"]')
    try:
        example.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(data_folder("workflows") / "gradient", example, ignore=shutil.ignore_patterns("README.md"))
        binding = example / "binding.toml"
        own = binding.read_text(encoding="utf-8").replace('label = "Gradient"', 'label = "My first workflow"')
        binding.write_text(own, encoding="utf-8")
        config.write_text(text, encoding="utf-8")
    except (OSError, shutil.Error) as error:
        raise ConfigError(f"can't write in {folder}: {error}") from error
    print(f"made {config}\nmade {example}\nnext: cd {folder}, then texbridge serve --embedded --stream main={EXAMPLE}")
    return 0
