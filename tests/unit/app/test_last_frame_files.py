"""The folder of last pictures: names, bounds, and files that are damaged."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bridge.app.pictures.last_frame_files import (
    MAX_FILES,
    DamagedFileError,
    LastFrameFolder,
    file_name,
    user_cache_folder,
)
from bridge.codec.pixels import Channels, Pixels


def picture(value: int = 7, side: int = 8) -> Pixels:
    return Pixels(np.full((side, side, 4), value, np.uint8), Channels.RGBA)


def kept(folder: LastFrameFolder, name: str = "main") -> int | None:
    found = folder.read(name)
    return None if found is None else int(found.pictures[0].array[0, 0, 0])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    folder = LastFrameFolder(tmp_path / "a" / "b", 1 << 20)
    assert folder.read("main") is None
    folder.write("main", "solid", ("color", "data"), (picture(1), picture(2)))
    found = folder.read("main")
    assert found is not None
    assert (found.workflow, found.kinds) == ("solid", ("color", "data"))
    assert [int(pixels.array[0, 0, 0]) for pixels in found.pictures] == [1, 2]
    folder.write("main", "solid", ("color",), (picture(3),))
    assert kept(folder) == 3
    assert len(list(folder.path.iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes")
def test_they_are_the_users_alone(tmp_path: Path) -> None:
    folder = LastFrameFolder(tmp_path / "kept", 1 << 20)
    old = os.umask(0)
    try:
        folder.write("main", "solid", ("color",), (picture(),))
    finally:
        os.umask(old)
    (file,) = folder.path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_names_are_one_for_each_stream_and_no_path() -> None:
    names = [file_name(name) for name in ("main", "Main", "MAIN", "con", "a-b_c", "x" * 64)]
    assert len({name.lower() for name in names}) == len(names)
    assert all(Path(name).name == name and name.startswith("stream-") for name in names)
    for bad in ("../x", "a/b", "a\\b", "", "a.b", "x" * 65, "a\n"):
        with pytest.raises(ValueError, match="no stream's name"):
            file_name(bad)


def test_the_oldest_go_when_there_is_no_room(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 4), np.uint8)
    folder = LastFrameFolder(tmp_path, 50_000)
    for age, name in enumerate(("a", "b", "c", "d")):
        folder.write(name, "solid", ("color",), (Pixels(noise, Channels.RGBA),))
        os.utime(tmp_path / file_name(name), (1000 + age, 1000 + age))
    left = {path.name for path in tmp_path.iterdir()}
    assert file_name("d") in left
    assert file_name("a") not in left
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 50_000
    with pytest.raises(OSError, match="folder_mb"):
        LastFrameFolder(tmp_path, 1000).write("e", "solid", ("color",), (Pixels(noise, Channels.RGBA),))


def test_so_many_files_and_no_more(tmp_path: Path) -> None:
    folder = LastFrameFolder(tmp_path, 1 << 20)
    for number in range(MAX_FILES + 5):
        folder.write(f"s{number}", "solid", ("color",), (picture(),))
    assert len(list(tmp_path.iterdir())) == MAX_FILES
    assert folder.read(f"s{MAX_FILES + 4}") is not None


def test_others_files_stay_and_what_a_killed_writer_left_goes(tmp_path: Path) -> None:
    folder = LastFrameFolder(tmp_path, 1 << 20)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    left, fresh = tmp_path / ".stream-main.zip.0011aabb", tmp_path / ".stream-b.zip.0011aabb"
    for path in (left, fresh):
        path.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    folder.write("main", "solid", ("color",), (picture(),))
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", fresh.name, file_name("main")}


def test_a_damaged_file_is_told_as_that_whatever_is_wrong(tmp_path: Path) -> None:
    folder = LastFrameFolder(tmp_path, 1 << 20)
    folder.write("main", "solid", ("color",), (picture(side=16),))
    path = tmp_path / file_name("main")
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError, match="damaged"):
            folder.read("main")
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            folder.read("main")
        except DamagedFileError:
            pass
    path.write_bytes(whole)
    os.replace(path, tmp_path / file_name("other"))
    with pytest.raises(DamagedFileError, match="stream 'main'"):
        folder.read("other")


def test_a_compressed_one_is_not_ours(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / file_name("main"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set.json", '{"stream": "main", "workflow": "solid", "kinds": ["color"]}')
        archive.writestr("0.png", bytes(1 << 20))
    with pytest.raises(DamagedFileError, match="not written here"):
        LastFrameFolder(tmp_path, 1 << 20).read("main")


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("win32", {"LOCALAPPDATA": "C:/L", "USERPROFILE": "C:/u"}, Path("C:/L/texbridge")),
        ("win32", {"USERPROFILE": "C:/u"}, Path("C:/u/AppData/Local/texbridge")),
        ("darwin", {"HOME": "/u"}, Path("/u/Library/Caches/texbridge")),
        ("linux", {"HOME": "/u"}, Path("/u/.cache/texbridge")),
        ("linux", {"HOME": "/u", "XDG_CACHE_HOME": "/c"}, Path("/c/texbridge")),
    ],
)
def test_the_users_cache_folder(platform: str, environment: dict[str, str], folder: Path) -> None:
    assert user_cache_folder(environment, platform) == folder


@pytest.mark.skipif(sys.platform == "win32", reason="neither pipes nor devices are files there")
@pytest.mark.timeout(20)
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """One thread reads for all streams: a pipe in one's place would keep all of them."""
    folder = LastFrameFolder(tmp_path, 1 << 20)
    os.mkfifo(tmp_path / file_name("pipe"))
    (tmp_path / file_name("endless")).symlink_to("/dev/zero")
    for name in ("pipe", "endless"):
        with pytest.raises(DamagedFileError, match="is no file"):
            folder.read(name)
        folder.write(name, "solid", ("color",), (picture(5),))
        assert kept(folder, name) == 5
