"""IMAGE and MASK tensors to bytes and back, on the device where the tensor lives.

Eight-bit pixels are what ComfyUI's own nodes write: 255 times the value, cut to 0..255, the fraction dropped.
"""

import io

import numpy as np
import torch
from PIL import Image, ImageOps

from . import event

_NUMPY_FORMATS = {
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "rgb8": ("u1", 3),
    "r8": ("u1", 1),
    "r16": ("<u2", 1),
    "r16f": ("<f2", 1),
    "r32f": ("<f4", 1),
    "rgba16f": ("<f2", 4),
    "rgba32f": ("<f4", 4),
}
_FULL_SCALE = {"u1": 255.0, "<u2": 65535.0}
_PILLOW_FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}
_NEAR_FLOATS = 1 << 17
_FILE_FORMATS = {event.JPEG: "JPEG", event.PNG: "PNG", event.WEBP: "WEBP"}


class Converter:
    """Turns pictures into bytes. It keeps its intermediate tensors for the next picture. Belongs to one thread."""

    def __init__(self):
        self._scratch = {}
        self._near = None

    def format_of(self, picture, wanted):
        """The format in which `picture` [height, width, channel] goes when "raw" or "raw16f" is wanted."""
        channels = picture.shape[-1]
        if wanted == "raw16f":
            return event.R16F if channels == 1 else event.RGBA16F
        if wanted == "raw16":
            if channels != 1:
                raise ValueError(f"raw16 is for pictures of one channel and masks, not for {channels}")
            return event.R16
        return {1: event.R8, 2: event.RGBA8, 3: event.RGB8, 4: event.RGBA8}[channels]

    def write(self, picture, format, out):
        """Fill `out`, a writable numpy array of bytes, with a picture [height, width, channel]."""
        height, width, channels = picture.shape
        if format in (event.RGBA16F, event.R16F):
            depth = 1 if format == event.R16F else 4
            target = torch.from_numpy(out.view(np.float16).reshape(height, width, depth))
            if depth == channels:
                target.copy_(picture)
            else:
                target[..., 3] = 1.0 if channels in (1, 3) else picture[..., -1]
                target[..., :3].copy_(picture[..., :3] if channels > 2 else picture[..., :1].expand(-1, -1, 3))
            return
        if format == event.R16:
            scaled = self._scaled(picture, 65535.0).add_(0.5)
            # torch has no uint16 everywhere: by way of int32, whose low half it is.
            np.copyto(out.view("<u2").reshape(height, width, 1), scaled.to(torch.int32).cpu().numpy().astype(np.uint16))
            return
        depth = event.BYTES_PER_PIXEL[format]
        if depth == channels and picture.device.type == "cpu" and picture.dtype == torch.float32:
            self._write_near(picture, out)
            return
        scaled = self._scaled(picture, 255.0)
        target = torch.from_numpy(out.reshape(height, width, depth))
        if scaled.device.type != "cpu":
            scaled = scaled.to(torch.uint8)  # a quarter of the bytes cross over
        if depth == channels:
            target.copy_(scaled)
        else:  # grey and alpha
            target[..., :3].copy_(scaled[..., :1].expand(-1, -1, 3))
            target[..., 3].copy_(scaled[..., 1])

    def _write_near(self, picture, out):
        """Eight bits of floats on this processor, in pieces that stay near it: half to a quarter of torch's time."""
        floats = picture.detach().contiguous().numpy().reshape(-1)
        if self._near is None:
            self._near = np.empty(_NEAR_FLOATS, np.float32)
        with np.errstate(invalid="ignore"):  # no number becomes 0, as elsewhere
            for start in range(0, floats.size, _NEAR_FLOATS):
                source = floats[start : start + _NEAR_FLOATS]
                near = self._near[: source.size]
                np.multiply(source, np.float32(255), out=near)
                np.clip(near, 0.0, 255.0, out=near)
                np.copyto(out[start : start + source.size], near, casting="unsafe")

    def _scaled(self, picture, scale):
        if picture.dtype not in (torch.float32, torch.float64, torch.float16):
            picture = picture.to(torch.float32)
        key = (picture.shape[-1], picture.dtype, picture.device)
        scratch = self._scratch.get(key)
        if scratch is None or scratch.shape != picture.shape:
            if len(self._scratch) >= 4:
                self._scratch.clear()
            scratch = self._scratch[key] = torch.empty(picture.shape, dtype=picture.dtype, device=picture.device)
        torch.mul(picture, scale, out=scratch)
        return scratch.clamp_(0.0, scale)


