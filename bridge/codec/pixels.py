"""Picture files to pixels, pixels to another size, and pixels to files.

In: PNG, JPEG and WebP files. They become `Pixels`, rows from the top. Out: a `jpeg` or `png` file here; the bytes that
an engine uploads in `payloads`.

What is decided here:
- a picture without alpha gets alpha 255; grey becomes equal red, green and blue;
- colour becomes `r8` or `r16` by Rec. 601 luma (0.299 R + 0.587 G + 0.114 B, rounded), alpha is left out;
- 8 bits become 16 by x 257, 16 become 8 by rounding v / 257, so that 0 and full scale stay what they are;
- a palette is expanded; a colour key (PNG tRNS) becomes alpha, but not for 16-bit PNGs, where it is ignored;
- CMYK becomes RGB by Pillow's plain formula; colour profiles, gamma and EXIF orientation are not applied;
- an animation gives its first frame; rows that a complete file has no data for are black;
- 16-bit RGB, RGBA and grey + alpha lose their low byte (see `PictureHeader.reduced`);
- floats, which come as halves from the node pack, stay floats, beyond 0..1 too; where they become integers they are cut
  to 0..1 and rounded.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Pillow loads its plugins on first use, all of them for a WebP: named here, they are ready before the first frame.
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from bridge.codec.picture_header import Buffer, PictureHeader, PictureLimits, read_picture_header
from bridge.errors import ErrorCode, InvalidValueError, PictureDecodeError
from bridge.types import ENCODED_FORMATS, Fit, PixelFormat, Size

__all__ = [
    "Channels",
    "PictureHeader",
    "PictureLimits",
    "Pixels",
    "decode_picture",
    "eight_bits",
    "encode_picture",
    "float_grey",
    "grey8",
    "image_of",
    "pixels_from_array",
    "read_picture_header",
    "resize_pixels",
    "sixteen_bits",
    "solid_pixels",
]

_PLUGINS: Final = {
    "png": PngImagePlugin.PngImageFile.format,
    "jpeg": JpegImagePlugin.JpegImageFile.format,
    "webp": WebPImagePlugin.WebPImageFile.format,
}
_OPAQUE: Final = np.uint32(0xFF000000)
PixelArray = NDArray[Any]


class Channels(StrEnum):
    """What the numbers of one pixel mean."""

    L = "L"
    LA = "LA"
    RGB = "RGB"
    RGBA = "RGBA"
    L16 = "L16"
    LF = "LF"
    RGBF = "RGBF"
    RGBAF = "RGBAF"


_DEPTH: Final = {Channels.L: 1, Channels.LA: 2, Channels.RGB: 4, Channels.RGBA: 4, Channels.L16: 1}
_WHOLE: Final = {Channels.LF: Channels.L, Channels.RGBF: Channels.RGB, Channels.RGBAF: Channels.RGBA}
"""Float channels, and what they are in 8 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A decoded picture, row 0 at the top.

    `array` is contiguous `[height, width, n]`: uint8 with n = 1 (L), 2 (LA), 4 (RGB, RGBA), uint16 with n = 1 (L16), or
    finite float16 or float32 with n = 1 (LF), 4 (RGBF, RGBAF), where full scale is 1. RGB takes four bytes a pixel and
    the fourth means nothing: passes over 32-bit words are several times faster than over three bytes.
    """

    array: PixelArray
    channels: Channels

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(self.array.shape[1], self.array.shape[0])

    @property
    def is_float(self) -> bool:
        """Whether the numbers are floats."""
        return self.channels in _WHOLE

    @property
    def byte_count(self) -> int:
        """Bytes of memory that the pixels take."""
        return int(self.array.nbytes)


# --- in ----------------------------------------------------------------------------------------------------


def decode_picture(data: Buffer, limits: PictureLimits | None = None) -> Pixels:
    """The pixels of a PNG, JPEG or WebP file, whatever its mode (see the module's head for what becomes what).

    Raises:
        PictureDecodeError: whatever is wrong with the bytes; nothing else.
    """
    header = read_picture_header(data, limits)
    try:
        with Image.open(io.BytesIO(data), formats=(_PLUGINS[header.format],)) as image:
            if image.size != header.size:
                raise PictureDecodeError(f"{header.format} header says {header.size}, the decoder {image.size}")
            image.load()
            return _pixels_of(image, header)
    except PictureDecodeError:
        raise
    except Exception as error:
        # Pillow lets OSError, SyntaxError, ValueError, struct.error, zlib.error and more through.
        raise PictureDecodeError(
            f"{header.format} of {header.width} x {header.height}, {len(data)} bytes, does not decode: {error}",
            value=type(error).__name__,
        ) from error


def _pixels_of(image: Image.Image, header: PictureHeader) -> Pixels:
    key = header.color_key
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode == "1":
        image.info.pop("transparency", None)  # Pillow scales it for some depths only; the header has it unscaled
        image = image.convert("L")
    elif image.mode in ("CMYK", "PA"):
        image = image.convert("RGB" if image.mode == "CMYK" else "RGBA")

    width, height = image.size
    if image.mode.startswith("I;16"):
        return Pixels(_array(image, "I;16", "<u2", (height, width, 1)), Channels.L16)
    if image.mode == "L":
        grey = _array(image, "L", "u1", (height, width, 1))
        if key is not None and header.source_bits <= 8:
            return Pixels(_keyed_grey(grey, key[0] * 255 // ((1 << header.source_bits) - 1)), Channels.LA)
        return Pixels(grey, Channels.L)
    if image.mode == "LA":
        return Pixels(_array(image, "LA", "u1", (height, width, 2)), Channels.LA)
    if image.mode == "RGBA":
        return Pixels(_array(image, "RGBA", "u1", (height, width, 4)), Channels.RGBA)
    if image.mode == "RGB":
        colour = _array(image, "RGBX", "u1", (height, width, 4))
        if key is not None and header.source_bits == 8:
            return Pixels(_keyed_colour(colour, key), Channels.RGBA)
        return Pixels(colour, Channels.RGB)
    raise PictureDecodeError(f"{header.format} with pixels of mode {image.mode} is not taken", value=image.mode)


def _array(image: Image.Image, raw_mode: str, dtype: str, shape: tuple[int, int, int]) -> PixelArray:
    return np.frombuffer(image.tobytes("raw", raw_mode), dtype).reshape(shape)


def _keyed_grey(grey: PixelArray, key: int) -> PixelArray:
    alpha = np.where(grey == key, np.uint8(0), np.uint8(255))
    return np.concatenate((grey, alpha), axis=2)


def _keyed_colour(colour: PixelArray, key: tuple[int, ...]) -> PixelArray:
    """Alpha 0 where red, green and blue are the key's; a key past 255 matches nothing."""
    words: PixelArray = colour.view("<u4")[..., 0] | _OPAQUE
    red, green, blue = key
    if max(key) > 255:
        return words.view("u1").reshape(colour.shape)
    words[words == np.uint32(red | green << 8 | blue << 16 | 0xFF000000)] &= np.uint32(0x00FFFFFF)
    return words.view("u1").reshape(colour.shape)


def pixels_from_array(array: PixelArray) -> Pixels:
    """Pixels of a numpy array `[height, width]` or `[height, width, 1..4]`, uint8, or uint16 with one channel.

    The array is shared where its layout allows, else copied.

    Raises:
        PictureDecodeError: another shape or type.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not array.size or not 1 <= array.shape[2] <= 4 or array.dtype not in ("u1", "<u2"):
        raise PictureDecodeError(f"array {array.shape} of {array.dtype} is not [height, width, 1..4] of uint8")
    if array.dtype == "<u2":
        if array.shape[2] != 1:
            raise PictureDecodeError(f"uint16 array with {array.shape[2]} channels: only one is taken")
        return Pixels(np.ascontiguousarray(array), Channels.L16)
    if array.shape[2] == 3:
        return Pixels(_widened(np.ascontiguousarray(array)), Channels.RGB)
    channels = {1: Channels.L, 2: Channels.LA, 4: Channels.RGBA}[array.shape[2]]
    return Pixels(np.ascontiguousarray(array), channels)


def _widened(array: PixelArray) -> PixelArray:
    """Three bytes a pixel as four, the fourth 255.

    Each word is read where its pixel begins, with a byte of the next one: 0.5 ms for 1024 x 1024 where one channel
    after the other takes 1.3. The very last word would read past the end.
    """
    height, width, _ = array.shape
    wide = np.empty((height, width, 4), "u1")
    words = wide.reshape(-1).view("<u4")
    if len(words) > 1:
        overlapping: PixelArray = np.ndarray((len(words) - 1,), "<u4", array, 0, (3,))
        np.bitwise_or(overlapping, _OPAQUE, out=words[:-1])
    wide[-1, -1] = (*array[-1, -1], 255)
    return wide


def solid_pixels(size: Size, color: tuple[int, int, int, int] = (0, 0, 0, 255)) -> Pixels:
    """A picture of one colour, 0..255 each: a placeholder or blackout. Black and opaque unless said."""
    return Pixels(np.full((size.height, size.width, 4), color, "u1"), Channels.RGBA)


def grey8(pixels: Pixels) -> PixelArray:
    """One byte per pixel `[height, width]`: grey as it is, 16-bit grey rounded, colour by luma; alpha left out."""
    if pixels.channels in (Channels.L, Channels.LA):
        return pixels.array[..., 0]
    if pixels.channels is Channels.L16:
        wide = pixels.array[..., 0].astype(np.uint32)
        wide *= np.uint32(255)
        wide += np.uint32(32895)
        wide >>= np.uint32(16)  # round(v / 257), exact for every v
        return wide.astype(np.uint8)
    if pixels.is_float:
        return _as_bytes(float_grey(pixels))
    return np.asarray(image_of(pixels, alpha=True).convert("L"))


def float_grey(pixels: Pixels) -> NDArray[np.float32]:
    """One float per pixel `[height, width]` of float pixels, by luma of the numbers as they are, exact where equal."""
    if pixels.channels is Channels.LF:
        return pixels.array[..., 0].astype(np.float32)
    red, green, blue = (pixels.array[..., channel].astype(np.float32) for channel in range(3))
    grey: NDArray[np.float32] = green + np.float32(0.299) * (red - green) + np.float32(0.114) * (blue - green)
    return grey


def eight_bits(pixels: Pixels) -> Pixels:
    """Float pixels cut to 0..1 and rounded to 8 bits; all others as they are."""
    if not pixels.is_float:
        return pixels
    return Pixels(_as_bytes(pixels.array), _WHOLE[pixels.channels])


def sixteen_bits(pixels: Pixels) -> NDArray[np.uint16]:
    """Float pixels as 16-bit grey `[height, width]`, cut to 0..1 and rounded."""
    scaled = float_grey(pixels) * np.float32(65535)
    scaled += np.float32(0.5)
    return scaled.clip(0, 65535).astype("<u2")


def _as_bytes(floats: PixelArray) -> NDArray[np.uint8]:
    scaled = floats.astype(np.float32)
    scaled *= np.float32(255)
    scaled += np.float32(0.5)
    return scaled.clip(0, 255).astype(np.uint8)


# --- resize, files -----------------------------------------------------------------------------------------


def image_of(pixels: Pixels, alpha: bool) -> Image.Image:
    """A Pillow image over the same memory. Colour is RGBA with `alpha`, else RGBX, whose fourth byte is nothing.

    Floats are brought to 8 bits.
    """
    pixels = eight_bits(pixels)
    mode = pixels.channels.value
    if pixels.channels in (Channels.RGB, Channels.RGBA):
        mode = "RGBA" if alpha else "RGBX"
    elif pixels.channels is Channels.L16:
        mode = "I;16"
    return Image.frombuffer(mode, pixels.size, np.ascontiguousarray(pixels.array), "raw", mode, 0, 1)


def resize_pixels(pixels: Pixels, size: Size, fit: Fit = Fit.STRETCH) -> Pixels:
    """The picture at exactly `size`; the same object if it has that size already.

    `stretch` fills it, `contain` centres the whole picture and fills the rest with black of alpha 255, `cover`
    fills it and crops what is over, evenly on both sides; where nothing has to be scaled, pixel by pixel. Bilinear,
    over the whole footprint when it gets smaller (no aliasing) and without the ringing that sharper filters bring into
    masks and depth. Colour is weighted by alpha.
    """
    source = pixels.size
    if source == size:
        return pixels
    if fit is Fit.CONTAIN:
        scale = min(size.width / source.width, size.height / source.height)
        inner = Size(max(1, round(source.width * scale)), max(1, round(source.height * scale)))
        inner = Size(min(inner.width, size.width), min(inner.height, size.height))
        if inner != size:
            return _framed(resize_pixels(pixels, inner), size)
    box: tuple[float, float, float, float] | None = None
    if fit is Fit.COVER:
        if (source.width == size.width and source.height > size.height) or (
            source.height == size.height and source.width > size.width
        ):
            return _cropped(pixels, size)  # nothing is scaled: half a pixel's shift would only blur it
        scale = max(size.width / source.width, size.height / source.height)
        width, height = min(size.width / scale, source.width), min(size.height / scale, source.height)
        left, top = (source.width - width) / 2, (source.height - height) / 2
        box = (left, top, left + width, top + height)
    if pixels.is_float:
        return Pixels(_resized_floats(pixels, size, box), pixels.channels)
    if pixels.channels is Channels.L16:
        # Pillow filters 16-bit grey as floats; that keeps all 16 bits.
        wide = Image.fromarray(pixels.array[..., 0].astype(np.float32))
        smooth = np.asarray(wide.resize(size, Image.Resampling.BILINEAR, box))
        return Pixels(np.rint(smooth).clip(0, 65535).astype("<u2")[..., None], Channels.L16)
    image = image_of(pixels, alpha=pixels.channels is Channels.RGBA).resize(size, Image.Resampling.BILINEAR, box)
    shape = (size.height, size.width, _DEPTH[pixels.channels])
    return Pixels(np.frombuffer(image.tobytes(), "u1").reshape(shape), pixels.channels)


def _resized_floats(pixels: Pixels, size: Size, box: tuple[float, float, float, float] | None) -> NDArray[np.float32]:
    """Each channel by itself, as Pillow knows floats of one channel alone; colours weighted by alpha."""
    weighted = pixels.channels is Channels.RGBAF
    floats = pixels.array.astype(np.float32)
    if weighted:
        floats[..., :3] *= floats[..., 3:]
    made = np.empty((size.height, size.width, floats.shape[2]), np.float32)
    for channel in range(floats.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(floats[..., channel]))
        made[..., channel] = np.asarray(plane.resize(size, Image.Resampling.BILINEAR, box))
    if weighted:
        np.divide(made[..., :3], made[..., 3:], out=made[..., :3], where=made[..., 3:] != 0)
    return made


def _cropped(pixels: Pixels, size: Size) -> Pixels:
    """The middle of the picture, pixel by pixel. An odd one is taken off at the right and bottom."""
    left, top = (pixels.size.width - size.width) // 2, (pixels.size.height - size.height) // 2
    middle = pixels.array[top : top + size.height, left : left + size.width]
    return Pixels(np.ascontiguousarray(middle), pixels.channels)


def _framed(pixels: Pixels, size: Size) -> Pixels:
    """The picture in the middle of black, opaque `size`. An odd pixel goes to the right and bottom."""
    array = np.zeros((size.height, size.width, pixels.array.shape[2]), pixels.array.dtype)
    if pixels.channels in (Channels.LA, Channels.RGBA):
        array[..., -1] = 255
    elif pixels.channels is Channels.RGBAF:
        array[..., -1] = 1
    left, top = (size.width - pixels.size.width) // 2, (size.height - pixels.size.height) // 2
    array[top : top + pixels.size.height, left : left + pixels.size.width] = pixels.array
    return Pixels(array, pixels.channels)


def encode_picture(pixels: Pixels, format: PixelFormat, quality: int = 90) -> bytes:
    """A `jpeg` or `png` file of the pixels, rows from the top. `quality` 1..95 is for JPEG, which has no alpha.

    JPEG is RGB or grey (16-bit grey is rounded to 8), PNG keeps grey, alpha and 16-bit grey, lightly compressed. Floats
    of one channel are a PNG's 16-bit grey, colours of them become 8 bits.

    Raises:
        InvalidValueError: another format (306).
    """
    if format not in ENCODED_FORMATS:
        raise InvalidValueError(f"{format.word} is not a file format", code=ErrorCode.UNSUPPORTED_FORMAT)
    if pixels.channels is Channels.LF and format is PixelFormat.PNG:
        pixels = Pixels(sixteen_bits(pixels)[..., None], Channels.L16)
    pixels = eight_bits(pixels)
    with io.BytesIO() as file:
        if format is PixelFormat.JPEG and pixels.channels in (Channels.L, Channels.LA, Channels.L16):
            Image.fromarray(np.ascontiguousarray(grey8(pixels))).save(file, "JPEG", quality=quality)
        elif format is PixelFormat.JPEG:
            image_of(pixels, alpha=False).save(file, "JPEG", quality=quality)
        elif pixels.channels is Channels.RGB:
            image_of(pixels, alpha=False).convert("RGB").save(file, "PNG", compress_level=1)
        else:
            image_of(pixels, alpha=True).save(file, "PNG", compress_level=1)
        return file.getvalue()
