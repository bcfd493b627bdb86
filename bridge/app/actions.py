"""What a client may ask of the bridge, whatever door it came through: streams, values, runs, panic, pictures.

Each action checks first and changes afterwards: one that raises has changed nothing. The doors' hubs (`link_hub`,
`osc_hub`, `http_hub`) call these and hear of what follows as `Watcher`s.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from bridge.app.bridge import Bridge
from bridge.app.inputs.picture_changes import PictureChanges
from bridge.app.pictures.covers import Covers, check_fade
from bridge.app.pictures.held import HeldPictures
from bridge.app.pool.places import Places
from bridge.app.pool.warmup import WarmUps
from bridge.app.records import ReleasedSet, Request
from bridge.app.retained import stream_holder
from bridge.app.seeds import Seeds
from bridge.app.states import States
from bridge.app.switches import Switches
from bridge.app.viewers.viewers import Viewer
from bridge.app.watcher import Watcher
from bridge.errors import BackendError, BridgeError, ErrorCode, NotAllowedError, TexbridgeError
from bridge.scheduler import policy
from bridge.scheduler.events import (
    Finish,
    Panicked,
    RequestAdded,
    RequestCancelled,
    Resumed,
    StreamClosed,
    StreamConfigured,
    ViewersChanged,
)
from bridge.streams.registry import Opened
from bridge.streams.session import Sessions
from bridge.streams.sizes import Shape
from bridge.streams.stream import Stream
from bridge.types import Mode, Outcome, Size, WorkflowSpec
from bridge.workflow.object_info import ObjectInfo


class Actions:
    """The actions of one bridge, with the sessions that use them."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.streams = bridge.streams
        self.sessions = Sessions(lambda: secrets.token_hex(16), limit=bridge.config.limits.sessions)
        self.watchers: list[Watcher] = []
        self.draining = False
        self.held = HeldPictures(bridge)
        self.switches = Switches(bridge.clock)
        self.covers = Covers(bridge, self.held, self._cover_changed, self.switches.log)
        self.places = Places(bridge)
        self.seeds = Seeds(self)
        self.changes = PictureChanges(bridge, lambda stream: self.configure(stream, touched=True))
        self.states = States(bridge, self.places, self.is_paused, self._state_changed, self._tell_trouble)
        self._revisions: dict[int, int] = {}
        self.warm_ups = WarmUps(
            bridge,
            lambda stream: self._revisions.get(stream.number, 0),
            self.places.takes,
            lambda: self.panicked or self.draining,
        )
        bridge.listeners.append(self)
        bridge.add_deadline(self._next_deadline, self._expire)

    @property
    def panicked(self) -> bool:
        """True between panic and resume."""
        return self.held.panicked

    def is_paused(self, stream: Stream) -> bool:
        """True while panic or a freeze holds it."""
        return self.panicked or self.covers.is_frozen(stream)

    # --- what the loop says --------------------------------------------------------------------------------

    def request_finished(self, request: Request, command: Finish, now: float) -> None:
        """Listener: a request's end says how its stream is."""
        self.warm_ups.request_finished(request, command)
        if command.outcome is Outcome.DONE:
            self.places.proved(request)
        failed = command.outcome is Outcome.FAILED
        if not (request.warm_up and failed) or self.warm_ups.failed_everywhere(request):
            self.states.request_finished(request, command.outcome, command.error)
        else:
            self.states.note(request.stream)

    def request_progress(self, request: Request, value: float, maximum: float, node: str, whole: float) -> None:
        """Listener: nothing to do."""

    def set_released(self, stream: Stream, shared: ReleasedSet, size: Size) -> None:
        """Listener: the first set after a switch to live may be what a fade waits for."""
        self.seeds.set_released(stream, shared)
        self.covers.set_released(stream)
        self.held.last_frames.set_released(stream)

    def backends_changed(self) -> None:
        """Listener: with a backend, streams are ready; without one, they wait."""
        self.places.backends_changed()
        self.states.look_again()
        self.warm_ups.backends_changed()

    def use_object_info(self, backend: str, info: ObjectInfo) -> None:
        """A ComfyUI that is up told which nodes and models it has."""
        self.places.use_object_info(backend, info)
        self.states.look_again()
        self.warm_ups.comfy_came(backend)

    def _next_deadline(self) -> float | None:
        deadlines = (self.sessions.next_deadline(), self.streams.next_deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    # --- streams -------------------------------------------------------------------------------------------

    def open_stream(self, name: object, workflow: str, mode: Mode, **options: Any) -> Opened:
        """Open a stream or attach to it; options as `Streams.open` has them. Raises as it does, and 202."""
        spec = self.bridge.library.get(workflow).spec
        there = self.streams.by_name.get(name) if isinstance(name, str) else None
        values = {} if there is None else there.values.snapshot().values
        self.bridge.retained.check_room(options.get("params") or {}, values, 0 if there is None else there.number)
        opened = self.streams.open(name, spec, mode, now=self.bridge.clock(), **options)
        stream = opened.stream
        if opened.replaced:
            self._cancel_all_of(stream)
            self.bridge.feedback.forget_stream(stream.number)
            self._use_outputs(stream)
        elif opened.created and not stream.configured:
            self.held.last_frames.use(stream, None)
        if self.panicked and stream.mode is Mode.LIVE:
            stream.switch_live(False)  # as panic did to all others: `live` starts it after `resume`
        if not opened.created:
            self.places.look(stream)
        self.configure(stream, touched=opened.created or bool(opened.changed) or opened.resized)
        self._hold_values(stream)
        told = self.states.note(stream)
        if opened.created and not told:
            self._tell_stream_changed(stream)
        elif opened.changed:
            self._tell_values_changed(stream, opened.changed, options.get("session"))
        for control, changed in (("workflow", opened.replaced), ("size", opened.resized)):
            if changed:
                self.tell_control_changed(stream, control, options.get("session"))
        self.warm_ups.look(stream)
        self.bridge.set_timer()
        return opened

    def configure(self, stream: Stream, *, touched: bool = False) -> None:
        """Tell the scheduler how a stream works now; `touched` if its next picture will be another one for it."""
        self.seeds.note(stream, changed=touched)
        revision = self.next_revision(stream) if touched else self._revisions.get(stream.number, 0)
        self.bridge.tell(
            StreamConfigured(
                stream.number,
                stream.mode,
                stream.cost_key,
                stream.varies,
                stream.max_fps,
                revision,
                stream.idle_after_s,
                stream.feeds_back,
            )
        )

    def _touch(self, stream: Stream) -> None:
        """The next picture of this stream will be another one."""
        self.configure(stream, touched=True)

    def next_revision(self, stream: Stream) -> int:
        """Give the number of a stream's values as they are from now on."""
        revision = self._revisions[stream.number] = self._revisions.get(stream.number, 0) + 1
        return revision

    def set_values(
        self,
        stream: Stream,
        params: Mapping[str, object],
        *,
        session: int | None = None,
        client_time: int = 0,
        clamp: bool = False,
        source: object = None,
    ) -> tuple[str, ...]:
        """Set values, all or none. Gives the names whose value changed.

        Raises as `Values.set`, and NotAllowedError (414) if pictures and texts would take too much memory.
        """
        self.bridge.retained.check_room(params, stream.values.snapshot().values, stream.number)
        changed = stream.values.set(params, session=session, client_time=client_time, clamp=clamp)
        if changed:
            self._hold_values(stream)
            if not self.changes.holds_back(stream, changed):
                self._touch(stream)
            self._tell_values_changed(stream, changed, session if source is None else source)
            self.warm_ups.values_changed(stream, changed)
        return changed

    def _hold_values(self, stream: Stream) -> None:
        """Count what the stream's values take now, and see where there is what they name."""
        self.places.look(stream)
        self.bridge.retained.use(stream_holder(stream.number), stream.values.snapshot().values.values())

    def set_size(self, stream: Stream, size: object, *, snap: bool = False) -> Size:
        """Set the size of a stream's pictures and give the one that holds. Raises as `Stream.set_size`."""
        before = stream.picture_size
        return self._resized(stream, before, stream.set_size(size, snap=snap))

    def set_shape(self, stream: Stream, shape: Shape) -> Size:
        """Set the size by aspect and megapixels and give the one that holds. Raises as `Stream.set_shape`."""
        before = stream.picture_size
        return self._resized(stream, before, stream.set_shape(shape))

    def _resized(self, stream: Stream, before: Size | None, held: Size) -> Size:
        if held != before:
            self.configure(stream, touched=True)
            self.warm_ups.look(stream)
        # Told to its setter too, and also if it is the old one: it may have been snapped.
        self.tell_control_changed(stream, "size", None)
        return held

    def set_workflow(self, stream: Stream, name: str) -> None:
        """Give a stream another workflow; its picture stays until there is a new one. Raises as `Library.get`."""
        spec = self.bridge.library.get(name).spec
        if spec == stream.workflow:
            return
        self._change_workflow(stream, spec)

    def _change_workflow(self, stream: Stream, spec: WorkflowSpec) -> None:
        size = stream.picture_size
        stream.change_workflow(spec)
        self._hold_values(stream)
        self._use_outputs(stream)
        self.configure(stream, touched=True)
        if not self.states.note(stream):
            self._tell_stream_changed(stream)
        self.tell_control_changed(stream, "workflow", None)
        if stream.picture_size != size:
            self.tell_control_changed(stream, "size", None)
        self.warm_ups.look(stream)

    def tell_control_changed(self, stream: Stream, name: str, source: object) -> None:
        for watcher in self.watchers:
            watcher.control_changed(stream, name, source)

    def _use_outputs(self, stream: Stream) -> None:
        for viewer in self.bridge.viewers.of_stream(stream.number):
            viewer.use_outputs(len(stream.workflow.outputs))

    def workflow_edited(self, name: str) -> None:
        """A workflow's files or node types changed: its streams go over to the new edition."""
        spec = self.bridge.library.get(name).spec
        for stream in list(self.streams.by_name.values()):
            if stream.workflow.name == name:
                self._change_workflow(stream, spec)

    def switch_live(self, stream: Stream, on: bool, fade_s: float | None = None) -> None:
        """Go live, or back to the mode before; with a fade the picture that stands fades into the new ones.

        Raises:
            NotAllowedError: switched on during panic (403).
            InvalidValueError: the fade is not 0 to 3,600 seconds (302).
        """
        fade_s = check_fade(fade_s)
        if on:
            self.check_open()
        if stream.switch_live(on):
            if on:
                self.covers.fade_in(stream, fade_s)
            else:
                self.covers.stay(stream)
            self.configure(stream)
            self.warm_ups.look(stream)

    def close_stream(self, stream: Stream) -> None:
        """End a stream at once."""
        self.streams.remove(stream)
        self._stream_gone(stream)

    def _stream_gone(self, stream: Stream) -> None:
        self.bridge.tell(StreamClosed(stream.number))
        self.bridge.viewers.remove_stream(stream.number)
        self.states.forget_stream(stream.number)
        self.places.forget_stream(stream.number)
        self.warm_ups.forget_stream(stream.number)
        self.covers.forget_stream(stream.number)
        self.held.forget_stream(stream)
        self.bridge.shown.forget_stream(stream.number)
        self.bridge.retained.drop(stream_holder(stream.number))
        self.bridge.pictures.forget_stream(stream.number)
        self.seeds.forget_stream(stream.number)
        self.changes.forget_stream(stream.number)
        self.bridge.feedback.forget_stream(stream.number)
        self._revisions.pop(stream.number, None)
        for session in self.sessions:
            session.forget_stream(stream.number)
        for watcher in self.watchers:
            watcher.stream_closed(stream)

    def _state_changed(self, stream: Stream) -> None:
        self._tell_stream_changed(stream)
        self.warm_ups.look(stream)

    def _tell_stream_changed(self, stream: Stream) -> None:
        for watcher in self.watchers:
            watcher.stream_changed(stream)

    def _tell_values_changed(self, stream: Stream, names: tuple[str, ...], source: object) -> None:
        for watcher in self.watchers:
            watcher.values_changed(stream, names, source)

    def _tell_trouble(self, stream: Stream, error: BackendError) -> None:
        if self.streams.by_number.get(stream.number) is stream:
            for watcher in self.watchers:
                watcher.stream_trouble(stream, error)

    # --- requests ------------------------------------------------------------------------------------------

    def run(
        self,
        stream: Stream,
        params: Mapping[str, object] | None = None,
        *,
        session: int | None = None,
        client_time: int = 0,
        priority: int = 5,
        deadline_s: float | None = None,
        seed: int | None = None,
        clamp: bool = False,
        source: object = None,
        accepted: Callable[[int], None] | None = None,
    ) -> int:
        """Accept a run and give its request number; `accepted` is called with it before anything follows from it.

        Raises:
            NotAllowedError: panic (403), too many wait (405), or pictures and texts take too much memory (405, 414).
            BridgeError: draining (601).
            Whatever is wrong with `params`: then nothing is changed.
        """
        self.check_open()
        limit = policy.waiting_limit(stream.mode)
        if stream.mode is not Mode.LATEST and self.bridge.scheduler.waiting(stream.number) >= limit:
            raise NotAllowedError(
                f"{limit} runs of stream {stream.name!r} wait already, the limit in mode {stream.mode}; "
                "wait for answers, or cancel some",
                code=ErrorCode.TOO_MANY_WAITING,
                field="stream",
                value=stream.name,
                limit=limit,
            )
        params = params or {}
        if self.bridge.before_bind is not None:
            self.bridge.before_bind(stream)
        self.bridge.retained.check_room(params, stream.values.snapshot().values, stream.number, runs=True)
        workflow = self.bridge.library.get(stream.workflow.name)
        changed = stream.values.set(params, session=session, client_time=client_time, clamp=clamp)
        if changed:
            self._hold_values(stream)
            self.next_revision(stream)
        if stream.workflow.feedback is not None and stream.workflow.feedback.switch in changed:
            self.configure(stream)
        number = self.bridge.scheduler.take_number()
        self.bridge.requests[number] = Request(
            number,
            stream,
            workflow,
            stream.values.snapshot(),
            stream.size,
            self.bridge.clock(),
            session=session,
            own_seed=seed,
        )
        self.bridge.retained.use(number, stream.values.snapshot().values.values())
        self.bridge.counts["accepted"] += 1
        if accepted is not None:
            accepted(number)
        self.warm_ups.make_way()
        self.bridge.tell(
            RequestAdded(number, stream.number, self._revisions.get(stream.number, 0), priority, deadline_s)
        )
        if changed:
            self._tell_values_changed(stream, changed, session if source is None else source)
        return number

    @property
    def next_number(self) -> int:
        """The request number that will be given next: all below were given before."""
        return self.bridge.scheduler.next_number

    def revision(self, stream: Stream) -> int:
        """The scheduler's number of a stream's values."""
        return self._revisions.get(stream.number, 0)

    def check_open(self) -> None:
        """Raise if nothing new is made: BridgeError (601) or NotAllowedError (403)."""
        if self.draining:
            raise draining_error()
        if self.panicked:
            raise NotAllowedError("panic is on: nothing is made until resume", code=ErrorCode.PANIC)

    def cancel(self, chosen: Callable[[Request], bool], why: TexbridgeError | None = None) -> list[int]:
        """Cancel the unfinished requests that `chosen` says; gives their numbers. `why` is told with their end."""
        numbers = [request.number for request in list(self.bridge.requests.values()) if chosen(request)]
        for number in numbers:
            self.bridge.tell(RequestCancelled(number, why))
        return [number for number in numbers if number not in self.bridge.requests]

    def _cancel_all_of(self, stream: Stream) -> None:
        self.cancel(lambda request: request.stream is stream)

    def panic(self) -> None:
        """Everything stops now, and every viewer's next picture is the panic picture."""
        if self.panicked:
            return
        self.held.panicked = True
        self.switches.log("panic")
        for stream in self.streams.by_name.values():
            if stream.mode is Mode.LIVE:
                stream.switch_live(False)
                self.configure(stream)
        self.bridge.results.paused = True
        self.bridge.feedback.begin_anew()  # what had to go may be in the picture
        self.bridge.tell(Panicked())
        self.covers.end_fades()
        for stream in self.streams.by_name.values():
            self.held.show_all(stream)
        self.backends_changed()

    def resume(self) -> None:
        """Panic is over. Streams stay in the mode that they have; `live` starts them again."""
        if self.panicked:
            self.held.panicked = False
            self.switches.log("resume: panic is over")
            self.bridge.results.paused = False
            self.bridge.tell(Resumed())
            self.backends_changed()

    # --- viewers -------------------------------------------------------------------------------------------

    def add_viewer(self, stream: Stream, viewer: Viewer) -> None:
        """Somebody looks at a stream: the newcomer gets its last set, or a placeholder, as a held picture."""
        stream.subscribe(viewer.key)
        self.bridge.viewers.add(viewer)
        self.held.show_newcomer(stream, viewer)
        self.tell_viewers(stream)

    def remove_viewer(self, stream: Stream, key: Hashable) -> None:
        """Somebody looks away; unknown ones are ignored."""
        stream.unsubscribe(key, self.bridge.clock())
        self.bridge.viewers.remove(stream.number, key)
        self.tell_viewers(stream)

    def tell_viewers(self, stream: Stream) -> None:
        """Tell the scheduler how many look at a stream now."""
        self.bridge.tell(ViewersChanged(stream.number, 0 if self.covers.is_frozen(stream) else stream.viewers))
        self.warm_ups.look(stream)

    def _cover_changed(self, stream: Stream) -> None:
        """A stream was frozen or goes on: a frozen one rests as if nobody looked."""
        self.tell_viewers(stream)
        self.states.note(stream)

    def _expire(self, now: float) -> None:
        for session in self.sessions.expire(now):
            for number, _ in session.requests.unfinished():
                self.bridge.tell(RequestCancelled(number))
            for stream in list(self.streams.by_name.values()):
                self.remove_viewer(stream, session.id)
            self.streams.session_ended(session.id, now)
        for stream in self.streams.expire(now):
            self._stream_gone(stream)

    def drain(self) -> None:
        """Take nothing new and end every request `cancelled` (601); the doors then tell their clients and close."""
        self.draining = True
        for stream in self.streams.by_name.values():
            if stream.mode is Mode.LIVE:
                stream.switch_live(False)
                self.configure(stream)
        self.cancel(lambda _: True, draining_error())

    async def close(self) -> None:
        """Keep the last pictures, and end what is still being prepared for viewers."""
        await self.changes.close()
        await self.held.last_frames.close()
        await self.covers.close()
        await self.held.close()


def draining_error() -> BridgeError:
    """Give what whoever asks a bridge that ends is told, and whoever waits for what it cancels."""
    return BridgeError("the bridge is shutting down", code=ErrorCode.DRAINING)
