"""What a `subscribe` message asks for, checked against the stream and against what this build can do."""

from __future__ import annotations

from bridge.app.viewers.cross_fade import check_blend_fps
from bridge.codec.messages import Subscribe
from bridge.errors import ErrorCode, InvalidValueError, NotAllowedError, UnknownNameError
from bridge.frames.payloads import check_payload_spec, payload_formats
from bridge.streams.session import Subscription
from bridge.streams.stream import Stream
from bridge.types import ENCODED_FORMATS, FORMATS_BY_WORD, Delivery, Fit, Origin, PayloadSpec, Size


def read_subscription(stream: Stream, message: Subscribe, credit_limit: int) -> Subscription:
    """Give the subscription that a `subscribe` asks for, with the values that hold.

    Raises:
        InvalidValueError: format (306), size (305), or no output or one twice (107).
        UnknownNameError: no such output (206).
        NotAllowedError: something that this build can't do (411).
        As `check_blend_fps`.
    """
    pixel_format = FORMATS_BY_WORD.get(message.format)
    if pixel_format is None or pixel_format not in payload_formats():
        can = ", ".join(known.word for known in payload_formats())
        raise InvalidValueError(
            f"format {message.format[:40]!r} is not made by this build; it makes {can}",
            code=ErrorCode.UNSUPPORTED_FORMAT,
            field="format",
            value=message.format[:40],
            limit=can,
        )
    for name, wanted in (
        ("previews", message.previews if message.delivery is not Delivery.LATEST else None),
        ("blend_fps", message.blend_fps if message.delivery is not Delivery.LATEST else None),
        ("fps", message.fps if message.delivery is not Delivery.PACED else None),
    ):
        if wanted:
            raise NotAllowedError(
                f"{name} {wanted} is not for delivery {message.delivery.value!r}: previews and blends come with "
                "latest, fps with paced",
                code=ErrorCode.NOT_SUPPORTED,
                field=name,
                value=wanted,
            )
    last = len(stream.workflow.outputs) - 1
    asked = message.outputs
    if asked is not None and len(set(asked)) != max(1, len(asked)):
        raise InvalidValueError(
            f"outputs {list(asked)[:20]} must be one or more, each once; leave the field out for all",
            code=ErrorCode.BAD_MESSAGE,
            field="outputs",
            value=list(asked)[:20],
            limit=f"0..{last}",
        )
    outputs = tuple(range(last + 1)) if asked is None else tuple(sorted(asked))
    for output in outputs:
        if output > last:
            raise UnknownNameError(
                f"workflow {stream.workflow.name!r} has outputs 0..{last}, not {output}",
                code=ErrorCode.UNKNOWN_OUTPUT,
                field="outputs",
                value=output,
            )
    spec = PayloadSpec(
        pixel_format,
        Origin.TOP_LEFT if pixel_format in ENCODED_FORMATS else message.origin,
        None if message.size is None else Size(*message.size),
        message.fit or Fit.STRETCH,
        mips=bool(message.mips),
        linear=message.color == "linear",
    )
    for output in outputs:
        check_payload_spec(spec, stream.workflow.outputs[output].kind)
    check_blend_fps(message.blend_fps, pixel_format)
    credit = max(1, min(message.credit, credit_limit))
    return Subscription(
        stream.number,
        spec,
        message.delivery,
        credit=credit,
        outputs=None if asked is None else outputs,
        previews=bool(message.previews),
        fps=message.fps,
        max_mbps=message.max_mbps,
        blend_fps=message.blend_fps,
        shared_memory=bool(message.shared_memory),  # who can't have it goes without
    )
