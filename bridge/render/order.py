"""What a person says of a render, judged as far as it can be without a bridge."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bridge.errors import ConfigError
from bridge.render.frame_numbers import Chunk
from bridge.render.manifest import is_of_nothing, read_manifest
from bridge.render.outputs import Target, check_folders, check_targets
from bridge.render.plates import Plates, refuse_missing
from bridge.render.track_texts import TrackKeys
from bridge.render.video import VideoForm
from bridge.types import SeedPolicy

_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be rendered, as it was said."""

    workflow: str
    frames: tuple[int, ...]
    targets: tuple[Target, ...]
    constants: Mapping[str, str] = field(default_factory=dict)
    tracks: TrackKeys = field(default_factory=dict)
    plates: tuple[Plates, ...] = ()
    seed: int | None = None
    seed_policy: SeedPolicy = SeedPolicy.FIXED
    size: tuple[int, int] | None = None
    aspect: str | None = None
    megapixels: float | None = None
    bits: int = 8
    alpha: bool = False
    quality: int = 95
    video: VideoForm
    chunk: Chunk | None = None
    manifest: Path | None = None
    sheet: Path | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def own_frames(self) -> tuple[int, ...]:
        """The frames that are made here: all, or those of the chunk."""
        return self.frames if self.chunk is None else self.chunk.take(self.frames)

    @property
    def manifest_path(self) -> Path:
        """Where the manifest goes: `manifest.json` beside the first files, each chunk's by a name of its own."""
        if self.manifest is not None:
            path = self.manifest
        else:
            first = next((target for target in self.targets if not target.is_video), self.targets[0])
            name = "manifest.json" if not first.is_video else f"{first.pattern.path(0).stem}.manifest.json"
            path = first.pattern.folder / name
        return path if self.chunk is None else path.with_name(f"{path.stem}.{self.chunk.word}{path.suffix}")

    def check(self) -> None:
        """Judge what can be judged without a bridge, before anything is started.

        Raises:
            ConfigError: pictures are missing, files are in the way or have the name of another, or a video is asked
                for in chunks.
        """
        check_targets(self.targets, self.own_frames, self._other_files())
        if self.resume and self.overwrite:
            raise ConfigError("--resume keeps what is there, --overwrite doesn't: one of them")
        for target in self.targets:
            if target.is_video:
                if self.chunk is not None:
                    raise ConfigError(
                        f"-o {target.pattern}: a video is one file, and --chunk makes parts: render the frames in "
                        "chunks, then the same without --chunk, with --resume and the video"
                    )
                self.video.check(target.pattern.path(0))
        refuse_missing(self.plates, self.own_frames)
        if not self.resume and not self.overwrite:
            self._refuse_what_is_there()
        check_folders([*(target.pattern.folder for target in self.targets), self.manifest_path.parent])
        if self.sheet is not None:
            check_folders([self.sheet.parent])
        for folder in {*(target.pattern.folder for target in self.targets), self.manifest_path.parent}:
            if not os.access(folder, os.W_OK):
                raise ConfigError(f"{folder} can't be written to")

    def _other_files(self) -> list[tuple[str, Path]]:
        """The files that no frame may be written over: what goes in, and what else comes out."""
        others = [("the manifest", self.manifest_path)]
        if self.sheet is not None:
            others.append(("--sheet", self.sheet))
        for plates in self.plates:
            frames = self.own_frames if plates.is_sequence else (0,)
            others += [(f"--image {plates.name}", plates.path(frame)) for frame in frames]
        return others

    def _refuse_what_is_there(self) -> None:
        there = [path for target in self.targets for path in target.paths(self.own_frames) if path.exists()]
        if there:
            names = ", ".join(map(str, there[:_SHOWN]))
            more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
            raise ConfigError(f"{names}{more}: there already. --resume keeps what is whole, --overwrite nothing")
        if self.manifest_path.exists() and not is_of_nothing(read_manifest(self.manifest_path)):
            raise ConfigError(
                f"{self.manifest_path} is there already. --resume goes on with it, --overwrite begins anew, "
                "--manifest names another"
            )
