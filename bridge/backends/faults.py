"""How a call to ComfyUI can fail: the difference decides whether the prompt may have arrived.

BackendError
├── BackendGone     nobody listens: nothing was delivered
├── BackendCut      no answer in time, or the connection broke: it may have been delivered
├── WrongAnswer     an answer, but not ComfyUI's: HTML, empty, 5xx
└── AccessRefused   401 or 403
"""

from __future__ import annotations

import errno
from typing import ClassVar

from bridge.errors import BackendError, ErrorCode


class BackendGone(BackendError):
    """Nobody listens at the address: the host refused. Nothing was delivered."""

    default_code: ClassVar[ErrorCode] = ErrorCode.BACKEND_UNAVAILABLE


class BackendCut(BackendError):
    """The connection broke before the answer. What was sent may have arrived."""

    default_code: ClassVar[ErrorCode] = ErrorCode.BACKEND_LOST


class BackendSilent(BackendCut):
    """No answer in time, or the network has no way there now. ComfyUI may well go on, and answer later."""


class WrongAnswer(BackendError):
    """An answer that isn't ComfyUI's: a server error, HTML, nothing, the wrong content type, too large."""

    default_code: ClassVar[ErrorCode] = ErrorCode.BAD_ANSWER


class AccessRefused(BackendError):
    """401 or 403: a token or header is missing or wrong."""

    default_code: ClassVar[ErrorCode] = ErrorCode.BACKEND_UNAVAILABLE


def is_refusal(error: OSError) -> bool:
    """Whether the host said that nobody listens there; among several addresses one such answer is enough.

    Windows' own event loop raises a ConnectionRefusedError whose errno is another (WinError 1225); among several
    addresses only the words are left.
    """
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ECONNREFUSED:
        return True
    words = str(error)
    return any(f"[{number}]" in words for number in (f"Errno {errno.ECONNREFUSED}", "WinError 1225", "WinError 10061"))
