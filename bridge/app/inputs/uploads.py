"""Pictures of engines on their way to a backend: made ready in a thread and brought there as their prompt goes out.

Nothing waits here: a stream's values hold its newest picture, which replaces the one before, and `bring` takes it at
the moment when its prompt is bound. What comes while it is under way is the next prompt's.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import secrets
import socket
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from bridge.app.config.config import Config, parse_listen
from bridge.app.pool.node_prompts import send_by_nodes
from bridge.app.records import Request
from bridge.backends.comfy import ComfyBackend
from bridge.backends.pool import BackendPool
from bridge.codec.engine_pictures import MEASURES, picture_file, picture_pixels
from bridge.codec.picture_header import PictureLimits
from bridge.codec.pixels import Channels, Pixels
from bridge.errors import TexbridgeError
from bridge.frames.decode import DecodePool
from bridge.types import Origin, Picture, PictureRule, PixelFormat, RawPicture, Size
from bridge.workflow.nodes import takes_tickets
from bridge.workflow.workflow import Workflow

T = TypeVar("T")

_JPEG: Final = b"\xff\xd8\xff"


def upload_tag(config: Config) -> str:
    """The word that a bridge's file names at ComfyUI begin with: the same after each start, another bridge's never.

    Two bridges at one ComfyUI must not write over each other's files, and one that is started again should go on with
    its own instead of leaving them. No two can have the same open port of the same machine.
    """
    listens = [door.listen for door in (config.osc, config.link, config.tcp, config.http) if door.listen]
    if not any(parse_listen(listen, "listen")[1] for listen in listens):
        return secrets.token_hex(4)
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        user = ""
    return hashlib.sha256("|".join((socket.gethostname(), user, *listens)).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A picture that was brought somewhere, known again by its object, and by what it was made with.

    `name` is its hash as a file, or its own word in the memory of a node pack.
    """

    picture: weakref.ref[Picture | RawPicture]
    rule: PictureRule
    size: Size | None
    far: bool
    name: str


