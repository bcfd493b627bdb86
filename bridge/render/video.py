"""A video of the frames, by PyAV (extra `[video]`).

`h264` in 8 bits, `prores` (422 HQ) in 10, whose file is a .mov. No h265: the x265 of PyAV 18 writes beyond its memory
with pictures smaller than 64 pixels, seen with glibc's checks. Colours are converted by one thread: several leave out
rows of chroma now and then, seen in 422 of 10 bits with the same version. The matrix is BT.709, the range limited, the
transfer sRGB's, and the file says so. It is written under another name and gets its own when it is whole.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ConfigError
from bridge.whole_files import whole_file

SUFFIXES: Final = frozenset({".mp4", ".mov", ".mkv"})
CODECS: Final = {
    "h264": ("libx264", "yuv420p", {"preset": "medium"}),
    "prores": ("prores_ks", "yuv422p10le", {"profile": "hq"}),
}
PIXEL_FORMATS: Final = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
_FORMATS: Final = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_BT709: Final = 1
_SRGB: Final = 13
_LIMITED: Final = 1
_FULL: Final = 2


def need_video(what: str) -> Any:
    """Give the library. Raises ConfigError: it isn't installed; `what` wanted it."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise ConfigError(f"{what} needs PyAV: pip install 'texbridge[video]'") from error


def parse_fps(text: str) -> Fraction:
    """Read frames a second: `24`, `24000/1001`, or `23.976`, `29.97`, `59.94`, which mean those of a thousand and one.

    Raises ConfigError: another form, or not over 0 and at most 1,000.
    """
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"--fps {text!r} is not a number of frames a second, as in 24 or 24000/1001") from error
    nearest = round(fps * Fraction(1001, 1000))
    if re.fullmatch(r"\d+\.\d{2,}", text) and abs(fps - Fraction(nearest * 1000, 1001)) < Fraction(1, 100):
        fps = Fraction(nearest * 1000, 1001)
    if not 0 < fps <= 1000:
        raise ConfigError(f"--fps {text} is not over 0 and at most 1,000")
    return fps


@dataclass(frozen=True, slots=True)
class VideoForm:
    """How a video is written. `crf` is h264's quality, smaller is better."""

    fps: Fraction
    codec: str = "h264"
    pixel_format: str | None = None
    crf: int = 16

    @property
    def chosen_format(self) -> str:
        """The pixel format that applies."""
        return self.pixel_format or CODECS[self.codec][1]

    def check(self, path: Path) -> None:
        """Raise ConfigError if such a file can't be written: the library is missing, or codec and suffix don't fit."""
        library = need_video(f"-o {path}")
        encoder = CODECS[self.codec][0]
        if encoder not in library.codecs_available:
            raise ConfigError(f"--codec {self.codec}: the PyAV that is installed has no {encoder}")
        if self.codec == "prores" and path.suffix.lower() == ".mp4":
            raise ConfigError(f"--codec prores goes into .mov: -o {path.with_suffix('.mov')}")

    def check_size(self, width: int, height: int) -> None:
        """Raise ConfigError if the pixel format can't have these sides."""
        if (width % 2 and "444" not in self.chosen_format) or (height % 2 and "420" in self.chosen_format):
            raise ConfigError(
                f"a video of {width}x{height} in {self.chosen_format} can't be: its sides must be even; "
                "--size says another, or --pixel-format yuv444p"
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What makes the file what it is, for the manifest."""
        facts: dict[str, Any] = {"format": "video", "codec": self.codec, "pixel_format": self.chosen_format}
        if self.codec != "prores":
            facts["crf"] = self.crf
        return {**facts, "fps": str(self.fps), "color": "bt709 matrix and primaries, srgb transfer, limited range"}


class VideoFile:
    """A video that is being written; as a context manager it is whole at its end, and gone after an error."""

    def __init__(self, path: Path, form: VideoForm) -> None:
        self._library = need_video(f"-o {path}")
        self._path = path
        self._form = form
        self._stack = contextlib.ExitStack()
        self._container: Any = None
        self._stream: Any = None
        self._frames = 0
        self._size = (0, 0)

    def __enter__(self) -> VideoFile:
        return self

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Add a frame, `[height, width, 3]`. Raises ConfigError: a size that can't be, or another one. OSError."""
        height, width, _ = pixels.shape
        if self._container is None:
            self._begin(width, height)
        if (width, height) != self._size:
            raise ConfigError(f"frame {self._frames + 1} of the video is {width}x{height}, the first {self._size}")
        frame = self._library.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(
            format=self._form.chosen_format,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            dst_colorspace=_BT709,
            threads=1,
        )
        frame.pts = self._frames
        frame.time_base = 1 / self._form.fps
        frame.color_primaries, frame.color_trc = _BT709, _SRGB
        self._frames += 1
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _begin(self, width: int, height: int) -> None:
        self._form.check_size(width, height)
        self._size = (width, height)
        part = self._stack.enter_context(whole_file(self._path))
        suffix = self._path.suffix.lower()
        options = {"movflags": "+faststart"} if suffix != ".mkv" else {}
        container = self._library.open(str(part), "w", format=_FORMATS[suffix], options=options)
        self._stack.callback(container.close)
        encoder, _, settings = CODECS[self._form.codec]
        if self._form.codec != "prores":
            settings = {**settings, "crf": str(self._form.crf)}
        stream = container.add_stream(encoder, rate=self._form.fps, options=settings)
        stream.width, stream.height, stream.pix_fmt = width, height, self._form.chosen_format
        context = stream.codec_context
        context.color_range, context.colorspace = _LIMITED, _BT709
        context.color_primaries, context.color_trc = _BT709, _SRGB
        self._container, self._stream = container, stream

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._container is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
        self._stack.__exit__(kind, error, at)
