"""`texbridge workflows`: list, show, check and bind workflows."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bridge.app.answers import describe
from bridge.app.backend_headers import shown_address
from bridge.app.config import find_config, load_config
from bridge.app.data import data_folder
from bridge.app.object_info import fetch_object_info
from bridge.app.serve import make_library
from bridge.app.watch import MAX_FILE_BYTES, read_files
from bridge.cli import bind
from bridge.cli.options import add_comfy_headers, add_config, comfy_door, tell_config
from bridge.codec.messages import encode_message
from bridge.errors import ConfigError, WorkflowError
from bridge.workflow.binding import load_workflow
from bridge.workflow.check import Problem, ProblemKind, check_against
from bridge.workflow.library import BINDING_FILE, WORKFLOW_FILE, Library
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.packs import NodePacks
from bridge.workflow.workflow import Workflow

DESCRIPTION = """\
Look at the workflows that the bridge can run: the shipped ones, and those of the folders in the configuration and
--workflows.

  texbridge workflows list
  texbridge workflows show gradient
  texbridge workflows check
  texbridge workflows bind my_sky.json      # one of your own, out of ComfyUI

`texbridge workflows VERB --help` tells more of each.
"""

LIST_DESCRIPTION = """\
Print one line for each workflow; one that can't be used is named too, with the reason, and makes the exit code 1.

  texbridge workflows list
  texbridge workflows list --workflows my_show/workflows --json
"""

SHOW_DESCRIPTION = """\
Print what an engine may set and what comes back: parameters with range and default, seed, size, outputs.

  texbridge workflows show gradient
  texbridge workflows show my_first --workflows my_show/workflows
  texbridge workflows show gradient --json
"""

CHECK_DESCRIPTION = """\
Check that workflows load and that every node and input is right, by name or by file; all of them without a name. With
--comfy also that this very ComfyUI has the nodes and the model files. The exit code is 1 if one of them can't be used.

  texbridge workflows check
  texbridge workflows check txt2img_turbo --comfy http://127.0.0.1:8188
  texbridge workflows check my_show/workflows/my_first/workflow_api.json
