"""When a restart command runs, and what it gets."""

import math

import pytest

from bridge.app.pool.restarts import DAY_S, RestartLimit, restart_environment, restart_reason
from bridge.backends.comfy import ComfyBackend


@pytest.mark.parametrize(
    ("mute", "away_since", "now", "reason"),
    [
        (False, None, 1000.0, None),
        (True, None, 1000.0, "mute"),
        (False, 900.0, 1000.0, None),
        (False, 820.0, 1000.0, "away"),
        (True, 900.0, 1000.0, None),  # it was mute, and is being started anew perhaps
    ],
)
def test_the_reason(mute: bool, away_since: float | None, now: float, reason: str | None) -> None:
    assert restart_reason(mute=mute, away_since=away_since, after_s=180.0, now=now) == reason


def test_the_limit_holds_between_two_and_over_a_day() -> None:
    limit = RestartLimit(every_s=600.0, per_day=3)
    assert limit.next_at() == -math.inf
    for begun in (0.0, 600.0, 5000.0):
        assert limit.next_at() <= begun
        limit.note(begun)
    assert limit.next_at() == DAY_S  # three were made: the first has to be a day old
    limit.note(DAY_S)
    assert limit.next_at() == DAY_S + 600.0


def test_one_a_day() -> None:
    limit = RestartLimit(every_s=1.0, per_day=1)
    limit.note(10.0)
    assert limit.next_at() == DAY_S + 10.0


def test_the_environment_has_no_secret_of_the_bridge_and_says_what_for() -> None:
    backend = ComfyBackend("gpu", "http://ann:secret@host:8188/?token=secret", on_event=print)
    before = {"PATH": "/bin", "TEXBRIDGE_LINK_TOKEN": "secret", "texbridge_x": "y"}
    assert restart_environment(backend, "mute", before) == {
        "PATH": "/bin",
        "TEXBRIDGE_BACKEND": "gpu",
        "TEXBRIDGE_BACKEND_URL": "http://host:8188",
        "TEXBRIDGE_REASON": "mute",
    }
