"""Words that every layer uses: frozen records and enumerations, no behaviour.

Arrays of pixels are `[height, width, channel]`, uint8 or uint16, row 0 at the top, unless said otherwise.
Times are monotonic seconds (`time.perf_counter`), sizes are pixels, byte counts say so in their name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from typing import Final, NamedTuple, Protocol, TypeAlias


class Mode(StrEnum):
    """How a stream makes its pictures. Source: wire contract, Scheduling."""

    ONESHOT = "oneshot"
    LATEST = "latest"
    LIVE = "live"


class SeedPolicy(StrEnum):
    """What happens to the seed after each request."""

    FIXED = "fixed"
    INCREMENT = "increment"
    RANDOM = "random"


class Outcome(StrEnum):
    """The one terminal answer of a request."""

    DONE = "done"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class StreamState(StrEnum):
    """What `/status` says of a stream."""

    WAITING_FOR_COMFY = "waiting_for_comfy"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    DEGRADED = "degraded"
    PAUSED = "paused"


class Origin(StrEnum):
    """Which row of a picture comes first in its bytes."""

    TOP_LEFT = "top_left"
    BOTTOM_LEFT = "bottom_left"


class OutputKind(StrEnum):
    """What an output's pixels mean: `color` is sRGB-encoded, `data` and `mask` are never colour-converted."""

    COLOR = "color"
    DATA = "data"
    MASK = "mask"


class Delivery(StrEnum):
    """How sets reach one subscriber."""

    LATEST = "latest"
    LOSSLESS = "lossless"
    PACED = "paced"


class Fit(StrEnum):
    """How a picture of one shape fills the size that a subscriber asked for."""

    STRETCH = "stretch"
    CONTAIN = "contain"
    COVER = "cover"


class Fill(StrEnum):
    """What a hole in a depth picture becomes."""

    NONE = "none"
    NEAR = "near"
    FAR = "far"
    NEAREST = "nearest"


class Edge(StrEnum):
    """What lies beyond the edge of a picture that goes back into its workflow."""

    MIRROR = "mirror"
    CLAMP = "clamp"


class PixelFormat(IntEnum):
    """Pixel formats of the frame header. Source: protocols/registry.md."""

    RGBA8 = 1
    BGRA8 = 2
    RGB8 = 3
    R8 = 4
    RGBA16F = 5
    RGBA32F = 6
    R16 = 7
    R16F = 8
    R32F = 9
    BC1 = 16
    BC3 = 17
    BC7 = 18
    JPEG = 64
    PNG = 65

    @property
    def word(self) -> str:
        """The name on the link, e.g. `rgba8`."""
        return self.name.lower()


FORMATS_BY_WORD: Final = {pixel_format.word: pixel_format for pixel_format in PixelFormat}

BYTES_PER_PIXEL: Final = {
    PixelFormat.RGBA8: 4,
    PixelFormat.BGRA8: 4,
    PixelFormat.RGB8: 3,
    PixelFormat.R8: 1,
    PixelFormat.RGBA16F: 8,
    PixelFormat.RGBA32F: 16,
    PixelFormat.R16: 2,
    PixelFormat.R16F: 2,
    PixelFormat.R32F: 4,
}
"""Uncompressed formats only; block formats have 8 (bc1) or 16 bytes per 4x4 block."""

ENCODED_FORMATS: Final = frozenset({PixelFormat.JPEG, PixelFormat.PNG})
"""Files, not textures: always top_left, row_pitch 0, one mip."""


class FrameFlags(IntFlag):
    """Bit masks of the frame header's `flags`."""

    PREVIEW = 1
    LAST_SET = 2
    HELD = 4
    BOTTOM_LEFT = 8
    LINEAR = 16
    PREMULTIPLIED = 32
    LAST_OF_SET = 64
    SHARED_MEMORY = 128


class Size(NamedTuple):
    """Pixels."""

    width: int
    height: int


class ParameterType(StrEnum):
    """Types a parameter may have on the wire."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STRING = "string"
    CHOICE = "choice"
    SEED = "seed"
    COLOR = "color"
    VEC2 = "vec2"
    VEC3 = "vec3"
    VEC4 = "vec4"
    IMAGE = "image"


COMPONENTS: Final = {
    ParameterType.COLOR: 4,
    ParameterType.VEC2: 2,
    ParameterType.VEC3: 3,
    ParameterType.VEC4: 4,
}
"""How many numbers a value has; a colour may come with three, alpha is then 1."""


class Curve(StrEnum):
    """How 0..1 maps to a parameter's range."""

    LINEAR = "linear"
    LOG = "log"
    EXP = "exp"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Picture:
    """An encoded picture as a parameter's value: a PNG, JPEG or WebP file, and its hash."""

    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RawPicture:
    """Raw pixels as a parameter's value: rows without padding, in an uncompressed format, the origin's row first."""

    width: int
    height: int
    format: PixelFormat
    origin: Origin
    data: bytes

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(self.width, self.height)


