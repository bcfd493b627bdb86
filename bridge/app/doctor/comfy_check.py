"""What `texbridge doctor` asks a ComfyUI, and what it concludes of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.app.config.config import BackendConfig
from bridge.app.doctor.verdicts import Check, Verdict, workflow_check
from bridge.app.pool.headers import gather_headers, trust
from bridge.backends.address import parse_address
from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.node_pack import PackFacts, read_facts
from bridge.backends.records import ComfyLimits, remote_limits
from bridge.errors import TexbridgeError
from bridge.workflow.check import bits_notes, check_against
from bridge.workflow.library import Library
from bridge.workflow.nodes import OUTPUT_NODE
from bridge.workflow.object_info import ObjectInfo

TESTED: Final = (0, 3, 64)
"""The ComfyUI whose behaviour was recorded."""

WEBSOCKET_OUTPUT: Final = "SaveImageWebsocket"
"""A custom node that ComfyUI brings along; `--disable-all-custom-nodes` takes it away."""


@dataclass(frozen=True, slots=True)
class Comfy:
    """A ComfyUI as it answers. `problem` says why it can't be used, then the rest is empty."""

    url: str
    problem: str = ""
    stats: Mapping[str, Any] | None = None
    object_info: ObjectInfo | None = None
    nodes: PackFacts | None = None
    transfer: str = "auto"


async def ask_comfy(backend: BackendConfig) -> Comfy:
    """Give what a ComfyUI says of itself; never raises for what it does.

    Raises:
        ConfigError: a bad address, header, file or certificate.
    """
    headers = gather_headers(parse_address(backend.url), backend.headers, backend.headers_file, now=time.time())
    address = parse_address(backend.url, headers)
    limits = remote_limits(ComfyLimits()) if address.is_remote else ComfyLimits()
    try:
        async with ComfyHttp(address, limits, trust(file=backend.ca_file)) as http:
            stats = await http.facts("/system_stats")
            info = ObjectInfo.from_json(await http.object_info())
            has_nodes = info.get(OUTPUT_NODE) is not None
            nodes = read_facts(await http.facts("/texbridge/info")) if has_nodes else None
    except TexbridgeError as error:
        return Comfy(address.http, error.message)
    return Comfy(address.http, "", stats, info, nodes, backend.transfer)


def comfy_checks(comfy: Comfy, *, named: bool) -> list[Check]:
    """Judge a ComfyUI: there, its version and devices, and the output that the bridge takes pictures from.

    `named`: somebody said that it is there; one that was only looked for may be absent.
    """
    if comfy.problem:
        advice = "start ComfyUI, or correct its address (--comfy URL, [[backend]] in the configuration)"
        return [Check("comfyui", Verdict.BAD if named else Verdict.WARN, comfy.problem, advice)]
    checks = [_version_check(comfy)]
    if comfy.object_info is not None and comfy.object_info.get(WEBSOCKET_OUTPUT) is None:
        checks.append(
            Check(
                "comfyui output",
                Verdict.BAD,
                f"{comfy.url} has no {WEBSOCKET_OUTPUT}, by which pictures come back",
                "it is a custom node that ComfyUI brings along: start ComfyUI without --disable-all-custom-nodes, or "
                "update it",
            )
        )
    else:
        checks.append(Check("comfyui output", Verdict.OK, f"{WEBSOCKET_OUTPUT} is there"))
    return [*checks, nodes_check(comfy)]


def nodes_check(comfy: Comfy) -> Check:
    """Judge the node pack of a ComfyUI, and what `transfer` makes of it."""
    advice = "`texbridge nodes install PATH`, PATH being ComfyUI's folder, then start ComfyUI again"
    if comfy.nodes is not None:
        how = {"auto": "raw, or as JPEG where the link is slow", "png": "as PNG, since transfer says so"}
        come = how.get(comfy.transfer, f"as {comfy.transfer}")
        words = f"texbridge's nodes {comfy.nodes.version} are there: pictures come {come}"
        return Check("comfyui nodes", Verdict.OK, words)
    if comfy.object_info is not None and comfy.object_info.get(OUTPUT_NODE) is not None:
        return Check("comfyui nodes", Verdict.WARN, "texbridge's nodes are there in a version of another wire", advice)
    words = "texbridge's nodes aren't there: pictures come as PNG, which takes several times longer"
    verdict = Verdict.WARN if comfy.transfer in ("raw", "jpeg", "webp") else Verdict.OK
    return Check("comfyui nodes", verdict, words, advice)


