"""An order with its workflow at hand: what every frame is made of, and what of it is there already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from bridge import __version__
from bridge.codec.messages import Described
from bridge.errors import ConfigError
from bridge.render.frame_numbers import frames_text
from bridge.render.manifest import FrameRecord, Manifest, is_of_nothing, read_manifest, refuse_other
from bridge.render.order import Order
from bridge.render.outputs import VideoOutput, make_outputs
from bridge.render.shot import Shot, Typed
from bridge.render.written_files import file_digest, file_facts, remove_parts
from bridge.whole_files import part_name

_SHOWN: Final = 3


class Job:
    """An order with its workflow at hand.

    Attributes:
        order, shot: what is asked for.
        files, videos: the outputs.
        outputs: the indexes of the workflow's outputs that are needed.
        manifest: the record, with what is done.
        todo: the frames to make, in order.
    """

    def __init__(
        self,
        order: Order,
        described: Described,
        *,
        typed: Typed,
        size: tuple[int, int] | None,
        seed: int,
        versions: Mapping[str, Any],
    ) -> None:
        """Check the order against the workflow. `size` is that of the pictures, `seed` what is used if none was said.

        Raises:
            ConfigError, or another TexbridgeError: what doesn't fit; see `Shot` and `make_outputs`.
        """
        self.order = order
        self.described = described
        self.shot = Shot(
            described,
            order.constants,
            order.tracks,
            typed=typed,
            seed=seed if order.seed is None else order.seed,
            seed_policy=order.seed_policy,
            pictures=[plates.name for plates in order.plates],
        )
        self.files, self.videos = make_outputs(
            order.targets,
            described,
            bits=order.bits,
            alpha=order.alpha,
            quality=order.quality,
            video_form=order.video,
        )
        if size is not None:
            for video in self.videos:
                video.form.check_size(*size)
        self.outputs = sorted({*(file.index for file in self.files), *(video.index for video in self.videos)})
        self.still_plates = {plates.name: plates.read(0) for plates in order.plates if not plates.is_sequence}
        self.manifest = Manifest(
            order.manifest_path,
            self._settings(size),
            frames_text(order.own_frames),
            None if order.chunk is None else str(order.chunk),
            [],
            {"texbridge": __version__, **versions},
        )
        self.manifest.outputs = [
            {"pattern": self.manifest.name_of(Path(output.pattern.text)), **output.facts} for output in self.files
        ] + [{"pattern": self.manifest.name_of(output.path), **output.facts} for output in self.videos]
        self.whole_videos: dict[Path, dict[str, Any]] = {}
        self.todo = order.own_frames
        self.notes: list[str] = []

    @property
    def wants_more(self) -> bool:
        """True if a file has room for more than 8 bits."""
        return any(output.form.wants_more for output in self.files)

    @property
    def open_videos(self) -> list[VideoOutput]:
        """The videos that are to be made."""
        return [video for video in self.videos if video.path not in self.whole_videos]

    def _settings(self, size: tuple[int, int] | None) -> dict[str, Any]:
        order, shot = self.order, self.shot
        images: dict[str, Any] = {}
        for plates in order.plates:
            # The name alone: another machine of a farm has the same pictures in another place.
            images[plates.name] = {"file": Path(plates.text).name}
            if plates.name in self.still_plates:
                images[plates.name]["sha256"] = self.still_plates[plates.name].sha256
        return {
            "workflow": order.workflow,
            "workflow_digest": self.described.digest,
            "size": None if size is None else list(size),
            "params": shot.constants,
            "tracks": shot.track_facts,
            "images": images,
            "seed": shot.seed,
            "seed_policy": shot.seed_policy.value,
        }

    # --- what is there -------------------------------------------------------------------------------------

    def find_what_is_there(self) -> None:
        """With `--resume`, take over what is done, and know what is left. Reads every file that is recorded.

        Raises:
            ConfigError: it was another render, or a manifest is damaged. OSError.
        """
        paths = [output.pattern.path(frame) for output in self.files for frame in self.order.own_frames]
        remove_parts([*paths, *(video.path for video in self.videos), self.manifest.path])
        if not self.order.resume:
            return
        earlier = [manifest for manifest in self._earlier() if not is_of_nothing(manifest)]
        for manifest in earlier:
            refuse_other(manifest, self.manifest.settings)
            self._refuse_other_forms(manifest)
        self._note_versions(earlier)
        changed = 0
        for frame in self.order.own_frames:
            for manifest in earlier:
                record = manifest.done.get(frame)
                if record is None or not self._is_whole(manifest, frame, record):
                    continue
                if not self._has_same_plates(frame, record):
                    changed += 1
                    break
                names = {self.manifest.name_of(output.pattern.path(frame)) for output in self.files}
                moved = {self.manifest.name_of(manifest.path_of(name)): facts for name, facts in record.files.items()}
                self.manifest.done[frame] = FrameRecord(
                    record.seed,
                    record.values,
                    record.size,
                    {name: facts for name, facts in moved.items() if name in names},
                    record.plates,
                    record.bits,
                )
                break
        if changed:
            self.notes.append(f"{changed} frames are made again: the pictures that went into them have changed")
        self._find_videos(earlier)
        if any(video.source is None for video in self.open_videos):
            self.manifest.done.clear()
            if earlier:
                self.notes.append("all frames are made again: a video alone, or beside JPEG, keeps none to go on from")
        self.todo = tuple(frame for frame in self.order.own_frames if frame not in self.manifest.done)

    def _earlier(self) -> list[Manifest]:
        """The manifests of this render, its own first, then those of chunks, or of the whole."""
        own = self.order.manifest_path
        whole = own
        if self.order.chunk is not None:
            whole = own.with_name(own.name.replace(f".{self.order.chunk.word}{own.suffix}", own.suffix))
        paths = [own, whole, *sorted(own.parent.glob(f"{_escaped(whole.stem)}.*of*{whole.suffix}"))]
        return [read_manifest(path) for path in dict.fromkeys(paths) if path.is_file()]

    def _refuse_other_forms(self, manifest: Manifest) -> None:
        before = {manifest.path_of(facts["pattern"]).absolute(): facts for facts in manifest.outputs}
        for facts in self.manifest.outputs:
            was = before.get(self.manifest.path_of(facts["pattern"]).absolute())
            for name in facts:
                if was is not None and name != "pattern" and was.get(name) != facts[name]:
                    raise ConfigError(
                        f"--resume: {manifest.path} has {facts['pattern']} with {name} {was.get(name)}, now it is "
                        f"{facts[name]}; give it another name, or render all anew with --overwrite"
                    )

    def _note_versions(self, earlier: Iterable[Manifest]) -> None:
        for manifest in earlier:
            for name, version in self.manifest.versions.items():
                was = manifest.versions.get(name)
                if version and was and was != version:
                    self.notes.append(
                        f"{manifest.path.name} was made with {name} {_words(was)}, now it is {_words(version)}"
                    )

    def _is_whole(self, manifest: Manifest, frame: int, record: FrameRecord) -> bool:
        """True if all files of a frame are recorded, and are what was recorded."""
        recorded = {manifest.path_of(name).absolute(): facts for name, facts in record.files.items()}
        for output in self.files:
            path = output.pattern.path(frame)
            facts = recorded.get(path.absolute())
            if facts is None or not _is_file(path, facts):
                return False
        return True

    def _has_same_plates(self, frame: int, record: FrameRecord) -> bool:
        for plates in self.order.plates:
            if not plates.is_sequence:
                continue
            path = plates.path(frame)
            was = record.plates.get(plates.name, {})
            found = path.stat()
            if found.st_size != was.get("bytes"):
                return False
            if found.st_mtime_ns != was.get("mtime_ns") and file_digest(path) != was.get("sha256"):
                return False
        return True

    def _find_videos(self, earlier: Sequence[Manifest]) -> None:
        everything = frames_text(self.order.own_frames)
        for manifest in earlier:
            for facts in manifest.outputs:
                path = manifest.path_of(facts["pattern"])
                for video in self.videos:
                    is_this = video.path.absolute() == path.absolute() and facts.get("frames") == everything
                    if is_this and len(self.manifest.done) == len(self.order.own_frames) and _is_file(path, facts):
                        self.whole_videos[video.path] = {name: facts[name] for name in ("bytes", "sha256")}

    def claim(self) -> None:
        """Begin the manifest. Without `--resume` and `--overwrite` nobody else may have begun it meanwhile: with models
        to load, minutes may pass between the look for files in the way and the first frame.

        Raises:
            ConfigError: another render has. OSError.
        """
        if self.order.resume or self.order.overwrite:
            return
        path = self.manifest.path
        begun = ConfigError(f"{path}: another render has begun here just now; --manifest and -o name other files")
        if path.exists():
            # What ended before its first frame makes room. Moved first, then looked at: nobody else's is lost.
            aside = part_name(path)
            with contextlib.suppress(FileNotFoundError):
                path.rename(aside)
                if not is_of_nothing(read_manifest(aside)):
                    if not path.exists():
                        aside.rename(path)
                    raise begun
                aside.unlink()
        try:
            self.manifest.write_new()
        except FileExistsError:
            raise begun from None

    def video_done(self, video: VideoOutput) -> None:
        """Record a video that was written."""
        self.whole_videos[video.path] = file_facts(video.path)

    def record_videos(self) -> None:
        """Put what is known of the videos into the manifest."""
        for facts in self.manifest.outputs:
            path = self.manifest.path_of(facts["pattern"]).absolute()
            for video in self.videos:
                if video.path.absolute() == path and video.path in self.whole_videos:
                    facts["frames"] = frames_text(self.order.own_frames)
                    facts.update(self.whole_videos[video.path])


def _is_file(path: Path, facts: Mapping[str, Any]) -> bool:
    try:
        return path.stat().st_size == facts.get("bytes") and file_digest(path) == facts.get("sha256")
    except OSError:
        return False


def _escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)


def _words(version: Any) -> str:
    return ", ".join(map(str, version)) if isinstance(version, list) else str(version)
