"""A ComfyUI whose GPU memory is full: it is freed, the request tried once more, and the others go on."""

from app_rig import AppRig, color, run


class OutOfMemoryError(RuntimeError):
    """As PyTorch's, by name."""


OutOfMemoryError.__module__ = "torch"

HUNGRY = 0x00FF00
"""The colour of pictures that need too much memory."""


class Memory:
    """Lets the embedded ComfyUI fail at hungry pictures, `failures` times, and notes when memory was freed."""

    def __init__(self, rig, failures):
        self.events = []
        self._failures = failures
        self._rig = rig
        executor = rig.comfy._executor
        self._before, executor.before_node = executor.before_node, self._before_node
        self._forget, executor.forget = executor.forget, self._free

    def _free(self):
        self.events.append("free")
        self._forget()

    def _before_node(self, prompt_id, node_id):
        self._before(prompt_id, node_id)
        running = {prompt.prompt_id: prompt.prompt for prompt in self._rig.comfy._queue.snapshot()[0]}
        if running.get(prompt_id, {}).get("1", {}).get("inputs", {}).get("color") != HUNGRY:
            return
        self.events.append("run")
        if self.events.count("run") <= self._failures:
            raise OutOfMemoryError("Allocation on device 0 would exceed allowed memory.\nTIPS: a smaller batch")


def test_memory_is_freed_and_the_request_tried_once_more(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            engine = await rig.engine()
            await engine.open("main", "solid")
            memory = Memory(rig, failures=1)
            (end,) = await engine.finish(await engine.run(params={"fill": color(HUNGRY)}))
            assert (end.outcome, end.frames) == ("done", 1)
            assert memory.events[:3] == ["run", "free", "run"]

    run(test)


def test_it_fails_with_words_and_the_others_go_on(tmp_path):
    async def test():
        streams = {"main": {"workflow": "solid", "mode": "oneshot"}, "other": {"workflow": "solid", "mode": "oneshot"}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            for name in streams:
                await engine.open(name, "solid")
            memory = Memory(rig, failures=100)
            hungry = await engine.run(params={"fill": color(HUNGRY)})
            others = [await engine.run("other", params={"fill": color(number)}) for number in (1, 2, 3)]
            ends = await engine.finish(hungry, *others)
            assert [end.outcome for end in ends] == ["failed", "done", "done", "done"]
            assert (ends[0].code, ends[0].name) == (505, "out_of_memory")
            for words in ("at 32x16, also after its memory was freed", "(EmptyImage)", "smaller size", "--lowvram"):
                assert words in ends[0].message
            assert "TIPS" not in ends[0].message  # ComfyUI's first line is enough
            assert memory.events.count("run") == 2  # one retry
            assert memory.events.count("free") == 2
            (end,) = await engine.finish(await engine.run(params={"fill": color(4)}))
            assert end.outcome == "done"

    run(test)


def test_a_live_stream_has_its_picture_when_there_is_memory_again(tmp_path):
    async def test():
        streams = {"main": {"workflow": "solid", "mode": "live"}}
        async with AppRig(tmp_path, streams) as rig:
            engine = await rig.engine()
            await engine.open("main", "solid", "live")
            Memory(rig, failures=2)
            await engine.set(params={"fill": color(HUNGRY)})
            await engine.subscribe("main")
            frame = await engine.frame(lambda frame: frame.number == HUNGRY)
            assert frame.header.request > 0

    run(test)
