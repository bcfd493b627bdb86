"""Controls in words."""

import pytest

from bridge.errors import ErrorCode
from bridge.streams.control_records import (
    CancelRequested,
    Components,
    Ignored,
    LiveSwitched,
    PanicPressed,
    Rejected,
    ReplyRegistered,
    ResumePressed,
    RunRequested,
    SeedSet,
    SetValues,
    ShapeSet,
    SizeSet,
    WorkflowSet,
)
from bridge.streams.control_words import control_words
from bridge.streams.sizes import Shape
from bridge.types import Picture, Size


@pytest.mark.parametrize(
    ("control", "words"),
    [
        (SetValues("main", {"blur": 3, "tint": (1.0, 0.5, 0.0, 1.0)}), "main: blur = 3, tint = (1, 0.5, 0, 1)"),
        (SetValues("main", {"tint": Components({2: 0.5, 0: 0.1})}), "main: tint[0] = 0.1, tint[2] = 0.5"),
        (SetValues("main", {"grain": 0.1 + 0.2, "lamp": True}), "main: grain = 0.3, lamp = True"),
        (SetValues("main", {"note": "a\nb", "photo": Picture(b"x", "0")}), "main: note = 'a\\nb', photo = a picture"),
        (RunRequested("main"), "main: run"),
        (RunRequested("main", {"blur": 3}, 7), "main: run with seed 7, first blur = 3"),
        (SeedSet("main", 2**62), f"main: seed = {2**62}"),
        (SizeSet("main", Size(512, 256)), "main: size = 512 x 256, snapped"),
        (ShapeSet("main", Shape(1.85)), "main: size by aspect 1.85"),
        (WorkflowSet("main", "sky"), "main: workflow = sky"),
        (CancelRequested("main"), "main: cancel"),
        (LiveSwitched("main", True), "main: live on"),
        (LiveSwitched("main", False, 1.5), "main: live off in 1.5 s"),
        (PanicPressed(), "panic"),
        (ResumePressed(), "resume; live stays off until /texbridge/<stream>/live 1"),
        (ReplyRegistered(9000), "answers to port 9000"),
        (ReplyRegistered(0), "no more answers"),
        (Ignored("run: a button's release"), "nothing (run: a button's release)"),
        (Rejected("/x", ErrorCode.UNKNOWN_ADDRESS, "no address '/x'"), "no address '/x'"),
    ],
)
def test_words(control, words):
    assert control_words(control) == words


@pytest.mark.parametrize(
    ("control", "held", "words"),
    [
        (SizeSet("main", Size(512, 256)), Size(512, 256), "main: size = 512 x 256"),
        (SizeSet("main", Size(513, 250)), Size(512, 248), "main: size = 512 x 248, nearest to 513 x 250"),
        (
            SizeSet("main", Size(16, 9)),
            Size(16, 8),
            'main: size = 16 x 8, nearest to 16 x 9; two numbers are pixels, an aspect is the text "16:9"',
        ),
        (ShapeSet("main", Shape(1.85)), Size(696, 376), "main: size = 696 x 376 by aspect 1.85"),
        (
            ShapeSet("main", Shape(16 / 9, 1.0)),
            Size(1368, 768),
            "main: size = 1368 x 768 by aspect 1.778, 1 megapixels",
        ),
    ],
)
def test_the_size_that_holds(control, held, words):
    assert control_words(control, held) == words
