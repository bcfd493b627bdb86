"""Who gets the frames of which stream: one viewer per subscription, with its own outbox."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Final, NamedTuple, TypeAlias

from bridge.app.records import ViewerSet
from bridge.app.viewers.cross_fade import ViewerFade
from bridge.app.viewers.memory import ViewerMemory
from bridge.app.viewers.rate import ViewerPace, ViewerRate
from bridge.codec.frame import HEADER_BYTES, FrameHeader, encode_frame_header
from bridge.delivery.lossless import LosslessOutbox
from bridge.delivery.outbox import Outbox
from bridge.frames.packets import Payload
from bridge.links.writing import OutgoingFrame
from bridge.types import FrameFlags, PayloadSpec, PixelFormat

Wants: TypeAlias = tuple[tuple[int, ...], PayloadSpec]
"""Outputs and their form: viewers that want the same share the same payloads."""

NO_PAYLOAD: Final = memoryview(b"")


class Viewer:
    """One subscriber of one stream. `key` is its session's id, or an object of an HTTP request.

    `outputs` are those it wants, None for all of the `outputs_there`. `previews` says that it wants those too. `wake`
    is called whenever there may be a frame to take.
    """

    def __init__(
        self,
        key: Hashable,
        stream: int,
        outputs: tuple[int, ...] | None,
        spec: PayloadSpec,
        wake: Callable[[], None],
        *,
        outputs_there: int = 1,
        credit: int = 1,
        credit_limit: int = 8,
        memory: ViewerMemory | None = None,
        rate: ViewerRate | None = None,
        fade: ViewerFade | None = None,
        previews: bool = False,
        lossless: LosslessOutbox[ViewerSet] | None = None,
        pace: ViewerPace | None = None,
    ) -> None:
        self.pace = pace
        """How steadily it gets its sets, if it said so."""
        self.previews = previews
        self.fade = fade
        """Its cross-fade, if it asked for one: sets come when their turn is, and blends before."""
        if fade is not None:
            fade.attach(self)
        self.rate = rate
        """What its line takes, if it said so."""
        self.memory = memory
        """What it was told of shared memory; None if all its frames go over the link."""
        self.key = key
        self.stream = stream
        self._outputs = outputs
        self._spec = spec
        self.use_outputs(outputs_there)
        self.wake = wake
        self.away = False
        """Its connection is gone, and it may be back: then it gets the newest set as a held one."""
        self.flush: Callable[[], None] = nobody
        """Writes what there is to take here and now, where the connection can; never from within its own message."""
        self.outbox: Outbox[ViewerSet] | LosslessOutbox[ViewerSet] = lossless or Outbox(credit, credit_limit)
        self.lost: Callable[[BaseException | None], None] = lambda error: None
        """Called when a lossless reader loses a set: there was no room (None), or its form can't be made."""
        self.freed: Callable[[], None] = nobody
        """Called when a lossless outbox has room again."""
        self._frames: deque[tuple[FrameHeader, Payload]] = deque()
        self._begun: ViewerSet | None = None
        """The set whose frames those are."""
        self.offered = 0
        """The number of the set that was made for it last."""

    def use_outputs(self, outputs_there: int) -> None:
        """The stream's workflow has so many outputs now."""
        outputs = tuple(range(outputs_there)) if self._outputs is None else self._outputs
        self.wants: Wants = (outputs, self._spec)

    def restart(self) -> None:
        """The viewer is back on another connection: full credit, and nothing of a set that was begun on the old one."""
        self._drop_frames()
        self.outbox.refill()
        if self.fade is not None:
            self.fade.start_from(None)
        if self.memory is not None:
            self.memory.restart()

    def reach(self, wake: Callable[[], None], flush: Callable[[], None]) -> None:
        """It is on this connection now."""
        self.wake, self.flush = wake, flush
        self.away = False

    def leave(self) -> None:
        """The viewer's connection is gone; it may be back. Nothing reads the slots that it held any more."""
        self.reach(nobody, nobody)
        self.away = True
        if self.fade is not None:
            self.fade.start_from(None)
        if self.memory is not None:
            self.memory.restart()

    def use_memory(self, memory: ViewerMemory | None) -> None:
        """From now on its frames are in this shared memory, or in none."""
        if self.memory is not None:
            self.memory.close()
        self.memory = memory

    def offer(self, item: ViewerSet, now: float) -> None:
        """A new set for this viewer; what it displaces is released."""
        self.offered = max(self.offered, item.number)
        if isinstance(self.outbox, LosslessOutbox):
            mine = item.shared.sequence_of == self.key  # the sequence pauses for it
            lost = not mine and not self.outbox.has_room(item.payload_bytes)
            self._dispose(self.outbox.offer(item, now, paused_by_it=mine))
            if lost:
                self.lost(None)
        elif self.fade is not None:
            self.fade.offer(item, now)
            return
        else:
            self._dispose(self.outbox.offer(item, now))
        self.wake()

    def show(self, item: ViewerSet, now: float) -> None:
        """A set whose turn has come: the blends before it need no ack any more."""
        if isinstance(self.outbox, Outbox):
            self.outbox.forget_blends()
        self._dispose(self.outbox.offer(item, now))
        self.wake()

    def settle(self) -> None:
        """What fades is over now: the newest set comes at once."""
        if self.fade is not None:
            self.fade.settle()

    def takes_blend(self, number: int) -> bool:
        """Whether a blend that shows this set may go out."""
        return isinstance(self.outbox, Outbox) and self.outbox.takes_blend(number)

    def missed(self, error: BaseException | None) -> None:
        """A set can't be had in this viewer's form."""
        if isinstance(self.outbox, LosslessOutbox):
            self.lost(error)

    def hold(self, item: ViewerSet) -> None:
        """A held picture: the newcomer's set, or a placeholder."""
        out = self.outbox.hold(item)
        if self.fade is not None and item not in out:
            self.fade.start_from(item)
        self._dispose(out)
        self.wake()

    def blend(self, item: ViewerSet, now: float) -> None:
        """A step of a fade, which costs a credit as a set does."""
        self._dispose(self.outbox.blend(item, now))
        self.wake()

    def preview(self, item: ViewerSet) -> None:
        """A preview of the set in work, which costs no credit; it is dropped if anything waits."""
        self._dispose(self.outbox.preview(item))
        self.wake()

    def drop_preview(self, request: int) -> None:
        """A preview of this request that waits would come too late."""
        self._dispose(self.outbox.drop_preview(lambda item: item.shared.request == request))

    def panic(self, item: ViewerSet | None) -> None:
        """What waits is dropped, the rest of a set that was begun too; `item`, if any, is the next picture."""
        if self._frames and self._begun is not None and not self._begun.held:
            self._dispose(self.outbox.forget(self._begun.number) or ())
        self._drop_frames()
        if self.fade is not None:
            self.fade.start_from(item)
        self._dispose(self.outbox.panic(item))
        self.freed()
        self.wake()

    def ack(self, number: int) -> None:
        """The viewer is ready for the next set."""
        if self.memory is not None:
            self.memory.ack(number)
        if isinstance(self.outbox, LosslessOutbox):
            done = self.outbox.ack(number)
            self._dispose(done)
            freed = bool(done)
        else:
            freed = self.outbox.ack(number)
        if freed:
            self.freed()
            self.wake()

    def take(self) -> ViewerSet | None:
        """The next whole set, for a viewer that takes pictures and not frames."""
        return self.outbox.take()

    def next_frame(self) -> tuple[bytes, Payload] | None:
        """The next frame: its header, and its payload, now the caller's to release."""
        frame = self._next()
        return None if frame is None else (encode_frame_header(frame[0]), frame[1])

    def outgoing(self) -> OutgoingFrame | None:
        """The next frame as a link writes it: a doorbell where its payload lies in memory that the viewer reads."""
        frame = self._next()
        if frame is None:
            return None
        header, payload = frame
        bell = None if self.memory is None else self.memory.doorbell(header, payload)
        if self.rate is not None:
            self.rate.sent(HEADER_BYTES + (payload.payload_bytes if bell is None else 0))
        if bell is None:
            return OutgoingFrame(encode_frame_header(header), payload.data, payload.release)
        payload.release()  # the viewer holds the slot now, until its ack
        return OutgoingFrame(bell[1], NO_PAYLOAD, nobody, before=bell[0])

    def _next(self) -> tuple[FrameHeader, Payload] | None:
        if not self._frames:
            item = self.outbox.take(sets=self._line_is_free() and self._is_due())
            if item is None:
                return None
            if self.pace is not None and not item.held:
                self.pace.released()
            if self.memory is not None and not item.preview:
                self.memory.begin(item)
            self._begun = item
            self._frames.extend(self._framed(item))
        header, payload = self._frames.popleft()
        if not self._frames:
            self._begun = None
        return header, payload

    def _line_is_free(self) -> bool:
        return self.rate is None or not self.outbox.ready or self.rate.is_free(self._wake_later)

    def _is_due(self) -> bool:
        return self.pace is None or not self.outbox.ready or self.pace.is_due(self._wake_later)

    def _wake_later(self) -> None:
        self.wake()  # that of the connection that it has then

    @property
    def inside_set(self) -> bool:
        """True while frames of a set that was begun are still to come."""
        return bool(self._frames)

    def _framed(self, item: ViewerSet) -> Iterable[tuple[FrameHeader, Payload]]:
        shared = item.shared
        common = (FrameFlags.LAST_SET if shared.last else 0) | (FrameFlags.HELD if item.held else 0)
        common |= FrameFlags.PREVIEW if item.preview else 0
        client_time = shared.client_times.get(self.key, 0) if isinstance(self.key, int) else 0
        last_output = item.payloads[-1][0]
        for output, payload in item.payloads:
            yield (
                FrameHeader(
                    flags=int(common | payload.flags | (FrameFlags.LAST_OF_SET if output == last_output else 0)),
                    stream=self.stream,
                    number=shared.number,
                    request=shared.request,
                    index=shared.index,
                    output=output,
                    mips=payload.mips,
                    format=int(payload.format),
                    width=payload.width,
                    height=payload.height,
                    row_pitch=payload.row_pitch,
                    payload_bytes=payload.payload_bytes,
                    client_time=client_time,
                    comfy_us=shared.comfy_us,
                    bridge_us=shared.bridge_us,
                ),
                payload,
            )

    def close(self) -> None:
        """Nothing more goes to this viewer: all that waits is released."""
        if self.fade is not None:
            self.fade.close()
        self._dispose(self.outbox.clear())
        self.freed()
        self._drop_frames()
        self.use_memory(None)
        if self.rate is not None:
            self.rate.close()
        if self.pace is not None:
            self.pace.close()
        self.wake()

    def _drop_frames(self) -> None:
        while self._frames:
            self._frames.popleft()[1].release()
        self._begun = None

    @staticmethod
    def _dispose(items: Iterable[ViewerSet]) -> None:
        for item in items:
            item.release()


