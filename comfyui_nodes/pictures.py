"""Pictures that were sent for a prompt and wait in memory, bounded. Pure but for the clock that is passed in.

A picture is known by the session that sent it and by a name of its choice: nobody can replace the picture of a session
without its secret, and a name that the sender keeps to itself can't be guessed.
"""

import contextlib
import hashlib
import re
import threading

MEGABYTE = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r"[!-~]{16,128}")

PIXEL_FORMATS = {
    "rgba8": 4,
    "bgra8": 4,
    "rgb8": 3,
    "r8": 1,
    "r16": 2,
    "r16f": 2,
    "r32f": 4,
    "rgba16f": 8,
    "rgba32f": 16,
}
ENCODED_FORMATS = ("jpeg", "png", "webp")
ORIGINS = ("top_left", "bottom_left")


class RefusedPicture(ValueError):
    """A picture that isn't taken; `status` is the answer's."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Description:
    """What the query of a POST says of a picture. Raises RefusedPicture for what can't be."""

    def __init__(self, query, max_pixels):
        self.name = query.get("name", "")
        if not _NAME.fullmatch(self.name):
            raise RefusedPicture(400, "name must be 1 to 64 letters, digits, - or _")
        self.format = query.get("format", "")
        if self.format not in PIXEL_FORMATS and self.format not in ENCODED_FORMATS:
            known = ", ".join((*PIXEL_FORMATS, *ENCODED_FORMATS))
            raise RefusedPicture(400, f"format {self.format[:40]!r} is none of {known}")
        self.origin = query.get("origin", "top_left")
        if self.origin not in ORIGINS:
            raise RefusedPicture(400, f"origin {self.origin[:40]!r} is none of {', '.join(ORIGINS)}")
        self.width = self.height = 0
        if self.format in ENCODED_FORMATS:
            return
        self.width, self.height = (_side(query, side) for side in ("width", "height"))
        if self.width * self.height > max_pixels:
            raise RefusedPicture(413, f"{self.width} x {self.height} pixels > limit {max_pixels}")

    @property
    def payload_bytes(self):
        """How long the body must be; None for an encoded picture."""
        if self.format in ENCODED_FORMATS:
            return None
        return self.width * self.height * PIXEL_FORMATS[self.format]


def _side(query, name):
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text)):
        raise RefusedPicture(400, f"{name} {text[:40]!r} is no whole number from 1")
    return int(text)


class Entry:
    """A picture: its description, its bytes (never changed), when it ends, and whose it is."""

    __slots__ = ("data", "description", "ends_at", "session")

    def __init__(self, description, data, ends_at, session):
        self.description = description
        self.data = data
        self.ends_at = ends_at
        self.session = session


class Pictures:
    """All pictures that wait. Any thread may call."""

    def __init__(
        self,
        clock,
        *,
        keep_s=120.0,
        max_bytes=64 * MEGABYTE,
        max_total_bytes=512 * MEGABYTE,
        max_session_bytes=256 * MEGABYTE,
        max_entries=256,
        max_pixels=64 * MEGABYTE,
    ):
        self.keep_s = keep_s
        self.max_bytes = max_bytes
        self.max_total_bytes = max_total_bytes
        self.max_session_bytes = max_session_bytes
        self.max_entries = max_entries
        self.max_pixels = max_pixels
        self._clock = clock
        self._entries = {}
        self._under_way = []
        self._lock = threading.Lock()

    def limits(self):
        """What `/texbridge/info` tells."""
        return {
            "picture_bytes": self.max_bytes,
            "picture_pixels": self.max_pixels,
            "session_bytes": self.max_session_bytes,
            "total_bytes": self.max_total_bytes,
            "pictures": self.max_entries,
            "keep_s": self.keep_s,
        }

    def put(self, secret, description, data):
        """Keep a picture; gives what a node's input takes. A name that is there already keeps its picture.

        Raises RefusedPicture.
        """
        session = session_of(secret)
        if len(data) > self.max_bytes:
            raise RefusedPicture(413, f"{len(data)} bytes > limit {self.max_bytes}")
        wanted = description.payload_bytes
        if wanted is not None and len(data) != wanted:
            raise RefusedPicture(
                400,
                f"{len(data)} bytes for {description.width} x {description.height} {description.format}, "
                f"which has {wanted}",
            )
        if not data:
            raise RefusedPicture(400, "a picture of 0 bytes")
        ticket = f"{session}/{description.name}"
        with self._lock:
            now = self._clock()
            self._expire(now)
            kept = self._entries.pop(ticket, None)
            if kept is None:
                self._make_room(session, len(data))
                kept = Entry(description, data, 0.0, session)
            kept.ends_at = now + self.keep_s
            self._entries[ticket] = kept
        return ticket

    @contextlib.contextmanager
    def under_way(self, secret, size):
        """Hold room for a picture while its bytes come: they take memory already. Raises RefusedPicture."""
        place = (session_of(secret), size)
        with self._lock:
            self._expire(self._clock())
            self._make_room(*place)
            self._under_way.append(place)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(place)

    def get(self, ticket):
        """The picture, kept a while longer from now; None if there is none."""
        with self._lock:
            now = self._clock()
            self._expire(now)
            entry = self._entries.pop(ticket, None)
            if entry is not None:
                entry.ends_at = now + self.keep_s
                self._entries[ticket] = entry
            return entry

    def forget(self, secret, names=None):
        """Drop a session's pictures, all or those of these names; gives how many."""
        session = session_of(secret)
        wanted = None if names is None else {f"{session}/{name}" for name in names}
        with self._lock:
            mine = [
                ticket
                for ticket, entry in self._entries.items()
                if entry.session == session and (wanted is None or ticket in wanted)
            ]
            for ticket in mine:
                del self._entries[ticket]
        return len(mine)

    def expire(self):
        """Drop what has ended; to be called now and then."""
        with self._lock:
            self._expire(self._clock())

    def __len__(self):
        return len(self._entries)

    def _expire(self, now):
        # Entries stand in the order in which they were last wanted, so those that end first come first.
        for ticket in list(self._entries):
            if self._entries[ticket].ends_at > now:
                break
            del self._entries[ticket]

    def _make_room(self, session, size):
        """Make room among the session's own pictures; those of others stay. Raises RefusedPicture."""

        def bytes_of(entries):
            return sum(len(entry.data) for entry in entries)

        mine = [(ticket, entry) for ticket, entry in self._entries.items() if entry.session == session]
        own, total, count = bytes_of(entry for _, entry in mine), bytes_of(self._entries.values()), len(self._entries)
        own += sum(coming for whose, coming in self._under_way if whose == session)
        total += sum(coming for _, coming in self._under_way)
        count += len(self._under_way)
        for ticket, entry in mine:
            if (
                own + size <= self.max_session_bytes
                and total + size <= self.max_total_bytes
                and count < self.max_entries
            ):
                break
            del self._entries[ticket]
            own, total, count = own - len(entry.data), total - len(entry.data), count - 1
        if own + size > self.max_session_bytes or total + size > self.max_total_bytes or count >= self.max_entries:
            raise RefusedPicture(
                503,
                f"no room for {size} bytes: {count} pictures of other sessions, or still under way, take {total} bytes "
                "of memory",
            )


def session_of(secret):
    """The public name of a session. Raises RefusedPicture for a secret that is none."""
    if not _SECRET.fullmatch(secret or ""):
        raise RefusedPicture(401, "the header X-TexBridge-Session must hold 16 to 128 printable characters")
    return hashlib.sha256(b"texbridge session\0" + secret.encode()).hexdigest()[:16]
