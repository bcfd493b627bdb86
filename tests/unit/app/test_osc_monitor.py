"""Entries of the OSC monitor: bounded, JSON whatever comes, and watchers that are slow or many."""

import asyncio
import json
import math
from types import SimpleNamespace

import pytest

from bridge.app.osc.monitor import (
    MAX_WAITING,
    MAX_WATCHERS,
    OscMonitor,
    failure_entry,
    message_entry,
    read_packet,
)
from bridge.codec.osc import IMPULSE, OscColor, OscMessage
from bridge.codec.osc_pattern import match_part
from bridge.errors import ErrorCode, NotAllowedError
from bridge.streams.control_records import Rejected, SetValues
from bridge.streams.doubled_runs import DoubledRuns
from bridge.streams.mapping import Mappings

SENDER = ("127.0.0.1", 9000)


def test_a_message_with_every_kind_of_argument():
    arguments = (1, 0.1, "a", b"xyz", True, None, IMPULSE, OscColor(255, 0, 51, 102), (1, "b"), math.nan, math.inf)
    entry = message_entry(OscMessage("/a/b", arguments, "ifsbTNIr[is]ff"), SENDER, (SetValues("main", {"blur": 3}),))
    entry.pop("time")
    assert json.loads(json.dumps(entry, allow_nan=False)) == {
        "sender": "127.0.0.1:9000",
        "address": "/a/b",
        "tags": "ifsbTNIr[is]ff",
        "arguments": [1, 0.1, "a", "3 bytes", True, None, "impulse", "#ff003366", [1, "b"], "nan", "inf"],
        "meaning": ["main: blur = 3"],
    }


def test_a_message_that_is_too_much_is_cut():
    message = OscMessage("/" + "\x1b\n" * 5000, tuple(["x" * 9000] * 500), "s" * 500)
    rejected = Rejected("/", ErrorCode.UNKNOWN_ADDRESS, "y" * 5000, "/texbridge/main/blur")
    entry = message_entry(message, SENDER, (*[SetValues("main", {"note": "z" * 9000})] * 100, rejected))
    assert entry["more_arguments"] == 468
    assert entry["more_meanings"] == 84
    assert entry["error"]["nearest"] == "/texbridge/main/blur"
    assert len(json.dumps(entry)) < 20_000
    assert "\x1b" not in entry["address"]


def test_what_could_not_be_done():
    error = NotAllowedError("panic is on", code=ErrorCode.PANIC)
    entry = failure_entry(SENDER, "main", error)
    assert entry["stream"] == "main"
    assert entry["error"] == {"code": 403, "name": "panic", "message": "panic is on"}


def test_a_slow_watcher_is_told_what_it_missed():
    async def test():
        monitor = OscMonitor()
        assert not monitor.watched
        lines = monitor.lines({"listening": True})
        assert await anext(lines) == b'{"listening": true}\n'
        assert monitor.watched
        for number in range(MAX_WAITING + 7):
            monitor.tell({"number": number})
        told = [json.loads(line) for line in (await anext(lines)).splitlines()]
        assert told[0] == {"missed": 7}
        assert [entry["number"] for entry in told[1:]] == list(range(7, MAX_WAITING + 7))
        await lines.aclose()
        assert not monitor.watched

    asyncio.run(test())


def test_watchers_are_few_and_end_with_the_bridge():
    async def test():
        monitor = OscMonitor()
        watchers = [monitor.lines({}) for _ in range(MAX_WATCHERS)]
        for lines in watchers:
            await anext(lines)
        with pytest.raises(NotAllowedError):
            await anext(monitor.lines({}))
        waiting = asyncio.create_task(anext(watchers[0], b"the end"))
        await asyncio.sleep(0)
        monitor.close()
        assert await waiting == b"\n"
        for lines in watchers:
            with pytest.raises(StopAsyncIteration):
                await anext(lines)

    asyncio.run(test())


def test_a_run_that_came_twice_is_shown_as_such():
    doubled, mappings = DoubledRuns(0.02), Mappings((), match_part)
    streams = {"main": SimpleNamespace(parameters={})}
    messages = (OscMessage("/texbridge/main/run", (1,), "i"),)
    shown = []
    for now in (1.0, 1.001):
        ((message, controls),) = read_packet(messages, streams, mappings, now, SENDER, doubled_runs=doubled)
        shown.append(message_entry(message, SENDER, controls)["meaning"])
    assert shown == [["main: run"], ["main: nothing (the run of the packet before, said twice)"]]
