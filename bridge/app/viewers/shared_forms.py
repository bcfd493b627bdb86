"""Which forms of which streams are made in shared memory, for whom, and within which limits.

A *form* is one stream's pictures by one `PayloadSpec`: all its subscribers read the same file. As long as one of them
reads from shared memory, the form's payloads are written straight into the file's slots: a form is a `Sink` like the
heap, and everybody else who wants the same form, over TCP for instance, is sent the bytes of the slot. Whatever can't
be had in shared memory is lent from the heap, and goes over the link. Source: protocols/shared-memory.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from bridge.codec.shared_memory import MIN_SLOTS, page_for
from bridge.errors import BridgeError, ErrorCode
from bridge.links.memory_folder import MemoryFolder, folder_candidates
from bridge.links.shared_memory import MemoryFile
from bridge.types import ENCODED_FORMATS, Fit, Lease, PayloadSpec, Sink, Size

logger = logging.getLogger("bridge.app.memory")

SPARE_SETS: Final = 3
"""Sets that have slots beside those that one reader has not acked: the one that is shown, which newcomers get, the one
that waits in an outbox, and the one in the making."""

MAX_SLOTS: Final = 64
SHRINK: Final = 8
"""A file whose slots are so many times too large, for `SMALL_IN_A_ROW` payloads, gives way to a smaller one."""

SMALL_IN_A_ROW: Final = 64
SHRINK_FROM_BYTES: Final = 1 << 20
TRY_AGAIN_S: Final = 5.0
MOST_SINKS: Final = 1024


class MemoryStats(NamedTuple):
    """What is shared now, and since the beginning how many slots were taken from slow readers, and files refused."""

    files: int
    bytes: int
    taken: int
    refused: int


class SharedForms:
    """The shared memory of one bridge. Closed and empty until `open`.

    `tell(sessions, error)` is called, in any thread, once a form can't have a file: its frames go over the link.
    """

    def __init__(
        self,
        heap: Sink,
        total_bytes: int,
        session_bytes: int,
        clock: Callable[[], float],
        tell: Callable[[frozenset[int], BridgeError], None] = lambda sessions, error: None,
    ) -> None:
        self.heap = heap
        self.total_bytes = total_bytes
        self.session_bytes = session_bytes
        self.clock = clock
        self.tell = tell
        self.folder: MemoryFolder | None = None
        self._lock = threading.RLock()
        self._forms: dict[tuple[int, PayloadSpec], Form] = {}
        self._sinks: dict[tuple[int, PayloadSpec, Size], Sink] = {}
        """What was found for a payload since readers last came or went: it is asked for every picture."""
        self._by_reader: dict[object, Form] = {}
        self._files: dict[MemoryFile, Form] = {}
        self._generation = 0
        self._promised = 0
        self._taken = 0
        self.refused = 0

    def open(self, named: str = "") -> None:
        """Take a folder, `named` or the system's, and clean up after bridges that are gone. Without one nothing is
        shared, which the log says."""
        if not self.total_bytes or not self.session_bytes or self.folder is not None:
            return
        try:
            self.folder = MemoryFolder(folder_candidates(named))
        except OSError as error:
            logger.warning("no shared memory, frames go over the link: %s", error)

    @property
    def available(self) -> bool:
        """Whether anything can be shared."""
        return self.folder is not None

    def stats(self) -> MemoryStats:
        """Counts and bytes of this moment."""
        with self._lock:
            self._prune()
            files = list(self._files)
            taken = self._taken + sum(file.taken for file in files)
        return MemoryStats(len(files), sum(file.file_bytes for file in files), taken, self.refused)

    # --- who reads what ------------------------------------------------------------------------------------

    def join(
        self, reader: object, session: int, stream: int, spec: PayloadSpec, outputs: int = 1, credit: int = 1
    ) -> bool:
        """A subscription of a session would read a form from shared memory: True if it may, until `leave`."""
        if not self.available or spec.format in ENCODED_FORMATS:
            return False
        with self._lock:
            form = self._forms.setdefault((stream, spec), Form(self, stream))
            slots = max(1, outputs) * (max(1, credit) + SPARE_SETS)
            form.slots = max(form.slots, min(MAX_SLOTS, slots))
            form.readers[reader] = session
            self._by_reader[reader] = form
            self._sinks.clear()
        return True

    def leave(self, reader: object) -> None:
        """The subscription is over. A form that nobody reads any more gives its file back. Safe to call twice."""
        with self._lock:
            form = self._by_reader.pop(reader, None)
            if form is None:
                return
            form.readers.pop(reader, None)
            if form.readers:
                return
            self._forms = {key: other for key, other in self._forms.items() if other is not form}
            self._sinks.clear()
        form.retire()

    def sink_for(self, stream: int, spec: PayloadSpec, size: Size) -> Sink:
        """Where the payload of a picture of `size` is to be written: the form's slots if somebody reads them."""
        if not self._forms:
            return self.heap
        with self._lock:
            asked = (stream, spec, size)
            found = self._sinks.get(asked)
            if found is None:
                found = self._find(stream, _in_size(spec, size), size)
                if len(self._sinks) >= MOST_SINKS:
                    self._sinks.clear()
                self._sinks[asked] = found
        return found

    def _find(self, stream: int, spec: PayloadSpec, size: Size) -> Sink:
        for (number, wanted), form in self._forms.items():
            if number == stream and wanted.format == spec.format and _in_size(wanted, size) == spec:
                return form
        return self.heap

    # --- limits --------------------------------------------------------------------------------------------

    def make_file(self, form: Form, payload_bytes: int, slots: int) -> MemoryFile:
        """Make a file for a form within the limits.

        Raises:
            BridgeError: over the limits (605).
            OSError: no space for it. ValueError: too large for a file.
        """
        file_bytes = page_for(payload_bytes, slots, generation=0, nonce=0, pid=0).file_bytes
        with self._lock:
            self._prune()
            if self.folder is None:
                raise BridgeError("shared memory is closed", code=ErrorCode.SHARED_MEMORY_FULL)
            used = sum(file.file_bytes for file in self._files) + self._promised
            if used + file_bytes > self.total_bytes:
                raise BridgeError(
                    f"{slots} slots of shared memory take {file_bytes} bytes; {used} of {self.total_bytes} are in use "
                    "(limits.shared_memory_mb); these frames come over the link",
                    code=ErrorCode.SHARED_MEMORY_FULL,
                    value=file_bytes,
                    limit=self.total_bytes,
                )
            least = min((self._bytes_of(session) for session in form.sessions), default=0)
            if least + file_bytes > self.session_bytes:
                raise BridgeError(
                    f"{slots} slots of shared memory take {file_bytes} bytes; this session uses {least} of "
                    f"{self.session_bytes} (limits.session_shared_memory_mb); these frames come over the link",
                    code=ErrorCode.SHARED_MEMORY_FULL,
                    value=file_bytes,
                    limit=self.session_bytes,
                )
            self._generation = generation = self._generation % 0xFFFF_FFFF + 1
            self._promised += file_bytes
            folder = self.folder
        # Reserving the space takes milliseconds, and the event loop shall not wait for the lock meanwhile.
        file: MemoryFile | None = None
        try:
            file = MemoryFile(folder, payload_bytes, slots, generation)
        finally:
            with self._lock:
                self._promised -= file_bytes
                if file is not None:
                    self._files[file] = form
                is_closed = self.folder is None
        if is_closed:
            file.close()
        return file

    def _bytes_of(self, session: int) -> int:
        forms = {form for form in self._forms.values() if session in form.sessions}
        return sum(file.file_bytes for file, form in self._files.items() if form in forms)

    def _prune(self) -> None:
        for file in [file for file in self._files if file.closed]:
            self._taken += file.taken
            del self._files[file]

    def close(self) -> None:
        """Remove all files."""
        with self._lock:
            self._forms.clear()
            self._sinks.clear()
            self._by_reader.clear()
            files, self._files = list(self._files), {}
            folder, self.folder = self.folder, None
        for file in files:
            file.close()
        if folder is not None:
            folder.close()


