"""The loop of a render, with sets that come from here instead of a bridge."""

import asyncio
import errno
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridge.cli.run import typed_value
from bridge.codec.messages import Described, OutputDescription, ParameterDescription
from bridge.errors import BackendError, ConfigError
from bridge.render.frame_numbers import parse_frames
from bridge.render.job import Job
from bridge.render.order import Order
from bridge.render.outputs import parse_target
from bridge.render.png16 import decode_png16
from bridge.render.progress import Progress
from bridge.render.rendering import FrameSet, Rendering
from bridge.render.track_texts import parse_track
from bridge.render.video import VideoForm

DESCRIBED = Described(
    workflow="sky",
    parameters=[ParameterDescription(name="blur", label="Blur", type="float", default=0.0, min=0.0, max=1.0)],
    outputs=[OutputDescription("image", "color"), OutputDescription("matte", "mask")],
    has_seed=True,
    digest="ab",
)
Sets = Callable[[], AsyncIterator[FrameSet]]


def job(folder: Path, *out: str, frames: str = "1-6", **more: Any) -> Job:
    targets = tuple(parse_target(f"{name.partition('=')[0]}={folder / name.partition('=')[2]}") for name in out)
    order = Order(
        workflow="sky",
        frames=parse_frames(frames),
        targets=targets,
        tracks=dict([parse_track("blur=1:0,5:1")]),
        video=VideoForm(Fraction(24)),
        **more,
    )
    order.check()
    made = Job(order, DESCRIBED, typed=typed_value, size=(8, 4), seed=7, versions={"bridge": "x"})
    made.find_what_is_there()
    return made


def picture(frame: int, dtype: Any = np.uint8, alpha: float = 1) -> Any:
    if dtype == np.uint8:
        return np.full((4, 8, 4), (frame, 2 * frame, 3 * frame, round(255 * alpha)), np.uint8)
    return np.full((4, 8, 4), (frame / 1000, 0.5, 0.25, alpha), np.float32)


def sets(job: Job, picture: Callable[[int], Any] = picture) -> Sets:
    async def come() -> AsyncIterator[FrameSet]:
        for frame in job.todo:
            await asyncio.sleep(0)
            yield FrameSet(frame, {index: picture(frame) for index in job.outputs}, {})

    return come


def render(job: Job, come: Sets | None = None, timeout_s: float = 30) -> tuple[Rendering, str]:
    out = io.StringIO()
    rendering = Rendering(job, Progress(out), timeout_s=timeout_s)
    asyncio.run(_run(rendering, come or sets(job)))
    return rendering, out.getvalue()


async def _run(rendering: Rendering, come: Sets) -> None:
    await rendering.run(come)


def failing(job: Job, come: Sets, error: type[BaseException], words: str, timeout_s: float = 30) -> dict[str, Any]:
    """Render, see it fail, and give the manifest."""
    with pytest.raises(error, match=words):
        render(job, come, timeout_s)
    document: dict[str, Any] = json.loads(job.manifest.path.read_text(encoding="utf-8"))
    return document


def test_files_and_manifest(tmp_path: Path) -> None:
    made = job(tmp_path, "image=o/%02d.png", "matte=o/m%02d.png", sheet=tmp_path / "sheet.png")
    rendering, _ = render(made)
    assert (rendering.summary.state, rendering.summary.rendered, rendering.summary.size) == ("done", 6, [8, 4])
    for frame in range(1, 7):
        with Image.open(tmp_path / f"o/{frame:02}.png") as image:
            assert image.getpixel((0, 0)) == (frame, 2 * frame, 3 * frame)
        with Image.open(tmp_path / f"o/m{frame:02}.png") as matte:
            assert matte.getpixel((0, 0)) == frame
    told = json.loads(made.manifest.path.read_text(encoding="utf-8"))
    assert told["done"]["3"]["values"] == {"blur": 0.5}
    assert told["done"]["3"]["seed"] == 7
    assert (tmp_path / "sheet.png").exists()


