"""What `/readyz` says: whether pictures can be made now, how each stream is, and why.

Source: protocols/http-health.md.
"""

from __future__ import annotations

from typing import Any

from bridge.app.actions import Actions
from bridge.frames.decoders import decoders
from bridge.streams.stream import Stream
from bridge.types import Mode, StreamState


def readiness(actions: Actions) -> tuple[bool, dict[str, Any]]:
    """Say whether pictures can be made now, and what `/readyz` says.

    Ready is a bridge with a ComfyUI that is up, no panic and no end under way; a single stream in trouble doesn't make
    it unready, since the others go on.
    """
    bridge = actions.bridge
    reason = _reason(actions)
    streams = list(actions.streams.by_name.values())
    facts = {backend.name: backend.info() for backend in bridge.backends}
    return reason is None, {
        "ready": reason is None,
        "reason": reason,
        "backends_up": sorted(bridge.backends_up),
        "decoders": decoders.in_use(),
        "warnings": {name: told["warning"] for name, told in facts.items() if told["warning"]},
        "drained": [name for name in facts if name in bridge.drains],
        "places": {stream.name: _places(actions, stream) for stream in streams},
        "transfer": {name: told["transfer"] for name, told in facts.items() if name in bridge.backends_up},
        "streams": {stream.name: stream.state.value for stream in streams},
        "switches": {stream.name: _switches(actions, stream) for stream in streams},
        "why": {
            stream.name: _why(actions, stream)
            for stream in streams
            if stream.state is not StreamState.READY or actions.covers.is_black(stream)
        },
    }


def _reason(actions: Actions) -> str | None:
    if actions.draining:
        return "the bridge is shutting down"
    if actions.panicked:
        return "panic is on: /texbridge/resume or `texbridge resume` ends it"
    if not actions.bridge.drains.without(actions.bridge.backends_up):
        return _no_comfy(actions)
    return None


def _places(actions: Actions, stream: Stream) -> dict[str, str | None]:
    """By ComfyUI: what keeps it from making a stream's pictures, null if nothing does."""
    found: dict[str, str | None] = {}
    for backend in actions.bridge.backends:
        problems = actions.places.problems(backend.name, stream)
        found[backend.name] = "not known yet" if problems is None else str(problems[0]) if problems else None
    return found


def _no_comfy(actions: Actions) -> str:
    named = [backend.info() for backend in actions.bridge.backends]
    if not named:
        return "no ComfyUI is known yet: start it, or name it with --comfy URL"
    drained = sorted(name for name in actions.bridge.backends_up if name in actions.bridge.drains)
    if drained:
        return (
            f"every ComfyUI that answers is drained: `texbridge backends undrain {drained[0]}` gives it prompts again"
        )
    told = "; ".join(
        f"{info['name']} at {info['url']}" + (f": {info['warning']}" if info["warning"] else "") for info in named
    )
    return f"no ComfyUI answers: {told}"


def _switches(actions: Actions, stream: Stream) -> dict[str, bool]:
    covers = actions.covers
    return {
        "live": stream.mode is Mode.LIVE,
        "frozen": covers.is_frozen(stream),
        "blacked_out": covers.is_black(stream),
    }


def _why(actions: Actions, stream: Stream) -> str:
    """One sentence for a person: why a stream is as it is."""
    if not actions.covers.is_black(stream):
        return _why_state(actions, stream)
    black = "it is blacked out: viewers see black until blackout is off"
    return black if stream.state is StreamState.READY else f"{_why_state(actions, stream)}; {black}"


def _why_state(actions: Actions, stream: Stream) -> str:
    match stream.state:
        case StreamState.PAUSED:
            return "panic is on" if actions.panicked else "it is frozen"
        case StreamState.WAITING_FOR_COMFY:
            return _no_comfy(actions)
        case StreamState.DEGRADED:
            return actions.states.trouble(stream) or "its last request failed"
    size = stream.picture_size
    where = "" if size is None else f" at {size.width}x{size.height}"
    if stream.state is StreamState.WARMING:
        return f"the first prompt of workflow {stream.workflow.name}{where} is running"
    return f"a prompt of workflow {stream.workflow.name}{where} takes far longer than known: a model is read"
