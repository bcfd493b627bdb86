"""Easings: what each does half way, at its ends, and what is refused."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError
from bridge.streams.easings import EASINGS, Bezier, check_easing, eased


@pytest.mark.parametrize(
    ("easing", "quarter", "half", "three_quarters"),
    [
        ("step", 0.0, 0.0, 0.0),
        ("linear", 0.25, 0.5, 0.75),
        ("smoothstep", 0.15625, 0.5, 0.84375),
        ("cubic_in", 0.015625, 0.125, 0.421875),
        ("cubic_out", 0.578125, 0.875, 0.984375),
        ("cubic_in_out", 0.0625, 0.5, 0.9375),
        (Bezier(0.25, 0.25, 0.75, 0.75), 0.25, 0.5, 0.75),  # a straight line
        (Bezier(1 / 3, 0.0, 2 / 3, 1.0), 0.15625, 0.5, 0.84375),  # x is even: y is smoothstep
    ],
)
def test_on_the_way(easing, quarter, half, three_quarters):
    assert eased(easing, 0.25) == pytest.approx(quarter, abs=1e-12)
    assert eased(easing, 0.5) == pytest.approx(half, abs=1e-12)
    assert eased(easing, 0.75) == pytest.approx(three_quarters, abs=1e-12)


@pytest.mark.parametrize("easing", [*EASINGS, Bezier(0.0, 5.0, 1.0, -5.0), Bezier(1.0, 0.0, 0.0, 1.0)])
def test_begins_at_0_and_ends_at_1(easing):
    assert eased(easing, 0.0) == eased(easing, -1.0) == 0.0
    assert eased(easing, 1.0) == eased(easing, 2.0) == 1.0


def test_the_known_ease_of_css():
    """cubic-bezier(0.25, 0.1, 0.25, 1) at 0.5 is 0.8024 in every browser."""
    assert eased(Bezier(0.25, 0.1, 0.25, 1.0), 0.5) == pytest.approx(0.8024, abs=1e-4)


def test_a_handle_beyond_1_overshoots():
    assert max(eased(Bezier(0.3, 1.6, 0.7, 1.6), t / 20) for t in range(20)) > 1.0


@pytest.mark.parametrize(
    ("raw", "checked"),
    [
        ("cubic_in", "cubic_in"),
        (b"linear", "linear"),
        (["bezier", 0, -1, 1, 2.5], Bezier(0.0, -1.0, 1.0, 2.5)),
        ((b"bezier", 0.1, 0.2, 0.3, 0.4), Bezier(0.1, 0.2, 0.3, 0.4)),
        (Bezier(0.1, 0.2, 0.3, 0.4), Bezier(0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_taken(raw, checked):
    assert check_easing(raw, "blur at frame 3") == checked


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("ease_in", ErrorCode.NOT_A_CHOICE),
        ("Linear", ErrorCode.NOT_A_CHOICE),
        ("bezier", ErrorCode.WRONG_COMPONENTS),
        (3, ErrorCode.WRONG_TYPE),
        ([], ErrorCode.WRONG_COMPONENTS),
        (["bezier", 0, 0, 1], ErrorCode.WRONG_COMPONENTS),
        (["linear", 0, 0, 1, 1], ErrorCode.WRONG_COMPONENTS),
        (["bezier", -0.1, 0, 1, 1], ErrorCode.OUT_OF_RANGE),
        (["bezier", 0, 0, 1.1, 1], ErrorCode.OUT_OF_RANGE),
        (["bezier", 0, 11, 1, 1], ErrorCode.OUT_OF_RANGE),
        (["bezier", 0, float("nan"), 1, 1], ErrorCode.NOT_FINITE),
        (["bezier", 0, True, 1, 1], ErrorCode.WRONG_TYPE),
        (["bezier", "0", 1, 1, 1], ErrorCode.WRONG_TYPE),
    ],
)
def test_refused(raw, code):
    with pytest.raises(InvalidValueError) as caught:
        check_easing(raw, "blur at frame 3")
    assert caught.value.code is code
    assert caught.value.message.startswith("blur at frame 3: easing ")
    assert caught.value.field == "tracks"


def test_the_nearest_is_named():
    with pytest.raises(InvalidValueError, match="nearest is 'cubic_in_out'"):
        check_easing("cubic_inout", "x")