class PictureUploads:
    """Brings pictures to backends. `counts` are totals: made ready, and gone up; the rest was there already."""

    def __init__(self, backends: BackendPool, decoders: DecodePool, limits: PictureLimits) -> None:
        self.made_ready = 0
        self.brought = 0
        self.on_bring: Callable[[Request, Mapping[str, Picture | RawPicture]], None] | None = None
        """Called with the pictures that go into a prompt; set by who compares them with what comes."""
        self._backends = backends
        self._decoders = decoders
        self._limits = limits
        self._files: dict[tuple[int, str], _Ready] = {}
        self._tickets: dict[tuple[int, str], _Ready] = {}
        """The newest of each stream's parameter: as a file, and as raw pixels in memory."""

    async def bring(
        self,
        backend: ComfyBackend,
        attempt: int,
        request: Request,
        pictures: Mapping[str, Picture | RawPicture],
        rules: Mapping[str, PictureRule] | None = None,
    ) -> dict[str, str]:
        """Bring a request's pictures to a backend; gives, by parameter, what the input there takes.

        `rules` hold in place of the workflow's own, by parameter. `attempt` uses the pictures until `release`, and
        nothing is written over them until then.

        Raises:
            TexbridgeError: a BackendError, or a picture that can't be decoded.
        """
        if self.on_bring is not None:
            self.on_bring(request, pictures)
        workflow, stream = request.workflow, request.stream.number
        size = request.size or workflow.spec.size
        chosen = {**workflow.picture_rules, **(rules or {})}
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    name: group.create_task(
                        self._bring(backend, attempt, workflow, (stream, name), picture, size, chosen[name])
                    )
                    for name, picture in pictures.items()
                }
        except BaseExceptionGroup as group_of_errors:
            # Not `except*`: early releases of Python 3.11 wrap again what is raised of a group within it.
            errors, others = group_of_errors.split(TexbridgeError)
            if errors is None or others is not None:
                raise
            failed = errors.exceptions[0]
            while isinstance(failed, BaseExceptionGroup):
                failed = failed.exceptions[0]
            raise failed from None
        return {name: task.result() for name, task in tasks.items()}

    async def _bring(
        self,
        backend: ComfyBackend,
        attempt: int,
        workflow: Workflow,
        place: tuple[int, str],
        picture: Picture | RawPicture,
        size: Size | None,
        rule: PictureRule,
    ) -> str:
        size = size if rule.fit is not None else None
        by_nodes = backend.nodes.takes_pictures and takes_tickets(workflow, place[1])
        if by_nodes and (isinstance(picture, Picture) or backend.nodes.raw_in):
            ticket = await self._into_memory(backend, attempt, workflow, place, picture, rule, size)
            if ticket is not None:
                return ticket
        far = backend.address.is_remote
        known = self._known(self._files, place, picture, rule, size, far)
        if known is None and isinstance(picture, Picture) and not rule.moves_pixels:
            known = picture.sha256
        if known is not None and (stored := backend.find_picture(known, attempt)) is not None:
            return stored
        data, digest = await self._in_thread(partial(_file, picture, rule, size, self._limits, far))
        self._files[place] = _Ready(weakref.ref(picture), rule, size, far, digest)
        self.brought += 1
        if by_nodes and data[:3] == _JPEG:
            file = Picture(bytes(data), digest)
            if (ticket := await send_by_nodes(backend, attempt, workflow, place, file, digest[:32])) is not None:
                return ticket
        return await backend.store_picture(data, digest, place, attempt)

    async def _into_memory(
        self,
        backend: ComfyBackend,
        attempt: int,
        workflow: Workflow,
        place: tuple[int, str],
        picture: Picture | RawPicture,
        rule: PictureRule,
        size: Size | None,
    ) -> str | None:
        """Send it as it is, or as the pixels that its rule makes of it, into a node pack's memory; None if it can't."""
        if isinstance(picture, Picture) and not rule.moves_pixels:
            self.brought += 1
            word = picture.sha256[:32]
            self._tickets[place] = _Ready(weakref.ref(picture), rule, size, False, word)
            return await send_by_nodes(backend, attempt, workflow, place, picture, word)
        if not backend.nodes.raw_in:
            return None
        name = self._known(self._tickets, place, picture, rule, size)
        if name is None:
            name = secrets.token_hex(16)
            self._tickets[place] = _Ready(weakref.ref(picture), rule, size, False, name)
        sent: Picture | RawPicture = picture
        if rule.moves_pixels or isinstance(picture, Picture) or picture.format in MEASURES:
            sent = await self._in_thread(partial(_raw, picture, rule, size, self._limits))
        self.brought += 1
        return await send_by_nodes(backend, attempt, workflow, place, sent, name)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        made = await self._decoders.submit(work)
        assert made is not None  # work that is always wanted is never dropped
        self.made_ready += 1
        return made

    @staticmethod
    def _known(
        ready: Mapping[tuple[int, str], _Ready],
        place: tuple[int, str],
        picture: Picture | RawPicture,
        rule: PictureRule,
        size: Size | None,
        far: bool = False,
    ) -> str | None:
        held = ready.get(place)
        if held is None or held.picture() is not picture or (held.rule, held.size, held.far) != (rule, size, far):
            return None
        return held.name

    def release(self, attempt: int, backend: str, *, trusted: bool = True) -> None:
        """An attempt is over: what it used may be written over. If it failed (not `trusted`), its files may be gone."""
        there = self._backends.get(backend)
        if there is not None:
            there.release_pictures(attempt, trusted=trusted)

    def forget_stream(self, stream: int) -> None:
        """A stream is gone."""
        for places in (self._files, self._tickets):
            for place in [place for place in places if place[0] == stream]:
                del places[place]
                for backend in self._backends:
                    backend.forget_pictures(place)


def _file(
    picture: Picture | RawPicture, rule: PictureRule, size: Size | None, limits: PictureLimits, far: bool
) -> tuple[bytes | bytearray, str]:
    """In a thread: the file that goes up, and its hash."""
    data = picture_file(picture, rule, size, limits, far=far)
    if isinstance(picture, Picture) and data is picture.data:
        return data, picture.sha256
    return data, hashlib.sha256(data).hexdigest()


def _raw(picture: Picture | RawPicture, rule: PictureRule, size: Size | None, limits: PictureLimits) -> RawPicture:
    """In a thread: the pixels that a rule makes of a picture, raw."""
    return raw_picture(picture_pixels(picture, rule, size, limits))


def raw_picture(pixels: Pixels) -> RawPicture:
    """Pixels as the value of an image parameter: `r8`, `r16` or `rgba8`, which is opaque where they have no alpha."""
    array, form = pixels.array, PixelFormat.RGBA8
    if pixels.channels is Channels.L:
        form = PixelFormat.R8
    elif pixels.channels is Channels.L16:
        form = PixelFormat.R16
    elif pixels.channels is Channels.LA:
        array = array[..., [0, 0, 0, 1]]
    elif pixels.channels is Channels.RGB:
        array = array.copy()
        array[..., 3] = 255
    return RawPicture(*pixels.size, form, Origin.TOP_LEFT, array.tobytes())
