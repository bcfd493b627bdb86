"""Several outputs: one set by request and index, whatever the order of arrival, and never less than the whole."""

import itertools
import struct

import pytest
from app_rig import AppRig, color, node, run
from scripted_rig import TWO_OUTPUTS, ScriptedRig

from bridge.types import FrameFlags

TWO = {"main": {"workflow": "two", "mode": "oneshot"}}
COLOR, DEPTH = "9", "12"


def level(frame):
    return int(frame.pixels[0, 0, 0])


def sets(engine):
    """(number, index) and the levels of its frames, by set, in the order of arrival."""
    found = {}
    for frame in engine.frames:
        found.setdefault((frame.header.number, frame.header.index), []).append(level(frame))
    return found


def orders(count):
    """All orders in which two outputs may send `count` pictures each, each in its own order."""
    return sorted(set(itertools.permutations([COLOR] * count + [DEPTH] * count)))


@pytest.mark.parametrize("order", orders(2), ids="-".join)
def test_pictures_are_paired_by_their_place_not_by_their_arrival(tmp_path, order):
    async def test():
        async with ScriptedRig(tmp_path, TWO) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            request = await engine.run()
            item = await rig.begin()
            come = {COLOR: 0, DEPTH: 0}
            for node_id in order:
                index = come[node_id]
                come[node_id] += 1
                await rig.picture(item, 10 * (index + 1) + (100 if node_id == DEPTH else 0), node_id, index, 2)
            await rig.end(item)
            (done,) = await engine.finish(request)
            assert (done.outcome, done.frames, done.number) == ("done", 2, 2)
            assert sets(engine) == {(1, 0): [10, 110], (2, 1): [20, 120]}
            flags = [
                (frame.header.output, frame.has(FrameFlags.LAST_SET), frame.has(FrameFlags.LAST_OF_SET))
                for frame in engine.frames
            ]
            assert flags == [(0, False, False), (1, False, True), (0, True, False), (1, True, True)]
            linear = [frame.has(FrameFlags.LINEAR) for frame in engine.frames]
            assert linear == [False, True, False, True]  # depth is data: its numbers are no colours

    run(test)


@pytest.mark.parametrize(
    ("outputs", "wanted"), [([0], [(0, True)]), ([1], [(1, True)]), ([1, 0], [(0, False), (1, True)])]
)
def test_the_last_of_those_that_were_asked_for_completes_the_set(tmp_path, outputs, wanted):
    async def test():
        async with ScriptedRig(tmp_path, TWO) as rig:
            engine = await rig.engine()
            assert tuple((await engine.subscribe(outputs=outputs)).outputs) == tuple(sorted(outputs))
            request = await engine.run()
            item = await rig.begin()
            await rig.picture(item, 110, DEPTH)
            await rig.picture(item, 10, COLOR)
            await rig.end(item)
            await engine.finish(request)
            assert [(frame.header.output, frame.has(FrameFlags.LAST_OF_SET)) for frame in engine.frames] == wanted

    run(test)


@pytest.mark.parametrize(
    ("come", "frames", "words"),
    [
        ({COLOR: 1}, 0, ["depth with 0 of 1", "needs all its outputs"]),
        ({DEPTH: 1}, 0, ["image with 0 of 1"]),
        ({COLOR: 3, DEPTH: 2}, 2, ["depth with 2 of 3"]),
        ({COLOR: 1, DEPTH: 3}, 1, ["image with 1 of 3"]),
        ({}, 0, ["(9, 12) sent no picture", "nothing else came"]),
    ],
    ids=str,
)
def test_a_set_that_is_not_whole_fails_the_request_and_is_named(tmp_path, come, frames, words):
    async def test():
        async with ScriptedRig(tmp_path, TWO) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            request = await engine.run()
            item = await rig.begin()
            for node_id, count in come.items():
                for index in range(count):
                    await rig.picture(item, 10, node_id, index, count)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.code, end.name, end.frames) == ("failed", 507, "no_image", frames)
            for word in words:
                assert word in end.message
            assert sorted(sets(engine)) == [(number + 1, number) for number in range(frames)]
            # The next request is whole.
            request = await engine.run()
            item = await rig.begin()
            await rig.picture(item, 10, COLOR)
            await rig.picture(item, 110, DEPTH)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.number) == ("done", frames + 1)

    run(test)


