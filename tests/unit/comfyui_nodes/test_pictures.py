"""The pack's store of pictures: sessions, limits, expiry."""

from __future__ import annotations

from typing import Any

import pytest
from node_pack import load

pictures = load("pictures")
ONE, TWO = "1" * 32, "2" * 32


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def store(clock: Clock | None = None, **limits: Any) -> Any:
    return pictures.Pictures(clock or Clock(), **limits)


def raw(name: str = "a", width: int = 2, height: int = 1, format: str = "rgb8", **more: str) -> Any:
    query = {"name": name, "format": format, "width": str(width), "height": str(height), **more}
    return pictures.Description(query, 1 << 20)


def file(name: str) -> Any:
    return pictures.Description({"name": name, "format": "png"}, 1 << 20)


def test_a_picture_is_found_by_its_ticket() -> None:
    kept = store()
    ticket = kept.put(ONE, raw(origin="bottom_left"), b"123456")
    entry = kept.get(ticket)
    assert bytes(entry.data) == b"123456"
    assert (entry.description.width, entry.description.origin) == (2, "bottom_left")
    assert ONE not in ticket
    assert kept.get("nobody/a") is None


def test_sessions_are_apart() -> None:
    kept = store()
    mine, theirs = kept.put(ONE, file("a"), b"mine"), kept.put(TWO, file("a"), b"theirs")
    assert mine != theirs
    assert kept.get(mine).data == b"mine"
    assert kept.forget(TWO) == 1
    assert kept.get(mine) is not None
    assert kept.get(theirs) is None


def test_the_same_name_keeps_the_first() -> None:
    kept = store()
    assert kept.put(ONE, file("a"), b"first") == kept.put(ONE, file("a"), b"second")
    assert kept.get(kept.put(ONE, file("a"), b"third")).data == b"first"
    assert len(kept) == 1


def test_pictures_end_unless_they_are_used() -> None:
    clock = Clock()
    kept = store(clock, keep_s=10)
    used, left = kept.put(ONE, file("used"), b"x"), kept.put(ONE, file("left"), b"x")
    clock.now = 9
    assert kept.get(used) is not None
    clock.now = 11
    assert kept.get(left) is None
    assert kept.get(used) is not None
    clock.now = 22
    kept.expire()
    assert len(kept) == 0


def test_a_session_makes_room_among_its_own_alone() -> None:
    kept = store(max_total_bytes=100, max_session_bytes=100, max_bytes=100)
    theirs = kept.put(TWO, file("big"), b"x" * 40)
    first = kept.put(ONE, file("1"), b"x" * 30)
    second = kept.put(ONE, file("2"), b"x" * 30)
    third = kept.put(ONE, file("3"), b"x" * 30)
    assert kept.get(first) is None
    assert kept.get(second) is not None
    assert kept.get(third) is not None
    with pytest.raises(pictures.RefusedPicture) as caught:
        kept.put(ONE, file("4"), b"x" * 70)
    assert caught.value.status == 503
    assert kept.get(theirs) is not None


def test_pictures_under_way_take_room_already() -> None:
    kept = store(max_total_bytes=100, max_session_bytes=80, max_bytes=80, max_entries=3)
    old = kept.put(ONE, file("old"), b"x" * 30)
    with kept.under_way(ONE, 60):
        assert kept.get(old) is None  # made room for what comes
        with pytest.raises(pictures.RefusedPicture) as caught, kept.under_way(TWO, 50):
            pass
        assert caught.value.status == 503
        with pytest.raises(pictures.RefusedPicture), kept.under_way(ONE, 30):
            pass
        with kept.under_way(TWO, 20), kept.under_way(TWO, 20):
            with pytest.raises(pictures.RefusedPicture), kept.under_way(TWO, 0):
                pass  # three of them
            with pytest.raises(pictures.RefusedPicture):
                kept.put(TWO, file("late"), b"x")
    assert kept.put(ONE, file("new"), b"x" * 60)
    with pytest.raises(KeyError), kept.under_way(TWO, 40):
        raise KeyError  # the sender is cut
    assert kept.put(TWO, file("a"), b"x" * 40)


def test_some_pictures_of_a_session_are_forgotten_by_name() -> None:
    kept = store()
    tickets = {name: kept.put(ONE, file(name), b"x") for name in "abc"}
    theirs = kept.put(TWO, file("a"), b"x")
    assert kept.forget(ONE, ["a", "b", "none"]) == 2
    assert [name for name, ticket in tickets.items() if kept.get(ticket)] == ["c"]
    assert kept.get(theirs) is not None
    assert kept.forget(ONE, []) == 0


def test_the_number_of_pictures_is_bounded() -> None:
    kept = store(max_entries=3)
    for number in range(10):
        kept.put(ONE, file(str(number)), b"x")
    assert len(kept) == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"name": "../a", "format": "png"}, 400),
        ({"name": "a" * 65, "format": "png"}, 400),
        ({"format": "png"}, 400),
        ({"name": "a", "format": "gif"}, 400),
        ({"name": "a", "format": "rgb8"}, 400),
        ({"name": "a", "format": "rgb8", "width": "0", "height": "1"}, 400),
        ({"name": "a", "format": "rgb8", "width": "-1", "height": "1"}, 400),
        ({"name": "a", "format": "rgb8", "width": "1e3", "height": "1"}, 400),
        ({"name": "a", "format": "rgb8", "width": "²", "height": "1"}, 400),
        ({"name": "a", "format": "rgb8", "width": "99999", "height": "99999"}, 413),
        ({"name": "a", "format": "rgb8", "width": "1", "height": "1", "origin": "middle"}, 400),
    ],
)
def test_bad_descriptions(query: dict[str, str], status: int) -> None:
    with pytest.raises(pictures.RefusedPicture) as caught:
        pictures.Description(query, 1 << 20)
    assert caught.value.status == status


@pytest.mark.parametrize("secret", ["", "short", "x" * 129, "white space in it is no secret", "ü" * 20])
def test_bad_sessions(secret: str) -> None:
    with pytest.raises(pictures.RefusedPicture) as caught:
        store().put(secret, file("a"), b"x")
    assert caught.value.status == 401


def test_bad_lengths() -> None:
    kept = store(max_bytes=10)
    for description, data, status in [(raw(), b"12345", 400), (file("a"), b"", 400), (file("a"), b"x" * 11, 413)]:
        with pytest.raises(pictures.RefusedPicture) as caught:
            kept.put(ONE, description, data)
        assert caught.value.status == status
    assert len(kept) == 0
