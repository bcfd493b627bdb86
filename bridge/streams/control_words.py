"""A control record in words, for people who look at what their controller sends. Source: protocols/osc.md."""

from __future__ import annotations

from typing import Final

from bridge.streams.control_records import (
    Components,
    Control,
    Ignored,
    Moving,
    Rejected,
    ReplyRegistered,
    ResumePressed,
    RunDoubled,
    RunRequested,
    SeedSet,
    SeedSteered,
    SetValues,
    ShapeSet,
    SizeSet,
    WorkflowSet,
)
from bridge.streams.names import shown
from bridge.types import Picture, Size, Value

SMALLEST_PIXELS: Final = 32
"""A size whose sides are both no longer is taken for an aspect that was sent as two numbers."""


def control_words(control: Control, held: Size | None = None) -> str:
    """Give in a few words what a control does; for one that is rejected, why.

    `held` is the size that a SizeSet or ShapeSet leads to, where the stream that it is for is known.
    """
    match control:
        case SetValues():
            return f"{control.stream}: {', '.join(_set(name, value) for name, value in control.params.items())}"
        case RunRequested():
            values = ", ".join(_set(name, value) for name, value in control.params.items())
            seed = "" if control.seed is None else f" with seed {control.seed}"
            return f"{control.stream}: run{seed}{values and f', first {values}'}"
        case RunDoubled():
            return f"{control.stream}: nothing (the run of the packet before, said twice)"
        case SeedSet():
            return f"{control.stream}: seed = {control.seed}"
        case SeedSteered():
            told = [] if control.policy is None else [control.policy.value]
            told += [] if control.every is None else [f"every {control.every} pictures"]
            told += [] if control.every_s is None else [f"every {control.every_s:g} s"]
            told += [] if control.lock is None else ["locked" if control.lock else "unlocked"]
            return f"{control.stream}: seed {', '.join(told)}"
        case SizeSet():
            asked = _size(control.size)
            # Hardly anybody wants pictures as small as that: who sends 16 9 means the aspect.
            hint = f'; two numbers are pixels, an aspect is the text "{control.size.width}:{control.size.height}"'
            hint = hint if max(control.size) <= SMALLEST_PIXELS else ""
            if held is None:
                return f"{control.stream}: size = {asked}, snapped{hint}"
            nearest = "" if held == control.size else f", nearest to {asked}"
            return f"{control.stream}: size = {_size(held)}{nearest}{hint}"
        case ShapeSet():
            return f"{control.stream}: size {'' if held is None else f'= {_size(held)} '}by {control.shape}"
        case WorkflowSet():
            return f"{control.stream}: workflow = {shown(control.workflow)[1:-1]}"
        case ReplyRegistered():
            also = " in 0..1 too" if control.norm else ""
            return f"answers to port {control.port}{also}" if control.port else "no more answers"
        case Ignored():
            return f"nothing ({control.reason})"
        case Moving():
            numbers = " ".join(f"{number:.6g}" for number in control.numbers)
            return f"{control.to} moves to {numbers} (smoothing {control.smoothing_s:g} s)"
        case Rejected():
            return control.message
        case ResumePressed():
            return "resume; live stays off until /texbridge/<stream>/live 1"
    # What is left has its meaning in its name: LiveSwitched, CancelRequested, PanicPressed ...
    name = type(control).__name__
    for ending in ("Switched", "Requested", "Pressed"):
        name = name.removesuffix(ending)
    word = name.lower()
    if hasattr(control, "on"):
        word += " on" if control.on else " off"
        fade_s = getattr(control, "fade_s", 0.0)
        word += f" in {fade_s:g} s" if fade_s else ""
    stream = getattr(control, "stream", None)
    return word if stream is None else f"{stream}: {word}"


def _size(size: Size) -> str:
    return f"{size.width} x {size.height}"


def _set(name: str, value: Value | Components) -> str:
    if isinstance(value, Components):
        return ", ".join(f"{name}[{place}] = {number:.6g}" for place, number in sorted(value.numbers.items()))
    if isinstance(value, Picture):
        return f"{name} = a picture"
    if isinstance(value, tuple):
        return f"{name} = ({', '.join(f'{number:.6g}' for number in value)})"
    if isinstance(value, float):
        return f"{name} = {value:.6g}"
    return f"{name} = {shown(value)}"
