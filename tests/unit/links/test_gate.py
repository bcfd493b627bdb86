"""Caps and delays, without sockets."""

import pytest

from bridge.links.gate import FORGET_AFTER_S, POLITE_REFUSALS, Admission, Gate, TokenDelays


class Guest:
    def __init__(self) -> None:
        self.evicted = 0

    def evict(self) -> None:
        self.evicted += 1


def test_the_oldest_half_open_guest_of_the_address_gives_way():
    gate = Gate(max_connections=10, max_per_address=2)
    first, second, third, other = (Guest() for _ in range(4))
    assert gate.enter(other, "10.0.0.2") is Admission.ADMITTED
    assert gate.enter(first, "10.0.0.1") is Admission.ADMITTED
    assert gate.enter(second, "10.0.0.1") is Admission.ADMITTED
    assert gate.enter(third, "10.0.0.1") is Admission.ADMITTED
    assert [guest.evicted for guest in (first, second, third, other)] == [1, 0, 0, 0]
    assert len(gate) == 3


def test_settled_guests_keep_their_place():
    gate = Gate(max_connections=10, max_per_address=1)
    first, second = Guest(), Guest()
    gate.enter(first, "10.0.0.1")
    gate.settle(first)
    assert gate.enter(second, "10.0.0.1") is Admission.REFUSED
    assert first.evicted == 0
    gate.leave(first)
    gate.leave(first)
    assert gate.enter(Guest(), "10.0.0.1") is Admission.ADMITTED


def test_the_cap_on_all_takes_the_oldest_half_open_of_anybody():
    gate = Gate(max_connections=2, max_per_address=2)
    first, second = Guest(), Guest()
    gate.enter(first, "10.0.0.1")
    gate.enter(second, "10.0.0.2")
    assert gate.enter(Guest(), "10.0.0.3") is Admission.ADMITTED
    assert (first.evicted, second.evicted) == (1, 0)


def test_refusals_are_bounded_too():
    gate = Gate(max_connections=1, max_per_address=1)
    inside = Guest()
    gate.enter(inside, "10.0.0.1")
    gate.settle(inside)
    refused = [Guest() for _ in range(POLITE_REFUSALS)]
    assert {gate.enter(guest, "10.0.0.1") for guest in refused} == {Admission.REFUSED}
    assert gate.enter(Guest(), "10.0.0.1") is Admission.DROPPED
    gate.leave(refused[0])
    assert gate.enter(Guest(), "10.0.0.1") is Admission.REFUSED
    assert len(gate) == 1


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("::1", "::1", True),
    ],
)
def test_what_counts_as_one_address(one, other, shared):
    gate = Gate(max_connections=10, max_per_address=1)
    guest = Guest()
    gate.enter(guest, one)
    gate.settle(guest)
    assert (gate.enter(Guest(), other) is Admission.REFUSED) is shared


def test_delays_grow_to_a_limit_and_are_forgotten():
    delays = TokenDelays()
    seen = []
    for _ in range(12):
        seen.append(delays.delay_s("10.0.0.1", 100.0))
        delays.failed("10.0.0.1", 100.0)
    assert seen == [0, 0, 0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
    assert delays.delay_s("10.0.0.2", 100.0) == 0
    assert delays.delay_s("10.0.0.1", 100.0 + FORGET_AFTER_S) == 5.0
    assert delays.delay_s("10.0.0.1", 101.0 + FORGET_AFTER_S) == 0


def test_an_old_failure_starts_the_count_anew():
    delays = TokenDelays()
    for _ in range(5):
        delays.failed("10.0.0.1", 0.0)
    delays.failed("10.0.0.1", FORGET_AFTER_S + 1)
    assert delays.delay_s("10.0.0.1", FORGET_AFTER_S + 1) == 0


def test_the_table_is_bounded():
    delays = TokenDelays(max_addresses=10)
    for number in range(100):
        for _ in range(4):
            delays.failed(f"10.0.0.{number}", float(number))
    assert [number for number in range(100) if delays.delay_s(f"10.0.0.{number}", 100.0)] == list(range(90, 100))
