"""The OSC door over real UDP sockets: what comes in, in which order and when; bad packets; strangers; what goes out.

Packets are written by hand here, by OSC 1.0; only the door decodes.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import struct
import time

import pytest
from link_rig import run

from bridge.errors import ConfigError, UnknownNameError
from bridge.links.osc_udp import TURN_S, OscDoor, OscTimes

NTP_S = 2_208_988_800
NOW_S = 1_800_000_000.0
LIMIT_S = 20.0


def text(words: str) -> bytes:
    data = words.encode() + b"\0"
    return data + bytes(-len(data) % 4)


def message(address: str, value: int) -> bytes:
    return text(address) + text(",i") + struct.pack(">i", value)


def tag(unix_s: float) -> int:
    return int((unix_s + NTP_S) * 2**32)


def bundle(time_tag: int, *elements: bytes) -> bytes:
    return b"#bundle\0" + struct.pack(">Q", time_tag) + b"".join(struct.pack(">I", len(e)) + e for e in elements)


class OscRig:
    """A door, a hub that keeps what it gets, and a sender; the wall clock stands at NOW_S."""

    def __init__(self, host: str = "127.0.0.1", **options) -> None:
        self.got: list[tuple[tuple[str, int], ...]] = []
        self.senders: list[tuple[str, int]] = []
        self.changed = asyncio.Event()
        self.host = host
        self.bad = []
        self.door = OscDoor(self, wall_clock=lambda: NOW_S, **options)

    def bad_packet(self, error, sender):
        self.bad.append((error.code, sender))
        self.changed.set()

    def osc(self, messages, sender):
        self.got.append(tuple((m.address, m.arguments[0] if m.arguments else None) for m in messages))
        self.senders.append(sender)
        self.changed.set()
        if messages[0].address == "/unknown":
            raise UnknownNameError("nobody knows it")
        if messages[0].address == "/bug":
            raise ZeroDivisionError

    async def __aenter__(self):
        await self.door.start(self.host, 0)
        host, _, port = self.door.address.rpartition(":")
        self.target = (host.strip("[]"), int(port))
        self.sender = socket.socket(socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        return self

    async def __aexit__(self, *_):
        self.sender.close()
        await self.door.close()

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.sender.sendto(packet, self.target)

    async def until(self, count: int):
        async with asyncio.timeout(LIMIT_S):
            while len(self.got) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.got

    async def counted(self, reason: str, count: int) -> None:
        """Wait for a count; a good packet afterwards shows that the door has looked at all before."""
        before = len(self.got)
        self.send(message("/last", 0))
        await self.until(before + 1)
        assert self.door.counts.get(reason, 0) == count, self.door.counts


@contextlib.contextmanager
def time_stands():
    """No time tag falls due in here: what is sent is taken before that, however slowly."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    loop.time = lambda: now
    try:
        yield
    finally:
        del loop.time


def test_messages_arrive_in_order_one_tuple_each():
    async def test():
        async with OscRig() as rig:
            rig.send(*(message("/a/b", number) for number in range(200)))
            assert await rig.until(200) == [(("/a/b", number),) for number in range(200)]
            assert rig.senders[0] == ("127.0.0.1", rig.sender.getsockname()[1])

    run(test)


def test_packets_that_take_long_are_taken_in_turns_with_everybody_else():
    """However full the socket is, a turn of the loop ends once its time is over: here after each packet."""

    async def test():
        async with OscRig() as rig:
            turns = 0
            taken_in: list[int] = []

            def turn() -> None:
                nonlocal turns
                turns += 1
                loop.call_soon(turn)

            def slow(messages, sender):
                taken_in.append(turns)
                until = time.perf_counter() + 2 * TURN_S
                while time.perf_counter() < until:
                    pass
                OscRig.osc(rig, messages, sender)

            rig.osc = slow
            loop = asyncio.get_running_loop()
            rig.send(*(message("/a/b", number) for number in range(20)))
            loop.call_soon(turn)
            await rig.until(20)
            assert len(set(taken_in)) == 20, taken_in

    run(test)


def test_a_large_datagram():
    async def test():
        async with OscRig() as rig:
            packet = bundle(1, *(message("/a/b", number) for number in range(990)))
            rig.send(packet, text("/long") + text(",s") + text("x" * 65_400))
            got = await rig.until(2)
            assert len(got[0]) == 990
            assert len(got[1][0][1]) == 65_400

    run(test)


@pytest.mark.parametrize("when", [1, 0, tag(0.0), tag(NOW_S - 1), tag(NOW_S)])
def test_a_bundle_for_now_is_one_tuple_in_order(when):
    async def test():
        async with OscRig() as rig:
            rig.send(bundle(when, message("/a", 1), bundle(1, message("/b", 2)), message("/c", 3)))
            assert await rig.until(1) == [(("/a", 1), ("/b", 2), ("/c", 3))]

    run(test)


