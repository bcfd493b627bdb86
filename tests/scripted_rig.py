"""A whole bridge at a ComfyUI whose every event the test tells, one after the other.

`ScriptedRig` is an `AppRig` without an embedded server. A prompt that is posted runs when the test says `begin`, and
what ComfyUI then says of it is what the test says: previews, pictures in any order, progress, the end.
"""

import asyncio
import json
import struct
from collections import Counter

import numpy as np
from aiohttp import web
from app_rig import AppRig, node, write_workflow
from pictures import jpeg, png
from scripted_comfy import ScriptedComfy, picture_message

__all__ = ["ONE_OUTPUT", "TWO_OUTPUTS", "ScriptedRig", "file_of", "preview_message"]

INFO = {
    "input": {"required": {}, "optional": {"images": ["IMAGE"]}},
    "output": ["IMAGE"],
    "output_is_list": [False],
    "output_name": ["IMAGE"],
    "output_node": True,
}
"""What every class of the scripted ComfyUI looks like; nothing of it is checked."""

ONE_OUTPUT = {
    "1": node("LoadModel", "Model"),
    "5": node("Sampler", "The sampler", model=["1", 0]),
    "9": node("SaveImageWebsocket", "@out image", images=["5", 0]),
}
TWO_OUTPUTS = {
    **ONE_OUTPUT,
    "7": node("Depth", "", image=["5", 0]),
    "12": node("SaveImageWebsocket", "@out depth", images=["7", 0]),
}


def file_of(level, size=(8, 8), kind="png"):
    """A grey picture of one level, as a file."""
    array = np.full((size[1], size[0], 3), level, "u1")
    return png(array) if kind == "png" else jpeg(array, quality=100)


def preview_message(prompt_id, node_id, level, size=(4, 4)):
    """A type 4 message as a sampler's: a JPEG."""
    header = {"node_id": node_id, "prompt_id": prompt_id, "display_node_id": node_id, "image_type": "image/jpeg"}
    encoded = json.dumps(header).encode()
    return struct.pack(">II", 4, len(encoded)) + encoded + file_of(level, size, "jpeg")


class _Counted(Counter):
    """Counts that tell when they move."""

    def __init__(self, moved):
        super().__init__()
        self._moved = moved

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self._moved()


class ScriptedRig(AppRig):
    """`lists`: classes whose output is a list. `streams` may name `one` and `two` (outputs), and those of `graphs`."""

    def __init__(self, folder, streams, *, graphs=None, lists=(), **config):
        super().__init__(folder, streams, comfy=False, **config)
        graphs = {"one": ONE_OUTPUT, "two": TWO_OUTPUTS, **(graphs or {})}
        for name, graph in graphs.items():
            write_workflow(folder, name, graph)
        self.scripted = ScriptedComfy()
        self.scripted.script = self._run
        classes = {each["class_type"] for graph in graphs.values() for each in graph.values()}
        info = json.dumps({name: {**INFO, "output_is_list": [name in lists]} for name in classes})
        self.scripted.answers["GET", "/object_info"] = lambda request: web.Response(
            text=info, content_type="application/json"
        )
        self._ends = {}
        self._begun = set()

    async def __aenter__(self):
        await self.scripted.start()
        self._config["backend"] = [{"url": self.scripted.url, "name": "comfy", "transfer": "png"}]
        await super().__aenter__()
        self.bridge.previews.counts = _Counted(self._moved.set)
        await self.until(lambda: bool(self.bridge.backends_up), "a backend that is up")
        return self

    async def __aexit__(self, *_):
        for end in self._ends.values():
            end.set()
        await super().__aexit__()
        await self.scripted.close()

    async def _run(self, comfy, item):
        """Run until the test says `end`, or an interrupt comes."""
        end = self._ends.setdefault(item.prompt_id, asyncio.Event())
        comfy.moved.set()
        waits = [asyncio.ensure_future(event.wait()) for event in (end, item.interrupted)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if item.interrupted.is_set():
            await comfy.tell(item, "execution_interrupted", node_id="5", node_type="Sampler", executed=[])
            return "execution_interrupted", {}
        return None

    async def begin(self, cached=()):
        """Wait for the next prompt that runs, and tell that it does."""
        comfy = self.scripted

        def runs():
            return comfy.running if comfy.running and comfy.running.prompt_id not in self._begun else None

        item = await comfy.until(runs, "running prompt")
        self._begun.add(item.prompt_id)
        await comfy.tell(item, "execution_start")
        await comfy.tell(item, "execution_cached", nodes=list(cached))
        return item

    async def preview(self, item, level, node_id="5", size=(4, 4), named=True):
        """A sampler's preview: type 4, or type 1 behind its progress."""
        if named:
            await self.scripted.send(item.client_id, preview_message(item.prompt_id, node_id, level, size))
        else:
            await self.scripted.tell(item, "progress", value=1, max=9, node=node_id)
            message = struct.pack(">II", 1, 1) + file_of(level, size, "jpeg")
            await self.scripted.send(item.client_id, message)

    async def picture(self, item, level, node_id="9", index=0, total=1, size=(8, 8)):
        """A picture of an output, with its progress as SaveImageWebsocket tells it."""
        await self.scripted.tell(item, "progress", value=index, max=total, node=node_id)
        await self.scripted.send(item.client_id, picture_message(item.prompt_id, node_id, file_of(level, size)))

    async def tell(self, item, kind, **data):
        await self.scripted.tell(item, kind, **data)

    async def end(self, item):
        """The prompt is over, and went well."""
        await self.scripted.tell(item, "execution_success")
        self._ends[item.prompt_id].set()
        await self.scripted.until(lambda: self.scripted.running is not item, "the prompt's end")
