"""Sessions, keys and streams over time: one answer each, bounds that hold, no end before its time."""

import itertools
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bridge.errors import NotAllowedError
from bridge.streams import requests as requests_module
from bridge.streams.registry import Streams
from bridge.streams.requests import SessionRequests
from bridge.streams.session import Sessions
from bridge.types import Mode, WorkflowSpec

WORKFLOW = WorkflowSpec("gradient", "Gradient", (), (), True, 0, None)
MAX_KEYS = 6


class RequestMachine(RuleBasedStateMachine):
    """A model of one session's requests beside the real ones, with a cap of six keys."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = patch.object(requests_module, "MAX_KEYS", MAX_KEYS)
        self.patch.start()
        self.requests = SessionRequests()
        self.now = 0.0
        self.connection = 1
        self.numbers = itertools.count(1)
        self.open: dict[int, int | None] = {}
        self.finished: dict[int, float] = {}
        self.had: dict[int, list[int]] = {}

    def teardown(self) -> None:
        self.patch.stop()

    @rule(key=st.none() | st.integers(0, 9))
    def run(self, key):
        request = self.requests.lookup(key, self.now)
        if request is not None:
            if self.requests.repeat_finished(request, self.connection) is not None:
                self.tell(request)
            return
        request = next(self.numbers)
        keyed = sum(1 for open_key in self.open.values() if open_key is not None)
        if key is not None and keyed >= MAX_KEYS:
            with pytest.raises(NotAllowedError):
                self.requests.remember(request, key, self.now)
            return
        self.requests.remember(request, key, self.now)
        self.open[request] = key

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish(self, data):
        request = data.draw(st.sampled_from(sorted(self.open)))
        assert self.requests.finish(request, request, self.now)
        assert not self.requests.finish(request, "again", self.now)
        del self.open[request]
        self.finished[request] = self.now

    @rule()
    def take(self):
        for request in self.requests.take_finished(self.connection):
            self.tell(request)

    def tell(self, request: int) -> None:
        assert request in self.finished
        assert self.connection not in self.had.setdefault(request, [])
        self.had[request].append(self.connection)

    @rule()
    def reconnect(self):
        self.connection += 1

    @rule(seconds=st.sampled_from([0.1, 5.0, 29.0, 31.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def unfinished_are_those_without_an_answer(self):
        assert [request for request, _ in self.requests.unfinished()] == sorted(self.open)
        assert all(
            self.requests.lookup(key, self.now) == request for request, key in self.open.items() if key is not None
        )

    @invariant()
    def keys_are_bounded(self):
        assert len(self.requests._by_key) <= MAX_KEYS
        assert len(self.requests._asked) <= len(self.open) + len(self.requests._finished)

    @invariant()
    def nothing_is_kept_over_30_s(self):
        self.requests.lookup(None, self.now)
        assert all(self.finished[request] + 30 > self.now for request in self.requests._finished)


TestRequests = RequestMachine.TestCase


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["open", "attach", "detach", "subscribe", "unsubscribe", "away", "back", "ended", "wait"]),
            st.integers(1, 3),
            st.integers(0, 40),
        ),
        max_size=40,
    )
)
def test_no_stream_ends_before_its_time(steps):
    streams = Streams()
    now = 0.0
    for step, session, seconds in steps:
        name = f"s{seconds % 3}"
        one = streams.by_name.get(name)
        if step == "open":
            streams.open(name, WORKFLOW, Mode.LIVE, now=now, session=session)
        elif step == "wait":
            deadline = streams.next_deadline()
            now += seconds
            held = [s for s in streams.by_name.values() if s.viewers]
            ended = streams.expire(now)
            assert bool(ended) == (deadline is not None and deadline <= now)
            assert not set(held) & set(ended)
        elif step in ("away", "back", "ended"):
            getattr(streams, f"session_{step}")(session, now)
        elif one is not None:
            if step == "attach":
                one.attach(session)
            elif step == "detach":
                one.detach(session, now)
            elif step == "subscribe":
                one.subscribe(session)
            else:
                one.unsubscribe(session, now)
        deadline = streams.next_deadline()
        assert deadline is None or now < deadline <= now + 30


@given(st.lists(st.tuples(st.sampled_from(["open", "drop", "resume", "wait"]), st.integers(0, 9), st.integers(0, 40))))
def test_sessions_resume_within_30_s_and_never_after(steps):
    tokens = itertools.count(1)
    connections = itertools.count(1)
    sessions = Sessions(lambda: f"{next(tokens):032x}", limit=4)
    known = []
    gone_at: dict[int, float] = {}
    ended: set[int] = set()
    now = 0.0
    for step, which, seconds in steps:
        one = known[which % len(known)] if known else None
        if step == "open":
            try:
                known.append(sessions.open(now, next(connections)))
            except NotAllowedError:
                assert len(sessions) == 4
                assert all(session.connected for session in sessions)
        elif step == "wait":
            now += seconds
        elif one is not None and step == "drop":
            if sessions.disconnect(one, one.connection, now):
                gone_at[one.id] = now
        elif one is not None:
            late = one.id in gone_at and now >= gone_at[one.id] + 30
            back = sessions.resume(one.token, now, next(connections))
            if back is not None:
                assert not late
                assert one.id not in ended
                gone_at.pop(one.id, None)
            else:
                assert late or one.id in ended or sessions.get(one.id) is None
        for session in sessions.expire(now):
            assert session.id not in ended  # told once
            ended.add(session.id)
        assert len(sessions) <= 4
        deadline = sessions.next_deadline()
        assert deadline is None or deadline > now
