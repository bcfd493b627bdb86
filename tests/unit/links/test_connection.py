"""Errors as messages."""

import pytest

from bridge.errors import BridgeError, ErrorCode, InvalidValueError
from bridge.links.connection import error_message
from bridge.types import Mode


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (2**64 - 1, 2**64 - 1),
        (2**70, str(2**70)),
        (-(2**70), str(-(2**70))),
        ("x" * 300, "x" * 200),
        ("lone \ud800", "lone ?"),
        ([1, 2], "[1, 2]"),
        (b"\xff", "b'\\xff'"),
        (Mode.LIVE, "live"),
    ],
)
def test_values_go_as_plain_ones(value, sent):
    error = InvalidValueError("no", code=ErrorCode.OUT_OF_RANGE, field="x", value=value, limit=value)
    message = error_message(error, 7)
    assert (message.id, message.code, message.name, message.field) == (7, 302, "out_of_range", "x")
    assert (message.value, message.limit) == (sent, sent)
    assert type(message.value) is type(sent)
    assert message.fatal is False


def test_fatal():
    message = error_message(BridgeError("x" * 2000, code=ErrorCode.DRAINING), fatal=True)
    assert (message.id, message.fatal, len(message.message)) == (None, True, 1000)
