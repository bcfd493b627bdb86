"""Payloads of pictures that no workflow made: each form is made once, for all who want it, and kept for the next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from bridge.app.pictures.placeholder import Still, still_payload
from bridge.frames.decode import DecodePool
from bridge.frames.payloads import Payload, owned
from bridge.types import ENCODED_FORMATS, Origin, OutputKind, PayloadSpec, Sink, Size

KEEP_BYTES: Final = 64 << 20
"""Of all streams together: a newcomer who asks for one size after another would else fill the buffers for good."""

Form: TypeAlias = tuple[Still, PayloadSpec, OutputKind]


class HeldForms:
    """The payloads of one bridge's still pictures. It belongs to the event loop's thread."""

    def __init__(self, decoders: DecodePool, sink: Sink, keep_bytes: int = KEEP_BYTES) -> None:
        self._decoders = decoders
        self._sink = sink
        self._keep_bytes = keep_bytes
        self._made: OrderedDict[Form, Payload] = OrderedDict()
        self._making: dict[Form, list[asyncio.Future[Payload | None]]] = {}
        self._closed = False

    def form(self, still: Still, spec: PayloadSpec, size: Size, kind: OutputKind) -> Form:
        """The form by which a payload is known: equal ones are said in one way, so that they are shared."""
        origin = Origin.TOP_LEFT if spec.format in ENCODED_FORMATS else spec.origin
        return still, replace(spec, size=spec.size or size, origin=origin), kind

    def ready(self, form: Form) -> Payload | None:
        """The payload if it is there, retained for the caller."""
        payload = self._made.get(form)
        if payload is not None:
            self._made.move_to_end(form)
            payload.retain()
        return payload

    def make_now(self, form: Form) -> Payload:
        """The payload, made on this thread if it is not there; owned by the caller.

        Raises:
            TexbridgeError: the form can't be made, or no buffer is left.
        """
        payload = self.ready(form)
        if payload is None:
            payload = _make(form, self._sink)
            payload.retain()
            self._keep(form, payload)
        return payload

    async def make(self, form: Form) -> Payload | None:
        """The payload, made in a decoder's thread if it is not there, once for all who wait; owned by the caller.

        None if the bridge closes meanwhile. Raises as `make_now`, and:
            BridgeError: too many pictures wait for decoding (603); closing (601).
        """
        payload = self.ready(form)
        if payload is not None:
            return payload
        waiter: asyncio.Future[Payload | None] = asyncio.get_running_loop().create_future()
        waiters = self._making.get(form)
        if waiters is not None:
            waiters.append(waiter)
        else:
            waiters = [waiter]
            future = self._decoders.submit(partial(_make, form, self._sink), _anybody(waiters), Payload.release)
            self._making[form] = waiters
            future.add_done_callback(partial(self._finished, form))
        return await owned(waiter)

    def _finished(self, form: Form, ended: asyncio.Future[Payload | None]) -> None:
        waiters = [waiter for waiter in self._making.pop(form) if not waiter.done()]
        error = ended.exception()
        if error is not None:
            for waiter in waiters:
                waiter.set_exception(error)
            return
        payload = ended.result()
        for waiter in waiters:
            if payload is not None:
                payload.retain()
            waiter.set_result(payload)
        if payload is not None:
            self._keep(form, payload)

    def _keep(self, form: Form, payload: Payload) -> None:
        """Keep a payload, which is owned once for that, in place of those that were used longest ago."""
        if self._closed or payload.payload_bytes > self._keep_bytes:
            payload.release()
            return
        before = self._made.pop(form, None)
        if before is not None:
            before.release()
        self._made[form] = payload
        while sum(kept.payload_bytes for kept in self._made.values()) > self._keep_bytes:
            self._made.popitem(last=False)[1].release()

    def forget(self, still: Still) -> None:
        """This picture is shown no more."""
        for form in [form for form in self._made if form[0] is still]:
            self._made.pop(form).release()

    def close(self) -> None:
        """Give back what is kept."""
        self._closed = True
        while self._made:
            self._made.popitem()[1].release()


def _anybody(waiters: list[asyncio.Future[Payload | None]]) -> Callable[[], bool]:
    return lambda: any(not waiter.done() for waiter in waiters)


def _make(form: Form, sink: Sink) -> Payload:
    still, spec, kind = form
    assert spec.size is not None
    return still_payload(still, spec, spec.size, sink, kind)
