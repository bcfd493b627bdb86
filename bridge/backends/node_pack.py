"""The node pack in a ComfyUI: is it there, does it work, and pictures sent into its memory.

It is found by `/object_info` and by what `/texbridge/info` says. A pack that fails is left alone for a while: stock
nodes take its place from the next prompt on. Source: protocols/comfyui-nodes.md.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.backends.comfy_http import ComfyHttp
from bridge.backends.faults import WrongAnswer
from bridge.backends.transfer import Transfer, TransferMode
from bridge.codec.node_events import NODE_EVENT
from bridge.errors import BackendError, ErrorCode
from bridge.types import Origin, OutputKind
from bridge.workflow.nodes import FEEDBACK_NODE, INPUT_MASK_NODE, INPUT_NODE, NODE_CLASSES, OUTPUT_NODE, PictureTicket

logger = logging.getLogger("bridge.backends")

WIRE: Final = 1
"""The version of the pack's wire that this build speaks."""
SESSION_HEADER: Final = "X-TexBridge-Session"
_GONE: Final = "is not here"
"""What the input nodes say of a picture that was never sent, or has ended."""
_FIRST_REST_S: Final = 30.0
_LONGEST_REST_S: Final = 1800.0
_PICTURES_REST_S: Final = 10.0
"""How long pictures go up as files after the pack took one not: its memory may be full of other bridges' pictures."""
_MOST_TICKETS: Final = 256
_RING: Final = 4
"""Pictures of one owner, more only while prompts need them: a camera would else fill ComfyUI's memory as far as the
pack lets it. What is needed again later is sent again."""
_NAMES_A_TIME: Final = 64
"""In one request: so many stand in its first line."""


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What `/texbridge/info` says: version, formats of pictures that come in, and how long they are kept."""

    version: str
    input_formats: frozenset[str]
    picture_bytes: int
    keep_s: float
    keeps: bool = False
    """It keeps the last picture of a loop for its next prompt."""
    sends_halves: bool = False
    """Its output can send half floats."""


def read_facts(info: Mapping[str, Any]) -> PackFacts | None:
    """The facts of an answer of `/texbridge/info`; None if it isn't a pack that this build can speak with."""
    limits, given = info.get("limits"), info.get("input")
    if info.get("wire") != WIRE or info.get("event") != NODE_EVENT:
        return None
    if not isinstance(limits, dict) or not isinstance(given, dict) or not isinstance(given.get("formats"), list):
        return None
    most, keep_s = limits.get("picture_bytes"), limits.get("keep_s")
    if not isinstance(most, int) or not isinstance(keep_s, int | float):
        return None
    formats = frozenset(word for word in given["formats"] if isinstance(word, str))
    keeps = info.get("feedback") == 1
    sent = info.get("output")
    halves = isinstance(sent, dict) and isinstance(sent.get("formats"), list) and "raw16f" in sent["formats"]
    return PackFacts(str(info.get("version"))[:40], formats, most, float(keep_s), keeps, halves)


@dataclass(slots=True, eq=False)
class _Sent:
    """A picture that is in the pack's memory, when it was sent there last, whose it is, and which prompts need it."""

    ticket: PictureTicket
    at: float
    owners: set[Hashable]
    users: set[int]


