"""Which errors say that nobody listens, on each system."""

import errno

import pytest

from bridge.backends.faults import is_refusal


def windows_refusal() -> OSError:
    """What Windows' own event loop raises: the right class, and an errno that says nothing."""
    error = ConnectionRefusedError(errno.EINVAL, "The remote computer refused the network connection")
    error.winerror = 1225  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        OSError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 8188)"),
        windows_refusal(),
        OSError(f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] ('::1', 1), [Errno 101] ('127.0.0.1', 1)"),
        OSError("Multiple exceptions: [WinError 1225] The remote computer refused, [WinError 2] Not found"),
        OSError("Multiple exceptions: [WinError 10061] No connection could be made, [WinError 10061] No connection"),
    ],
)
def test_refused(error: OSError) -> None:
    assert is_refusal(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError("Multiple exceptions: [WinError 121] The semaphore timeout period has expired, [WinError 10060]"),
        TimeoutError(),
    ],
)
def test_not_refused(error: OSError) -> None:
    assert not is_refusal(error)
