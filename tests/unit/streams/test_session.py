"""Sessions over reconnects."""

import itertools

import pytest

from bridge.errors import ErrorCode, NotAllowedError
from bridge.streams.session import MAX_SUBSCRIPTIONS, Sessions, Subscription
from bridge.types import PayloadSpec, PixelFormat

RGBA = PayloadSpec(PixelFormat.RGBA8)


@pytest.fixture
def sessions() -> Sessions:
    tokens = itertools.count(1)
    return Sessions(lambda: f"{next(tokens):032x}", limit=3)


def test_open(sessions):
    one = sessions.open(0.0, "A", client="unity", events=["live"])
    two = sessions.open(0.0, "B")
    assert (one.id, one.token, one.client, one.events, one.connected) == (1, f"{1:032x}", "unity", {"live"}, True)
    assert (two.id, two.events) == (2, frozenset())
    assert sessions.get(1) is one
    assert sessions.get(9) is None
    assert list(sessions) == [one, two]


def test_resume_within_30_s(sessions):
    one = sessions.open(0.0, "A", events=["live"])
    one.subscribe(Subscription(1, RGBA))
    assert sessions.disconnect(one, "A", 10.0) is True
    assert (one.connected, one.deadline, sessions.next_deadline()) == (False, 40.0, 40.0)
    back = sessions.resume(one.token, 39.9, "B")
    assert back is not None
    assert (back.session, back.old_connection) == (one, None)
    assert (one.connected, one.connection, one.events) == (True, "B", {"live"})
    assert list(one.subscriptions) == [1]
    assert sessions.next_deadline() is None


def test_resume_too_late(sessions):
    one = sessions.open(0.0, "A")
    sessions.disconnect(one, "A", 10.0)
    assert sessions.resume(one.token, 40.0, "B") is None
    assert sessions.expire(39.9) == []
    assert sessions.expire(40.0) == [one]
    assert sessions.resume(one.token, 40.0, "B") is None
    assert len(sessions) == 0


@pytest.mark.parametrize("token", ["", "0" * 32, "x"])
def test_resume_of_nothing(sessions, token):
    sessions.open(0.0, "A")
    assert sessions.resume(token, 0.0, "B") is None


def test_a_new_socket_takes_the_session_over(sessions):
    one = sessions.open(0.0, "A")
    back = sessions.resume(one.token, 5.0, "B", client="again", events=[])
    assert back is not None
    assert (back.old_connection, one.connection, one.client, one.events) == ("A", "B", "again", frozenset())
    # The old socket's end comes later and must not take the new one with it.
    assert sessions.disconnect(one, "A", 6.0) is False
    assert one.connected
    assert sessions.disconnect(one, "B", 7.0) is True
    assert sessions.disconnect(one, "B", 8.0) is False
    assert one.deadline == 37.0


def test_limit_of_connected_sessions(sessions):
    for connection in "ABC":
        sessions.open(0.0, connection)
    with pytest.raises(NotAllowedError) as caught:
        sessions.open(0.0, "D")
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_MANY_SESSIONS, 3)


def test_at_the_limit_the_one_away_longest_that_has_nothing_makes_room(sessions):
    one, two, three = (sessions.open(0.0, connection) for connection in "ABC")
    sessions.disconnect(two, "B", 1.0)
    sessions.disconnect(one, "A", 2.0)
    sessions.open(3.0, "D")
    assert sessions.next_deadline() <= 3.0
    assert sessions.resume(two.token, 3.0, "B") is None
    assert sessions.resume(one.token, 3.0, "A") is not None
    assert sessions.expire(3.0) == [two]  # told once, so that its requests are seen to
    assert sessions.expire(3.0) == []
    assert three.connected


def _attach(session):
    session.attached.add(1)


def _subscribe(session):
    session.subscribe(Subscription(1, RGBA))


def _run(session):
    session.requests.remember(7, None, 0.0)


def _run_with_an_answer_to_come(session):
    _run(session)
    session.requests.finish(7, "done", 1.0)


@pytest.mark.parametrize("use", [_attach, _subscribe, _run, _run_with_an_answer_to_come])
def test_a_session_in_use_is_not_put_out_while_its_engine_may_come_back(sessions, use):
    used = [sessions.open(0.0, connection) for connection in "AB"]
    empty = sessions.open(0.0, "C")
    for session, connection in zip(used, "AB", strict=True):
        use(session)
        sessions.disconnect(session, connection, 1.0)
    sessions.disconnect(empty, "C", 2.0)
    _attach(sessions.open(3.0, "D"))  # in the place of the one that has nothing, though it went last
    with pytest.raises(NotAllowedError, match="2 of them have lost their connection and may come back") as caught:
        sessions.open(4.0, "E")
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_MANY_SESSIONS, 3)
    assert sessions.resume(used[0].token, 5.0, "A") is not None
    assert sessions.expire(5.0) == [empty]
    assert sessions.expire(31.0) == [used[1]]
    assert sessions.open(31.0, "F").connected


def test_subscriptions_replace_and_are_bounded(sessions):
    one = sessions.open(0.0, "A")
    first = Subscription(1, RGBA)
    assert one.subscribe(first) is None
    second = Subscription(1, RGBA, credit=3)
    assert one.subscribe(second) is first
    for stream in range(2, MAX_SUBSCRIPTIONS + 1):
        one.subscribe(Subscription(stream, RGBA))
    with pytest.raises(NotAllowedError) as caught:
        one.subscribe(Subscription(999, RGBA))
    assert caught.value.code is ErrorCode.TOO_MANY_SUBSCRIPTIONS
    assert one.subscribe(first) is second
    assert one.unsubscribe(1) is first
    assert one.unsubscribe(1) is None


def test_a_gone_stream_is_forgotten(sessions):
    one = sessions.open(0.0, "A")
    one.attached.add(1)
    one.subscribe(Subscription(1, RGBA))
    one.forget_stream(1)
    one.forget_stream(1)
    assert (one.attached, one.subscriptions) == (set(), {})