@dataclass(frozen=True, slots=True)
class PictureRule:
    """What is done to a parameter's pictures on their way to the node, in this order.

    `near`, `far`, `invert` and `fill` are for one-channel measures (r16, r16f, r32f) alone: `near` becomes black and
    `far` white, or the other way round with `invert`; None is the format's own range. Then `rotate` (0, 90, 180 or 270
    degrees clockwise), `mirror_x` (left and right change places), and `fit` to the stream's size (None: as it is).
    `lossless` sends every pixel as it is; `alpha` is true if the graph uses the picture's alpha. Of a live stream a
    picture that differs by less than `min_change` (0..1) from the last one used makes no picture of its own.
    """

    near: float | None = None
    far: float | None = None
    invert: bool = False
    fill: Fill = Fill.NONE
    rotate: int = 0
    mirror_x: bool = False
    fit: Fit | None = None
    lossless: bool = False
    alpha: bool = False
    min_change: float = 0.0

    @property
    def moves_pixels(self) -> bool:
        """True if a finished picture can't go to the node as it came."""
        return bool(self.rotate or self.mirror_x or self.fit)


Value: TypeAlias = bool | int | float | str | tuple[float, ...] | Picture | RawPicture
"""A checked value: a colour is four floats 0..1, a vector two to four floats, a seed an int 0..2^64-1."""


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A named, typed, ranged input of a workflow.

    `minimum`, `maximum` and `step` are for int, float and vectors, None where open. `choices` is for choice.
    `multiline` is a hint for editors. `clamp` says what OSC does out of range: clamp, or reject.
    """

    name: str
    label: str
    type: ParameterType
    default: Value
    minimum: float | int | None = None
    maximum: float | int | None = None
    step: float | int | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    curve: Curve = Curve.LINEAR
    clamp: bool = True
    multiline: bool = False


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a workflow; its place in `WorkflowSpec.outputs` is the frame header's `output`."""

    name: str
    kind: OutputKind = OutputKind.COLOR
    bits: int = 8
    """Of a channel: 8, or 16 for half floats where the backend has the node pack."""


@dataclass(frozen=True, slots=True)
class FeedbackRule:
    """The last picture of `output` (its place) goes back into the image parameter `parameter` for the next one.

    `sized` brings it to the stream's size on the way, where that has one. `switch` is the parameter that says whether.
    """

    parameter: str
    output: int = 0
    edge: Edge = Edge.MIRROR
    sized: bool = False
    switch: str = "feedback"


@dataclass(frozen=True, slots=True)
class PictureMove:
    """How a picture grows, turns and shifts on its way back: `zoom` as a factor, `rotate` in degrees clockwise,
    `x` and `y` in widths and heights, to the right and down.
    """

    zoom: float = 1.0
    rotate: float = 0.0
    x: float = 0.0
    y: float = 0.0
    edge: Edge = Edge.MIRROR

    @property
    def is_still(self) -> bool:
        """True if every pixel stays where it is."""
        return self.zoom == 1.0 and not self.rotate % 360 and not self.x and not self.y


@dataclass(frozen=True, slots=True)
class ColorMatch:
    """Mean and deviation of each colour channel (0..1) that a picture is brought to, by `amount` 0..1."""

    amount: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WorkflowSpec:
    """What an engine may know of a workflow. `size` is the graph's own, None if the graph has no size inputs.

    `digest` tells one version of its files from another, empty where there are none.
    """

    name: str
    label: str
    parameters: tuple[ParameterSpec, ...]
    outputs: tuple[OutputSpec, ...]
    has_seed: bool
    default_seed: int
    size: Size | None
    size_step: int = 8
    size_maximum: int = 16384
    size_minimum: int = 1
    feedback: FeedbackRule | None = None
    """The loop that the binding names."""
    digest: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PayloadSpec:
    """What a payload looks like. One payload is made per (output, spec) and shared by all who want it.

    `size` None means the picture's own. `jpeg_quality` is for `jpeg` alone.
    """

    format: PixelFormat
    origin: Origin = Origin.TOP_LEFT
    size: Size | None = None
    fit: Fit = Fit.STRETCH
    mips: bool = False
    linear: bool = False


class Lease(Protocol):
    """A buffer on loan. Whoever holds it longer than its giver retains it, and releases it once for each retain."""

    @property
    def view(self) -> memoryview:
        """The bytes, exactly as many as were asked for. Not to be touched after the last release."""
        ...

    def retain(self) -> None:
        """One owner more."""
        ...

    def release(self) -> None:
        """One owner less; with the last one the buffer goes back."""
        ...


class Sink(Protocol):
    """Something that lends a buffer for a payload: the heap, or later a shared-memory slot."""

    def lend(self, payload_bytes: int) -> Lease:
        """Give a writable buffer of exactly `payload_bytes`, 16-byte aligned, with one owner: the caller."""
        ...
