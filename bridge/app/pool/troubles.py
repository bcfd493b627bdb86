"""Words for what a ComfyUI can't help: its memory is full, or its socket tells nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bridge.app.records import Request
from bridge.errors import BackendError, ErrorCode
from bridge.scheduler.events import AttemptEnded


def with_memory_words(record: AttemptEnded, request: Request) -> AttemptEnded:
    """The end of an attempt; one for want of memory says the picture's size, and is tried again once a request.

    By then the backend has freed what can be freed.
    """
    error = record.error
    if not isinstance(error, BackendError) or error.code is not ErrorCode.OUT_OF_MEMORY:
        return record
    size = request.size or request.stream.picture_size
    where = f"at {size.width}x{size.height}" if size is not None else "at the workflow's own size"
    again = request.memory_freed
    request.memory_freed = True
    told = BackendError(
        f"{where}{', also after its memory was freed' if again else ''}: {error.message}",
        code=error.code,
        detail=error.detail,
        retry=error.retry and not again,
    )
    return replace(record, error=told)


def mute_trouble(mute: Iterable[str]) -> BackendError:
    """What to tell of a stream whose every ComfyUI is mute."""
    names = ", ".join(sorted(mute))
    return BackendError(
        f"{names}: ComfyUI runs prompts, but its WebSocket tells nothing of them: restart ComfyUI. Until then pictures "
        "come later than they could, and without progress",
        code=ErrorCode.BACKEND_MUTE,
    )
