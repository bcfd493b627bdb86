"""The prompt queue and the history."""

import threading

import pytest

from bridge.embedded.prompts import History, PromptQueue, QueuedPrompt


def prompt(number: float, prompt_id: str) -> QueuedPrompt:
    return QueuedPrompt(number, prompt_id, {"1": {"class_type": prompt_id}}, {}, ("1",))


def test_lowest_number_first_and_every_change_told() -> None:
    told: list[int] = []
    queue = PromptQueue(told.append)
    for number, name in ((3, "c"), (-4, "front"), (1.5, "b"), (0, "a")):
        queue.put(prompt(number, name))
    taken = []
    for _ in range(4):
        item = queue.take()
        assert item is not None
        assert queue.is_running(item.prompt_id)
        taken.append(item.prompt_id)
        queue.finish(item)
    assert taken == ["front", "a", "b", "c"]
    assert told == [1, 2, 3, 4, 4, 3, 3, 2, 2, 1, 1, 0]


def test_delete_and_clear_take_only_what_waits() -> None:
    told: list[int] = []
    queue = PromptQueue(told.append)
    for number, name in enumerate("abcd"):
        queue.put(prompt(number, name))
    running = queue.take()
    assert running is not None
    told.clear()
    assert not queue.delete("a")
    assert not queue.delete("nobody")
    assert told == []
    assert queue.delete("c")
    assert [item.prompt_id for item in queue.snapshot()[1]] == ["b", "d"]
    queue.clear()
    assert told == [3, 1]
    assert [item.prompt_id for item in queue.snapshot()[0]] == ["a"]
    assert queue.remaining == 1


def test_equal_number_and_id_cannot_be_ordered() -> None:
    """ComfyUI's worker dies of this; see QueuedPrompt."""
    queue = PromptQueue(lambda remaining: None)
    queue.put(QueuedPrompt(7, "x", {"1": {}}, {}, ()))
    with pytest.raises(TypeError):
        queue.put(QueuedPrompt(7, "x", {"2": {}}, {}, ()))


def test_full() -> None:
    queue = PromptQueue(lambda remaining: None, limit=2)
    queue.put(prompt(1, "a"))
    queue.put(prompt(2, "b"))
    with pytest.raises(OverflowError, match="limit 2"):
        queue.put(prompt(3, "c"))


def test_take_ends_when_closed_or_asked_to_forget() -> None:
    queue = PromptQueue(lambda remaining: None)
    taken: list[QueuedPrompt | None] = []
    for wake in (queue.ask_to_forget, queue.close):
        thread = threading.Thread(target=lambda: taken.append(queue.take()))
        thread.start()
        wake()
        thread.join(10)
        assert not thread.is_alive()
        queue.must_forget()
    assert taken == [None, None]
    assert queue.closed


def test_history_keeps_the_newest() -> None:
    history = History(limit=3)
    for name in "abcd":
        history.add(name, {"name": name})
    assert history.one("a") == {}
    assert history.one("b") == {"b": {"name": "b"}}
    assert list(history.some(None, -1)) == ["b", "c", "d"]
    assert list(history.some(2, -1)) == ["c", "d"]
    assert list(history.some(2, 0)) == ["b", "c"]
    assert list(history.some(9, -1)) == ["b", "c", "d"]
    history.delete("c")
    history.delete("c")
    assert list(history.some(None, -1)) == ["b", "d"]
    history.clear()
    assert history.some(None, -1) == {}
