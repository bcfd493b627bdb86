"""`idle_after_s`: a live stream whose seed varies rests when nobody changed anything, until the next change."""

import pytest

from bridge.scheduler import policy
from bridge.scheduler.events import (
    AttemptEnded,
    AttemptStarted,
    BackendUp,
    RequestAdded,
    ResultSettled,
    StreamConfigured,
    Submit,
    ValuesChanged,
    ViewersChanged,
)
from bridge.scheduler.scheduler import Scheduler
from bridge.types import Mode


@pytest.mark.parametrize(
    ("varies", "changed_at", "idle_after_s", "goes_on"),
    [
        (False, 100.0, None, False),
        (True, 0.0, None, True),
        (True, 95.0, 10.0, True),
        (True, 90.0, 10.0, False),
        (False, 95.0, 10.0, False),
    ],
)
def test_goes_on(varies: bool, changed_at: float, idle_after_s: float | None, goes_on: bool) -> None:
    assert policy.goes_on(varies, changed_at, idle_after_s, 100.0) is goes_on


class Show:
    """A live stream with a random seed, at a backend that takes 1 s for each picture."""

    def __init__(self, idle_after_s: float | None) -> None:
        self.now = 0.0
        self.made: list[float] = []
        self.scheduler = Scheduler()
        self.idle_after_s = idle_after_s
        self._submits: list[Submit] = []
        self.tell(StreamConfigured(1, Mode.LIVE, "key", varies=True, idle_after_s=idle_after_s))
        self.tell(ValuesChanged(1, 1))
        self.tell(BackendUp("a"))

    def tell(self, event) -> None:
        self._note(self.scheduler.handle(event, self.now))

    def _note(self, commands) -> None:
        self._submits += [command for command in commands if isinstance(command, Submit)]

    def play(self, until: float) -> int:
        """Let time pass; gives how many pictures were begun."""
        begun = 0
        while self.now < until:
            self._note(self.scheduler.handle_timer(self.now))
            if self._submits:
                begun += 1
                submit = self._submits.pop(0)
                self.tell(AttemptStarted(submit.attempt))
                self.now += 1.0
                self.tell(AttemptEnded(submit.attempt))
                self.tell(ResultSettled(submit.attempt))
            else:
                self.now += 1.0
        return begun


def test_it_goes_on_without_a_limit() -> None:
    show = Show(None)
    show.tell(ViewersChanged(1, 1))
    assert show.play(50.0) == 50


def test_it_rests_and_a_change_wakes_it() -> None:
    show = Show(10.0)
    show.tell(ViewersChanged(1, 1))
    assert 10 <= show.play(50.0) <= 12
    assert show.scheduler.next_deadline() is None
    show.tell(ValuesChanged(1, 2))
    assert 10 <= show.play(100.0) <= 12
    show.tell(ValuesChanged(1, 2))  # the same revision is no change
    assert show.play(150.0) == 0


def test_a_run_makes_its_picture_and_wakes_nothing() -> None:
    show = Show(10.0)
    show.tell(ViewersChanged(1, 1))
    show.play(50.0)
    show.tell(RequestAdded(show.scheduler.take_number(), 1, 1))
    assert show.play(100.0) == 1


def test_the_first_viewer_wakes_it_a_second_one_does_not() -> None:
    show = Show(10.0)
    assert show.play(50.0) == 0
    show.tell(ViewersChanged(1, 1))
    assert 10 <= show.play(100.0) <= 12
    show.tell(ViewersChanged(1, 2))
    assert show.play(150.0) == 0
    show.tell(ViewersChanged(1, 0))
    show.tell(ViewersChanged(1, 1))
    assert 10 <= show.play(200.0) <= 12


def test_live_again_wakes_it() -> None:
    show = Show(10.0)
    show.tell(ViewersChanged(1, 1))
    show.play(50.0)
    show.tell(StreamConfigured(1, Mode.LATEST, "key", varies=True, idle_after_s=10.0))
    show.tell(StreamConfigured(1, Mode.LIVE, "key", varies=True, idle_after_s=10.0))
    assert 10 <= show.play(100.0) <= 12
