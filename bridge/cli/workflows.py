"""`texbridge workflows`: list, show, check and bind workflows."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bridge.app.config.config import Config, find_config, load_config
from bridge.app.data import data_folder
from bridge.app.link.answers import describe
from bridge.app.lookalikes import find_lookalikes
from bridge.app.pool.headers import shown_address
from bridge.app.pool.object_info import fetch_object_info
from bridge.app.serve import make_library
from bridge.app.watch import MAX_FILE_BYTES, read_files
from bridge.cli import bind
from bridge.cli.options import add_comfy_headers, add_config, backend_door, comfy_door, tell_config
from bridge.cli.printing import say
from bridge.codec.messages import encode_message
from bridge.errors import BackendError, ConfigError, WorkflowError
from bridge.workflow.binding import load_workflow
from bridge.workflow.check import Problem, ProblemKind, bits_notes, check_against
from bridge.workflow.library import BINDING_FILE, WORKFLOW_FILE, Library
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.packs import NodePacks
from bridge.workflow.picture_rules import rule_words
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
Print one line for each workflow; one that can't be used is named too, with the reason, and makes the exit code 1. Files
in your folders that look like workflows, but have another name, form or place, are named with what to do.

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
Check that workflows load and that every node and input is right, by name or by file; all of them without a name. The
ComfyUI of --comfy, else each [[backend]] of the configuration that answers, is asked for its nodes and model files too.
The exit code is 1 if one of them can't be used.

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
    check.add_argument("--recorded", action="store_true", help="ask no ComfyUI")
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
    return _look(options)[0]


def _look(options: argparse.Namespace) -> tuple[Library, tuple[Path, ...], Config]:
    """Give the library, the folders that it was read from, the shipped one first, and the configuration."""
    path = find_config(options.config)
    config = load_config(path)
    tell_config(path)
    return *make_library((*config.workflows.folders, *(options.workflows or ())), log_errors=False), config


def list_workflows(options: argparse.Namespace) -> int:
    """Print one line for each workflow, those that can't be used included; exit 1 if there are such."""
    library, folders, _ = _look(options)
    rows: list[dict[str, str | None]] = []
    for name in sorted({*library.names, *library.errors}):
        error = library.errors.get(name)
        label = library.get(name).spec.label if name in library.names else ""
        rows.append({"name": name, "label": label, "error": None if error is None else str(error)})
    others = find_lookalikes(folders[1:])
    if options.json:
        rows += [{"name": other.name, "label": "", "error": None, "hint": other.hint} for other in others]
        print(json.dumps(rows, indent=2))
    else:
        width = max(len(name) for name in (*(str(row["name"]) for row in rows), *(other.name for other in others)))
        for row in rows:
            say(f"{row['name']:{width}}  {row['label'] if row['error'] is None else 'NOT USED: ' + str(row['error'])}")
        for other in others:
            say(f"{other.name:{width}}  NOT YET: {other.hint}")
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
    say(f"{spec.name}: {spec.label}")
    if workflow.description:
        say(f"  {workflow.description}")
    for note in workflow.notes:
        say(f"  note: {note}")
    for parameter in spec.parameters:
        span = ""
        if parameter.choices:
            span = "one of " + ", ".join(parameter.choices)
        elif parameter.minimum is not None or parameter.maximum is not None:
            span = f"{_shown(parameter.minimum)} .. {_shown(parameter.maximum)} {parameter.unit}".rstrip()
        elif parameter.name in workflow.picture_rules:
            span = rule_words(workflow.picture_rules[parameter.name])
        say(f"  {parameter.name:16} {parameter.type.value:7} {span:28} default {_shown(parameter.default)}")
    if spec.has_seed:
        say(f"  {'seed':16} {'seed':7} {'0 .. 2^64-1':28} default {spec.default_seed}")
    if spec.size is not None:
        say(
            f"  {'size':16} {'pixels':7} {f'{spec.size_minimum} .. {spec.size_maximum}, steps of {spec.size_step}':28} "
            f"default {spec.size.width} x {spec.size.height}"
        )
    for place, output in enumerate(spec.outputs):
        say(f"  output {place}: {output.name} ({output.kind.value}{', 16 bits' if output.bits > 8 else ''})")
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
    library, _, config = _look(options)
    asked = _ask(options, config)
    known = library.object_info
    for _, live in asked:
        known = known.merged(live)
    packs = NodePacks.from_json((data_folder("workflows") / "node_packs.json").read_bytes())
    rows: list[dict[str, Any]] = []
    for name in options.names or sorted({*library.names, *library.errors}):
        try:
            workflow = _find(library, name, known)
        except WorkflowError as error:
            rows.append({"name": name, "problems": list(error.problems or (str(error),)), "notes": [], "ok": False})
            continue
        problems: list[str] = []
        notes = list(workflow.notes)
        stops = False
        for place, live in asked:
            notes += [f"{place}: {note}" if len(asked) > 1 else note for note in bits_notes(workflow, live)]
        for place, live in asked or [("", known)]:
            for problem in check_against(workflow, live, packs):
                # Which model files there are is known of a live ComfyUI alone.
                if asked or problem.kind is not ProblemKind.MISSING_MODEL:
                    problems.append(f"{place}: {problem}" if len(asked) > 1 else str(problem))
                    stops |= isinstance(problem, Problem) and problem.stops
        rows.append({"name": name, "problems": problems, "notes": notes, "ok": not stops})
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            say(f"{'ok ' if row['ok'] else 'BAD'}  {row['name']}")
            for line in (*row["notes"], *row["problems"]):
                say(f"       {line}")
        against = "the recorded object_info; name a ComfyUI with --comfy to check its nodes and models too"
        say(f"checked against {' and '.join(place for place, _ in asked) or against}")
    return 0 if all(row["ok"] for row in rows) else 1


def _ask(options: argparse.Namespace, config: Config) -> list[tuple[str, ObjectInfo]]:
    """Give address and nodes of each ComfyUI: that of --comfy, which must answer, else the configured ones that do."""
    door = comfy_door(options)
    if options.recorded and door is not None:
        raise ConfigError("--recorded asks no ComfyUI, and --comfy names one")
    if options.recorded:
        return []
    if door is not None:
        return [(shown_address(door[0]), asyncio.run(fetch_object_info(*door)))]
    asked = []
    for backend in config.backend:
        try:
            asked.append((shown_address(backend.url), asyncio.run(fetch_object_info(*backend_door(backend)))))
        except BackendError as error:
            say(f"not checked against {shown_address(backend.url)}: {error.message}", file=sys.stderr)
    return asked


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
