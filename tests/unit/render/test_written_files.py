"""What is known of written files, and what killed renders leave beside them."""

import hashlib
from pathlib import Path

from bridge.render.written_files import file_facts, remove_parts
from bridge.whole_files import MARK, write_whole


def test_what_killed_renders_leave(tmp_path: Path) -> None:
    """Of these files alone: another chunk may be at work beside."""
    ours, other, name = tmp_path / "shot.v1.0001.png", tmp_path / "shot.v1.0002.png", tmp_path / ".0001.png"
    parts = [tmp_path / f".{path.stem}.0a1b2c3d{MARK}{path.suffix}" for path in (ours, other)]
    for path in (*parts, name, ours):
        path.write_bytes(b"x")
    assert remove_parts([ours, tmp_path / "none" / "0001.png"]) == 1
    assert sorted(tmp_path.iterdir()) == sorted([parts[1], name, ours])


def test_facts(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"abc", sync=True)
    assert file_facts(tmp_path / "a") == {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
