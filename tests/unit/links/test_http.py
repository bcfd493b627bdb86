"""Errors as HTTP statuses and JSON."""

import json

import pytest

from bridge.errors import (
    BackendError,
    BridgeError,
    ConfigError,
    ErrorCode,
    InvalidValueError,
    NotAllowedError,
    UnknownNameError,
)
from bridge.links.http import error_response, error_status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownNameError("x"), 404),
        (InvalidValueError("x"), 400),
        (NotAllowedError("x"), 403),
        (BridgeError("x", code=ErrorCode.DRAINING), 503),
        (BackendError("x"), 503),
        (BridgeError("x"), 500),
        (ConfigError("x"), 500),
    ],
)
def test_error_status(error, status):
    assert error_status(error) == status
    assert error_response(error).status == status


def test_error_response():
    response = error_response(UnknownNameError("no", code=ErrorCode.UNKNOWN_STREAM, field="stream"), nearest="main")
    assert json.loads(response.text) == {
        "error": {"code": 203, "name": "unknown_stream", "message": "no", "field": "stream", "nearest": "main"}
    }
