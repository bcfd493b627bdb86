"""Buffers are bounded, used again, and given back exactly once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bridge.errors import BridgeError, ErrorCode
from bridge.frames.leases import BufferPool, CountedLease, size_class
from bridge.types import Sink

MIB = 1 << 20


@pytest.mark.parametrize(
    ("payload_bytes", "size"),
    [
        (0, 4096),
        (1, 4096),
        (4096, 4096),
        (4097, 5120),
        (5120, 5120),
        (5121, 6144),
        (7169, 8192),
        (512 * 512 * 4, MIB),
        (512 * 512 * 3, MIB * 3 // 4),
        (MIB + 1, MIB * 5 // 4),
        (1920 * 1080 * 4, 8 * MIB),
    ],
)
def test_size_classes(payload_bytes: int, size: int) -> None:
    assert size_class(payload_bytes) == size


def test_a_size_class_never_wastes_more_than_a_quarter() -> None:
    for payload_bytes in [*range(4_096, 20_000, 7), *range(MIB, 5 * MIB, 99_991)]:
        assert payload_bytes <= size_class(payload_bytes) <= payload_bytes * 1.25 + 1


@pytest.mark.parametrize("payload_bytes", [0, 1, 3, 4096, 12_345, MIB])
def test_a_view_is_exact_aligned_and_writable(payload_bytes: int) -> None:
    pool: Sink = BufferPool()
    lease = pool.lend(payload_bytes)
    view = lease.view
    assert (view.nbytes, view.format, view.readonly) == (payload_bytes, "B", False)
    view[:] = b"\x5a" * payload_bytes
    if payload_bytes:
        assert np.frombuffer(view, np.uint8).ctypes.data % 16 == 0
    lease.release()


def test_a_released_buffer_serves_the_next_frame() -> None:
    pool = BufferPool()
    first = pool.lend(MIB)
    first.view[:4] = b"mark"
    first.release()
    second = pool.lend(MIB - 5)
    assert bytes(second.view[:4]) == b"mark"
    assert second.view.nbytes == MIB - 5
    assert pool.stats()[:7] == (1, MIB, 0, MIB, 1, 1, 0)
    second.release()


def test_two_leases_never_share_a_buffer() -> None:
    pool = BufferPool()
    leases = [pool.lend(5000) for _ in range(20)]
    for number, lease in enumerate(leases):
        lease.view[:] = bytes((number,)) * 5000
    assert all(bytes(lease.view) == bytes((number,)) * 5000 for number, lease in enumerate(leases))
    for lease in leases:
        lease.release()


def test_owners_are_counted() -> None:
    pool = BufferPool()
    lease = pool.lend(10)
    lease.retain()
    lease.retain()
    lease.release()
    lease.release()
    assert lease.owners == 1
    assert pool.stats().lent == 1
    assert lease.view.nbytes == 10
    lease.release()
    assert pool.stats().lent == 0


def test_a_lease_is_over_after_its_last_release() -> None:
    lease = BufferPool().lend(10)
    lease.release()
    for use in (lease.release, lease.retain, lambda: lease.view):
        with pytest.raises(RuntimeError, match="over"):
            use()


def test_a_double_release_gives_nothing_back_twice() -> None:
    pool = BufferPool()
    lease, other = pool.lend(MIB), pool.lend(MIB)
    lease.release()
    with pytest.raises(RuntimeError):
        lease.release()
    assert (pool.stats().lent, pool.stats().lent_bytes) == (1, MIB)
    other.release()


def test_the_limit_is_never_passed() -> None:
    pool = BufferPool(max_bytes=3 * MIB)
    leases = [pool.lend(MIB) for _ in range(3)]
    with pytest.raises(BridgeError, match="frame buffers are full") as caught:
        pool.lend(1)
    assert caught.value.code is ErrorCode.TOO_SLOW
    assert caught.value.limit == 3 * MIB
    leases.pop().release()
    pool.lend(MIB).release()
    for lease in leases:
        lease.release()
    assert pool.stats().refused == 1
    assert pool.stats().peak_bytes <= 3 * MIB


def test_kept_buffers_make_room_for_other_sizes() -> None:
    pool = BufferPool(max_bytes=4 * MIB, max_idle_bytes=4 * MIB)
    for lease in [pool.lend(MIB) for _ in range(4)]:
        lease.release()
    assert pool.stats().idle_bytes == 4 * MIB
    large = pool.lend(3 * MIB)
    stats = pool.stats()
    assert (stats.lent_bytes, stats.idle_bytes, stats.peak_bytes) == (3 * MIB, MIB, 4 * MIB)
    large.release()


def test_what_is_kept_is_bounded_and_the_unused_goes_first() -> None:
    pool = BufferPool(max_bytes=100 * MIB, max_idle_bytes=3 * MIB)
    small, large = pool.lend(MIB), pool.lend(2 * MIB)
    small.release()
    large.release()
    other = pool.lend(3 * MIB // 2)
    other.release()
    assert pool.stats().idle_bytes == 3 * MIB // 2  # 1 went, then 2
    pool.clear()
    assert pool.stats().idle_bytes == 0


def test_a_negative_size_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="-1"):
        BufferPool().lend(-1)


def test_a_forgotten_lease_warns_and_its_bytes_come_back() -> None:
    pool = BufferPool(max_bytes=MIB)
    lease = pool.lend(MIB)
    kept = lease.view[:4]
    kept[:] = b"kept"
    with pytest.warns(ResourceWarning, match="never released"):
        del lease
    stats = pool.stats()
    assert (stats.lent_bytes, stats.idle_bytes, stats.lost) == (0, 0, 1)
    other = pool.lend(MIB)
    other.view[:4] = b"new."
    assert bytes(kept) == b"kept"  # the forgotten buffer is not used again
    other.release()


def test_a_lease_over_bytes_needs_no_pool() -> None:
    lease = CountedLease(memoryview(b"abc"))
    lease.retain()
    lease.release()
    assert bytes(lease.view) == b"abc"
    lease.release()
    with pytest.raises(RuntimeError):
        lease.release()


def test_many_threads_lend_share_and_release() -> None:
    pool = BufferPool(max_bytes=8 * MIB)
    start = threading.Barrier(8)
    faults: list[BaseException] = []
    refused = [0] * 8

    def reader(lease: CountedLease, mark: bytes) -> None:
        if bytes(lease.view[:8]) != mark or bytes(lease.view[-8:]) != mark:
            raise AssertionError("two owners share a buffer")
        lease.release()

    def writer(number: int) -> None:
        start.wait()
        try:
            for turn in range(300):
                try:
                    lease = pool.lend(100_000 + 50_000 * ((number + turn) % 5))
                except BridgeError:
                    refused[number] += 1
                    continue
                mark = b"%03d-%04d" % (number, turn)
                lease.view[:8] = mark
                lease.view[-8:] = mark
                lease.retain()
                lease.retain()
                if turn % 10:
                    reader(lease, mark)
                    reader(lease, mark)
                else:
                    readers = [threading.Thread(target=reader, args=(lease, mark)) for _ in range(2)]
                    for thread in readers:
                        thread.start()
                    for thread in readers:
                        thread.join()
                reader(lease, mark)
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    stats = pool.stats()
    assert (stats.lent, stats.lent_bytes, stats.lost) == (0, 0, 0)
    assert stats.reused + stats.allocated + stats.refused == 8 * 300
    assert stats.refused == sum(refused)
    assert stats.peak_bytes <= 8 * MIB


def test_one_lease_shared_by_many_threads_goes_back_once() -> None:
    pool = BufferPool()
    for _ in range(50):
        lease = pool.lend(MIB)
        start = threading.Barrier(6)
        for _ in range(6):
            lease.retain()

        def use(lease: CountedLease = lease, start: threading.Barrier = start) -> None:
            start.wait()
            for _ in range(50):
                lease.retain()
                lease.release()
            lease.release()

        threads = [threading.Thread(target=use) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lease.owners == 1
        lease.release()
    assert pool.stats()[:2] == (0, 0)
    assert pool.stats().allocated == 1


def test_large_buffers_leave_half_to_ordinary_ones() -> None:
    pool = BufferPool(256 * MIB)
    large = [pool.lend(64 * MIB), pool.lend(64 * MIB)]
    with pytest.raises(BridgeError, match="large frame buffers take") as caught:
        pool.lend(32 * MIB)
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_SLOW, 128 * MIB)
    ordinary = [pool.lend(16 * MIB) for _ in range(8)]
    with pytest.raises(BridgeError, match="frame buffers are full"):
        pool.lend(16 * MIB)
    for lease in (*large, *ordinary):
        lease.release()
    pool.lend(128 * MIB).release()
    assert pool.stats()[:2] == (0, 0)


def test_one_large_buffer_alone_may_take_more_than_half() -> None:
    pool = BufferPool(100 * MIB)
    alone = pool.lend(60 * MIB)
    with pytest.raises(BridgeError, match="large frame buffers take"):
        pool.lend(20 * MIB)
    pool.lend(16 * MIB).release()
    alone.release()
    pool.lend(20 * MIB).release()


def test_a_forgotten_large_buffer_is_counted_off() -> None:
    pool = BufferPool(64 * MIB)
    lease = pool.lend(32 * MIB)
    with pytest.warns(ResourceWarning):
        del lease
    pool.lend(32 * MIB).release()