def test_more_than_8_bits_are_seen_and_kept(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png", bits=16)
    assert made.wants_more
    rendering, _ = render(made, sets(made, lambda frame: picture(frame, np.float32)))
    assert not rendering.summary.only_8_bits
    found = decode_png16((tmp_path / "03.png").read_bytes())
    assert found is not None
    assert found[0, 0].tolist() == [197, 32768, 16384]


def test_8_bits_in_floats_are_told(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png", bits=16)
    floats = sets(made, lambda frame: (picture(frame) / np.float32(255)).astype(np.float32))
    rendering, _ = render(made, floats)
    assert rendering.summary.only_8_bits
    found = decode_png16((tmp_path / "03.png").read_bytes())
    assert found is not None
    assert found[0, 0].tolist() == [3 * 257, 6 * 257, 9 * 257]


def test_transparency_is_told_once(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png")
    _, text = render(made, sets(made, lambda frame: picture(frame, alpha=0.5)))
    assert text.count("has transparency, which is left out; --alpha keeps it") >= 1
    kept = job(tmp_path, "image=a/%02d.png", alpha=True, manifest=tmp_path / "a.json")
    _, text = render(kept, sets(kept, lambda frame: picture(frame, alpha=0.5)))
    assert "transparency" not in text
    with Image.open(tmp_path / "a/03.png") as image:
        assert image.getpixel((0, 0)) == (3, 6, 9, 128)


def test_a_video_of_what_is_there_and_what_is_made(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    first = job(tmp_path, "image=o/%02d.png", frames="2-5")
    render(first)
    made = job(tmp_path, "image=o/%02d.png", "image=o/all.mp4", resume=True)
    assert made.todo == (1, 6)
    render(made)
    with av.open(str(tmp_path / "o/all.mp4")) as container:
        assert len(list(container.decode(video=0))) == 6
    again = job(tmp_path, "image=o/%02d.png", "image=o/all.mp4", resume=True)
    assert (again.todo, again.open_videos) == ((), [])
    before = (tmp_path / "o/all.mp4").stat().st_mtime_ns
    render(again)
    assert (tmp_path / "o/all.mp4").stat().st_mtime_ns == before
    (tmp_path / "o/all.mp4").write_bytes(b"damaged")
    assert len(job(tmp_path, "image=o/%02d.png", "image=o/all.mp4", resume=True).open_videos) == 1


def test_a_video_beside_jpeg_keeps_nothing_to_go_on_from(tmp_path: Path) -> None:
    pytest.importorskip("av")
    render(job(tmp_path, "image=o/%02d.jpg"))
    made = job(tmp_path, "image=o/%02d.jpg", "image=o/all.mp4", resume=True)
    assert made.todo == tuple(range(1, 7))
    assert "all frames are made again" in made.notes[0]


def test_an_odd_size_for_a_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    made = job(tmp_path, "image=o/%02d.png", "image=o/all.mp4")
    told = failing(made, sets(made, lambda frame: picture(frame)[:3, :7]), ConfigError, "its sides must be even")
    assert told["state"] == "failed"
    assert not [path for path in (tmp_path / "o").iterdir() if "mp4" in path.name]


def test_sets_that_end_early(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png")

    async def three() -> AsyncIterator[FrameSet]:
        for frame in (1, 2, 3):
            yield FrameSet(frame, {0: picture(frame)}, {})

    told = failing(made, three, BackendError, "frame 4 never came")
    assert sorted(told["done"]) == ["1", "2", "3"]


def test_a_set_that_is_another(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png")

    async def swapped() -> AsyncIterator[FrameSet]:
        yield FrameSet(2, {0: picture(2)}, {})

    failing(made, swapped, BackendError, "frame 2 came where 1 was next")


@pytest.mark.parametrize("resume", [False, True])
def test_one_that_failed_before_its_first_frame_is_in_nobodys_way(tmp_path: Path, resume: bool) -> None:
    """Whatever was wrong is put right, and the same said again: with other values too."""
    made = job(tmp_path, "image=%02d.png")

    async def nothing() -> AsyncIterator[FrameSet]:
        for never in ():
            yield never

    told = failing(made, nothing, BackendError, "frame 1 never came")
    assert told["done"] == {}
    again = job(tmp_path, "image=%02d.png", frames="1-5", seed=9, resume=resume)
    assert again.manifest.hash != made.manifest.hash
    render(again)
    with pytest.raises(ConfigError):
        job(tmp_path, "image=%02d.png", seed=8, resume=resume)


def test_no_set_for_too_long(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png")

    async def silent() -> AsyncIterator[FrameSet]:
        yield FrameSet(1, {0: picture(1)}, {})
        await asyncio.Event().wait()

    told = failing(made, silent, BackendError, r"frame 2: no picture within 0\.05 s", 0.05)
    assert list(told["done"]) == ["1"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    made = job(tmp_path, "image=o/%02d.png", manifest=tmp_path / "m.json")
    (tmp_path / "o" / "04.png").mkdir()
    told = failing(made, sets(made), OSError, r"04\.png")
    assert told["state"] == "failed"
    assert "4" not in told["done"]
    assert not [path for path in (tmp_path / "o").iterdir() if path.name.startswith(".")]


def test_stopped_in_the_middle(tmp_path: Path) -> None:
    made = job(tmp_path, "image=%02d.png")
    closed = []
    reached = asyncio.Event()

    async def slow() -> AsyncIterator[FrameSet]:
        try:
            for frame in (1, 2):
                yield FrameSet(frame, {0: picture(frame)}, {})
            reached.set()
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def scenario() -> None:
        rendering = Rendering(made, Progress(io.StringIO()), timeout_s=60)
        task = asyncio.create_task(rendering.run(slow))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert rendering.summary.state == "stopped"

    asyncio.run(scenario())
    assert closed == [True]
    told = json.loads(made.manifest.path.read_text(encoding="utf-8"))
    assert (told["state"], sorted(told["done"])) == ("stopped", ["1", "2"])


def test_what_is_in_the_way(tmp_path: Path) -> None:
    render(job(tmp_path, "image=o/%02d.png"))
    with pytest.raises(ConfigError, match=r"01\.png, .*02\.png, .*03\.png and 3 more: there already"):
        job(tmp_path, "image=o/%02d.png")
    for path in (tmp_path / "o").glob("*.png"):
        path.unlink()
    with pytest.raises(ConfigError, match=r"manifest\.json is there already"):
        job(tmp_path, "image=o/%02d.png")
    assert job(tmp_path, "image=o/%02d.png", overwrite=True).todo == tuple(range(1, 7))
    assert job(tmp_path, "image=o/%02d.png", resume=True).todo == tuple(range(1, 7))
    (tmp_path / "o" / "manifest.json").write_text("no")
    with pytest.raises(ConfigError, match="is no manifest of a render"):
        job(tmp_path, "image=o/%02d.png", resume=True)


def test_of_two_that_begin_at_the_same_time_one_is_refused(tmp_path: Path) -> None:
    """Both found nothing in the way: with models to load, minutes pass before the first frame."""
    first, second = job(tmp_path, "image=o/%02d.png"), job(tmp_path, "image=o/%02d.png")
    first.claim()
    with pytest.raises(ConfigError, match=r"manifest\.json: another render has begun here"):
        second.claim()
    render(first)
    assert json.loads(first.manifest.path.read_text(encoding="utf-8"))["state"] == "done"
    job(tmp_path, "image=o/%02d.png", resume=True).claim()
    job(tmp_path, "image=o/%02d.png", overwrite=True).claim()


def test_what_failed_before_its_first_frame_is_in_nobodys_way(tmp_path: Path) -> None:
    async def nothing() -> AsyncIterator[FrameSet]:
        raise BackendError("no picture")
        yield

    before = job(tmp_path, "image=o/%02d.png")
    before.claim()
    assert failing(before, nothing, BackendError, "no picture")["state"] == "failed"
    again = job(tmp_path, "image=o/%02d.png")
    again.claim()
    assert json.loads(again.manifest.path.read_text(encoding="utf-8"))["state"] == "rendering"


def test_a_manifest_that_cannot_be_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty one would be called damaged, with --resume too."""
    made = job(tmp_path, "image=o/%02d.png")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            made.claim()
    assert not made.manifest.path.exists()
    made.claim()


def test_a_claim_takes_nobodys_place(tmp_path: Path) -> None:
    """Both found a manifest of nothing; the first has begun when the second would put the old one aside."""
    first, second = job(tmp_path, "image=o/%02d.png"), job(tmp_path, "image=o/%02d.png")
    first.manifest.path.write_text(json.dumps(first.manifest.document() | {"state": "failed"}), encoding="utf-8")
    first.claim()
    with pytest.raises(ConfigError, match="another render has begun"):
        second.claim()
    assert json.loads(first.manifest.path.read_text(encoding="utf-8"))["state"] == "rendering"
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["manifest.json"]
