"""Which of the waiting requests is first, and which request is due next, without ever searching for either."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Mapping
from math import inf

from bridge.scheduler.state import Lane, Request


class OrderedNumbers:
    """Request numbers by a key, smallest first, where entries that no longer hold are skipped, not searched for.

    Args:
        holds: tells whether (key, number) still says something true. Entries that don't are dropped when they come
            to the front, and all of them whenever they outnumber the others.
    """

    def __init__(self, holds: Callable[[float, int], bool]) -> None:
        self._holds = holds
        self._heap: list[tuple[float, int]] = []
        self._sweep_at = 64

    def push(self, key: float, number: int) -> None:
        """Add an entry."""
        heapq.heappush(self._heap, (key, number))
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if self._holds(*entry)]
            heapq.heapify(self._heap)
            self._sweep_at = max(64, 2 * len(self._heap))

    def first(self) -> tuple[float, int] | None:
        """Give the entry with the smallest key that still holds, and keep it."""
        while self._heap and not self._holds(*self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def pop(self) -> None:
        """Drop the entry that `first` gave."""
        heapq.heappop(self._heap)


class Agenda:
    """The waiting requests in their order, and the deadlines of all. `requests` are the unfinished ones by number.

    Those of one stream that may go to the same backends stand in one lane: when the first of them can go nowhere now,
    the others can't either, and what stands in other lanes is not held up by them.
    """

    def __init__(self, requests: Mapping[int, Request]) -> None:
        self._requests = requests
        self._lanes: dict[object, Lane] = {}
        self._deadlines = OrderedNumbers(self._is_deadline)

    def enqueue(self, request: Request) -> None:
        """Put a request among those that wait."""
        frames = request.part_of is not None
        key = (request.stream.number, request.only, request.avoided, frames)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(request.stream, request.only, request.avoided, frames)
        insort(lane.entries, (request.key, request.number))
        request.lane = lane
        if request.only is None and request.part_of is None:
            request.stream.waiting += 1

    def leave(self, request: Request) -> None:
        """Take a request out of those that wait; one that doesn't wait is ignored."""
        lane = request.lane
        if lane is None:
            return
        request.lane = None
        del lane.entries[bisect_left(lane.entries, (request.key, request.number))]
        if not lane.entries:
            del self._lanes[lane.stream.number, lane.only, lane.avoided, lane.frames]
        if request.only is None and request.part_of is None:
            request.stream.waiting -= 1

    def lanes(self) -> Collection[Lane]:
        """Give the lanes; none is empty."""
        return self._lanes.values()

    def request(self, lane: Lane, place: int = 0) -> Request:
        """Give the request at a place of a lane, 0 is the first by priority and age."""
        return self._requests[lane.entries[place][1]]

    def arm(self, request: Request, now: float) -> None:
        """Let a request's deadline, if it has one, count from now."""
        if request.deadline_s is not None:
            request.deadline_at = now + request.deadline_s
            self._deadlines.push(request.deadline_at, request.number)

    def fail_at(self, request: Request, at: float) -> None:
        """Have a lost request given up at `at`, unless it is somewhere by then."""
        request.fail_at = at
        self._deadlines.push(at, request.number)

    def take_due(self, now: float) -> Request | None:
        """Give a request whose deadline or patience is over, each once; None if there is none."""
        first = self._deadlines.first()
        if first is None or first[0] > now:
            return None
        self._deadlines.pop()
        return self._requests[first[1]]

    def next_deadline(self) -> float:
        """Give when `take_due` will have one, `inf` for never."""
        first = self._deadlines.first()
        return inf if first is None else first[0]

    def _is_deadline(self, at: float, number: int) -> bool:
        request = self._requests.get(number)
        return request is not None and at in (request.deadline_at, request.fail_at)
