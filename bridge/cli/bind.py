"""`texbridge workflows bind`: a workflow of one's own, with a binding proposed for it."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bridge.app.config.config import BackendConfig, Config, find_config, load_config
from bridge.app.data import data_folder
from bridge.app.pool.headers import shown_address
from bridge.app.pool.object_info import fetch_object_info
from bridge.app.watch import MAX_FILE_BYTES, read_files
from bridge.cli.options import add_comfy_headers, backend_door, comfy_door, tell_config
from bridge.cli.printing import say
from bridge.errors import ConfigError, TexbridgeError
from bridge.whole_files import write_whole
from bridge.workflow.bind import BoundFile, bind_workflow
from bridge.workflow.check import ProblemKind, check_against
from bridge.workflow.library import BINDING_FILE, WORKFLOW_FILE
from bridge.workflow.names import plain_name, workflow_name_problem
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.packs import NodePacks
from bridge.workflow.workflow import Place

DESCRIPTION = """\
Take a workflow out of ComfyUI into a folder of workflows, with a binding.toml that names its parameters: prompt and
negative prompt, size, seed, steps and the like, and every node that you gave a title. FILE is what ComfyUI saves
(Workflow > Save, or > Export) or what Workflow > Export (API) writes.

  texbridge workflows bind my_sky.json
  texbridge workflows bind "Unsaved Workflow.json" --name sky --into my_show/workflows
  texbridge workflows bind my_sky.json --dry-run

What nodes there are is asked of the ComfyUI that runs here, or of --comfy; without one, recorded answers for ComfyUI's
own nodes are used. Bind again after you have changed the workflow: names, labels and ranges stay, and what was there is
kept beside as *.bak.
"""

FIND_WITHIN_S: Final = 5.0
GENERIC: Final = re.compile(r"(unsaved_)?workflow(_api)?(_\d+)?")
MAX_BACKUPS: Final = 99


def add_parser(verb: argparse.ArgumentParser) -> None:
    """Add what `bind` takes."""
    verb.add_argument("file", metavar="FILE", help="a workflow as ComfyUI saves or exports it")
    verb.add_argument("--name", metavar="NAME", help="what to call it; by default after the file")
    verb.add_argument(
        "--into", metavar="DIR", help="folder of workflows; by default the first of the configuration, else ./workflows"
    )
    verb.add_argument("--comfy", metavar="URL", help="ask this ComfyUI for its nodes and models")
    add_comfy_headers(verb)
    verb.add_argument("--recorded", action="store_true", help="ask no ComfyUI")
    verb.add_argument("--dry-run", action="store_true", help="show what would be chosen; write nothing")
    verb.set_defaults(action=bind)


def bind(options: argparse.Namespace) -> int:
    """Write the workflow's folder, and print what was chosen and why; exit 1 if the file makes no workflow."""
    path = find_config(options.config)
    config = load_config(path)
    tell_config(path)
    source = Path(options.file).expanduser()
    data = _read(source)
    name = _name(options.name, source)
    into = Path(options.into or next(iter(config.workflows.folders), "workflows")).expanduser()
    folder = into / name
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder} is no folder; give another --name")
    before = read_files(folder) if folder.is_dir() else {}
    shipped = data_folder("workflows")
    recorded = ObjectInfo.from_json((shipped / "object_info.json").read_bytes())
    packs = NodePacks.from_json((shipped / "node_packs.json").read_bytes())
    live, origin = (None, "") if options.recorded else _ask(options, config)
    known = recorded if live is None else recorded.merged(live)
    bound = bind_workflow(name, data, known, before, packs)
    if not bound.is_same:
        raise ConfigError(f"{folder} holds another workflow, none of which is in {source}; give another --name")
    notes = []
    if _is_same_file(source, folder / WORKFLOW_FILE) and BINDING_FILE in before:
        notes.append(
            f"{source} is the workflow's own file, so what it was before isn't known: inputs are taken by title and id"
        )
    problems = check_against(bound.workflow, known if live is None else live, packs)
    if live is None:
        # Which models, pictures and nodes there are is known of a live ComfyUI alone.
        notes += _unknown_nodes(bound, known, packs)
        unsure = (ProblemKind.MISSING_MODEL, ProblemKind.MISSING_PICTURE, ProblemKind.MISSING_NODE)
        problems = tuple(problem for problem in problems if problem.kind not in unsure)
    files = {WORKFLOW_FILE: bound.workflow_json, BINDING_FILE: bound.binding_toml}
    changes = {file: _change(before.get(file), text) for file, text in files.items()}
    backups = {} if options.dry_run else _write(folder, files, changes)
    row = {
        **_report(name, bound),
        "object_info": origin or "recorded",
        "notes": [*notes, *bound.proposal.notes, *bound.workflow.notes],
        "problems": [{"kind": str(problem.kind), "text": str(problem)} for problem in problems],
        "files": [
            {"path": str(folder / file), "change": change, "backup": backups.get(file)}
            for file, change in changes.items()
        ],
        "written": not options.dry_run,
    }
    if options.json:
        print(json.dumps(row, indent=2))
    else:
        _print(row, into)
    return 0


