"""Bindings in node titles: words that begin with `@`, other words are the label.

    Positive prompt @prompt            a parameter on the node's one free input
    @seed @steps @cfg                  several, each on the input of its own name
    @strength:denoise                  a parameter under another name than its input
    Depth @out depth                   an output, its name, and by the name its kind
    @out shadow:mask                   the same with the kind said

Source: wire contract, Workflows.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.types import OutputKind
from bridge.workflow.names import name_problem

SIZE_WORDS = ("width", "height")


@dataclass(frozen=True, slots=True)
class TitleMark:
    """One `@name` or `@name:input`; `seed`, `width` and `height` are controls, all others parameters."""

    name: str
    input: str | None


@dataclass(frozen=True, slots=True)
class TitleOutput:
    """One `@out`, with its name if it has one."""

    name: str | None
    kind: OutputKind | None


@dataclass(frozen=True, slots=True)
class Title:
    """A title taken apart. `label` is the words without `@`."""

    label: str
    marks: tuple[TitleMark, ...]
    output: TitleOutput | None


def parse_title(title: str, where: str, problems: list[str]) -> Title:
    """Take a node's title apart; what is wrong is added to `problems`, each line opened by `where`."""
    labels: list[str] = []
    marks: list[TitleMark] = []
    output: TitleOutput | None = None
    words = title.split()
    while words:
        word = words.pop(0)
        if word == "@out":
            name = words.pop(0) if words and not words[0].startswith("@") else None
            if output is not None:
                problems.append(f"{where}: has @out twice; a node is one output")
            output = _parse_output(name, where, problems)
        elif word.startswith("@out:"):
            problems.append(f"{where}: has {word!r}; write '@out {word[5:] or 'depth'}', the name after a space")
        elif word.startswith("@") and len(word) > 1:
            name, colon, target = word[1:].partition(":")
            if colon and not target:
                problems.append(f"{where}: {word!r} names no input after the colon")
            elif any(mark.name == name for mark in marks):
                problems.append(f"{where}: has @{name} twice; give the second another name")
            else:
                marks.append(TitleMark(name, target or None))
        else:
            labels.append(word)
    return Title(" ".join(labels), tuple(marks), output)


def _parse_output(text: str | None, where: str, problems: list[str]) -> TitleOutput:
    if text is None:
        return TitleOutput(None, None)
    name, colon, word = text.partition(":")
    kind: OutputKind | None = None
    if colon:
        try:
            kind = OutputKind(word)
        except ValueError:
            problems.append(f"{where}: {word!r} is no kind of output; kinds are color, data and mask")
    problem = name_problem(name, "output")
    if problem:
        problems.append(f"{where}: {problem}")
        return TitleOutput(None, kind)
    return TitleOutput(name, kind)


def kind_of_name(name: str) -> OutputKind:
    """The kind an output has by its name: `mask`, `..._mask` are masks; depth and normals are data; else color."""
    last = name.rstrip("0123456789_").rpartition("_")[2]
    if last in ("mask", "alpha", "matte"):
        return OutputKind.MASK
    if last in ("depth", "normal", "normals", "data", "flow", "position"):
        return OutputKind.DATA
    return OutputKind.COLOR