def test_future_bundles_are_held_and_released_by_their_tags():
    async def test():
        async with OscRig() as rig:
            with time_stands():
                rig.send(
                    bundle(tag(NOW_S + 0.12), message("/late", 1)),
                    bundle(tag(NOW_S + 0.06), message("/soon", 2)),
                    bundle(tag(NOW_S + 0.12), message("/late", 3)),
                    bundle(tag(NOW_S + 0.06), message("/soon", 4)),
                    message("/now", 5),
                )
                await rig.until(1)
            got = await rig.until(5)
            assert [messages[0][1] for messages in got] == [5, 2, 4, 1, 3]
            assert rig.door.counts["held"] == 4

    run(test)


def test_an_inner_bundle_with_a_later_tag_waits_alone():
    async def test():
        async with OscRig() as rig:
            inner = bundle(tag(NOW_S + 0.05), message("/inner", 2), message("/inner", 3))
            rig.send(bundle(1, message("/outer", 1), inner, message("/outer", 4)))
            assert await rig.until(2) == [(("/outer", 1), ("/outer", 4)), (("/inner", 2), ("/inner", 3))]

    run(test)


def test_too_far_ahead_is_done_at_once_and_warned_of_once(caplog):
    async def test():
        async with OscRig() as rig:
            rig.send(
                bundle(tag(NOW_S + 3600.25), message("/a", 1)),
                bundle(tag(NOW_S + 1.5), message("/a", 2)),
                bundle(0xFFFFFFFF_FFFFFFFF, message("/a", 3)),
            )
            assert [messages[0][1] for messages in await rig.until(3)] == [1, 2, 3]
            assert rig.door.counts["too_far_ahead"] == 3

    with caplog.at_level(logging.WARNING, "bridge.links.osc"):
        run(test)
    assert len(caplog.records) == 1
    assert "3600.250 s ahead" in caplog.text


def test_at_most_so_many_are_held():
    async def test():
        async with OscRig(times=OscTimes(max_held=256)) as rig:
            with time_stands():
                for number in range(300):
                    rig.send(bundle(tag(NOW_S + 0.9), message("/held", number)))
                    if number % 50 == 0:
                        await asyncio.sleep(0)
                got = await rig.until(44)
            assert [messages[0][1] for messages in got[:44]] == list(range(256, 300))
            got = await rig.until(300)
            assert [messages[0][1] for messages in got[44:]] == list(range(256))
            assert (rig.door.counts["held"], rig.door.counts["held_full"]) == (256, 44)

    run(test)


def test_time_tags_switched_off():
    async def test():
        async with OscRig(times=OscTimes(enabled=False)) as rig:
            rig.send(bundle(tag(NOW_S + 0.9), message("/a", 1), bundle(tag(NOW_S + 9), message("/b", 2))))
            assert await rig.until(1) == [(("/a", 1), ("/b", 2))]

    run(test)


def test_closing_drops_what_is_held():
    async def test():
        async with OscRig() as rig:
            with time_stands():
                rig.send(bundle(tag(NOW_S + 0.1), message("/a", 1)))
                await rig.counted("held", 1)
                await rig.door.close()
            await asyncio.sleep(0.2)  # what is tested: nothing comes of it when its time is there
            assert len(rig.got) == 1

    run(test)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"/",
        b"a",
        b"abc\0,i\0\0\0\0\0\1",
        b"/abc",
        b"/a\0\0i\0\0\0\0\0\0\1",
        b"/a\0\0,y\0\0\0\0\0\1",
        b"/a\0\0,ii\0\0\0\0\1",
        b"/a\0\0,b\0\0\xff\xff\xff\xff",
        b"/a\0\0,b\0\0\x7f\xff\xff\xff",
        b"#bundle\0" + bytes(8) + bytes(4),
        b"#bundle\0\0\0",
        b"#bundle\0" + bytes(7) + b"\1" + b"\xff\xff\xff\xff",
        (b"#bundle\0" + bytes(7) + b"\1" + struct.pack(">I", 16)) * 3000,
        bundle(1, *([message("/a", 1)] * 2500)),
    ],
)
def test_bad_packets_are_counted_and_nothing_stops(packet):
    async def test():
        async with OscRig() as rig:
            rig.send(packet)
            await rig.counted("malformed", 1)
            assert rig.got == [(("/last", 0),)]
            # Nothing is ever answered to the source.
            rig.sender.setblocking(False)
            with pytest.raises(BlockingIOError):
                rig.sender.recv(100)

    run(test)


def test_a_hub_that_fails_is_counted(caplog):
    async def test():
        async with OscRig() as rig:
            rig.send(message("/unknown", 1), message("/bug", 1), message("/fine", 1))
            await rig.until(3)
            assert rig.door.counts["failed"] == 2

    run(test)
    assert "ZeroDivisionError" in caplog.text


def other_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            address = probe.getsockname()[0]
        except OSError:
            pytest.skip("no network interface but loopback")
    if ipaddress.ip_address(address).is_loopback or address == "0.0.0.0":
        pytest.skip("no network interface but loopback")
    return address