class Form:
    """One stream's pictures by one `PayloadSpec`, in shared memory where that can be had: a `Sink`."""

    def __init__(self, forms: SharedForms, stream: int) -> None:
        self.stream = stream
        self.slots = MIN_SLOTS
        self.readers: dict[object, int] = {}
        """Who reads, each with its session."""
        self._forms = forms
        self._lock = threading.Lock()
        self._file: MemoryFile | None = None
        self._small: list[int] = []
        self._refused: tuple[float, int] | None = None
        """Until when nothing of this size is tried again."""
        self._over = False

    @property
    def sessions(self) -> frozenset[int]:
        """The sessions of those who read."""
        return frozenset(self.readers.values())

    def lend(self, payload_bytes: int) -> Lease:
        """A slot, or heap memory where none can be had. Raises as the heap does."""
        with self._lock:
            file = self._fitting(payload_bytes)
            lease = None if file is None else file.lend(payload_bytes)
        return self._forms.heap.lend(payload_bytes) if lease is None else lease

    def lends_at_once(self, payload_bytes: int) -> bool:
        """As `packets.PromptSink`: its file is there and fits, so none has to be made."""
        file = self._file
        if file is None or file.lost or self._over or payload_bytes > file.page.capacity:
            return False
        return file.page.capacity < SHRINK_FROM_BYTES or payload_bytes * SHRINK > file.page.capacity

    def _fitting(self, payload_bytes: int) -> MemoryFile | None:
        """The file for such a payload: the one there is, or a new one; None if there is no room for one."""
        file = self._file
        if self._over or payload_bytes < 1:
            return None
        wanted = payload_bytes
        if file is not None and payload_bytes <= file.page.capacity and not file.lost:
            if file.page.capacity < SHRINK_FROM_BYTES or payload_bytes * SHRINK > file.page.capacity:
                self._small.clear()
                return file
            self._small.append(payload_bytes)
            if len(self._small) < SMALL_IN_A_ROW:
                return file
            wanted = max(self._small)
            self._small.clear()
        elif self._refused is not None and payload_bytes >= self._refused[1] and self._forms.clock() < self._refused[0]:
            return None
        made = self._make(wanted)
        if made is None:
            return file if file is not None and payload_bytes <= file.page.capacity and not file.lost else None
        if file is not None:
            file.retire()
        self._file = made
        return made

    def _make(self, payload_bytes: int) -> MemoryFile | None:
        error: BridgeError
        try:
            made = self._forms.make_file(self, payload_bytes, self.slots)
        except BridgeError as refusal:
            error = refusal
        except (OSError, ValueError) as failure:
            error = BridgeError(
                f"{self.slots} slots of {payload_bytes} bytes can't be shared: {failure}; these frames come over the "
                "link",
                code=ErrorCode.SHARED_MEMORY_FULL,
                value=payload_bytes,
            )
        else:
            self._refused = None
            return made
        if self._refused is None:
            self._forms.refused += 1
            logger.warning("%s", error.message)
            error.stream = self.stream
            self._forms.tell(self.sessions, error)
        self._refused = (self._forms.clock() + TRY_AGAIN_S, payload_bytes)
        return None

    def retire(self) -> None:
        """Nobody reads this form any more: its file goes as soon as no slot is in use."""
        with self._lock:
            self._over = True
            file, self._file = self._file, None
        if file is not None:
            file.retire()


def _in_size(spec: PayloadSpec, size: Size) -> PayloadSpec:
    """The same form of a picture of this size, said in one way."""
    if spec.size is None or spec.size == size:
        spec = replace(spec, size=None, fit=Fit.STRETCH)
    return spec
