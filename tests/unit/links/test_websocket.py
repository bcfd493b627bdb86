"""Frame heads and close reasons, by RFC 6455."""

import pytest

from bridge.errors import BridgeError
from bridge.links.websocket import close_reason, frame_prefix


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "82 00"),
        (125, "82 7d"),
        (126, "82 7e 00 7e"),
        (65_535, "82 7e ff ff"),
        (65_536, "82 7f 00 00 00 00 00 01 00 00"),
        (1 << 32, "82 7f 00 00 00 01 00 00 00 00"),
    ],
)
def test_frame_prefix(size, head):
    assert frame_prefix(size) == bytes.fromhex(head)


@pytest.mark.parametrize(("text", "reason"), [("short", "short"), ("é" * 100, "é" * 61), ("\ud800x", "?x")])
def test_close_reason_fits_a_close_frame(text, reason):
    assert close_reason(BridgeError(text)) == reason
    assert len(reason.encode()) <= 123
