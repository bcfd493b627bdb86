"""What goes wrong on the client's side: the bridge's errors as exceptions, and a link that is gone."""

from __future__ import annotations

from typing import Final

from bridge.codec.messages import Error
from bridge.errors import (
    BackendError,
    BridgeError,
    ErrorCode,
    InvalidValueError,
    MessageDecodeError,
    NotAllowedError,
    TexbridgeError,
    UnknownNameError,
)

_BANDS: Final[dict[int, type[TexbridgeError]]] = {
    1: MessageDecodeError,
    2: UnknownNameError,
    3: InvalidValueError,
    4: NotAllowedError,
    5: BackendError,
    6: BridgeError,
}
_PASSING: Final = frozenset({ErrorCode.DRAINING, ErrorCode.TOO_SLOW, ErrorCode.INTERNAL, ErrorCode.TOO_MANY_SESSIONS})


class LinkLostError(ConnectionError):
    """The bridge can't be reached, has closed the link, or was restarted before it answered."""


def error_of(message: Error) -> TexbridgeError:
    """Give the exception that an `error` message tells of: the class by its band, with its code.

    A code of a later version keeps its band's class; the message then names it.
    """
    kind = _BANDS.get(message.code // 100, BridgeError)
    try:
        code = ErrorCode(message.code)
    except ValueError:
        return kind(f"{message.name} ({message.code}): {message.message}", field=message.field)
    return kind(message.message, code=code, field=message.field, value=message.value, limit=message.limit)


def error_of_close(code: int | None, reason: str) -> Exception:
    """Give the exception for a WebSocket close code: 4000 + an error's code, or the library's own."""
    if code is not None and code >= 4000:
        try:
            word = ErrorCode(code - 4000).word
        except ValueError:
            word = "error"
        return error_of(Error(code=code - 4000, name=word, message=reason or word))
    return LinkLostError(f"the bridge closed the link: {reason or code or 'the connection was cut'}")


def may_pass(error: Exception) -> bool:
    """Tell whether connecting again may help: not after a wrong token, or when the session went elsewhere."""
    if isinstance(error, TexbridgeError):
        return error.code in _PASSING
    return isinstance(error, (LinkLostError, TimeoutError))
