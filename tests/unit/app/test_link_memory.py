"""Who may share memory with the bridge."""

from __future__ import annotations

import pytest

from bridge.app.link.memory import is_loopback


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:5000", True),
        ("127.8.9.1:5000", True),
        ("[::1]:5000", True),
        ("[::ffff:127.0.0.1]:5000", True),
        ("192.168.1.5:5000", False),
        ("[::ffff:192.168.1.5]:5000", False),
        ("[fe80::1%eth0]:5000", False),
        ("localhost:5000", False),
        ("?", False),
        ("", False),
    ],
)
def test_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
