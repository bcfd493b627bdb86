"""The files that one bridge keeps in a ComfyUI's input folder: a few names, used again and again.

ComfyUI reads an uploaded file when its prompt runs, so a name must not get other bytes while a prompt that names it
may still run. Each owner (a stream's parameter) has a ring of its own: a camera goes round in three names and takes
none from a picture that stays. Pure: no I/O; who uploads says how it went.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

RING: Final = 3
"""Names of one owner before the oldest is used again: one that runs, one that waits, one that goes up."""
MOST_NAMES: Final = 256


@dataclass(slots=True, eq=False)
class UploadSlot:
    """One name. `digest` is that of the bytes there, "" while nobody knows; `stored` is what LoadImage takes."""

    name: str
    owner: Hashable
    digest: str = ""
    stored: str = ""
    users: set[int] = field(default_factory=set)
    """Prompts that name it, or will."""
    busy: bool = False
    """It goes up now."""


class UploadRing:
    """The names of one bridge at one ComfyUI. `tag` makes them its own: letters, digits, - and _."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._slots: dict[str, UploadSlot] = {}
        """By name, the one that was used longest ago first."""
        self._next = 0

    def __len__(self) -> int:
        return len(self._slots)

    def find(self, digest: str, user: int) -> UploadSlot | None:
        """Give the name that has these bytes already, in use by `user` from now on."""
        for slot in self._slots.values():
            if digest and slot.digest == digest and not slot.busy:
                return self._use(slot, user)
        return None

    def take(self, owner: Hashable, user: int) -> UploadSlot:
        """Give a name for new bytes, in use by `user`: none that a prompt may still read.

        Of the owner's names the one used longest ago, once it has three; else a new one. At the limit of all names the
        longest unused one of anybody's.
        """
        own = [slot for slot in self._slots.values() if slot.owner == owner]
        free = [slot for slot in own if not slot.users and not slot.busy]
        slot = free[0] if free and len(own) >= RING else None
        if slot is None and len(self._slots) >= MOST_NAMES:
            slot = next((other for other in self._slots.values() if not other.users and not other.busy), None)
        if slot is None:
            slot = next((other for other in self._slots.values() if other.owner is None and not other.users), None)
        if slot is None:
            slot = UploadSlot(f"{self._tag}_{self._next}", owner)
            self._next += 1
        slot.owner, slot.digest, slot.stored, slot.busy = owner, "", "", True
        return self._use(slot, user)

    def _use(self, slot: UploadSlot, user: int) -> UploadSlot:
        self._slots.pop(slot.name, None)
        self._slots[slot.name] = slot
        slot.users.add(user)
        return slot

    def went_up(self, slot: UploadSlot, digest: str, stored: str) -> None:
        """The bytes are there, under the name `stored`."""
        slot.digest, slot.stored, slot.busy = digest, stored, False

    def failed(self, slot: UploadSlot, user: int) -> None:
        """They are not, or not known to be: the name is free, but comes last, for the upload may arrive yet."""
        slot.busy = False
        slot.users.discard(user)
        self._slots[slot.name] = self._slots.pop(slot.name)

    def release(self, user: int, *, trusted: bool = True) -> None:
        """A prompt has ended: it reads nothing any more. Unknown ones are ignored.

        One that failed may have failed for a file that is gone: without `trusted` nobody relies on what it used.
        """
        for slot in self._slots.values():
            if user in slot.users:
                slot.users.discard(user)
                slot.digest = slot.digest if trusted else ""

    def forget_owner(self, owner: Hashable) -> None:
        """An owner is gone: its names are for whoever comes next."""
        for slot in self._slots.values():
            if slot.owner == owner:
                slot.owner = None

    def forget_files(self) -> None:
        """Nobody knows what lies there: another ComfyUI answers, or one has lost its files."""
        for slot in self._slots.values():
            slot.digest = ""
