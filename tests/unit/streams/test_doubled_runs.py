"""A press that comes twice."""

import pytest

from bridge.streams.doubled_runs import MAX_SENDERS, DoubledRuns

DESK, OTHER = ("127.0.0.1", 9000), ("127.0.0.1", 9001)


@pytest.mark.parametrize(
    ("packets", "doubled"),
    [
        ([(DESK, "run", 0.0), (DESK, "run", 0.001)], [False, True]),
        ([(DESK, "run", 0.0), (DESK, "run", 0.02), (DESK, "run", 0.021)], [False, True, False]),
        ([(DESK, "run", 0.0), (DESK, "run", 0.015), (DESK, "run", 0.03)], [False, True, False]),
        ([(DESK, "run", 0.0), (OTHER, "run", 0.0)], [False, False]),
        ([(DESK, "run", 0.0), (DESK, "run 2", 0.001), (DESK, "run", 0.002)], [False, False, False]),
        ([(DESK, "run", 0.0), (DESK, None, 0.001), (DESK, "run", 0.002)], [False, None, False]),
        ([(DESK, "run", 0.0), (OTHER, None, 0.001), (DESK, "run", 0.002)], [False, None, True]),
    ],
)
def test_the_same_packet_directly_behind_and_soon_is_the_same_press(packets, doubled):
    runs = DoubledRuns(0.02)
    told = [
        runs.other_packet(sender) if packet is None else runs.is_doubled(sender, packet, now)
        for sender, packet, now in packets
    ]
    assert told == doubled


def test_switched_off():
    runs = DoubledRuns(0.0)
    assert not any(runs.is_doubled(DESK, "run", 5.0) for _ in range(3))


def test_senders_are_bounded():
    runs = DoubledRuns(1.0)
    for port in range(MAX_SENDERS + 10):
        runs.is_doubled(("h", port), "run", 0.0)
    assert len(runs._last) == MAX_SENDERS
    assert not runs.is_doubled(("h", 0), "run", 0.1)
    assert runs.is_doubled(("h", MAX_SENDERS + 9), "run", 0.1)