def _read(source: Path) -> bytes:
    try:
        if source.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{source} is larger than {MAX_FILE_BYTES:,} bytes")
        data = source.read_bytes()
    except OSError as error:
        raise ConfigError(f"can't read {source}: {error.strerror or error}") from error
    if data.startswith((b"\x89PNG", b"\xff\xd8", b"RIFF")):
        raise ConfigError(f"{source} is a picture; drag it into ComfyUI, choose Workflow > Export, and bind that file")
    return data


def _name(given: str | None, source: Path) -> str:
    """The name asked for, or one after the file, or after its folder where the file's name says nothing."""
    name = given
    if name is None:
        name = plain_name(re.sub(r"[ _-]*\(?api\)?$", "", source.stem, flags=re.IGNORECASE))
        if not name or GENERIC.fullmatch(name):
            name = plain_name(source.resolve().parent.name)
    problem = workflow_name_problem(name)
    if problem:
        raise ConfigError(problem if given is not None else f"{source} gives no name; say one with --name")
    return name


def _ask(options: argparse.Namespace, config: Config) -> tuple[ObjectInfo | None, str]:
    """What a ComfyUI says of its nodes, and which one it is. A named one must answer; others are only looked for."""
    door = comfy_door(options)
    if door is not None:
        return asyncio.run(fetch_object_info(*door)), shown_address(door[0])
    for backend in config.backend or [BackendConfig(url=place) for place in config.search.places]:
        place = shown_address(backend.url)
        try:
            return asyncio.run(asyncio.wait_for(fetch_object_info(*backend_door(backend)), FIND_WITHIN_S)), place
        except (TexbridgeError, TimeoutError) as error:
            if config.backend:
                reason = str(error) or f"no answer within {FIND_WITHIN_S:g} s"
                say(f"{place} was not asked: {reason}", file=sys.stderr)
    return None, ""


def _unknown_nodes(bound: BoundFile, known: ObjectInfo, packs: NodePacks) -> Iterator[str]:
    """What isn't among the recorded nodes, with the pack that brings it."""
    for class_type in sorted(bound.workflow.required_class_types - set(known.nodes)):
        pack = packs.find(class_type)
        brings = f"; it is of the node pack {pack.words}" if pack else ""
        yield f"{class_type} is not among the recorded nodes, so its ranges and choices aren't known{brings}"


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _change(before: bytes | None, now: bytes) -> str:
    return "new" if before is None else "same" if before == now else "changed"


