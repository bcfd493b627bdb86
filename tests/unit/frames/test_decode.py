"""Decoding off the loop: bounded, droppable, and gone when it is closed."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from png_files import png8

from bridge.errors import BridgeError, ErrorCode, PictureDecodeError
from bridge.frames.decode import DecodeLineFullError, DecodePool, default_workers

LIMIT_S = 20.0


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """One test on a fresh loop, ended if it hangs; no thread of ours may be left over."""

    async def bounded() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test()

    asyncio.run(bounded())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("texbridge-decode")]


class Gate:
    """Work that tells when it begins and ends when it is let."""

    def __init__(self, result: object = "made") -> None:
        self.began, self.let = threading.Event(), threading.Event()
        self.result = result

    def __call__(self) -> object:
        self.began.set()
        assert self.let.wait(LIMIT_S)
        return self.result

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.began.wait, LIMIT_S)


def test_default_workers_are_two_to_four() -> None:
    assert 2 <= default_workers() <= 4


def test_pictures_decode_off_the_loop() -> None:
    async def test() -> None:
        pool = DecodePool(2)
        pixels = await asyncio.gather(*(pool.decode(png8([[[n, n, n]] * n])) for n in range(1, 20)))
        assert [p.size.width for p in pixels if p is not None] == list(range(1, 20))
        assert await pool.submit(threading.get_ident) != threading.get_ident()
        assert pool.stats() == (0, 0, 20, 0, 0)
        await pool.close()

    run(test)


def test_a_bad_picture_fails_its_own_future_alone() -> None:
    async def test() -> None:
        pool = DecodePool(1)
        good, bad = pool.decode(png8([[[1]]])), pool.decode(b"nonsense")
        results = await asyncio.gather(good, bad, return_exceptions=True)
        assert isinstance(results[1], PictureDecodeError)
        assert not isinstance(results[0], BaseException)
        await pool.close()

    run(test)


def test_no_more_run_than_there_are_workers() -> None:
    async def test() -> None:
        pool = DecodePool(2)
        gates = [Gate(number) for number in range(4)]
        futures = [pool.submit(gate) for gate in gates]
        await gates[0].begun()
        await gates[1].begun()
        assert pool.stats()[:2] == (2, 2)
        assert not gates[2].began.is_set()
        gates[0].let.set()
        await gates[2].begun()
        for gate in gates:
            gate.let.set()
        assert await asyncio.gather(*futures) == [0, 1, 2, 3]
        await pool.close()

    run(test)


def test_wanted_is_asked_just_before_work_begins_and_on_the_loop() -> None:
    async def test() -> None:
        pool = DecodePool(1)
        gate = Gate()
        first = pool.submit(gate)
        asked_in: list[int] = []
        newest = 1

        def wanted(number: int) -> Callable[[], bool]:
            def ask() -> bool:
                asked_in.append(threading.get_ident())
                return number == newest

            return ask

        old, new = pool.submit(lambda: "old", wanted(1)), pool.submit(lambda: "new", wanted(2))
        await gate.begun()
        assert asked_in == []
        newest = 2
        gate.let.set()
        assert await asyncio.gather(first, old, new) == ["made", None, "new"]
        assert asked_in == [threading.get_ident()] * 2
        assert pool.stats().dropped == 1
        await pool.close()

    run(test)


def test_a_full_line_first_drops_what_is_overtaken_then_lets_the_oldest_picture_go() -> None:
    async def test() -> None:
        pool = DecodePool(1, max_waiting=3)
        gate = Gate()
        running = pool.submit(gate)
        await gate.begun()
        overtaken = False
        stays = pool.submit(lambda: 0)
        first = pool.submit(lambda: 1, lambda: not overtaken)
        second = pool.submit(lambda: 2, lambda: True)
        third = pool.submit(lambda: 3, lambda: True)  # wanted like the first, and newer
        with pytest.raises(DecodeLineFullError, match="3 pictures wait") as caught:
            await first
        assert caught.value.code is ErrorCode.TOO_SLOW
        fourth = pool.submit(lambda: 4, lambda: not overtaken)
        with pytest.raises(DecodeLineFullError):
            await second
        overtaken = True
        fifth = pool.submit(lambda: 5, lambda: True)
        gate.let.set()
        assert await asyncio.gather(running, stays, third, fourth, fifth) == ["made", 0, 3, None, 5]
        assert pool.stats() == (0, 0, 4, 1, 2)
        await pool.close()

    run(test)


def test_a_full_line_of_work_that_stays_refuses_what_comes() -> None:
    async def test() -> None:
        pool = DecodePool(1, max_waiting=1)
        gate = Gate()
        running = pool.submit(gate)
        await gate.begun()
        waiting = pool.submit(lambda: 1)
        with pytest.raises(DecodeLineFullError, match="1 pictures wait"):
            pool.submit(lambda: 2, lambda: True)
        gate.let.set()
        assert await asyncio.gather(running, waiting) == ["made", 1]
        await pool.close()

    run(test)


def test_slow_work_leaves_a_thread_to_the_rest() -> None:
    async def test() -> None:
        pool = DecodePool(2)
        gates = [Gate("first"), Gate("second")]
        slow = [pool.submit(gate, lambda: True, slow=True) for gate in gates]
        await gates[0].begun()
        assert await pool.submit(lambda: "quick") == "quick"
        assert not gates[1].began.is_set()
        assert pool.stats().waiting == 1
        for gate in gates:
            gate.let.set()
        assert await asyncio.gather(*slow) == ["first", "second"]
        await pool.close()

    run(test)


def test_slow_work_that_is_overtaken_keeps_no_place() -> None:
    async def test() -> None:
        pool = DecodePool(2)
        gate = Gate()
        running = pool.submit(gate, slow=True)
        await gate.begun()
        newest = 0

        def offer(number: int) -> asyncio.Future[int | None]:
            nonlocal newest
            newest = number
            return pool.submit(lambda: number, lambda: number == newest, slow=True)

        offered = [offer(number) for number in range(100)]
        assert pool.stats().waiting <= 2
        gate.let.set()
        assert await running == "made"
        assert await offered[-1] == 99
        await pool.close()

    run(test)


def test_cancelled_work_that_waits_never_begins() -> None:
    async def test() -> None:
        pool = DecodePool(1)
        gate, never = Gate(), Gate()
        running = pool.submit(gate)
        await gate.begun()
        waiting = pool.submit(never)
        waiting.cancel()
        gate.let.set()
        await running
        assert await pool.submit(lambda: "after") == "after"
        assert not never.began.is_set()
        await pool.close()

    run(test)


def test_the_result_of_cancelled_running_work_is_disposed_of() -> None:
    async def test() -> None:
        pool = DecodePool(1)
        gate = Gate("a lease")
        disposed: list[object] = []
        future = pool.submit(gate, dispose=disposed.append)
        await gate.begun()
        future.cancel()
        gate.let.set()
        assert await pool.submit(lambda: "after") == "after"
        assert disposed == ["a lease"]
        await pool.close()

    run(test)


def test_a_result_that_comes_as_its_asker_leaves_is_disposed_of() -> None:
    """The asker is cancelled in the very turn in which the result is there: nobody else knows of it."""

    async def test() -> None:
        pool = DecodePool(workers=1)
        disposed: list[object] = []
        finish = pool._finish

        def finish_and_cancel(*arguments: Any) -> None:
            finish(*arguments)
            asker.cancel()

        pool._finish = finish_and_cancel  # type: ignore[method-assign]
        asker = asyncio.create_task(pool.run(lambda: "picture", disposed.append))
        with pytest.raises(asyncio.CancelledError):
            await asker
        assert disposed == ["picture"]
        pool._finish = finish  # type: ignore[method-assign]
        assert await pool.run(lambda: "kept", disposed.append) == "kept"
        assert disposed == ["picture"]
        await pool.close()

    run(test)


def test_a_failing_wanted_is_told_to_its_caller_and_stops_nothing() -> None:
    async def test() -> None:
        pool = DecodePool(1)

        def wanted() -> bool:
            raise ZeroDivisionError

        future = pool.submit(lambda: 1, wanted)
        with pytest.raises(ZeroDivisionError):
            await future
        assert await pool.submit(lambda: 2) == 2
        await pool.close()

    run(test)


def test_close_drops_what_waits_and_ends_what_runs() -> None:
    async def test() -> None:
        pool = DecodePool(1)
        gate = Gate()
        running, waiting = pool.submit(gate), pool.submit(lambda: "never")
        await gate.begun()
        closing = asyncio.create_task(pool.close())
        assert await waiting is None
        assert not closing.done()
        with pytest.raises(BridgeError) as caught:
            pool.submit(lambda: 1)
        assert caught.value.code is ErrorCode.DRAINING
        gate.let.set()
        await closing
        assert await running == "made"
        await pool.close()

    run(test)


def test_nothing_global_is_touched() -> None:
    before = sys.getswitchinterval(), threading.stack_size()

    async def test() -> None:
        pool = DecodePool(2)
        await pool.decode(png8([[[1]]]))
        await pool.close()

    run(test)
    assert (sys.getswitchinterval(), threading.stack_size()) == before
