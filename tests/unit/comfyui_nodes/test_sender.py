"""The pack's sender: buffers that are used again, and a client that doesn't read."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from node_pack import load

sender = load("sender")


class Server:
    """ComfyUI's queue of messages: what waits in it is referred to, what is written is not."""

    def __init__(self) -> None:
        self.messages: deque[tuple[int, bytearray, str]] = deque()

    def send_sync(self, event: int, data: bytearray, client_id: str) -> None:
        self.messages.append((event, data, client_id))


def send(to: Any, size: int, first: int) -> int:
    """Send a message, and give its buffer's identity."""
    buffer = to.buffer(size)
    buffer[0] = first
    to.send(1, buffer, "client")
    return id(buffer)


def test_a_written_buffer_is_used_again() -> None:
    server = Server()
    to = sender.Sender(server)
    first = send(to, 100, 1)
    assert send(to, 100, 2) != first
    assert [message[1][0] for message in server.messages] == [1, 2]  # what waits is left alone
    server.messages.popleft()
    assert send(to, 100, 3) == first
    assert [message[1][0] for message in server.messages] == [2, 3]


def test_the_event_loop_gets_its_turn_after_every_picture() -> None:
    server = Server()
    seen: list[int] = []
    to = sender.Sender(server, let_go=lambda: seen.append(len(server.messages)))
    send(to, 100, 1)
    send(to, 100, 2)
    assert seen == [1, 2]


def test_few_buffers_are_kept() -> None:
    server = Server()
    to = sender.Sender(server)
    for size in range(1, 50):
        send(to, size, 1)
        server.messages.clear()
    assert len(to._buffers) <= 5


def test_it_waits_for_a_client_that_is_slow() -> None:
    server = Server()
    waited = []

    def pause() -> None:
        waited.append(len(server.messages))
        server.messages.popleft()

    to = sender.Sender(server, max_waiting_bytes=250, pause=pause)
    for number in range(5):
        send(to, 100, number)
    assert waited == [2, 2, 2]


def test_it_gives_up_on_one_that_does_not_read() -> None:
    server = Server()
    to = sender.Sender(server, max_waiting_bytes=250, give_up_after_s=0.0, pause=lambda: None)
    send(to, 100, 1)
    send(to, 100, 2)
    with pytest.raises(sender.SlowClientError, match="2 pictures"):
        to.buffer(100)
    assert len(server.messages) == 2


def test_an_interrupt_ends_the_waiting() -> None:
    def pause() -> None:
        raise KeyboardInterrupt

    to = sender.Sender(Server(), max_waiting_bytes=250, pause=pause)
    send(to, 100, 1)
    send(to, 100, 2)
    with pytest.raises(KeyboardInterrupt):
        to.buffer(100)


def test_one_large_message_is_no_backlog() -> None:
    """ComfyUI refers to the message that it wrote last until the next comes."""
    server = Server()
    to = sender.Sender(server, max_waiting_bytes=50, pause=lambda: pytest.fail("waited"))
    send(to, 100, 1)
    send(to, 100, 2)


def test_a_message_that_no_client_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="> limit"):
        sender.Sender(None).buffer(sender.MAX_MESSAGE_BYTES + 1)