"""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `workflows` with its own commands."""
    parser = commands.add_parser(
        "workflows",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(action=lambda _: (parser.print_help(sys.stderr), 2)[1])
    verbs = parser.add_subparsers(metavar="VERB")
    listing = _add_verb(verbs, "list", "one line for each", LIST_DESCRIPTION)
    listing.set_defaults(action=list_workflows)
    show = _add_verb(verbs, "show", "a workflow's parameters, outputs and size", SHOW_DESCRIPTION)
    show.add_argument("name", metavar="NAME")
    show.set_defaults(action=show_workflow)
    check = _add_verb(verbs, "check", "whether workflows load, and whether a ComfyUI can run them", CHECK_DESCRIPTION)
    check.add_argument("names", metavar="NAME|FILE", nargs="*", default=[], help="all by default")
    check.add_argument("--comfy", metavar="URL", help="check against this ComfyUI and its models")
    add_comfy_headers(check)
    check.set_defaults(action=check_workflows)
    binding = _add_verb(verbs, "bind", "make a workflow of a ComfyUI file", bind.DESCRIPTION, folders=False)
    bind.add_parser(binding)


def _add_verb(
    verbs: Any, name: str, purpose: str, description: str, *, folders: bool = True
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=purpose, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if folders:
        verb.add_argument("--workflows", metavar="DIR", action="append", help="a further folder of workflows")
    verb.add_argument("--json", action="store_true", help="print JSON, for a script")
    add_config(verb)
    return verb


def _library(options: argparse.Namespace) -> Library:
    path = find_config(options.config)
    config = load_config(path)
    tell_config(path)
    return make_library((*config.workflows.folders, *(options.workflows or ())), log_errors=False)[0]


def list_workflows(options: argparse.Namespace) -> int:
    """Print one line for each workflow, those that can't be used included; exit 1 if there are such."""
    library = _library(options)
    rows = []
    for name in sorted({*library.names, *library.errors}):
        error = library.errors.get(name)
        label = library.get(name).spec.label if name in library.names else ""
        rows.append({"name": name, "label": label, "error": None if error is None else str(error)})
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        width = max(len(str(row["name"])) for row in rows)
        for row in rows:
            print(
                f"{row['name']:{width}}  {row['label'] if row['error'] is None else 'NOT USED: ' + str(row['error'])}"
            )
    return 1 if library.errors else 0


def show_workflow(options: argparse.Namespace) -> int:
    """Print what an engine may know of a workflow."""
    workflow = _library(options).get(options.name)
    if options.json:
        import msgspec

        told = msgspec.msgpack.decode(encode_message(describe(workflow.spec, None, None)))
        del told["op"]
        print(json.dumps(told, indent=2))
        return 0
    spec = workflow.spec
    print(f"{spec.name}: {spec.label}")
    if workflow.description:
        print(f"  {workflow.description}")
    for note in workflow.notes:
        print(f"  note: {note}")
    for parameter in spec.parameters:
        span = ""
        if parameter.choices:
            span = "one of " + ", ".join(parameter.choices)
        elif parameter.minimum is not None or parameter.maximum is not None:
            span = f"{_shown(parameter.minimum)} .. {_shown(parameter.maximum)} {parameter.unit}".rstrip()
        print(f"  {parameter.name:16} {parameter.type.value:7} {span:28} default {_shown(parameter.default)}")
    if spec.has_seed:
        print(f"  {'seed':16} {'seed':7} {'0 .. 2^64-1':28} default {spec.default_seed}")
    if spec.size is not None:
        print(
            f"  {'size':16} {'pixels':7} {f'{spec.size_minimum} .. {spec.size_maximum}, steps of {spec.size_step}':28} "
            f"default {spec.size.width} x {spec.size.height}"
        )
    for place, output in enumerate(spec.outputs):
        print(f"  output {place}: {output.name} ({output.kind.value})")
    return 0


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{part:g}" for part in value) + ")"
    text = str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def check_workflows(options: argparse.Namespace) -> int:
    """Check workflows by name or file; exit 1 if one can't be used, or the named ComfyUI can't run it."""
    library = _library(options)
    live = None if options.comfy is None else asyncio.run(fetch_object_info(*comfy_door(options)))
    known = library.object_info if live is None else library.object_info.merged(live)
    packs = NodePacks.from_json((data_folder("workflows") / "node_packs.json").read_bytes())
    rows: list[dict[str, Any]] = []
    for name in options.names or sorted({*library.names, *library.errors}):
        try:
            workflow = _find(library, name, known)
        except WorkflowError as error:
            rows.append({"name": name, "problems": list(error.problems or (str(error),)), "notes": [], "ok": False})
            continue
        problems = check_against(workflow, known if live is None else live, packs)
        # Which model files there are is known of a live ComfyUI alone.
        problems = tuple(p for p in problems if live is not None or p.kind is not ProblemKind.MISSING_MODEL)
        rows.append(
            {
                "name": name,
                "problems": [str(problem) for problem in problems],
                "notes": list(workflow.notes),
                "ok": not any(isinstance(problem, Problem) and problem.stops for problem in problems),
            }
        )
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{'ok ' if row['ok'] else 'BAD'}  {row['name']}")
            for line in (*row["notes"], *row["problems"]):
                print(f"       {line}")
        against = "the recorded object_info; name a ComfyUI with --comfy to check its nodes and models too"
        print(f"checked against {shown_address(options.comfy) if options.comfy else against}")
    return 0 if all(row["ok"] for row in rows) else 1


def _find(library: Library, name: str, object_info: ObjectInfo) -> Workflow:
    """Give the workflow of this name, or the one in this file or folder."""
    if name in library.names or name in library.errors:
        return library.get(name)
    path = Path(name)
    if not path.exists():
        if path.suffix == ".json" or len(path.parts) > 1:
            raise ConfigError(f"{path} does not exist")
        return library.get(name)
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        path = folder / WORKFLOW_FILE
        if not path.is_file():
            raise ConfigError(f"{folder} has no {WORKFLOW_FILE}; --workflows takes a folder of workflows")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error}") from error
    return load_workflow(_workflow_name(folder), data, read_files(folder).get(BINDING_FILE), object_info)


def _workflow_name(folder: Path) -> str:
    """Give a name that is allowed, near to the folder's."""
    name = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in folder.resolve().name.lower())
    return (name if name[:1].isalpha() else f"w_{name}")[:60]
