"""What `/metrics` says: the bridge's counters and gauges for Prometheus.

Labels come from bounded sets only: streams and ComfyUIs that are there, doors, outcomes, formats, states, and words of
the code. No request, session or sender is named, and no address. Source: protocols/http-health.md, Metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge import __version__
from bridge.app.actions import Actions
from bridge.app.http.loop_lag import LoopLag
from bridge.app.http.metrics_text import MetricsText
from bridge.app.http.readiness import readiness
from bridge.types import Outcome, StreamState

_BACKEND_STATES = ("connecting", "up", "mute", "doubted", "stuck", "down", "closed")


def metrics(actions: Actions, lag: LoopLag, doors: Mapping[str, Callable[[], Mapping[str, int]]]) -> str:
    """Give the page. `doors` tells what each door counted."""
    page = MetricsText()
    bridge = actions.bridge
    now = bridge.clock()
    trouble = actions.held.last_frames.trouble
    page.gauge("build_info", "1, with the version as label.", 1, version=__version__)
    page.gauge("uptime_seconds", "Since the start.", round(now - bridge.started_at, 3))
    page.gauge("ready", "1 if pictures can be made now, as /readyz says.", readiness(actions)[0])
    page.gauge("degraded", "1 if somebody should look, as /healthz says.", trouble is not None)
    page.gauge("panic", "1 between panic and resume.", actions.panicked)
    page.gauge("sessions", "Engines, those that were cut and may be back included.", len(actions.sessions))
    page.gauge("streams", "Streams that are open.", len(actions.streams))
    _loop(page, lag)
    _requests(page, actions)
    _streams(page, actions)
    _backends(page, actions)
    _memory(page, actions)
    for door, counts in doors.items():
        for event, count in sorted(counts().items()):
            page.counter("door_events_total", "What each door counted.", count, door=door, event=event)
    return str(page)


def _loop(page: MetricsText, lag: LoopLag) -> None:
    page.histogram("loop_lag_seconds", "How late the event loop's timers came.", lag.buckets, lag.total_s)
    page.gauge("loop_lag_most_seconds", "The longest lag of the last minute.", float(lag.most_s))


def _requests(page: MetricsText, actions: Actions) -> None:
    bridge = actions.bridge
    counts = bridge.counts
    page.gauge(
        "requests_open", "Requests without an answer, live generations included.", bridge.scheduler.open_requests()
    )
    page.counter("requests_accepted_total", "Requests of clients that were accepted.", counts["accepted"])
    for outcome in Outcome:
        count = counts[f"finished_{outcome.value}"]
        words = "Requests and live generations that ended, by outcome."
        page.counter("requests_finished_total", words, count, outcome=outcome.value)
    page.counter("warm_ups_total", "Prompts made to warm a ComfyUI.", counts["warm_ups"])
    page.counter("backend_warnings_total", "Warnings of all ComfyUIs.", counts["backend_warnings"])
    page.counter("backend_restarts_total", "Restart commands that were run.", counts["restarts"])
    results = bridge.results.counts
    for result in ("released", "dropped", "unwanted", "failed", "payload_failed"):
        words = "What became of sets of pictures, over all streams."
        page.counter("sets_total", words, results[result], result=result)


def _streams(page: MetricsText, actions: Actions) -> None:
    bridge, covers = actions.bridge, actions.covers
    for stream in actions.streams.by_name.values():
        for state in StreamState:
            words = "1 for the state that a stream has, 0 for the others."
            page.gauge("stream_state", words, stream.state is state, stream=stream.name, state=state.value)
        page.gauge("stream_frozen", "1 while frozen.", covers.is_frozen(stream), stream=stream.name)
        page.gauge("stream_blacked_out", "1 while blacked out.", covers.is_black(stream), stream=stream.name)
        page.gauge("stream_number", "Number of the newest set.", stream.last_number, stream=stream.name)
        words = "Pictures in that had hardly changed, and made none of the stream's own."
        page.counter("pictures_skipped_total", words, actions.changes.skipped[stream.number], stream=stream.name)
    for (number, pixel_format), told in sorted(bridge.viewers.totals(bridge.clock()).items()):
        known = bridge.streams.by_number.get(number)
        if known is None:
            continue
        labels = {"stream": known.name, "format": pixel_format.word}
        page.gauge("viewers", "Who looks at a stream, by form.", told.viewers, **labels)
        page.counter("sets_sent_total", "Sets and blends that viewers took.", told.sent, **labels)
        page.counter(
            "sets_dropped_total", "Sets that a newer one replaced before a viewer took them.", told.dropped, **labels
        )
        page.counter("credit_stalls_total", "Sets that waited for a viewer's credit.", told.credit_stalls, **labels)


def _backends(page: MetricsText, actions: Actions) -> None:
    now = actions.bridge.clock()
    for backend in actions.bridge.backends:
        told = backend.info()
        name = backend.name
        page.gauge("backend_up", "1 if it is there.", name in actions.bridge.backends_up, backend=name)
        for state in _BACKEND_STATES:
            words = "1 for the state that a ComfyUI has, 0 for the others."
            page.gauge("backend_state", words, told["state"] == state, backend=name, state=state)
        round_trip_ms = told["round_trip_ms"]
        if round_trip_ms is not None:
            page.gauge("backend_round_trip_seconds", "What a ping takes, smoothed.", round_trip_ms / 1000, backend=name)
        page.gauge("backend_prompts", "Prompts of ours that are there now.", told["attempts"], backend=name)
        page.gauge("backend_drained", "1 if an operator wants it empty.", name in actions.bridge.drains, backend=name)
        place = actions.bridge.scheduler.place(name, now)
        if place is not None:
            broken = place.broken_until is not None
            page.gauge(
                "backend_broken", "1 while it fails again and again, and gets a try now and then.", broken, backend=name
            )
            for end, count in (("done", place.done), ("failed", place.failed), ("lost", place.lost)):
                words = "Prompts of ours that ended there, by end."
                page.counter("backend_prompts_total", words, count, backend=name, end=end)
        for event, count in told["counts"].items():
            words = "What came over a ComfyUI's socket."
            page.counter("backend_events_total", words, count, backend=name, event=event)


def _memory(page: MetricsText, actions: Actions) -> None:
    bridge = actions.bridge
    buffers, shared, decoding = bridge.buffers.stats(), bridge.memory.stats(), bridge.decoders.stats()
    for kind, size in (("lent", buffers.lent_bytes), ("idle", buffers.idle_bytes), ("peak", buffers.peak_bytes)):
        page.gauge("frame_memory_bytes", "Memory of frames: in use, kept for the next, most so far.", size, kind=kind)
    page.gauge("frame_memory_limit_bytes", "limits.frame_memory_mb.", bridge.config.limits.frame_memory_mb << 20)
    page.counter("frame_memory_refused_total", "Buffers that found no room.", buffers.refused)
    page.gauge("shared_memory_files", "Files of shared memory.", shared.files)
    page.gauge("shared_memory_bytes", "Their size.", shared.bytes)
    page.counter("shared_memory_slots_taken_total", "Slots taken from readers that were slow.", shared.taken)
    page.counter("shared_memory_refused_total", "Files that were over a limit or found no space.", shared.refused)
    page.gauge("decoding_running", "Pictures in the decoders now.", decoding.running)
    page.gauge("decoding_waiting", "Pictures that wait for a decoder.", decoding.waiting)
    page.counter("decoding_done_total", "Pictures decoded.", decoding.done)
    page.counter("decoding_dropped_total", "Pictures no longer wanted at their turn.", decoding.dropped)
    page.counter("decoding_refused_total", "Pictures that found the line full.", decoding.refused)