def eight_bits(picture):
    """A picture [height, width, channel] as a numpy array of uint8, as ComfyUI's own nodes make it."""
    return Converter()._scaled(picture, 255.0).to(torch.uint8).cpu().numpy()


def encode(picture, format, quality):
    """A file of a picture [height, width, channel] of uint8. JPEG has no alpha: it is left out."""
    array = picture.squeeze(-1) if picture.shape[-1] == 1 else picture
    image = Image.fromarray(array)
    if format == event.JPEG and image.mode in ("LA", "RGBA"):
        image = image.convert(image.mode[:-1])
    options = {"compress_level": 1} if format == event.PNG else {"quality": quality}
    if format == event.WEBP:
        options |= {"method": 0, "lossless": quality >= 100}
    with io.BytesIO() as file:
        image.save(file, _FILE_FORMATS[format], **options)
        return file.getvalue()


def tensors(entry, max_pixels):
    """IMAGE [1, height, width, 3] and MASK [1, height, width] of a picture that was sent, as LoadImage gives them.

    The mask is 1 where the picture is transparent, and 64 x 64 zeros where it has no alpha. Raises ValueError.
    """
    description = entry.description
    if description.format in _PILLOW_FORMATS:
        array, scale = _decoded(entry, max_pixels)
    else:
        dtype, depth = _NUMPY_FORMATS[description.format]
        array = np.frombuffer(entry.data, dtype).reshape(description.height, description.width, depth)
        scale = _FULL_SCALE.get(dtype)
    if description.origin == "bottom_left" and description.format not in _PILLOW_FORMATS:
        array = array[::-1]
    picture = np.empty((*array.shape[:2], 3), np.float32)
    if array.shape[2] >= 3:
        order = (2, 1, 0) if description.format == "bgra8" else (0, 1, 2)
        for channel, source in enumerate(order):
            picture[..., channel] = array[..., source]
    else:
        picture[...] = array[..., :1]
    alpha = array[..., -1] if array.shape[2] in (2, 4) else None
    if scale is not None:
        picture /= np.float32(scale)
    elif not np.isfinite(array).all():
        raise ValueError(f"the {description.format} picture has values that are no finite numbers")
    if alpha is None:
        mask = torch.zeros((1, 64, 64), dtype=torch.float32)
    else:
        opaque = alpha.astype(np.float32)
        if scale is not None:
            opaque /= np.float32(scale)
        mask = 1.0 - torch.from_numpy(opaque)[None]
    return torch.from_numpy(picture)[None], mask


def channel_mask(entry, channel, max_pixels):
    """MASK [1, height, width] of one channel, as LoadImageMask gives it: alpha is turned round. Raises ValueError."""
    image, mask = tensors(entry, max_pixels)
    if channel == "alpha":
        return mask if mask.shape[1:] == image.shape[1:3] else torch.zeros(image.shape[:3], dtype=torch.float32)
    return image[..., ("red", "green", "blue").index(channel)].contiguous()


def _decoded(entry, max_pixels):
    """The pixels of an encoded picture, and what number is full scale."""
    format = _PILLOW_FORMATS[entry.description.format]
    try:
        with Image.open(io.BytesIO(entry.data), formats=(format,)) as image:
            if image.width * image.height > max_pixels:
                raise ValueError(f"{image.width} x {image.height} pixels > limit {max_pixels}")
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16-bit grey
                return np.asarray(image).astype(np.float32)[..., None], 65535.0
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            return np.asarray(image.convert("RGBA" if has_alpha else "RGB")), 255.0
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001
        # Pillow lets OSError, SyntaxError, struct.error and more through.
        raise ValueError(f"the {format} picture of {len(entry.data)} bytes does not decode: {error}") from None
