"""Messages of the link that tell of workflows, streams and requests."""

from __future__ import annotations

from typing import Any

from bridge.app.records import Request
from bridge.codec import messages as m
from bridge.errors import TexbridgeError
from bridge.scheduler.events import Finish
from bridge.streams.sizes import size_grid
from bridge.streams.stream import Stream
from bridge.types import Outcome, ParameterSpec, ParameterType, Picture, RawPicture, Value, WorkflowSpec


def plain_value(value: Value) -> Any:
    """Give a value as it goes over the link: numbers, text, lists; a picture as its hash."""
    if isinstance(value, Picture):
        return {"sha256": value.sha256, "bytes": len(value.data)}
    if isinstance(value, RawPicture):
        size = {"width": value.width, "height": value.height}
        return {**size, "format": value.format.word, "origin": value.origin.value, "bytes": len(value.data)}
    return list(value) if isinstance(value, tuple) else value


def describe(workflow: WorkflowSpec, stream: Stream | None, id: int | None) -> m.Described:
    """Give the `described` message of a workflow, or of a stream with its present values."""

    def parameter(spec: ParameterSpec) -> m.ParameterDescription:
        return m.ParameterDescription(
            name=spec.name,
            label=spec.label,
            type=spec.type.value,
            default=None if spec.type is ParameterType.IMAGE else plain_value(spec.default),
            value=None if stream is None or spec.type is ParameterType.IMAGE else plain_value(stream.values[spec.name]),
            min=spec.minimum,
            max=spec.maximum,
            step=spec.step,
            unit=spec.unit or None,
            choices=spec.choices or None,
        )

    size = workflow.size if stream is None else stream.picture_size
    return m.Described(
        id=id,
        workflow=workflow.name,
        label=workflow.label,
        parameters=[parameter(spec) for spec in workflow.parameters],
        outputs=[
            m.OutputDescription(output.name, output.kind.value, output.bits if output.bits > 8 else None)
            for output in workflow.outputs
        ],
        size=None if size is None else (size.width, size.height),
        sides=_sides(workflow),
        digest=workflow.digest or None,
        has_seed=workflow.has_seed,
        stream=None if stream is None else stream.name,
        number=None if stream is None else stream.number,
        mode=None if stream is None else stream.mode,
        state=None if stream is None else stream.state.value,
        seed=None if stream is None else stream.seed,
        seed_policy=None if stream is None else stream.seed_policy,
        seed_every=None if stream is None or stream.seeds.every == 1 else stream.seeds.every,
        seed_every_s=None if stream is None else stream.seeds.every_s or None,
        seed_locked=None if stream is None else stream.seeds.is_locked or None,
    )


def _sides(workflow: WorkflowSpec) -> m.SizeSides | None:
    if workflow.size is None:
        return None
    grid = size_grid(workflow)
    return m.SizeSides(step=grid.step, min=grid.least, max=grid.most)


def finished(request: Request, command: Finish, key: int | str | None, now: float) -> m.Finished:
    """Give the `finished` message of a request. Times are microseconds."""
    error: TexbridgeError | None = command.error
    submitted = request.submitted_at or now
    return m.Finished(
        request=request.number,
        key=key,
        outcome=command.outcome,
        cached=True if command.outcome is Outcome.DONE and request.cached else None,
        code=None if error is None else int(error.code),
        name=None if error is None else error.code.word,
        message=None if error is None else error.message[:1000],
        frames=request.frames,
        number=request.number_of_last,
        seed=request.seed,
        timing={
            "waiting_us": round((submitted - request.accepted_at) * 1e6),
            "pictures_us": round(request.pictures_s * 1e6),
            "comfy_us": round(request.comfy_s * 1e6),
            "release_us": round((now - request.received_at) * 1e6) if request.received_at else 0,
            "total_us": round((now - request.accepted_at) * 1e6),
            **({"transfer": request.transfer} if request.transfer else {}),
        },
    )
