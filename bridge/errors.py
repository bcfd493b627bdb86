"""Every error of the bridge, each with the number and the name that go on the wire.

    TexbridgeError
    ├── DecodeError                 1xx  bytes that are not what they should be; codecs raise this family alone
    │   ├── OscDecodeError               an OSC packet
    │   ├── MessageDecodeError           a msgpack message of the engine link
    │   ├── FrameDecodeError             a frame or doorbell header
    │   ├── PartDecodeError              a part of a large message
    │   ├── FramingDecodeError           TCP's length prefix
    │   ├── ComfyEventDecodeError        a WebSocket message from ComfyUI
    │   └── PictureDecodeError           an encoded picture, or raw pixels of the wrong length
    ├── UnknownNameError            2xx  a name or number that nothing here has
    ├── InvalidValueError           3xx  a value outside type, range or choices
    ├── NotAllowedError             4xx  understood, and refused
    ├── BackendError                5xx  ComfyUI, or the way to it
    ├── BridgeError                 6xx  the bridge itself
    ├── ConfigError                      configuration or command line; never on the wire, exit code 2
    └── WorkflowError                    a workflow that can't be loaded; carries every problem found

`superseded`, `expired` and `cancelled` are outcomes, not errors. The numbers are fixed by
`protocols/errors.md`; a test holds that page and `ErrorCode` together.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ErrorCode(IntEnum):
    """Numbers on the wire; the lower-case member name is the `name` field. Source: protocols/errors.md."""

    # 1xx malformed
    HELLO_EXPECTED = 101
    NOT_MSGPACK = 102
    BAD_FRAME = 103
    BAD_PART = 104
    MESSAGE_TOO_LARGE = 105
    MESSAGE_TOO_COMPLEX = 106
    BAD_MESSAGE = 107
    BAD_OSC = 108
    BAD_PICTURE = 109
    BAD_COMFY_EVENT = 110
    BAD_LENGTH = 111
    # 2xx unknown name
    UNKNOWN_OP = 201
    UNKNOWN_WORKFLOW = 202
    UNKNOWN_STREAM = 203
    UNKNOWN_PARAMETER = 204
    UNKNOWN_REQUEST = 205
    UNKNOWN_OUTPUT = 206
    UNKNOWN_ADDRESS = 207
    # 3xx invalid value
    WRONG_TYPE = 301
    OUT_OF_RANGE = 302
    NOT_A_CHOICE = 303
    WRONG_COMPONENTS = 304
    BAD_SIZE = 305
    UNSUPPORTED_FORMAT = 306
    BAD_NAME = 307
    NOT_FINITE = 308
    TOO_LONG = 309
    BAD_TEXT = 310
    # 4xx not allowed
    BAD_TOKEN = 401
    UNSUPPORTED_VERSION = 402
    PANIC = 403
    STREAM_EXISTS = 404
    TOO_MANY_WAITING = 405
    TOO_MANY_STREAMS = 406
    TOO_MANY_SESSIONS = 407
    TOO_MANY_SUBSCRIPTIONS = 408
    SESSION_TAKEN = 409
    NOT_YOURS = 410
    NOT_SUPPORTED = 411
    NOT_SUBSCRIBED = 412
    HELLO_REPEATED = 413
    MEMORY_FULL = 414
    WINDOW_FULL = 415
    PICTURE_MISSING = 416
    # 5xx backend
    BACKEND_LOST = 501
    BACKEND_UNAVAILABLE = 502
    PROMPT_REJECTED = 503
    EXECUTION_FAILED = 504
    OUT_OF_MEMORY = 505
    BAD_ANSWER = 506
    NO_IMAGE = 507
    BACKEND_STUCK = 508
    MISSING_NODE = 509
    INTERRUPTED = 510
    BACKEND_MUTE = 511
    # 6xx bridge
    DRAINING = 601
    INTERNAL = 602
    TOO_SLOW = 603
    WORKFLOW_BROKEN = 604
    SHARED_MEMORY_FULL = 605

    @property
    def word(self) -> str:
        """The stable `name` on the wire, e.g. `stream_exists`."""
        return self.name.lower()


class TexbridgeError(Exception):
    """Base of all. `message` says what, value and limit; the fields repeat them for a program.

    Attributes:
        message: one line for a person.
        code: the number on the wire (see `ErrorCode`).
        field: the message field or parameter that is at fault, or None.
        value: what was given, shortened, or None.
        limit: what would have been right, or None.
        stream: the number of the stream whose message was refused, or None; who knows it adds it.
    """

    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    stream: int | None = None

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        field: str | None = None,
        value: object = None,
        limit: object = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.field = field
        self.value = value
        self.limit = limit


class DecodeError(TexbridgeError):
    """Bytes from outside are not what they should be. Codecs raise this family and nothing else."""

    default_code = ErrorCode.BAD_MESSAGE


class OscDecodeError(DecodeError):
    """An OSC packet breaks OSC 1.0 or our limits."""

    default_code = ErrorCode.BAD_OSC


class MessageDecodeError(DecodeError):
    """A message of the engine link is not msgpack (102), too complex (106), unknown (201) or wrong (107).

    `id` is the message's own where it could still be read: the answer should carry it. `op` is its op where it was
    read, "" for a map that has none.
    """

    default_code = ErrorCode.BAD_MESSAGE

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        field: str | None = None,
        value: object = None,
        limit: object = None,
        id: int | None = None,
    ) -> None:
        super().__init__(message, code=code, field=field, value=value, limit=limit)
        self.id = id
        self.op: str | None = None


class FrameDecodeError(DecodeError):
    """A frame or doorbell header is cut short or contradicts itself."""

    default_code = ErrorCode.BAD_FRAME


class PartDecodeError(DecodeError):
    """A part is malformed, out of order, or belongs to a message that is too large."""

    default_code = ErrorCode.BAD_PART


class FramingDecodeError(DecodeError):
    """A TCP length prefix is 0 (111) or over the limit (105). `messages` are those that were whole before it."""

    default_code = ErrorCode.BAD_LENGTH
    messages: tuple[bytes | memoryview, ...] = ()


class ComfyEventDecodeError(DecodeError):
    """A WebSocket message from ComfyUI can't be read; it is dropped and counted."""

    default_code = ErrorCode.BAD_COMFY_EVENT