class NodePack:
    """The pack of one backend, as far as it can be used."""

    def __init__(self, http: ComfyHttp, transfer: Transfer) -> None:
        self.transfer = transfer
        self.problem = ""
        """Why it isn't used though it is installed, for people."""
        self._http = http
        self._facts: PackFacts | None = None
        self._secret = secrets.token_hex(16)
        self._tickets: OrderedDict[str, _Sent] = OrderedDict()
        self._has_sent = False
        self._rest_until = 0.0
        self._rest_s = _FIRST_REST_S
        self._pictures_from = 0.0
        self.learned = 0
        """How often it was asked what it is: what a ComfyUI kept before the last time may be gone."""

    @property
    def facts(self) -> PackFacts | None:
        """What is known of it; None where there is none."""
        return self._facts

    @property
    def usable(self) -> bool:
        """Whether prompts may use it now."""
        return (
            self._facts is not None
            and self.transfer.mode is not TransferMode.PNG
            and time.perf_counter() >= self._rest_until
        )

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures may be sent into its memory now."""
        return self.usable and time.perf_counter() >= self._pictures_from

    @property
    def keeps_pictures(self) -> bool:
        """Whether a loop's last picture can stay in its memory now."""
        return self.usable and self._facts is not None and self._facts.keeps

    def form(self, kind: OutputKind, bits: int) -> str:
        """The `format` of the output node for an output of this kind and so many bits, now."""
        halves = self._facts is not None and self._facts.sends_halves
        return self.transfer.word(kind, bits if halves else 8)

    @property
    def raw_in(self) -> bool:
        """Whether pictures should be sent raw: the pack takes them, and the link is fast."""
        return self.takes_pictures and self.transfer.word() == "raw"

    def takes(self, format: str, size: int) -> bool:
        """Whether a picture of so many bytes in this format (a registry word, or jpeg, png, webp) can be sent."""
        facts = self._facts
        if not self.takes_pictures or facts is None:
            return False
        return format in facts.input_formats and size <= facts.picture_bytes

    async def learn(self, object_info: bytes | None) -> None:
        """Find out whether this ComfyUI has it. Raises BackendError."""
        self._facts, self.problem = None, ""
        self.learned += 1
        self._tickets.clear()
        self._rest_until, self._rest_s = 0.0, _FIRST_REST_S
        self._pictures_from = 0.0
        self.transfer.forget()
        if object_info is None or any(f'"{name}"'.encode() not in object_info for name in (OUTPUT_NODE, INPUT_NODE)):
            return
        info = await self._http.facts("/texbridge/info")
        self._facts = read_facts(info)
        if self._facts is None:
            self.problem = (
                f"the texbridge nodes in this ComfyUI speak wire {info.get('wire')!r}, this bridge {WIRE}: "
                "`texbridge nodes install` brings the right ones"
            )
            logger.warning("%s", self.problem)

    def describe(self) -> dict[str, Any] | None:
        """Version, transfer, measured link and problem, for people; None where there is no pack."""
        if self._facts is None:
            return {"problem": self.problem} if self.problem else None
        rate = self.transfer.bytes_per_s
        return {
            "version": self._facts.version,
            "used": self.usable,
            "problem": self.problem or None,
            "link_mb_s": None if rate is None else round(rate / 1e6, 1),
        }

    # --- pictures into ComfyUI's memory ---------------------------------------------------------------------

    async def send(
        self,
        data: bytes | bytearray | memoryview,
        name: str,
        format: str,
        *,
        width: int = 0,
        height: int = 0,
        origin: Origin = Origin.TOP_LEFT,
        owner: Hashable = None,
        user: int | None = None,
    ) -> PictureTicket | None:
        """Send a picture into memory, once for each `name`, and give what the input node takes; None if it is refused.

        A refusal is no fault of the picture: the memory may be full of others' pictures, or the pack be gone. Files are
        the way for a while then.

        `name` (letters, digits, - and _, at most 64) must come from the content: the same always means the same
        picture. `format` is a registry word with `width` and `height`, or `jpeg`, `png`, `webp`. `owner` is whose
        picture it is (a stream's parameter), for `forget`; `user` the prompt that needs it until `release`.

        Raises:
            BackendError: the backend is gone, or silent.
        """
        facts, now = self._facts, time.perf_counter()
        if facts is None:
            raise BackendError("this ComfyUI has no texbridge nodes", code=ErrorCode.MISSING_NODE, retry=True)
        known = self._tickets.get(name)
        owners = {owner} if known is None else known.owners | {owner}
        users = (set() if known is None else known.users) | (set() if user is None else {user})
        if known is not None and now - known.at < facts.keep_s / 3:
            known.owners, known.users = owners, users
            self._tickets.move_to_end(name)
            return known.ticket
        query = {"name": name, "format": format}
        if (old := self._oldest_of(owner)) is not None:
            query["drop"] = old
        if width:
            query |= {"width": str(width), "height": str(height), "origin": origin.value}
        try:
            self._has_sent = True  # also if the answer is lost
            status, answer = await self._http.send_picture(data, query, {SESSION_HEADER: self._secret})
        except WrongAnswer as error:
            self._picture_refused(error.message)
            return None
        ticket = answer.get("picture")
        if status != 200 or not isinstance(ticket, str):
            self._picture_refused(str(answer.get("error") or f"status {status}"))
            return None
        if old is not None:
            self._tickets.pop(old, None)
        self._tickets[name] = sent = _Sent(PictureTicket(ticket), now, owners, users)
        while len(self._tickets) > _MOST_TICKETS:
            self._tickets.popitem(last=False)
        return sent.ticket

    def _oldest_of(self, owner: Hashable) -> str | None:
        """What an owner used longest ago of its own pictures and no prompt needs, if it has enough of them."""
        own = [name for name, sent in self._tickets.items() if sent.owners == {owner}]
        free = [name for name in own if not self._tickets[name].users]
        return free[0] if owner is not None and free and len(own) >= _RING else None

    def release(self, user: int) -> None:
        """A prompt is over: it needs no picture any more."""
        for sent in self._tickets.values():
            sent.users.discard(user)

    async def forget(self, owner: Hashable) -> None:
        """An owner of pictures is gone: those that were nobody else's are taken out of ComfyUI's memory."""
        for sent in self._tickets.values():
            sent.owners.discard(owner)
        names = [name for name, sent in self._tickets.items() if not sent.owners]
        for name in names:
            del self._tickets[name]
        for start in range(0, len(names), _NAMES_A_TIME):
            await self._delete(names[start : start + _NAMES_A_TIME])

    async def close(self) -> None:
        """The bridge ends: it takes its pictures out of ComfyUI's memory."""
        self._tickets.clear()
        if self._has_sent and self._facts is not None:
            await self._delete(())

    async def _delete(self, names: Sequence[str]) -> None:
        if self._facts is None:
            return
        try:
            await self._http.forget_pictures(names, {SESSION_HEADER: self._secret})
        except BackendError as error:
            logger.debug("pictures stay in ComfyUI's memory until they end: %s", error.message)

    # --- what goes wrong ------------------------------------------------------------------------------------

    def _picture_refused(self, told: str) -> None:
        self._pictures_from = time.perf_counter() + _PICTURES_REST_S
        self.problem = f"the texbridge nodes took no picture, files are used for {_PICTURES_REST_S:g} s: {told[:300]}"
        logger.warning("%s", self.problem)

    def failed(self, class_type: str | None, message: str) -> bool:
        """A node failed or was refused. True if it was the pack's: the prompt may be tried again without."""
        if class_type not in NODE_CLASSES:
            return False
        if class_type == FEEDBACK_NODE and _GONE in message:
            return True  # whoever asked for it has the picture too
        if class_type in (INPUT_NODE, INPUT_MASK_NODE) and _GONE in message:
            self._tickets.clear()  # sent again, with whatever else may be gone
            return True
        self.rest(message)
        return True

    def refused(self, error: BackendError) -> bool:
        """A prompt was refused. True if that was for the pack: the prompt may be tried again without."""
        if error.code is ErrorCode.MISSING_NODE and any(name in error.message for name in NODE_CLASSES):
            self._facts, self.problem = None, "the texbridge nodes are gone from this ComfyUI"
            return True
        details = error.detail if isinstance(error.detail, list) else []
        return any(self.failed(detail.get("class_type"), str(detail.get("message"))) for detail in details)

    def rest(self, message: str) -> None:
        """Leave the pack alone for a while; twice as long each time."""
        self._rest_until = time.perf_counter() + self._rest_s
        self.problem = f"the texbridge nodes failed, ComfyUI's own are used for {self._rest_s:g} s: {message[:300]}"
        logger.warning("%s", self.problem)
        self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
