"""Why a request fails in the scheduler itself, in words."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import BackendError, BridgeError, ErrorCode, TexbridgeError
from bridge.scheduler.policy import MAXIMUM_TRIES


def lost_at(backend: str, request: int, tries: int) -> BackendError:
    """Give the error of a request whose prompt a backend lost, after so many tries."""
    return BackendError(
        f"backend {backend!r} lost request {request} ({tries} of {MAXIMUM_TRIES} tries); "
        "is ComfyUI still running there?",
        code=ErrorCode.BACKEND_LOST,
    )


def nowhere_to_go(request: int, waited_s: float) -> BackendError:
    """Give the error of a lost request for which no other backend came."""
    return BackendError(
        f"no backend for {waited_s:g} s after request {request} was lost; start ComfyUI again, "
        "then send the request again",
        code=ErrorCode.BACKEND_LOST,
    )


def frame_failed(index: int, frames: int, tried: Sequence[str], error: TexbridgeError) -> TexbridgeError:
    """Give the error of a sequence one frame of which failed for good, with the code of what it failed of."""
    kind = BackendError if isinstance(error, BackendError) else BridgeError
    where = f" at {', then at '.join(tried)}" if tried else ""
    return kind(
        f"frame {index} of 0..{frames - 1} failed{where}: {error.message}", code=error.code, field="index", value=index
    )