def _version_check(comfy: Comfy) -> Check:
    stats = comfy.stats or {}
    system = stats.get("system")
    system = system if isinstance(system, Mapping) else {}
    version = str(system.get("comfyui_version") or "of unknown version")[:40]
    devices = stats.get("devices")
    names = [device_words(device) for device in devices if isinstance(device, Mapping)] if devices else []
    found = f"{comfy.url}: ComfyUI {version}" + (f" on {', '.join(names[:8])}" if names else "")
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isascii() and part.isdigit())
    if numbers and numbers < TESTED:
        tested = ".".join(map(str, TESTED))
        return Check("comfyui", Verdict.WARN, found, f"texbridge was tried with {tested} and newer: update ComfyUI")
    return Check("comfyui", Verdict.OK, found)


def device_words(device: Mapping[str, Any]) -> str:
    """Give a device's name and its memory, as ComfyUI tells them."""
    name = str(device.get("name") or device.get("type") or "a device")[:80]
    free, total = device.get("vram_free"), device.get("vram_total")
    if isinstance(free, int) and isinstance(total, int) and total > 0:
        return f"{name} ({free / 2**30:.1f} of {total / 2**30:.1f} GiB free)"
    return name


def workflow_checks(library: Library, used: Iterable[str], comfy: Comfy | None) -> list[Check]:
    """Judge every workflow: does it load, and has this ComfyUI what it needs; all that need nothing share a line."""
    checks: list[Check] = []
    wanted = set(used)
    for name in sorted(wanted - {*library.names, *library.errors}):
        advice = "`texbridge workflows list` shows which there are; correct [streams] in the configuration"
        checks.append(Check(f"workflow {name}", Verdict.BAD, "a stream uses it, and it does not exist", advice))
    for name, error in sorted(library.errors.items()):
        verdict = Verdict.BAD if name in wanted else Verdict.WARN
        first, _, rest = str(error).partition("\n")
        checks.append(Check(f"workflow {name}", verdict, f"can't be used: {first}", rest.replace("\n", "; ")))
    good = []
    for name in library.names:
        if (told := _bits_words(library, name, comfy)) is not None:
            checks.append(Check(f"workflow {name}", Verdict.WARN if name in wanted else Verdict.OK, told))
        if comfy is None or comfy.object_info is None:
            good.append(name)
            continue
        # Checked as it is bound in memory: an output of our own is put in the place of SaveImage and PreviewImage.
        check = workflow_check(
            name, check_against(library.get(name), comfy.object_info), used=name in wanted, where=comfy.url
        )
        if check.verdict is Verdict.OK:
            good.append(name)
        else:
            checks.append(check)
    if good:
        against = "load" if comfy is None or comfy.object_info is None else f"have all they need at {comfy.url}"
        checks.insert(0, Check("workflows", Verdict.OK, f"{', '.join(good)} {against}"))
    return checks


def _bits_words(library: Library, name: str, comfy: Comfy | None) -> str | None:
    """Why outputs that ask for more than 8 bits don't get them; None if they do, or nobody knows."""
    if comfy is None or comfy.object_info is None:
        return None
    workflow = library.get(name)
    if notes := bits_notes(workflow, comfy.object_info):
        return "; ".join(notes)
    wide = [output.name for output in workflow.spec.outputs if output.bits > 8]
    if wide and comfy.transfer not in ("auto", "raw"):
        return f"{', '.join(wide)} asks for 16 bits, and transfer = {comfy.transfer!r} brings 8; auto and raw bring 16"
    return None
