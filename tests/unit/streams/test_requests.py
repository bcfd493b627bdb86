"""A session's requests: keys, what is unfinished, answers still to be told."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError
from bridge.streams.requests import MAX_KEYS, MAX_UNDELIVERED, MAX_UNFINISHED, SessionRequests, check_key


@pytest.mark.parametrize(
    ("raw", "key"),
    [(0, 0), (2**64 - 1, 2**64 - 1), (5.0, 5), ("a", "a"), ("é" * 32, "é" * 32), ("7", "7"), (b"abc", "abc")],
)
def test_keys_taken(raw, key):
    assert check_key(raw) == key
    assert type(check_key(raw)) is type(key)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (-1, ErrorCode.OUT_OF_RANGE),
        (2**64, ErrorCode.OUT_OF_RANGE),
        ("", ErrorCode.TOO_LONG),
        ("x" * 65, ErrorCode.TOO_LONG),
        ("é" * 33, ErrorCode.TOO_LONG),
        ("\ud800", ErrorCode.BAD_TEXT),
        (b"\xff", ErrorCode.BAD_TEXT),
        (True, ErrorCode.WRONG_TYPE),
        (1.5, ErrorCode.WRONG_TYPE),
        (2.0**60, ErrorCode.WRONG_TYPE),
        (None, ErrorCode.WRONG_TYPE),
        ([1], ErrorCode.WRONG_TYPE),
    ],
)
def test_keys_refused(raw, code):
    with pytest.raises(InvalidValueError) as caught:
        check_key(raw)
    assert (caught.value.code, caught.value.field) == (code, "key")


@pytest.fixture
def requests() -> SessionRequests:
    return SessionRequests()


def test_a_key_gives_its_request_until_30_s_after_the_answer(requests):
    requests.remember(10, "k", 0.0)
    assert requests.lookup("k", 1000.0) == 10
    requests.finish(10, "done", 1000.0)
    assert requests.lookup("k", 1029.9) == 10
    assert requests.lookup("k", 1030.0) is None


def test_a_number_and_its_text_are_two_keys(requests):
    requests.remember(1, 7, 0.0)
    assert requests.lookup("7", 0.0) is None
    assert requests.lookup(None, 0.0) is None


def test_unfinished_in_order_with_keys(requests):
    requests.remember(1, None, 0.0)
    requests.remember(2, "b", 0.0)
    requests.remember(3, 9, 0.0)
    assert requests.unfinished() == [(1, None), (2, "b"), (3, 9)]
    requests.finish(2, "x", 1.0)
    assert requests.unfinished() == [(1, None), (3, 9)]
    assert requests.is_unfinished(1)
    assert not requests.is_unfinished(2)
    assert (requests.key_of(2), requests.key_of(1), requests.key_of(99)) == ("b", None, None)


def test_one_terminal_answer_each(requests):
    requests.remember(1, "a", 0.0)
    assert requests.finish(1, "first", 0.0) is True
    assert requests.finish(1, "second", 0.0) is False
    assert requests.finish(99, "whose", 0.0) is False
    assert requests.take_finished("A") == ["first"]


def test_answers_wait_for_a_connection(requests):
    for request in (1, 2, 3):
        requests.remember(request, None, 0.0)
        requests.finish(request, f"answer {request}", float(request))
    assert requests.take_finished("A") == ["answer 1", "answer 2", "answer 3"]
    assert requests.take_finished("B") == []


def test_answers_wait_30_s(requests):
    requests.remember(1, None, 0.0)
    requests.remember(2, "k", 0.0)
    requests.finish(1, "old", 0.0)
    requests.finish(2, "newer", 10.0)
    assert requests.lookup(None, 30.0) is None
    assert requests.take_finished("A") == ["newer"]


def test_finished_comes_again_only_on_a_connection_that_has_not_had_it(requests):
    requests.remember(1, "k", 0.0)
    assert requests.repeat_finished(1, "A") is None  # not finished
    requests.finish(1, "answer", 0.0)
    assert requests.take_finished("A") == ["answer"]
    assert requests.repeat_finished(1, "A") is None
    assert requests.repeat_finished(1, "B") == "answer"
    assert requests.repeat_finished(1, "B") is None
    assert requests.take_finished("B") == []


def test_a_repeated_answer_is_not_sent_twice(requests):
    requests.remember(1, "k", 0.0)
    requests.finish(1, "answer", 0.0)
    assert requests.repeat_finished(1, "A") == "answer"
    assert requests.take_finished("A") == []


@pytest.mark.parametrize("key", [None, "k"])
def test_an_answer_that_was_lost_unsaid_is_for_the_next_connection(requests, key):
    requests.remember(1, key, 0.0)
    requests.finish(1, "answer", 0.0)
    assert requests.take_finished("A") == ["answer"]
    requests.not_told(1, key, "answer", "A", 1.0)
    assert requests.take_finished("B") == ["answer"]
    assert requests.take_finished("C") == []
    requests.not_told(1, "k", "answer", "A", 1.0)  # B has had it
    assert requests.take_finished("C") == []


def test_answers_lost_unsaid_are_bounded_and_kept_for_30_s(requests):
    for number in range(2 * MAX_UNDELIVERED):
        requests.not_told(number, None, number, "A", 5.0)
    assert requests.lookup(None, 34.9) is None
    assert len(requests.take_finished("B")) == MAX_UNDELIVERED
    requests.not_told(1, None, "x", "B", 5.0)
    requests.lookup(None, 35.0)
    assert requests.take_finished("C") == []
    assert len(requests) == 0


def test_over_the_cap_the_oldest_finished_key_goes(requests):
    for number in range(MAX_KEYS):
        requests.remember(number + 1, number, 0.0)
    requests.finish(5, "x", 1.0)
    requests.finish(3, "y", 2.0)
    requests.take_finished("A")
    requests.remember(5000, "new", 3.0)
    assert requests.lookup(4, 3.0) is None  # request 5 finished first
    assert requests.lookup(2, 3.0) == 3
    requests.remember(5001, "newer", 3.0)
    assert requests.lookup(2, 3.0) is None


def test_a_dropped_key_still_gets_its_answer_told(requests):
    for number in range(MAX_KEYS):
        requests.remember(number + 1, number, 0.0)
    requests.finish(1, "told late", 1.0)
    requests.remember(5000, "new", 2.0)
    assert requests.take_finished("A") == ["told late"]
    assert requests.repeat_finished(1, "B") is None


def test_all_keys_unfinished_refuses_another(requests):
    for number in range(MAX_KEYS):
        requests.remember(number + 1, number, 0.0)
    for ask in (lambda: requests.check_room("new", 0.0), lambda: requests.remember(5000, "new", 0.0)):
        with pytest.raises(NotAllowedError) as caught:
            ask()
        assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_MANY_WAITING, MAX_KEYS)
    requests.remember(5000, None, 0.0)
    requests.finish(1, "x", 0.0)
    requests.remember(5001, "new", 0.0)


def test_unfinished_requests_are_bounded(requests):
    for number in range(MAX_UNFINISHED):
        requests.remember(number + 1, None, 0.0)
    with pytest.raises(NotAllowedError) as caught:
        requests.check_room(None, 0.0)
    assert caught.value.limit == MAX_UNFINISHED


def test_answers_that_nobody_takes_are_bounded(requests):
    for number in range(3 * MAX_UNDELIVERED):
        requests.remember(number + 1, None, 0.0)
        requests.finish(number + 1, number + 1, 0.0)
    answers = requests.take_finished("A")
    assert len(answers) == MAX_UNDELIVERED
    assert answers[-1] == 3 * MAX_UNDELIVERED


def test_nothing_is_left_behind(requests):
    for number in range(100):
        requests.remember(number + 1, number if number % 2 else None, float(number))
        requests.finish(number + 1, "x", float(number))
        requests.take_finished("A")
    assert requests.lookup(None, 1000.0) is None
    assert not requests._asked
    assert not requests._by_key
    assert not requests._finished
    assert not requests._undelivered
