"""Which workflow can run where: its nodes and model files against what each ComfyUI says that it has.

Model files that a stream's values name count as those of its graph do: two streams of one workflow may have different
places. A ComfyUI that has made a picture can run what it was made by, whatever its `object_info` says. Told to the
scheduler, by stream, whenever it is another answer; the scheduler knows no workflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from bridge.app.bridge import Bridge
from bridge.app.records import Request
from bridge.errors import BackendError, ErrorCode, TexbridgeError
from bridge.scheduler.events import PlacesChanged
from bridge.streams.stream import Stream
from bridge.types import ParameterType, Value, WorkflowSpec
from bridge.workflow.check import MODEL_SUFFIXES, Problem, ProblemKind, check_against
from bridge.workflow.object_info import ObjectInfo

Needs: TypeAlias = tuple[WorkflowSpec, tuple[tuple[str, Value], ...]]
"""What a stream needs of a ComfyUI: its workflow, and the choices among its values."""


class Places:
    """Keeps it for the streams of one bridge, and tells the scheduler."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._infos: dict[str, ObjectInfo] = {}
        self._found: dict[int, tuple[Needs, dict[str, tuple[Problem, ...]]]] = {}
        """By stream: what stops its workflow at each ComfyUI that was asked."""
        self._proven: dict[tuple[str, int], Needs] = {}
        """By ComfyUI and stream: what made a picture there."""
        self._looked: dict[int, Needs] = {}
        """By stream: what it needed at the last look, since when nothing else has changed."""
        self._told: dict[int, frozenset[str]] = {}

    # --- what happens --------------------------------------------------------------------------------------

    def use_object_info(self, backend: str, info: ObjectInfo) -> None:
        """A ComfyUI told which nodes and models it has."""
        self._infos[backend] = info
        self._forget(backend)
        self.look_at_all()

    def expect_object_info(self, backend: str) -> None:
        """A ComfyUI is here, and what it has is being read: until that is known, others are asked."""
        self._infos.pop(backend, None)
        self._forget(backend)
        self.look_at_all()

    def _forget(self, backend: str) -> None:
        for _, by_backend in self._found.values():
            by_backend.pop(backend, None)
        for proven in [proven for proven in self._proven if proven[0] == backend]:
            del self._proven[proven]

    def backends_changed(self) -> None:
        """ComfyUIs came or went: forget those that are no longer named, and look again."""
        for backend in [backend for backend in self._infos if self._bridge.backends.get(backend) is None]:
            del self._infos[backend]
            self._forget(backend)
        self.look_at_all()

    def proved(self, request: Request) -> None:
        """A request has made its picture: its ComfyUI can do that."""
        stream, backend = request.stream, request.backend
        if backend and self._bridge.streams.by_number.get(stream.number) is stream:
            needs = _needs(request.workflow.spec, request.snapshot.values)
            if self._proven.get((backend, stream.number)) != needs:
                self._proven[backend, stream.number] = needs
                self._looked.pop(stream.number, None)
                self.look(stream)

    def forget_stream(self, stream: int) -> None:
        """The stream is gone."""
        self._found.pop(stream, None)
        self._looked.pop(stream, None)
        self._told.pop(stream, None)
        for proven in [proven for proven in self._proven if proven[1] == stream]:
            del self._proven[proven]

    # --- answers -------------------------------------------------------------------------------------------

    def fits(self, backend: str, stream: Stream) -> bool | None:
        """Whether a ComfyUI has all that a stream needs; None while that isn't known."""
        problems = self.problems(backend, stream)
        return None if problems is None else not problems

    def takes(self, backend: str, stream: Stream) -> bool:
        """Whether a ComfyUI has all that a stream needs, as is known, and no operator wants it empty."""
        return backend not in self._bridge.drains and self.fits(backend, stream) is True

    def problems(self, backend: str, stream: Stream) -> tuple[Problem, ...] | None:
        """What keeps a ComfyUI from making a stream's pictures; None while that isn't known."""
        info = self._infos.get(backend)
        needs = _needs(stream.workflow, stream.values.snapshot().values)
        if self._proven.get((backend, stream.number)) == needs:
            return ()
        if info is None:
            return None
        known = self._found.get(stream.number)
        if known is None or known[0] != needs:
            known = self._found[stream.number] = (needs, {})
        found = known[1].get(backend)
        if found is None:
            try:
                graph = self._bridge.library.get(needs[0].name).graph_with(dict(needs[1]))
            except TexbridgeError:  # its folder is gone: the stream has what it has
                return None
            found = known[1][backend] = tuple(problem for problem in check_against(graph, info) if problem.stops)
        return found

    def trouble(self, stream: Stream) -> BackendError | None:
        """Why no ComfyUI that is up can make a stream's pictures; None if one can, or that isn't known yet."""
        found: tuple[Problem, ...] = ()
        lacking = 0
        for backend in sorted(self._bridge.backends_up):
            problems = self.problems(backend, stream)
            if not problems:
                return None
            found, lacking = found or problems, lacking + 1
        if not found:
            return None
        nodes = any(problem.kind is ProblemKind.MISSING_NODE for problem in found)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        there = "the ComfyUI that is there" if lacking == 1 else f"any of the {lacking} ComfyUIs that are there"
        return BackendError(
            f"workflow {stream.workflow.name!r} can't run on {there}: {found[0]}{more}",
            code=ErrorCode.MISSING_NODE if nodes else ErrorCode.PROMPT_REJECTED,
            field="workflow",
            value=stream.workflow.name,
        )

    def lacking(self, backend: str) -> dict[str, str]:
        """The streams that a ComfyUI can't make pictures for, each with the first reason."""
        return {
            stream.name: str(problems[0])
            for stream in self._bridge.streams.by_name.values()
            if (problems := self.problems(backend, stream))
        }

    def missing_classes(self, backend: str) -> dict[str, None]:
        """The node classes for which a ComfyUI lacks a model file that a stream needs."""
        return {
            problem.class_type: None
            for stream in self._bridge.streams.by_name.values()
            for problem in self.problems(backend, stream) or ()
            if problem.kind is ProblemKind.MISSING_MODEL
        }

    # --- telling the scheduler -----------------------------------------------------------------------------

    def look_at_all(self) -> None:
        """Look at every stream."""
        self._looked.clear()
        for stream in list(self._bridge.streams.by_name.values()):
            self.look(stream)

    def look(self, stream: Stream) -> None:
        """Tell the scheduler where a stream's pictures can't be made, if that is another answer than the last one.

        Where none fits, none is named: ComfyUI's own refusal says more than waiting for ever.
        """
        needs = _needs(stream.workflow, stream.values.snapshot().values)
        if self._looked.get(stream.number) == needs:
            return
        self._looked[stream.number] = needs
        known = {backend.name: self.fits(backend.name, stream) for backend in self._bridge.backends}
        if any(known.values()):
            unfit = frozenset(backend for backend, fits in known.items() if not fits)
        elif any(fits is None and backend in self._bridge.backends_up for backend, fits in known.items()):
            unfit = frozenset(backend for backend, fits in known.items() if fits is False)
        else:
            unfit = frozenset()
        told, self._told[stream.number] = self._told.get(stream.number, frozenset()), unfit
        if told != unfit:
            self._bridge.tell(PlacesChanged(stream.number, unfit))


def _needs(spec: WorkflowSpec, values: Mapping[str, Value]) -> Needs:
    chosen = [
        (parameter.name, values[parameter.name])
        for parameter in spec.parameters
        if is_need(parameter.type, values.get(parameter.name))
    ]
    return spec, tuple(chosen)


def is_need(kind: ParameterType, value: object) -> bool:
    """Whether a value may be one that a ComfyUI doesn't have: a choice, or the name of a model file."""
    return isinstance(value, str) and (kind is ParameterType.CHOICE or value.lower().endswith(MODEL_SUFFIXES))
