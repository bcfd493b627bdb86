"""`texbridge nodes`: the node pack in a ComfyUI."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bridge.app.pool.node_install import PackStatus, install_pack, pack_status

DESCRIPTION = """\
texbridge's nodes for ComfyUI: pictures come as raw pixels and go into memory, many times faster than as PNG files.
They need nothing beyond what ComfyUI has, and the bridge finds them by itself.

  texbridge nodes install ~/ComfyUI          then start ComfyUI again
  texbridge nodes status ~/ComfyUI           exit code 0: the nodes of this version are there

PATH is ComfyUI's folder, or its folder custom_nodes.
"""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `nodes` to the command line."""
    parser = commands.add_parser(
        "nodes", help=purpose, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="nodes_action", metavar="ACTION", required=True, parser_class=type(parser))
    for name, help_text, action in (
        ("install", "bring them into a ComfyUI, or bring them up to date", _install),
        ("status", "see which are there", _status),
    ):
        one = actions.add_parser(name, help=help_text)
        one.add_argument("path", metavar="PATH", type=Path, help="ComfyUI's folder, or its custom_nodes")
        one.add_argument("--json", action="store_true", help="one JSON object on standard output")
        one.set_defaults(action=action)


def _install(options: argparse.Namespace) -> int:
    before, done = install_pack(options.path)
    words = {
        "installed": f"texbridge's nodes {before.shipped} are in {before.folder}; start ComfyUI again",
        "replaced": f"texbridge's nodes {before.shipped} took the place of {before.installed} in {before.folder}; "
        "start ComfyUI again",
        "unchanged": f"texbridge's nodes {before.shipped} are in {before.folder} already",
        "linked": f"{before.folder} is a link: left as it is",
    }[done]
    if options.json:
        print(json.dumps({**_facts(before), "installed": before.shipped, "before": before.installed, "done": done}))
    else:
        print(words)
    return 0


def _status(options: argparse.Namespace) -> int:
    found = pack_status(options.path)
    if options.json:
        print(json.dumps({**_facts(found), "current": found.is_current}))
    elif found.installed is None:
        print(f"texbridge's nodes aren't in {found.folder.parent}")
    else:
        print(f"texbridge's nodes {found.installed} are in {found.folder}; this texbridge has {found.shipped}")
    if not found.is_current:
        print(f"`texbridge nodes install {options.path}` brings them", file=sys.stderr)
    return 0 if found.is_current else 1


def _facts(status: PackStatus) -> dict[str, Any]:
    return {
        "folder": str(status.folder),
        "installed": status.installed,
        "shipped": status.shipped,
        "linked": status.linked,
    }
