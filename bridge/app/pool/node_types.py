"""What the ComfyUIs say of their nodes: read once for all that say the same, and brought to the library and the places.

A pool may have ComfyUIs with other model files than their neighbours: a parameter's choices are those of all of them,
and `places` knows which of them has which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from bridge.app.actions import Actions
from bridge.backends.comfy import ComfyBackend
from bridge.errors import BackendError, TexbridgeError
from bridge.workflow.object_info import ObjectInfo

logger = logging.getLogger("bridge.app")

LOOK_EVERY_S: Final = 30.0


class NodeTypes:
    """Reads every `object_info` that comes. `recorded` is what holds for nodes that no ComfyUI knows."""

    def __init__(
        self,
        actions: Actions,
        recorded: ObjectInfo,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._recorded = recorded
        self._spawn = spawn
        self._read: dict[str, tuple[bytes, ObjectInfo]] = {}
        """By ComfyUI: what it said, and what that means."""
        self._united: tuple[ObjectInfo, ...] = ()

    def came(self, backend: str, data: bytes) -> None:
        """A ComfyUI is up and said this; what another one said in the same words needs no reading."""
        for said, info in self._read.values():
            if said == data:
                self._use(backend, data, info)
                return
        self._actions.places.expect_object_info(backend)
        self._spawn(self._take_object_info(backend, data))

    async def _take_object_info(self, backend: str, data: bytes) -> None:
        try:
            info = await asyncio.to_thread(ObjectInfo.from_json, data)
        except TexbridgeError as error:
            logger.warning("backend %s: its object_info can't be used, the recorded one stays: %s", backend, error)
            return
        self._use(backend, data, info)

    def _use(self, backend: str, data: bytes, info: ObjectInfo) -> None:
        self._read[backend] = (data, info)
        for gone in [name for name in self._read if self._bridge.backends.get(name) is None]:
            del self._read[gone]
        # By name, so that it doesn't matter who came first: another order would be another workflow to its streams.
        infos = tuple({id(self._read[name][1]): self._read[name][1] for name in sorted(self._read)}.values())
        if infos != self._united:
            self._united = infos
            united = infos[0]
            for more in infos[1:]:
                united = united.united(more)
            for name in self._bridge.library.refresh(self._recorded.merged(united)):
                self._actions.workflow_edited(name)
        if self._bridge.backends.get(backend) is not None:
            self._actions.use_object_info(backend, info)

    # --- what a running ComfyUI gets later ------------------------------------------------------------------

    async def refresh(self, backend: ComfyBackend) -> bool:
        """Ask a ComfyUI anew what nodes and files it has; True if that is another answer. Raises BackendError."""
        before = backend.object_info
        data = await backend.refresh()
        if data == before:
            return False
        self.came(backend.name, data)
        return True

    async def watch(self) -> None:
        """Look, now and then, whether a ComfyUI got a model file that a stream lacks there. Ended by cancelling it.

        Only the classes that miss one are asked for, a few KB, and only where nothing of ours is: all node types
        together take a big ComfyUI up to a second, in which it sends no picture.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for backend in self._bridge.backends:
                if backend.name in self._bridge.backends_up and self._bridge.scheduler.is_idle(backend.name):
                    await self._look_at(backend)

    async def _look_at(self, backend: ComfyBackend) -> None:
        known = self._read.get(backend.name)
        for class_type in self._actions.places.missing_classes(backend.name) if known is not None else ():
            try:
                there = ObjectInfo.from_json(await backend.node_class(class_type))
                if known is not None and there.get(class_type) not in (None, known[1].get(class_type)):
                    logger.info("backend %s has other files for %s than before", backend.name, class_type)
                    await self.refresh(backend)
                    return
            except (BackendError, TexbridgeError) as error:
                logger.debug("backend %s did not say what %s takes: %s", backend.name, class_type, error)
                return
