import pytest

from bridge.client.faults import LinkLostError, error_of, error_of_close, may_pass
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

BANDS = {
    1: MessageDecodeError,
    2: UnknownNameError,
    3: InvalidValueError,
    4: NotAllowedError,
    5: BackendError,
    6: BridgeError,
}


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_its_class(code):
    error = error_of(Error(code=int(code), name=code.word, message="words", field="f", value=1, limit="2"))
    assert type(error) is BANDS[code // 100]
    assert (error.code, error.message, error.field, error.value, error.limit) == (code, "words", "f", 1, "2")


def test_close_codes():
    error = error_of_close(4401, "hello carries no token")
    assert isinstance(error, NotAllowedError)
    assert error.code is ErrorCode.BAD_TOKEN
    assert error.message == "hello carries no token"
    assert isinstance(error_of_close(4999, ""), TexbridgeError)
    for code in (None, 1000, 1009):
        assert isinstance(error_of_close(code, ""), LinkLostError)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (LinkLostError("cut"), True),
        (TimeoutError(), True),
        (BridgeError("down", code=ErrorCode.DRAINING), True),
        (NotAllowedError("full", code=ErrorCode.TOO_MANY_SESSIONS), True),
        (NotAllowedError("no", code=ErrorCode.BAD_TOKEN), False),
        (NotAllowedError("no", code=ErrorCode.SESSION_TAKEN), False),
        (MessageDecodeError("no"), False),
        (ValueError("a bug"), False),
    ],
)
def test_which_ends_may_pass(error, passes):
    assert may_pass(error) is passes