def _write(folder: Path, files: dict[str, bytes], changes: dict[str, str]) -> dict[str, str]:
    """Write what is new or changed, whole or not at all each; gives the copies of what was there."""
    backups: dict[str, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            path = folder / file
            if changes[file] == "same":
                continue
            if path.exists():
                backup = _backup_path(path)
                shutil.copy2(path, backup)
                backups[file] = str(backup)
            write_whole(path, text)
    except OSError as error:
        raise ConfigError(f"can't write in {folder}: {error}") from error
    return backups


def _backup_path(path: Path) -> Path:
    for number in range(1, MAX_BACKUPS + 1):
        backup = path.with_name(f"{path.name}.bak" if number == 1 else f"{path.name}.{number}.bak")
        if not backup.exists():
            return backup
    raise ConfigError(f"{path.parent} has {MAX_BACKUPS} copies of {path.name}; take some away")


# --- what is told ------------------------------------------------------------------------------------------


def _report(name: str, bound: BoundFile) -> dict[str, Any]:
    """What was chosen, for a program."""
    proposal, spec = bound.proposal, bound.workflow.spec
    reasons = {each.name: each for each in proposal.parameters}
    places = {each.name: each.places for each in proposal.parameters}
    return {
        "name": name,
        "format": "ui" if bound.is_converted else "api",
        "parameters": [
            {
                "name": each.name,
                "label": each.label,
                "type": each.type.value,
                "inputs": _inputs(places.get(each.name, ())),
                "default": list(each.default) if isinstance(each.default, tuple) else each.default,
                "min": each.minimum,
                "max": each.maximum,
                "origin": reasons[each.name].origin if each.name in reasons else "title",
                "reason": reasons[each.name].reason if each.name in reasons else "its title says so",
                "added": each.name in bound.added,
            }
            for each in spec.parameters
        ],
        "seed": None
        if proposal.seed is None
        else {
            "inputs": _inputs(proposal.seed.places),
            "default": spec.default_seed,
            "reason": proposal.seed.reason,
            "origin": proposal.seed.origin,
        },
        "size": None
        if proposal.size is None
        else {
            "width": _inputs(proposal.size.widths),
            "height": _inputs(proposal.size.heights),
            "default": None if spec.size is None else list(spec.size),
            "reason": proposal.size.reason,
            "origin": proposal.size.origin,
        },
        "outputs": [{"name": output.name, "kind": output.kind.value} for output in spec.outputs],
        "left_out": [{"input": each.words, "value": each.value, "reason": each.reason} for each in proposal.left_out],
        "dropped": list(bound.dropped),
        "kept": list(bound.kept),
        "added": list(bound.added),
        "gone": list(proposal.gone),
    }


def _inputs(places: tuple[Place, ...]) -> list[str]:
    return [f"{node_id}.{name}" for node_id, name in places]


def _print(row: dict[str, Any], into: Path) -> None:
    asked = row["object_info"]
    nodes = "recorded answers; start ComfyUI or give --comfy to know your own" if asked == "recorded" else asked
    shown = "UI format, converted" if row["format"] == "ui" else "API format"
    say(f"{row['name']}: {shown}; nodes by {nodes}\n")
    table: list[tuple[str, ...]] = [("", "parameter", "goes to", "now", "why")]
    for each in row["parameters"]:
        mark = "+" if each["added"] else ""
        table.append((mark, each["name"], ", ".join(each["inputs"]), _shown(each["default"]), each["reason"]))
    if row["seed"]:
        table.append(
            ("", "(seed)", ", ".join(row["seed"]["inputs"]), str(row["seed"]["default"]), row["seed"]["reason"])
        )
    if row["size"]:
        inputs = ", ".join((*row["size"]["width"], *row["size"]["height"]))
        now = " x ".join(map(str, row["size"]["default"] or ()))
        table.append(("", "(size)", inputs, now, row["size"]["reason"]))
    for number, output in enumerate(row["outputs"]):
        table.append(("", f"(output {number})", "", output["kind"], output["name"]))
    _print_table(table)
    if row["added"]:
        say("\n+ is new since the last time")
    _print_list("gone since the last time, and no longer bound:", row["gone"])
    _print_list(
        "left out:", [f"{each['input']} = {_shown(each['value'])}: {each['reason']}" for each in row["left_out"]]
    )
    _print_list("not in the prompt:", row["dropped"])
    _print_list("notes:", row["notes"])
    _print_list("before ComfyUI can run it:", [each["text"] for each in row["problems"]])
    say()
    for file in row["files"]:
        what = {"new": "made", "same": "unchanged", "changed": "changed"}[file["change"]]
        kept = f" (before: {file['backup']})" if file["backup"] else ""
        say(f"{what if row['written'] else 'would be ' + file['change']}: {file['path']}{kept}")
    if row["written"]:
        where = f'"{into}"' if " " in str(into) else into
        say(f"next: texbridge serve --workflows {where} --stream main={row['name']}")


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as they must be; the last, the reason, may run on."""
    widths = [min(max(len(row[column]) for row in rows), 44) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)]
        say(" ".join([*cells, row[-1]]).rstrip())


def _print_list(head: str, lines: list[str]) -> None:
    if lines:
        say(f"\n{head}")
        for line in lines:
            say(f"  {line}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "(" + ", ".join(f"{part:g}" for part in value) + ")"
    if isinstance(value, float):
        return f"{value:g}"
    text = " ".join(str(value).split())
    return text if len(text) <= 30 else text[:29] + "…"
