"""The record of a render."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.render.manifest import FrameRecord, Manifest, differences, read_manifest, refuse_other, relative_name
from bridge.render.manifest_keeper import ManifestKeeper

SETTINGS: dict[str, Any] = {
    "workflow": "sky",
    "workflow_digest": "ab" * 32,
    "size": [64, 32],
    "params": {"blur": 0.5},
    "tracks": {"noise": [[1, 0.0], [9, 1.0, "smoothstep"]]},
    "seed": 7,
    "seed_policy": "fixed",
    "images": {"depth": {"file": "d.%04d.exr"}},
}


def manifest(folder: Path) -> Manifest:
    done = {
        frame: FrameRecord(7, {"noise": frame / 9}, [64, 32], {f"{frame:04}.png": {"bytes": 3, "sha256": "cd" * 32}})
        for frame in (10, 2)
    }
    done[2].plates = {"depth": {"bytes": 1, "mtime_ns": 5, "sha256": "ef" * 32}}
    outputs = [{"output": "image", "pattern": "%04d.png", "format": "png"}]
    return Manifest(folder / "manifest.json", SETTINGS, "1-10", "1/2", outputs, {"texbridge": "0.1.0"}, "stopped", done)


async def seen(what: Callable[[], bool]) -> None:
    """Wait until it is so."""
    limit = time.monotonic() + 30
    while not what():
        assert time.monotonic() < limit
        await asyncio.sleep(0.005)


def test_written_and_read(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    made.write(made.document())
    assert read_manifest(made.path) == made
    document = json.loads(made.path.read_text(encoding="utf-8"))
    assert list(document["done"]) == ["2", "10"]
    assert document["hash"] == made.hash
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_the_hash_is_that_of_the_settings(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    other = Manifest(tmp_path / "x", dict(reversed(SETTINGS.items())), "5", None, [], {})
    assert other.hash == made.hash
    other.settings = {**SETTINGS, "seed": 8}
    assert other.hash != made.hash


def test_what_differs() -> None:
    now = {
        **SETTINGS,
        "workflow_digest": "cd" * 32,
        "params": {},
        "tracks": {"noise": [[1, 0.25], [9, 1.0]], "blur": [[1, "x" * 100]]},
    }
    lines = differences(SETTINGS, now)
    assert lines[0] == "params.blur: was 0.5, is nothing"
    assert lines[1].startswith('tracks.blur: was nothing, is [[1, "xxx')
    assert len(lines[1]) < 110
    assert lines[2] == 'tracks.noise: was [[1, 0.0], [9, 1.0, "smoothstep"]], is [[1, 0.25], [9, 1.0]]'
    assert lines[3] == "workflow_digest: was abababababab, is cdcdcdcdcdcd"
    assert differences(SETTINGS, json.loads(json.dumps(SETTINGS))) == []


def test_another_render_is_refused(tmp_path: Path) -> None:
    made = manifest(tmp_path)
    refuse_other(made, SETTINGS)
    with pytest.raises(ConfigError) as caught:
        refuse_other(made, {**SETTINGS, "seed": 8})
    assert "manifest.json is of another render. seed: was 7, is 8. " in str(caught.value)
    with pytest.raises(ConfigError, match="; and 1 more"):
        refuse_other(
            made, {**SETTINGS, "seed": 8, "size": None, "workflow": "x", "seed_policy": "random", "params": {}}
        )


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"texbridge_render": 1}', '{"texbridge_render": 1, "done": []}', "[" * 99999]
)
def test_what_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match="is no manifest of a render, or damaged"):
        read_manifest(tmp_path / "manifest.json")


def test_a_later_version(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"texbridge_render": 2}')
    with pytest.raises(ConfigError, match="is of version 2"):
        read_manifest(tmp_path / "manifest.json")


def test_names_as_seen_from_the_manifest(tmp_path: Path) -> None:
    made = manifest(tmp_path / "out")
    for path, name in ((tmp_path / "out" / "a.png", "a.png"), (tmp_path / "depth" / "a.exr", "../depth/a.exr")):
        assert made.name_of(path) == name
        assert made.path_of(name).resolve() == path.resolve()
    assert relative_name(Path("out/a.png"), Path("out")) == "a.png"


def test_the_keeper_writes_at_once_then_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = manifest(tmp_path)
    writes = []
    write = Manifest.write

    def counted(self: Manifest, document: dict[str, Any]) -> None:
        writes.append(len(document["done"]))
        write(self, document)

    monkeypatch.setattr(Manifest, "write", counted)
    monkeypatch.setattr(ManifestKeeper, "EVERY_S", 3600.0)  # however slowly these hundred come

    async def scenario() -> None:
        keeper = ManifestKeeper(made)
        keeper.changed()
        await seen(lambda: made.path.exists())
        for frame in range(20, 120):
            made.done[frame] = FrameRecord(0, {}, [1, 1])
            keeper.changed()
            await asyncio.sleep(0)
        assert len(writes) == 1
        await keeper.close("done")

    asyncio.run(scenario())
    assert writes == [2, 102]
    assert read_manifest(made.path).state == "done"


def test_what_was_left_out_is_written_a_little_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ManifestKeeper, "EVERY_S", 0.05)
    made = manifest(tmp_path)

    async def scenario() -> None:
        keeper = ManifestKeeper(made)
        keeper.changed()
        made.done[30] = FrameRecord(0, {}, [1, 1])
        keeper.changed()
        await seen(lambda: made.path.exists() and 30 in read_manifest(made.path).done)
        await keeper.close("done")

    asyncio.run(scenario())


def test_a_full_disk_is_known(tmp_path: Path) -> None:
    made = manifest(tmp_path / "none")

    async def scenario() -> None:
        keeper = ManifestKeeper(made)
        keeper.changed()
        await seen(lambda: keeper.error is not None)
        with pytest.raises(OSError, match="none"):
            await keeper.close("failed")

    asyncio.run(scenario())
