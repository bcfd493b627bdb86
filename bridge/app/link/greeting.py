"""The `welcome` of the engine link: what this build has, its limits, its workflows and streams.

Source: wire contract, Engine link; words of features: protocols/engine-link.md.
"""

from __future__ import annotations

from typing import Final

from bridge import __version__
from bridge.app.actions import Actions
from bridge.app.sequences import PICTURES_AHEAD, WINDOW
from bridge.codec import messages as m
from bridge.frames.payloads import payload_formats
from bridge.scheduler import policy
from bridge.streams.requests import MAX_KEYS
from bridge.streams.session import MAX_SUBSCRIPTIONS, Session
from bridge.streams.tracks import MAX_FRAMES
from bridge.streams.tracks import MAX_KEYS as TRACK_KEYS
from bridge.types import Mode

PROTOCOL_VERSION: Final = 1
FEATURES: Final = (
    "mips",
    "linear_color",
    "freeze",
    "blackout",
    "live_fade",
    "image",
    "rate_limit",
    "previews",
    "feedback",
    "sequence",
    "cross_fade",
    "seed",
    "min_change",
)
"""What this build can do beyond the plain contract. Words: protocols/engine-link.md."""


def welcome(actions: Actions, session: Session, *, resumed: bool, id: int | None) -> m.Welcome:
    """Give the answer to `hello` for a session, new or resumed."""
    bridge = actions.bridge
    limits = bridge.config.limits
    return m.Welcome(
        id=id,
        version=PROTOCOL_VERSION,
        server=f"texbridge {__version__}",
        boot=bridge.boot,
        session=session.token,
        resumed=resumed,
        unfinished=[m.UnfinishedRequest(request, key) for request, key in session.requests.unfinished()],
        features=(*FEATURES, "shared_memory") if bridge.memory.available else FEATURES,
        limits={
            "max_message_bytes": limits.max_message_bytes,
            "max_credit": limits.credit,
            "max_streams": limits.streams,
            "max_subscriptions": MAX_SUBSCRIPTIONS,
            "max_waiting": policy.waiting_limit(Mode.LIVE),
            "max_keys": MAX_KEYS,
            "max_sequence_frames": MAX_FRAMES,
            "max_sequence_keys": TRACK_KEYS,
            "sequence_window": WINDOW,
            "sequence_pictures": PICTURES_AHEAD,
        },
        formats=[pixel_format.word for pixel_format in payload_formats()],
        workflows=[m.WorkflowSummary(name, bridge.library.get(name).spec.label) for name in bridge.library.names],
        streams=[
            m.StreamSummary(stream.name, stream.number, stream.workflow.name, stream.mode, stream.state.value)
            for stream in actions.streams.by_name.values()
        ],
    )
