"""What all messages of the engine link have, and the types of their fields.

Source: protocols/engine-link.md.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

MAX_KEY_BYTES: Final = 64
"""Of a request's `key`, if it is text."""

# An unsigned 64-bit number needs no upper bound here: msgpack has no larger ones.

U64: TypeAlias = Annotated[int, Meta(ge=0)]
U32: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
RequestNumber: TypeAlias = Annotated[int, Meta(ge=1, lt=1 << 53)]
StreamRef: TypeAlias = str | U32
"""A stream by name or number."""
Key: TypeAlias = U64 | str
"""The client's own name for a request."""
PixelSize: TypeAlias = tuple[int, int]
"""`[width, height]`; the range is the stream's to check (305)."""
OutputNumber: TypeAlias = Annotated[int, Meta(ge=0, le=255)]
Positive: TypeAlias = Annotated[int, Meta(gt=0, le=10**9)] | Annotated[float, Meta(gt=0, le=1e9)]
NotNegative: TypeAlias = Annotated[int, Meta(ge=0, le=10**9)] | Annotated[float, Meta(ge=0, le=1e9)]
Priority: TypeAlias = Annotated[int, Meta(ge=0, le=9)]
Color: TypeAlias = Literal["native", "linear"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op"):
    """What every message has: `id` asks for an answer with the same `id`."""

    id: U64 | None = None

    @property
    def op(self) -> str:
        """The message's `op` on the wire."""
        return str(self.__struct_config__.tag)


def check_key(key: Key | None) -> None:
    """Return if `key` is short enough. Raises ValueError."""
    if isinstance(key, str) and len(key.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise ValueError(f"key of {len(key)} characters is longer than {MAX_KEY_BYTES} bytes of UTF-8")