class PictureDecodeError(DecodeError):
    """A picture is not PNG, JPEG or WebP, is cut short, is too large, or raw pixels have the wrong length."""

    default_code = ErrorCode.BAD_PICTURE


class UnknownNameError(TexbridgeError):
    """No op, workflow, stream, parameter, request or output has this name. The message suggests the nearest."""

    default_code = ErrorCode.UNKNOWN_PARAMETER


class InvalidValueError(TexbridgeError):
    """A value has the wrong type, or lies outside range or choices."""

    default_code = ErrorCode.WRONG_TYPE


class NotAllowedError(TexbridgeError):
    """Understood and refused: token, version, panic, limits, another's property, a feature not in this build."""

    default_code = ErrorCode.NOT_SUPPORTED


class BackendError(TexbridgeError):
    """ComfyUI refused, failed, or is gone. `detail` holds ComfyUI's own words (node_errors, exception)."""

    default_code = ErrorCode.BACKEND_LOST

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        field: str | None = None,
        value: object = None,
        limit: object = None,
        detail: object = None,
        retry: bool = False,
    ) -> None:
        super().__init__(message, code=code, field=field, value=value, limit=limit)
        self.detail = detail
        self.retry = retry


class BridgeError(TexbridgeError):
    """The bridge itself can't go on with this: draining, an internal fault, a peer that doesn't read."""

    default_code = ErrorCode.INTERNAL


class ConfigError(TexbridgeError):
    """Configuration, environment or command line is wrong. The command line ends with exit code 2."""

    default_code = ErrorCode.INTERNAL


class WorkflowError(TexbridgeError):
    """A workflow can't be used. `problems` lists each fault as one line naming node, input and what would be right."""

    default_code = ErrorCode.WORKFLOW_BROKEN

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join((message, *problems)))
        self.problems = problems
