"""The memory that values of unfinished runs take."""

import pytest

from bridge.app.retained import SMALL_BYTES, RetainedValues, value_bytes
from bridge.errors import ErrorCode, NotAllowedError
from bridge.types import Picture

PICTURE = Picture(b"x" * 1000, "a")
OTHER = Picture(b"y" * 500, "b")
TEXT = "t" * 2000


def test_what_counts():
    assert value_bytes(PICTURE) == 1000
    assert value_bytes({"encoded": b"x" * 1000}) == 1000
    assert value_bytes({"data": b"x" * 1000}) == 0
    assert value_bytes(TEXT) == 2000
    for small in ("t" * SMALL_BYTES, b"", 3, 0.5, True, (1.0, 0.5, 0.0), None, {}, {"encoded": 7}, {"encoded": None}):
        assert value_bytes(small) == 0


def test_a_shared_value_counts_once_and_until_its_last_user_is_over():
    retained = RetainedValues(1)
    assert retained.would_add([PICTURE, TEXT, 3]) == 3000
    retained.use(1, [PICTURE, TEXT, 3])
    assert retained.would_add([PICTURE, OTHER]) == 500
    retained.use(2, [PICTURE, OTHER])
    assert retained.bytes == 3500
    retained.drop(1)
    assert retained.bytes == 1500
    retained.drop(1)
    retained.drop(2)
    retained.drop(99)
    assert (retained.bytes, len(retained)) == (0, 0)


def test_a_request_that_is_bound_anew_keeps_what_it_still_uses():
    retained = RetainedValues(1)
    retained.use(1, [PICTURE])
    retained.use(1, [PICTURE, OTHER])
    assert retained.bytes == 1500
    retained.use(1, [OTHER])
    assert retained.bytes == 500
    retained.use(1, [])
    assert (retained.bytes, len(retained)) == (0, 0)


def test_one_value_twice_in_a_request():
    retained = RetainedValues(1)
    retained.use(1, [TEXT, TEXT])
    assert retained.bytes == 2000
    retained.drop(1)
    assert (retained.bytes, len(retained)) == (0, 0)


def test_a_run_over_the_limit_is_refused_unless_it_adds_nothing():
    retained = RetainedValues(1)
    kept = Picture(b"x" * 900_000, "c")
    retained.use(1, [kept])
    retained.check_room({"note": "short"}, {"picture": kept, "note": TEXT})
    retained.check_room({"other": {"encoded": b"x" * 100_000}}, {"picture": kept})
    for params, values in (
        ({"other": {"encoded": b"x" * 200_000}}, {"picture": kept}),
        ({"note": "t" * 200_000}, {"picture": kept}),
        ({}, {"picture": Picture(b"x" * 900_000, "d")}),
    ):
        with pytest.raises(NotAllowedError) as caught:
            retained.check_room(params, values)
        assert caught.value.code is ErrorCode.TOO_MANY_WAITING
    retained.check_room({"picture": {"encoded": b"x"}}, {"picture": Picture(b"x" * 900_000, "d")})
