"""The memory that values of unfinished runs take."""

import pytest

from bridge.app.retained import SMALL_BYTES, RetainedValues, stream_holder, value_bytes
from bridge.errors import ErrorCode, NotAllowedError
from bridge.types import Picture

PICTURE = Picture(b"x" * 1000, "a")
OTHER = Picture(b"y" * 500, "b")
TEXT = "t" * 2000


def test_what_counts():
    assert value_bytes(PICTURE) == 1000
    assert value_bytes({"encoded": b"x" * 1000}) == 1000
    assert value_bytes({"data": b"x" * 1000}) == 1000
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
            retained.check_room(params, values, runs=True)
        assert caught.value.code is ErrorCode.TOO_MANY_WAITING
    retained.check_room({"picture": {"encoded": b"x"}}, {"picture": Picture(b"x" * 900_000, "d")})


def test_streams_that_hold_pictures_are_bounded_in_words():
    """64 streams of 100 MB each would be all the memory of most machines."""
    retained = RetainedValues(512)
    data = bytes(100 << 20)  # one for all: it is the count that is looked at
    for number in range(1, 6):
        retained.check_room({"picture": {"encoded": data}}, {}, number)
        retained.use(stream_holder(number), [Picture(data, str(number))])
    for number in range(6, 65):
        with pytest.raises(NotAllowedError) as caught:
            retained.check_room({"picture": {"encoded": data}}, {}, number)
        assert caught.value.code is ErrorCode.MEMORY_FULL
        assert caught.value.message == (
            "pictures and texts of streams take 500 MiB, and 102400 KiB more would be over the limit of 512 MiB; "
            "send smaller ones, close streams, or raise limits.request_memory_mb"
        )
    assert retained.bytes == 500 << 20


def test_another_picture_in_the_place_of_one_takes_its_room():
    retained = RetainedValues(1)
    first, second = Picture(b"x" * 900_000, "a"), {"encoded": b"y" * 1_000_000}
    retained.use(stream_holder(1), [first])
    retained.check_room({"picture": second}, {"picture": first}, 1)
    # A request that still needs it keeps its room; another stream's picture has its own.
    retained.use(7, [first])
    for values, stream in (({"picture": first}, 1), ({}, 2)):
        with pytest.raises(NotAllowedError) as caught:
            retained.check_room({"picture": second}, values, stream)
        assert caught.value.code is ErrorCode.MEMORY_FULL
    retained.drop(7)
    retained.check_room({"picture": second}, {"picture": first}, 1, runs=True)


def test_the_code_says_whether_waiting_helps():
    retained = RetainedValues(1)
    held, waits = Picture(b"x" * 500_000, "a"), Picture(b"y" * 500_000, "b")
    retained.use(stream_holder(1), [held])
    retained.use(7, [waits])
    for size, code in ((400_000, ErrorCode.TOO_MANY_WAITING), (600_000, ErrorCode.MEMORY_FULL)):
        with pytest.raises(NotAllowedError) as caught:
            retained.check_room({"picture": {"encoded": bytes(size)}}, {}, 2, runs=True)
        assert caught.value.code is code
