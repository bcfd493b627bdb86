"""`texbridge render`: what is judged before anything is started, and what makes pictures."""

from pathlib import Path

import pytest

from bridge.cli import main
from bridge.cli.any_bridge import backend_versions


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--frames", "x"], "'x' is not a frame"),
        (["--seed", "-1"], "--seed -1 is not 0 to 2^64-1"),
        (["--size", "1x1", "--aspect", "16:9"], "--size says it all"),
        (["--size", "big"], "--size 'big'"),
        (["--resume", "--overwrite"], "one of them"),
        (["--chunk", "3/2"], "PLACE/COUNT"),
        (["--track", "blur"], "must be NAME=FRAME:VALUE"),
        (["--track", "blur=1:0", "--track", "blur=2:1"], "blur has two tracks"),
        (["--tracks", "none.json"], "can't read none.json"),
        (["--image", "x"], "must be NAME=FILE"),
        (["--image", "x=none.%d.png"], "--image x: 1 of its pictures are missing"),
        (["-p", "blur"], "must be NAME=VALUE"),
        (["-o", "out.png"], "every frame needs a name of its own: out.%04d.png"),
        (["-o", "%d.mp4"], "a video is one file"),
        (["-o", "%d.tga"], ".tga is not written"),
        (["-o", "%d.png"], "is there twice"),
        (["--timeout", "0"], "--timeout 0"),
        (["--priority", "10"], "--priority 10"),
        (["--quality", "0"], "--quality 0"),
        (["--crf", "52"], "--crf 52"),
        (["--fps", "x"], "--fps 'x'"),
        (["--sheet", "x.gif"], "--sheet x.gif must end in"),
        (["--to", "127.0.0.1:1", "--embedded"], "--to names a bridge that runs"),
        (["--embedded", "--comfy", "http://127.0.0.1:1"], "--embedded and --comfy: one of them"),
        (["--chunk", "1/3", "-o", "shot.mp4"], "the same without --chunk, with --resume and the video"),
    ],
)
def test_bad_use(options: list[str], words: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "shapes", "--frames", "1", "-o", "%d.png", *options]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert list(work.iterdir()) == []


def test_files_in_the_way(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "2.png").write_bytes(b"mine")
    assert main(["render", "shapes", "--frames", "1-3", "-o", "%d.png"]) == 2
    assert "2.png: there already. --resume keeps what is whole, --overwrite nothing" in capsys.readouterr().err
    assert (work / "2.png").read_bytes() == b"mine"


def test_versions_each_kind_once() -> None:
    infos = [
        {"version": "0.3.64", "nodes": {"version": "0.1.0"}},
        {"version": "0.3.64", "nodes": {"version": "0.1.0"}},
        {"version": None, "nodes": None},
        {"version": "0.3.70"},
    ]
    assert backend_versions(infos) == [
        "ComfyUI 0.3.64, texbridge's nodes 0.1.0",
        "ComfyUI 0.3.70",
        "ComfyUI of unknown version",
    ]
