"""How far a render is: on a terminal, in a log, and for scripts."""

import io
import json

import pytest

from bridge.render.progress import Forecast, Progress, clock_words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(out: io.StringIO, every_s: float = 1.0, count: int = 10, **options: object) -> io.StringIO:
    clock = Clock()
    progress = Progress(out, clock=clock, **options)  # type: ignore[arg-type]
    progress.begin(count + 5, 5)
    for frame in range(1001, 1001 + count):
        clock.now += every_s
        progress.frame(frame, seed=frame)
        if frame == 1003:
            progress.say("by the way")
    progress.end(state="done")
    return out


def test_lines_where_there_is_no_terminal() -> None:
    lines = run(io.StringIO()).getvalue().splitlines()
    assert lines == [
        "6/15 frames, 1.0 frames/s, 0:09 left, frame 1001",
        "by the way",
        "11/15 frames, 1.0 frames/s, 0:04 left, frame 1006",
        "15/15 frames, 1.0 frames/s, frame 1010",
    ]


def test_slow_frames_have_a_line_each() -> None:
    lines = run(io.StringIO(), every_s=20).getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "6/15 frames, 20.0 s a frame, 3:00 left, frame 1001"


def test_a_bar_on_a_terminal() -> None:
    text = run(Terminal()).getvalue()
    bars = text.split("\r")
    assert len(bars) == 11
    assert bars[1].startswith("[##########..............] 6/15  40%  1.0 frames/s, 0:09 left")
    assert "\nby the way\n" in text
    assert text.endswith("\n")
    assert all(len(bar.rstrip("\n").split("\n")[0]) < 80 for bar in bars)


def test_a_bar_is_not_drawn_for_every_frame_of_a_fast_render() -> None:
    assert run(Terminal(), every_s=0.01, count=100).getvalue().count("\r") < 15


def test_quiet() -> None:
    assert run(io.StringIO(), quiet=True).getvalue() == ""
    assert run(Terminal(), quiet=True).getvalue() == ""


def test_events() -> None:
    told: list[str] = []
    assert run(Terminal(), events=told.append).getvalue() == ""
    events = [json.loads(line) for line in told]
    assert events[0] == {"event": "begin", "frames": 15, "there": 5}
    assert events[1] == {"event": "frame", "frame": 1001, "done": 6, "frames": 15, "seed": 1001}
    assert {"event": "note", "text": "by the way"} in events
    assert events[-1] == {"event": "end", "state": "done"}


def test_the_first_frame_loads_the_model() -> None:
    forecast = Forecast(100)
    forecast.begin(0)
    assert forecast.fps is None
    forecast.frame(60)
    assert forecast.fps == pytest.approx(1 / 60)
    forecast.frame(61)
    forecast.frame(62)
    assert forecast.fps == pytest.approx(1)
    assert forecast.eta_s == pytest.approx(97)


def test_the_pace_is_that_of_the_newest() -> None:
    forecast = Forecast(1000)
    forecast.begin(0)
    for place in range(1, 200):
        forecast.frame(place if place < 100 else 100 + (place - 100) * 4)
    assert forecast.fps == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (725, "12:05"), (11040, "3:04:00"), (-1, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock_words(seconds) == text
