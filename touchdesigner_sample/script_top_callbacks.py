"""Callbacks of a Script TOP that shows a stream of texbridge. See README.md beside this file.

me - this DAT; scriptOp - the Script TOP that cooks.
"""

import sys

try:
    if project.folder not in sys.path:
        sys.path.insert(0, project.folder)
except NameError:
    pass  # not in TouchDesigner

import texbridge_td
from texbridge_td import parameters


def onSetupParameters(scriptOp):
    """The button *Setup Parameters*: makes the page `Texbridge`."""
    page = scriptOp.appendCustomPage("Texbridge")
    for name, label, default in (
        ("Address", "Bridge (HOST:PORT)", "127.0.0.1:9402"),
        ("Token", "Token", ""),
        ("Stream", "Stream", "main"),
        ("Workflow", "Workflow (makes the stream)", ""),
    ):
        par = page.appendStr(name, label=label)[0]
        par.default = par.val = default
    for name, label, names in (
        ("Mode", "Mode", ["live", "latest", "oneshot"]),
        ("Format", "Format", ["rgba8", "rgba32f", "r8", "r16", "r32f"]),
    ):
        par = page.appendMenu(name, label=label)[0]
        par.menuNames = par.menuLabels = names
        par.default = par.val = names[0]
    for name, label in (("Width", "Width (0: as made)"), ("Height", "Height (0: as made)"), ("Output", "Output")):
        par = page.appendInt(name, label=label)[0]
        par.default = par.val = 0
    par = page.appendToggle("Sharedmemory", label="Shared memory (same machine)")[0]
    par.default = par.val = True
    for name, label in (
        ("Parameters", "Make the workflow's parameters"),
        ("Run", "Run (one picture)"),
        ("Panic", "Panic"),
        ("Resume", "Resume"),
    ):
        page.appendPulse(name, label=label)


def onPulse(par):
    """A pulse parameter was pushed."""
    link = _link(par.owner)
    if par.name == "Run":
        link.run()
    elif par.name in ("Panic", "Resume"):
        link.tell(par.name.lower())
    elif par.name == "Parameters" and link.described is not None:
        parameters.make_parameters(par.owner, link.described)


def onCook(scriptOp):
    """Send what changed, show what is new. Without anything new the picture stays."""
    link = _link(scriptOp)
    described = link.described
    if described is not None:
        values = parameters.read_values(scriptOp, described)
        changed = {name: value for name, value in values.items() if link.values.get(name) != value}
        if changed:
            link.set(changed)
    frame = link.take(int(scriptOp.par.Output.eval()))
    if frame is not None:
        scriptOp.copyNumpyArray(frame.pixels)
    if link.trouble:
        scriptOp.addWarning(link.trouble)


def onGetCookLevel(scriptOp):
    """Cook in every frame in which the picture is used (TouchDesigner 2023 and newer ask this)."""
    return CookLevel.WHEN_USED  # noqa: F821 - a name that TouchDesigner gives to callbacks


def _link(scriptOp):
    par = scriptOp.par
    width, height = int(par.Width.eval()), int(par.Height.eval())
    return texbridge_td.link_for(
        scriptOp.id,
        address=par.Address.eval(),
        stream=par.Stream.eval(),
        workflow=par.Workflow.eval(),
        mode=par.Mode.eval(),
        format=par.Format.eval(),
        size=(width, height) if width and height else None,
        token=par.Token.eval(),
        shared_memory=bool(par.Sharedmemory.eval()),
        max_message_bytes=0,
    )
