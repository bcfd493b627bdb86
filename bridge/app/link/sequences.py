"""The ops that are about sequences: `sequence`, and `image` for one frame.

Source: wire contract, Engine link; protocols/engine-link.md, sequence.
"""

from __future__ import annotations

import random

from bridge.app.actions import Actions
from bridge.app.link.memory import LinkMemory
from bridge.app.records import Request
from bridge.app.sequences import RunningSequence
from bridge.codec import messages as m
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, UnknownNameError
from bridge.links.connection import Connection
from bridge.scheduler.events import SequenceAdded
from bridge.streams.checks import MAX_SEED
from bridge.streams.session import Session
from bridge.streams.stream import Stream
from bridge.streams.tracks import FRAME_NUMBERS, MAX_FRAMES, Tracks, check_tracks
from bridge.types import ParameterType, SeedPolicy

MAX_FPS = 1000


def answer_known(connection: Connection, session: Session, key: int | str | None, id: int | None, now: float) -> bool:
    """Answer a request whose key is known already, with its terminal answer if this connection has not had it."""
    known = session.requests.lookup(key, now)
    if known is None:
        return False
    connection.send(m.Accepted(id=id, request=known, key=key))
    answer = session.requests.repeat_finished(known, connection)
    if answer is not None:
        connection.send(answer, after_frames=True)  # type: ignore[arg-type]
    return True


class LinkSequences:
    """Takes sequences in, and the pictures of their frames."""

    def __init__(self, actions: Actions, memory: LinkMemory) -> None:
        self._actions = actions
        self._bridge = actions.bridge
        self._memory = memory
        self._random = random.SystemRandom()

    def sequence(self, connection: Connection, session: Session, message: m.Sequence) -> None:
        """Accept a sequence, or none of it."""
        bridge, now = self._bridge, self._bridge.clock()
        if answer_known(connection, session, message.key, message.id, now):
            return
        stream = self._actions.streams.find(message.stream)
        session.requests.check_room(message.key, now)
        self._actions.check_open()
        bridge.sequences.check_room(stream)
        _check_numbers(message)
        if bridge.before_bind is not None:
            bridge.before_bind(stream)
        tracks = check_tracks(stream.values, self._with_pixels(connection, message), has_seed=stream.workflow.has_seed)
        images = _check_images(stream, message, tracks)
        values = stream.values.snapshot()
        bridge.retained.check_room(
            {str(place): value for place, value in enumerate(tracks.values())}, values.values, stream.number, runs=True
        )
        workflow = bridge.library.get(stream.workflow.name)
        seed, every = stream.next_seed(self._random.getrandbits, message.seed, now), stream.seeds.every
        if message.seed is None and stream.seed_policy is SeedPolicy.INCREMENT:
            stream.seed = (seed + -(-message.frames // every)) & MAX_SEED
        number = bridge.scheduler.take_number()
        request = Request(number, stream, workflow, values, stream.size, now, session=session.id, seed=seed)
        bridge.requests[number] = request
        bridge.counts["accepted"] += 1
        session.requests.remember(number, message.key, now)
        connection.send(m.Accepted(id=message.id, request=number, key=message.key))
        until = bridge.sequences.add(
            RunningSequence(
                request,
                tracks,
                message.frames,
                message.first,
                seed,
                stream.seed_policy,
                every,
                fps=message.fps,
                images=images,
            )
        )
        self._actions.warm_ups.make_way()
        bridge.tell(
            SequenceAdded(
                number,
                stream.number,
                self._actions.revision(stream),
                message.frames,
                until,
                message.priority,
                None if message.deadline_ms is None else message.deadline_ms / 1000,
            )
        )

    def _with_pixels(self, connection: Connection, message: m.Sequence) -> dict[str, object]:
        """The tracks, the pictures of keys that lie in shared memory copied from there."""
        tracks: dict[str, object] = {}
        for name, keys in message.tracks.items():
            there = {str(place): key[1] for place, key in enumerate(keys) if len(key) > 1}
            values = self._memory.with_pixels(connection, there)
            tracks[name] = [
                [key[0], values[str(place)], *key[2:]] if len(key) > 1 else key for place, key in enumerate(keys)
            ]
        return tracks

    def picture(self, connection: Connection, session: Session, message: m.Image) -> None:
        """Take the picture of one frame."""
        stream = self._actions.streams.find(message.stream)
        number = message.request or 0
        sequence = self._bridge.sequences.get(number)
        if sequence is None:
            if session.requests.key_of(number) is None and number >= self._actions.next_number:
                raise UnknownNameError(
                    f"no request {number}", code=ErrorCode.UNKNOWN_REQUEST, field="request", value=number
                )
            request = self._bridge.requests.get(number)
            if request is not None:
                raise InvalidValueError(
                    f"request {number} is a run: its pictures come with its params",
                    code=ErrorCode.UNKNOWN_REQUEST,
                    field="request",
                    value=number,
                )
        elif sequence.request.session != session.id:
            raise NotAllowedError(
                f"request {number} is not this session's", code=ErrorCode.NOT_YOURS, field="request", value=number
            )
        elif sequence.request.stream is not stream:
            raise InvalidValueError(
                f"request {number} is one of stream {sequence.request.stream.name!r}, not of {stream.name!r}",
                code=ErrorCode.UNKNOWN_REQUEST,
                field="stream",
                value=stream.name,
                limit=sequence.request.stream.name,
            )
        else:
            value = self._memory.with_pixels(connection, {message.param: message.value})[message.param]
            self._bridge.sequences.take_picture(number, message.index or 0, message.param, value)
        # One that is over needs no more pictures: those that crossed its answer are no error.
        if message.id is not None:
            connection.send(m.Ok(id=message.id))


def _check_numbers(message: m.Sequence) -> None:
    low, high = FRAME_NUMBERS
    for field, value, least, most in (
        ("frames", message.frames, 1, MAX_FRAMES),
        ("first", message.first, low, high - message.frames + 1),
        ("fps", 1 if message.fps is None else message.fps, 0, MAX_FPS),
    ):
        if not least <= value <= most:
            raise InvalidValueError(
                f"{field} {value} is outside {least}..{most}",
                code=ErrorCode.OUT_OF_RANGE,
                field=field,
                value=value,
                limit=f"{least}..{most}",
            )


def _check_images(stream: Stream, message: m.Sequence, tracks: Tracks) -> tuple[str, ...]:
    images = tuple(dict.fromkeys(message.images or ()))
    for name in images:
        spec = stream.parameters.get(name)
        if spec is None:
            stream.values.check({name: None})  # raises, and says which is nearest
        elif spec.type is not ParameterType.IMAGE or name in tracks:
            what = "has a track" if name in tracks else f"is a {spec.type}, not an image"
            raise InvalidValueError(
                f"images: {name} {what}; pictures frame by frame are for image parameters without a track",
                code=ErrorCode.NOT_A_CHOICE,
                field="images",
                value=name,
            )
    return images
