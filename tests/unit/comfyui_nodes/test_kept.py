"""The node pack's last pictures of loops: the last two of each, bounded, by a clock that is passed in."""

import pytest
from node_pack import load

KeptPictures = load("kept").KeptPictures


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def kept(**limits):
    clock = Clock()
    return KeptPictures(clock, keep_s=10.0, **limits), clock


def test_the_last_two_of_each_loop():
    pictures, _ = kept()
    for step in range(4):
        pictures.keep(f"one/{step}", step, 8)
    pictures.keep("two/0", "x", 8)
    assert [pictures.get(f"one/{step}") for step in range(4)] == [None, None, 2, 3]
    assert pictures.get("two/0") == "x"
    assert len(pictures) == 3


def test_they_end_unless_they_are_used():
    pictures, clock = kept()
    pictures.keep("one/a", 1, 8)
    pictures.keep("two/a", 2, 8)
    clock.now = 9.0
    assert pictures.get("one/a") == 1
    clock.now = 12.0
    pictures.expire()
    assert len(pictures) == 1
    assert pictures.get("one/a") == 1
    clock.now = 30.0
    assert pictures.get("one/a") is None
    assert len(pictures) == 0


def test_the_longest_unused_loop_goes_first():
    pictures, _ = kept(max_loops=2)
    pictures.keep("one/a", 1, 8)
    pictures.keep("two/a", 2, 8)
    assert pictures.get("one/a") == 1
    pictures.keep("three/a", 3, 8)
    assert [pictures.get(f"{name}/a") for name in ("one", "two", "three")] == [1, None, 3]
    pictures, _ = kept(max_total_bytes=100)
    pictures.keep("one/a", 1, 60)
    pictures.keep("two/a", 2, 60)
    assert [pictures.get(f"{name}/a") for name in ("one", "two")] == [None, 2]
    pictures.keep("large/a", 3, 200)
    assert len(pictures) == 0


@pytest.mark.parametrize("name", ["", "one", "one/", "/a", "one/a/b", "ö/a", "one/a\n", "a" * 65 + "/a"])
def test_names_that_are_none(name):
    pictures, _ = kept()
    with pytest.raises(ValueError, match="LOOP/STEP"):
        pictures.keep(name, 1, 8)
    assert pictures.get(name) is None


def test_somebody_may_hear_of_it():
    pictures, _ = kept()
    heard = []
    pictures.on_keep = lambda: heard.append(len(pictures))
    pictures.keep("one/a", 1, 8)
    assert heard == [1]