def test_a_batch_that_was_cut_short_is_told(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, {"main": {"workflow": "one", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            request = await engine.run()
            item = await rig.begin()
            await rig.picture(item, 10, COLOR, 0, 3)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.code) == ("failed", 507)
            assert "image with 1 of 3" in end.message

    run(test)


@pytest.mark.parametrize("lists", [("Sampler",), ()], ids=["known", "unknown"])
def test_an_output_that_runs_once_for_each_item_of_a_list(tmp_path, lists):
    """ComfyUI then tells the progress of each run anew: the size of the whole shows at the end only."""

    async def test():
        async with ScriptedRig(tmp_path, {"main": {"workflow": "one", "mode": "oneshot"}}, lists=lists) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            request = await engine.run()
            item = await rig.begin()
            for index in range(3):
                await rig.picture(item, 10 * (index + 1), COLOR, 0, 1)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.frames) == ("done", 3)
            assert sets(engine) == {(1, 0): [10], (2, 1): [20], (3, 2): [30]}
            if lists:
                assert [frame.has(FrameFlags.LAST_SET) for frame in engine.frames] == [False, False, True]

    run(test)


def test_lists_of_several_outputs_are_paired_too(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, TWO, lists=("Sampler",)) as rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            request = await engine.run()
            item = await rig.begin()
            for node_id, base in ((COLOR, 0), (DEPTH, 100)):
                for index in range(2):
                    await rig.picture(item, base + 10 * (index + 1), node_id, 0, 1)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.frames) == ("done", 2)
            assert sets(engine) == {(1, 0): [10, 110], (2, 1): [20, 120]}
            last = [frame.has(FrameFlags.LAST_SET) for frame in engine.frames]
            assert last == [False, False, True, True]

    run(test)


def test_what_waits_for_other_outputs_is_bounded(tmp_path):
    async def test():
        async with ScriptedRig(tmp_path, TWO) as rig:
            engine = await rig.engine()
            rig.bridge.results.waiting_bytes_most = 2_000
            request = await engine.run()
            item = await rig.begin()
            for index in range(40):
                await rig.picture(item, 10, COLOR, index, 40)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.code) == ("failed", 603)
            assert "wait for those of other outputs" in end.message
            assert rig.bridge.results._waiting_bytes == 0
            request = await engine.run()
            item = await rig.begin()
            await rig.picture(item, 10, COLOR)
            await rig.picture(item, 110, DEPTH)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert end.outcome == "done"

    run(test)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (struct.pack(">I", 0x54584E32) + b"a later pack's", "a binary message of unknown type 0x54584e32"),
        (None, "a picture of another prompt"),
    ],
    ids=["unknown", "another's"],
)
def test_what_came_instead_is_told(tmp_path, message, words):
    async def test():
        async with ScriptedRig(tmp_path, TWO) as rig:
            engine = await rig.engine()
            request = await engine.run()
            item = await rig.begin()
            if message is None:
                await rig.scripted.picture(type("Other", (), {"prompt_id": "x", "client_id": item.client_id})())
            else:
                await rig.scripted.send(item.client_id, message)
            await rig.end(item)
            (end,) = await engine.finish(request)
            assert (end.outcome, end.code) == ("failed", 507)
            assert words in end.message

    run(test)


@pytest.mark.parametrize("transfer", ["png", "raw"])
def test_one_branch_that_changes_and_one_that_is_cached(tmp_path, transfer):
    """Outputs run in every prompt, also when all before them is in ComfyUI's cache."""

    async def test():
        streams = {"main": {"workflow": "pair", "mode": "oneshot"}}
        rig = AppRig(tmp_path, streams)
        rig.more_of_backend = {"transfer": transfer}
        async with rig:
            engine = await rig.engine()
            await engine.subscribe(credit=8)
            for fill, depth, cached in ((1, 2, None), (3, 2, None), (3, 2, True), (3, 4, None)):
                before = len(engine.frames)
                request = await engine.run(params={"fill": color(fill), "depth": color(depth)})
                (end,) = await engine.finish(request)
                assert (end.outcome, end.frames, end.cached) == ("done", 1, cached)
                one, two = engine.frames[before:]
                assert (one.number, two.number) == (fill, depth)
                assert (one.header.number, one.header.request) == (two.header.number, two.header.request)
                assert end.timing["transfer"] == transfer

    run(test)


def test_two_outputs_of_one_node_and_one_of_a_node_with_two(tmp_path):
    graphs = {
        "same": {**TWO_OUTPUTS, "12": node("SaveImageWebsocket", "@out again", images=["5", 0])},
        "both": {**TWO_OUTPUTS, "12": node("SaveImageWebsocket", "@out other", images=["5", 1])},
    }

    async def test():
        streams = {name: {"workflow": name, "mode": "oneshot"} for name in graphs}
        async with ScriptedRig(tmp_path, streams, graphs=graphs) as rig:
            engine = await rig.engine()
            for name in graphs:
                await engine.subscribe(name)
                before = len(engine.frames)
                request = await engine.run(name)
                item = await rig.begin()
                await rig.picture(item, 120, DEPTH)
                await rig.picture(item, 20, COLOR)
                await rig.end(item)
                (end,) = await engine.finish(request)
                assert (end.outcome, end.frames) == ("done", 1)
                assert [level(frame) for frame in engine.frames[before:]] == [20, 120]

    run(test)