class ViewerTotals(NamedTuple):
    """The viewers of one stream and format now, and what was sent to them and to those before them, in sets."""

    viewers: int = 0
    sent: int = 0
    dropped: int = 0
    credit_stalls: int = 0


class Viewers:
    """All viewers, by stream and key."""

    def __init__(self) -> None:
        self._by_stream: dict[int, dict[Hashable, Viewer]] = {}
        self._gone: dict[tuple[int, PixelFormat], ViewerTotals] = {}
        """What was sent to viewers that left streams that are there."""

    def add(self, viewer: Viewer) -> None:
        """Take a viewer in; one of the same key and stream is closed and replaced."""
        self.remove(viewer.stream, viewer.key)
        self._by_stream.setdefault(viewer.stream, {})[viewer.key] = viewer

    def remove(self, stream: int, key: Hashable) -> None:
        """Close a viewer and forget it; unknown ones are ignored."""
        viewers = self._by_stream.get(stream, {})
        viewer = viewers.pop(key, None)
        if viewer is not None:
            viewer.close()
            self._count(self._gone, viewer, 0.0, 0)
        if not viewers:
            self._by_stream.pop(stream, None)

    def totals(self, now: float) -> dict[tuple[int, PixelFormat], ViewerTotals]:
        """Give who looks and what was sent, by stream and format, over the life of each stream."""
        totals = dict(self._gone)
        for viewer in self.all():
            self._count(totals, viewer, now, 1)
        return totals

    @staticmethod
    def _count(totals: dict[tuple[int, PixelFormat], ViewerTotals], viewer: Viewer, now: float, viewers: int) -> None:
        key = (viewer.stream, viewer.wants[1].format)
        before, told = totals.get(key, ViewerTotals()), viewer.outbox.stats(now)
        totals[key] = ViewerTotals(
            before.viewers + viewers,
            before.sent + told.sent,
            before.dropped + told.dropped,
            before.credit_stalls + told.credit_stalls,
        )

    def get(self, stream: int, key: Hashable) -> Viewer | None:
        """The viewer of this stream with this key."""
        return self._by_stream.get(stream, {}).get(key)

    def of_stream(self, stream: int) -> list[Viewer]:
        """Everybody who looks at a stream."""
        return list(self._by_stream.get(stream, {}).values())

    def takers(self, stream: int) -> list[Viewer]:
        """Those of them for whom a new set is made: who is away gets none, unless it is to miss none."""
        viewers = self._by_stream.get(stream, {}).values()
        return [viewer for viewer in viewers if not viewer.away or isinstance(viewer.outbox, LosslessOutbox)]

    def remove_stream(self, stream: int) -> None:
        """The stream is gone: close all its viewers."""
        for key in list(self._by_stream.get(stream, {})):
            self.remove(stream, key)
        for gone in [gone for gone in self._gone if gone[0] == stream]:
            del self._gone[gone]

    def all(self) -> list[Viewer]:
        """Every viewer of every stream."""
        return [viewer for viewers in self._by_stream.values() for viewer in viewers.values()]


def nobody() -> None:
    """The `wake` of a viewer whose connection is gone, and the end of a doorbell."""
