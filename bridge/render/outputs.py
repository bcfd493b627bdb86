"""What `-o` names: files of the frames and videos, each of one output of the workflow."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.codec.messages import Described
from bridge.errors import ConfigError
from bridge.render import video
from bridge.render.patterns import FilePattern
from bridge.render.video import VideoForm
from bridge.render.writers import SUFFIXES, FileForm, file_form
from bridge.types import OutputKind

_NAMED: Final = re.compile(r"([a-z][a-z0-9_]{0,63})=(.+)", re.S)


@dataclass(frozen=True, slots=True)
class Target:
    """One `-o`: `output` is the name of an output, None for the first."""

    output: str | None
    pattern: FilePattern

    @property
    def is_video(self) -> bool:
        """True for one file of all frames."""
        return self.pattern.suffix in video.SUFFIXES

    def paths(self, frames: Iterable[int]) -> list[Path]:
        """Give its files."""
        return [self.pattern.path(0)] if self.is_video else [self.pattern.path(frame) for frame in frames]


@dataclass(frozen=True, slots=True)
class FileOutput:
    """Files of frames: `index` is the output's place in the workflow."""

    output: str
    index: int
    pattern: FilePattern
    form: FileForm

    @property
    def facts(self) -> dict[str, Any]:
        """The output and its form, for the manifest."""
        return {"output": self.output, **self.form.facts}


@dataclass(frozen=True, slots=True)
class VideoOutput:
    """A video: `source` are the files that give its frames back where they are there already."""

    output: str
    index: int
    path: Path
    form: VideoForm
    source: FileOutput | None

    @property
    def facts(self) -> dict[str, Any]:
        """The output and its form, for the manifest."""
        return {"output": self.output, **self.form.facts}


def parse_target(text: str) -> Target:
    """Read `PATTERN` or `OUTPUT=PATTERN`.

    Raises:
        ConfigError: a file that isn't written, frames that would all have one name, or a video for each frame.
    """
    match = _NAMED.fullmatch(text)
    output, name = (match[1], match[2]) if match else (None, text)
    pattern = FilePattern(name, "-o")
    target = Target(output, pattern)
    if target.is_video:
        if pattern.is_sequence:
            raise ConfigError(f"-o {text}: a video is one file: leave the frame's number out")
    elif pattern.suffix not in SUFFIXES:
        known = ", ".join((*SUFFIXES, *sorted(video.SUFFIXES)))
        raise ConfigError(f"-o {text}: {pattern.suffix or 'no suffix'} is not written; {known} are")
    elif not pattern.is_sequence:
        raise ConfigError(f"-o {text}: every frame needs a name of its own: {Path(name).stem}.%04d{pattern.suffix}")
    return target


def check_targets(targets: Sequence[Target], frames: Sequence[int], others: Iterable[tuple[str, Path]]) -> None:
    """Raise ConfigError if a file would be written twice, or over one of `others`, each with what it is."""
    folders: dict[str, str] = {}

    def place_of(path: Path) -> str:
        """A file by where its folder really is."""
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return os.path.join(folders[folder], name)

    taken = {place_of(path): what for what, path in others}
    for target in targets:
        for path in target.paths(frames):
            place, what = place_of(path), f"-o {target.pattern}"
            if place in taken:
                where = f"{what} is there twice" if taken[place] == what else f"{what} and {taken[place]}"
                raise ConfigError(f"{where}: both are {path}; give one of them another name")
            taken[place] = what


def make_outputs(
    targets: Sequence[Target], described: Described, *, bits: int, alpha: bool, quality: int, video_form: VideoForm
) -> tuple[list[FileOutput], list[VideoOutput]]:
    """Give the files and videos of a workflow.

    Raises:
        ConfigError: no such output, or a library is missing.
    """
    names = [output.name for output in described.outputs]
    files: list[FileOutput] = []
    wanted: list[tuple[Target, str, int]] = []
    for target in targets:
        if target.output is not None and target.output not in names:
            raise ConfigError(
                f"-o {target.output}={target.pattern}: {described.workflow} has no output {target.output!r}; it has "
                f"{', '.join(names)}"
            )
        index = 0 if target.output is None else names.index(target.output)
        wanted.append((target, names[index], index))
        if not target.is_video:
            kind = _kind(described.outputs[index].kind)
            form = file_form(target.pattern, kind, bits=bits, alpha=alpha, quality=quality)
            files.append(FileOutput(names[index], index, target.pattern, form))
    videos = []
    for target, name, index in wanted:
        if target.is_video:
            path = target.pattern.path(0)
            video_form.check(path)
            videos.append(VideoOutput(name, index, path, video_form, _source(files, index)))
    return files, videos


def check_folders(folders: Iterable[Path]) -> None:
    """Make the folders that files go to, where they are missing. Raises ConfigError: one can't be made."""
    for folder in dict.fromkeys(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"can't write to {folder}: {error}") from error


def _source(files: Sequence[FileOutput], index: int) -> FileOutput | None:
    for file in files:
        # A JPEG gives other pixels back, and EXR with alpha has it multiplied in.
        if file.index == index and (file.form.format == "png" or (file.form.format == "exr" and not file.form.alpha)):
            return file
    return None


def _kind(word: str) -> OutputKind:
    try:
        return OutputKind(word)
    except ValueError:  # of a later version
        return OutputKind.DATA
