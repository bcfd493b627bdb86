"""The structure pass agrees with msgpack on every form, and `find_id` never fails."""

from typing import Any

import msgpack
import pytest

from bridge.codec.msgpack_structure import check_structure, find_id
from bridge.errors import MessageDecodeError

FORMS: list[Any] = [
    None,
    True,
    False,
    0,
    127,
    128,
    2**16,
    2**32,
    2**64 - 1,
    -1,
    -32,
    -33,
    -(2**15),
    -(2**31),
    -(2**63),
    0.5,
    "",
    "x" * 31,
    "x" * 32,
    "x" * 256,
    "x" * 65536,
    b"",
    b"x" * 256,
    b"x" * 65536,
    [],
    [1] * 15,
    [1] * 16,
    [1] * 40_000,
    {},
    {str(n): n for n in range(16)},
    {str(n): [{}] for n in range(3000)},
]


@pytest.mark.parametrize("value", FORMS, ids=lambda value: f"{type(value).__name__} {str(value)[:12]}")
def test_every_form_is_stepped_over_exactly(value: Any) -> None:
    for data in (msgpack.packb({"a": value, "id": 5}), msgpack.packb({"a": value, "id": 5}, use_single_float=True)):
        check_structure(data, 16, 65_536)
        check_structure(memoryview(data), 16, 65_536)
        with pytest.raises(MessageDecodeError):
            check_structure(data + b"\0", 16, 65_536)
        with pytest.raises(MessageDecodeError):
            check_structure(data[:-1], 16, 65_536)


@pytest.mark.parametrize("id", [0, 5, 127, 128, 2**16, 2**32, 2**64 - 1])
def test_find_id(id: int) -> None:
    assert find_id(msgpack.packb({"op": "x", "a": [1, {"id": 3}], "id": id})) == id
    assert find_id(msgpack.packb({b"id": id, "z": 1})) == id
    assert find_id(msgpack.packb({str(n): n for n in range(20)} | {"id": id})) == id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x81",
        b"\x81\xa2id",
        b"\x81\xa2id\xcc",
        b"\x81\xa2id\xcf\x00",
        b"\x81\xa2id\xff",
        b"\x81\xa2id\xa11",
        b"\x81\xa2xd\x05",
        b"\xdf\xff\xff\xff\xff" + b"\xc0" * 5000 + b"\xa2id\x05",
        b"\x82\xa1x" + b"\xdd\xff\xff\xff\xff" + b"\xa2id\x05",
        b"\x82\xa1x\xc1\xa2id\x05",
    ],
)
def test_no_id(data: bytes) -> None:
    assert find_id(data) is None


def test_find_id_steps_over_extensions() -> None:
    for ext in (b"\xd4\x62a", b"\xd8\x62" + bytes(16), b"\xc7\x02\x62ab", b"\xc8\0\x02\x62ab", b"\xc9\0\0\0\x02\x62ab"):
        assert find_id(b"\x82\xa1x" + ext + b"\xa2id\x05") == 5
