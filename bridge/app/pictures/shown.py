"""Which set each stream shows now: kept for newcomers, for who comes back, and for when what covers it ends."""

from __future__ import annotations

from bridge.app.pictures.sets import PictureSet
from bridge.app.records import ReleasedSet, ViewerSet, release_all
from bridge.app.viewers.viewers import Viewer, Wants
from bridge.frames.packets import Payload, PayloadSource


class ShownSets:
    """The last released set of each stream, and of a frozen one the set that it still shows beside the newest."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[ReleasedSet, PictureSet]] = {}
        self._frozen: set[int] = set()
        self._newer: dict[int, tuple[ReleasedSet, PictureSet]] = {}
        """The set that came last of a frozen stream, which still shows an older one."""

    def put(self, stream: int, shared: ReleasedSet, made: PictureSet) -> None:
        """A set was released: it takes the place of the one before, which is closed."""
        place = self._newer if stream in self._frozen else self._shown
        before = place.get(stream)
        place[stream] = (shared, made)
        if before is not None:
            before[1].close()

    def keeps(self, made: PictureSet) -> bool:
        """Whether this set is shown, or waits behind a frozen one."""
        stream = made.attempt.request.stream.number
        return any(kept is not None and kept[1] is made for kept in (self._shown.get(stream), self._newer.get(stream)))

    def get(self, stream: int) -> tuple[ReleasedSet, dict[int, PayloadSource]] | None:
        """The set that a stream shows now."""
        known = self._shown.get(stream)
        return None if known is None else (known[0], known[1].sources)

    def newest(self, stream: int) -> tuple[ReleasedSet, dict[int, PayloadSource]] | None:
        """The set that came last, which a frozen stream doesn't show yet."""
        known = self._newer.get(stream) or self._shown.get(stream)
        return None if known is None else (known[0], known[1].sources)

    async def held_set(self, stream: int, wants: Wants) -> ViewerSet | None:
        """The set that a stream shows now as a held one in this form, owned by the caller; None if there is none.

        Raises:
            TexbridgeError: the form can't be made, or no buffer is left.
        """
        while (known := self._shown.get(stream)) is not None:
            shared, made = known
            payloads: list[tuple[int, Payload]] = []
            try:
                for output in wants[0]:
                    source = made.sources.get(output)
                    if source is not None and (payload := await source.payload(wants[1])) is not None:
                        payloads.append((output, payload))
            except BaseException as error:
                release_all(payloads)
                if isinstance(error, RuntimeError) and self._shown.get(stream) is not known:
                    continue  # a newer set came meanwhile: that one, then
                raise
            return ViewerSet(shared, tuple(payloads), held=True) if payloads else None
        return None

    def held_now(self, stream: int, viewer: Viewer) -> ViewerSet | None:
        """The set that a stream shows now, in this viewer's form, if it can be had at once; else None."""
        known = self._shown.get(stream)
        if known is None:
            return None
        shared, made = known
        if not all(output in made.sources for output in viewer.wants[0]):
            return None
        payloads = made.at_once(viewer.wants)
        return None if payloads is None else ViewerSet(shared, payloads, held=True)

    def freeze(self, stream: int) -> None:
        """The set that a stream shows now stays the one that it shows; newer ones are released behind it."""
        self._frozen.add(stream)

    def thaw(self, stream: int) -> tuple[bool, PictureSet | None]:
        """Show the newest set again. Gives whether that is another one, and the one before, for the caller to close."""
        self._frozen.discard(stream)
        newer = self._newer.pop(stream, None)
        if newer is None:
            return False, None
        before = self._shown.get(stream)
        self._shown[stream] = newer
        return True, None if before is None else before[1]

    def forget_stream(self, stream: int) -> None:
        """The stream is gone, and with it what it showed."""
        for place in (self._shown, self._newer):
            known = place.pop(stream, None)
            if known is not None:
                known[1].close()

    def close(self) -> None:
        """Let go of all of them."""
        for stream in list(self._shown):
            self.forget_stream(stream)