@pytest.mark.parametrize("allowed", ["nobody", "listed", "everybody"])
def test_strangers(allowed):
    async def test():
        address = other_address()
        networks = {"nobody": (), "listed": (ipaddress.ip_network(address),), "everybody": None}[allowed]
        async with OscRig("0.0.0.0", allowed=networks) as rig:
            rig.target = ("127.0.0.1", rig.target[1])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((address, 0))
                stranger.sendto(message("/a", 1), (address, rig.target[1]))
            await rig.counted("not_allowed", 1 if allowed == "nobody" else 0)
            expected = [(("/last", 0),)] if allowed == "nobody" else [(("/a", 1),), (("/last", 0),)]
            assert rig.got == expected

    run(test)


def test_send():
    async def test():
        async with OscRig() as rig:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
                listener.bind(("127.0.0.1", 0))
                listener.settimeout(LIMIT_S)
                assert rig.door.send(message("/status", 4), listener.getsockname())
                assert listener.recv(100) == message("/status", 4)
            # Nobody listens there any more: the system may say so later, the door goes on.
            for _ in range(5):
                rig.door.send(message("/status", 4), ("127.0.0.1", 9))
            assert not rig.door.send(bytes(70_000), ("127.0.0.1", 9))
            assert not rig.door.send(b"/a\0\0", ("127.0.0.1", 70_000))
            assert rig.door.counts["send_failed"] == 2
            await rig.counted("malformed", 0)

    run(test)


def test_ipv6():
    async def test():
        rig = OscRig("::1")
        try:
            async with rig:
                rig.send(message("/six", 6))
                assert await rig.until(1) == [(("/six", 6),)]
                assert rig.senders[0][0] == "::1"
        except ConfigError:
            pytest.skip("no IPv6 here")

    run(test)


def test_a_taken_port_is_one_clear_line():
    async def test():
        async with OscRig() as rig:
            with pytest.raises(ConfigError) as caught:
                await OscDoor(rig).start("127.0.0.1", rig.target[1])
            assert f"OSC: {rig.door.address} is in use by another program" in caught.value.message
            assert "\n" not in caught.value.message

    run(test)


# --- Windows ---------------------------------------------------------------------------------------------------


class ResettingSocket:
    """The door's socket on Windows: it tells once, before what waits, that an earlier packet found nobody."""

    def __init__(self, sock):
        self._sock = sock
        self.resets = 1

    def recvfrom(self, size):
        if self.resets:
            self.resets -= 1
            raise ConnectionResetError(10054, "An existing connection was forcibly closed by the remote host")
        return self._sock.recvfrom(size)


def reset() -> OSError:
    error = ConnectionResetError(10054, "An existing connection was forcibly closed by the remote host")
    error.winerror = 10054
    return error


def test_a_connection_reset_takes_nothing_that_waits_behind_it():
    async def test():
        async with OscRig() as rig:
            fake = ResettingSocket(rig.door._socket)
            rig.door._socket = fake
            rig.send(*(message("/a", number) for number in range(10)))
            assert await rig.until(10) == [(("/a", number),) for number in range(10)]
            assert fake.resets == 0
            assert rig.door.counts["socket_error"] == 1

    run(test)


def test_a_connection_reset_that_asyncio_tells_is_counted_and_reading_goes_on():
    async def test():
        async with OscRig() as rig:
            rig.door._transport._protocol.error_received(reset())
            rig.send(message("/a", 1))
            await rig.until(1)
            assert rig.door.counts["socket_error"] == 1
            assert rig.door._opening is None

    run(test)


def test_where_the_loop_stops_reading_after_an_error_the_door_is_opened_again():
    """Windows' own (proactor) loop reads no further after an error: another socket comes, at the same address."""

    async def test():
        async with OscRig() as rig:
            door = rig.door
            address, stopped = door.address, door._transport
            door._reads_on, door._socket = False, None
            stopped._protocol.error_received(reset())
            stopped._protocol.error_received(reset())  # in the same moment: one new socket is enough
            again = door._opening
            assert again is not None
            async with asyncio.timeout(LIMIT_S):
                await again
            assert door.address == address
            assert door._transport is not stopped
            assert stopped.is_closing()
            rig.send(message("/a", 1))
            assert await rig.until(1) == [(("/a", 1),)]
            assert door.counts["socket_error"] == 2

    run(test)


def test_opening_again_goes_on_until_the_port_is_free():
    async def test():
        async with OscRig() as rig:
            door, stopped = rig.door, rig.door._transport
            door._reads_on, door._socket = False, None
            real, tries = door.start, []

            async def start(host, port):
                tries.append(port)
                if len(tries) < 3:
                    raise ConfigError("OSC: 127.0.0.1 is in use by another program")
                await real(host, port)

            door.start = start
            stopped._protocol.error_received(reset())
            async with asyncio.timeout(LIMIT_S):
                await door._opening
            assert len(tries) == 3
            rig.send(message("/a", 1))
            await rig.until(1)

    run(test)


def test_the_end_of_the_bridge_ends_opening_again():
    async def test():
        async with OscRig() as rig:
            rig.door._reads_on, rig.door._socket = False, None
            rig.door._transport._protocol.error_received(reset())
            again = rig.door._opening
        assert again.cancelled()

    run(test)
