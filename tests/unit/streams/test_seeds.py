"""A seed from picture to picture: policies, walks by pictures and by time, and the lock."""

import pytest

from bridge.errors import InvalidValueError
from bridge.streams.control_records import Rejected, SeedSet, SeedSteered
from bridge.streams.controls import read_controls
from bridge.streams.seeds import SeedWalk, check_seed_every, check_seed_every_s
from bridge.types import SeedPolicy


def walk(policy=SeedPolicy.INCREMENT, seed=10, **steps):
    made = SeedWalk(policy)
    made.start(seed)
    made.use_steps(steps.get("every"), steps.get("every_s"))
    return made


def take(made, count, *, step_s=0.0, now=100.0):
    numbers = iter(range(1000, 2000))
    return [made.take(lambda bits: next(numbers), now + place * step_s) for place in range(count)]


def test_each_picture_another_one():
    assert take(walk(), 3) == [10, 11, 12]
    assert take(walk(SeedPolicy.RANDOM), 3) == [1000, 1001, 1002]
    assert take(walk(SeedPolicy.FIXED), 3) == [10, 10, 10]
    assert take(walk(seed=2**64 - 1), 2) == [2**64 - 1, 0]


def test_a_walk_by_pictures():
    assert take(walk(every=3), 7) == [10, 10, 10, 11, 11, 11, 12]
    assert take(walk(SeedPolicy.RANDOM, every=2), 4) == [1000, 1000, 1001, 1001]


def test_a_walk_by_time():
    assert take(walk(every_s=1.0), 6, step_s=0.4) == [10, 10, 10, 11, 11, 11]
    assert take(walk(every_s=1.0, every=2), 4, step_s=5.0) == [10, 10, 11, 11]


def test_lock_and_unlock():
    made = walk()
    assert take(made, 3) == [10, 11, 12]
    made.lock(11)
    assert made.is_locked
    assert take(made, 3) == [11, 11, 11]
    made.lock(4)
    made.unlock()
    assert not made.is_locked
    assert take(made, 2) == [4, 5]
    made.lock(4)
    made.use_policy(SeedPolicy.FIXED)
    assert not made.is_locked
    made.unlock()
    assert made.policy is SeedPolicy.FIXED


def test_a_seed_that_is_set_comes_next_whatever_is_held():
    made = walk(every=10)
    take(made, 2)
    made.start(77)
    assert take(made, 2) == [77, 77]


@pytest.mark.parametrize("raw", [0, -1, 1.5, 1e9, "3", True, float("nan")])
def test_pictures_that_are_none(raw):
    with pytest.raises(InvalidValueError):
        check_seed_every(raw)


@pytest.mark.parametrize("raw", [-0.1, 1e9, "3", False, float("inf")])
def test_seconds_that_are_none(raw):
    with pytest.raises(InvalidValueError):
        check_seed_every_s(raw)


class Plain:
    parameters = {}  # noqa: RUF012


def read(address, *arguments):
    (control,) = read_controls(f"/texbridge/main/{address}", arguments, {"main": Plain()}, str.__eq__)
    return control


@pytest.mark.parametrize(
    ("address", "arguments", "control"),
    [
        ("seed", (5,), SeedSet("main", 5)),
        ("seed", ("5",), SeedSet("main", 5)),
        ("seed", ("random",), SeedSteered("main", SeedPolicy.RANDOM)),
        ("seed", ("increment",), SeedSteered("main", SeedPolicy.INCREMENT)),
        ("seed", ("fixed",), SeedSteered("main", SeedPolicy.FIXED)),
        ("seed", ("lock",), SeedSteered("main", lock=True)),
        ("seed", ("unlock",), SeedSteered("main", lock=False)),
        ("seed/lock", (1,), SeedSteered("main", lock=True)),
        ("seed/lock", (0.0,), SeedSteered("main", lock=False)),
        ("seed/every", (8.0,), SeedSteered("main", every=8)),
        ("seed/every_s", (2,), SeedSteered("main", every_s=2.0)),
    ],
)
def test_osc(address, arguments, control):
    assert read(address, *arguments) == control


@pytest.mark.parametrize(
    ("address", "arguments", "words"),
    [
        ("seed", ("lok",), "nearest is lock"),
        ("seed/evry", (1,), "below seed there are lock, every, every_s"),
        ("seed/lock/1", (1,), "below seed there are"),
        ("seed/every", (0,), "outside 1..1000000"),
        ("seed/every", (1.5,), "has a fraction"),
        ("seed/every", (), "takes one number"),
        ("seed/every_s", ("x",), "takes one number"),
        ("seed/lock", (), "takes 0 or 1"),
        ("seed", ("lock", 1), "whole number"),
    ],
)
def test_osc_that_is_wrong(address, arguments, words):
    control = read(address, *arguments)
    assert isinstance(control, Rejected)
    assert words in control.message
