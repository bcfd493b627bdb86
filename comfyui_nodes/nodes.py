"""The nodes."""

import concurrent.futures
import os
import time

import numpy as np
import torch
from server import PromptServer

from . import event, moves
from .kept import KeptPictures
from .pictures import Pictures
from .pixels import Converter, channel_mask, eight_bits, encode, tensors
from .sender import Sender

try:
    from comfy_execution.utils import get_executing_context
except ImportError:  # ComfyUI before 0.3.48

    def get_executing_context():
        return None


try:
    from comfy.model_management import throw_exception_if_processing_interrupted as check_interrupt
except ImportError:

    def check_interrupt():
        pass


CATEGORY = "texbridge"
RAW_FORMATS = ("raw", "raw16", "raw16f")
ENCODED_FORMATS = {"jpeg": event.JPEG, "webp": event.WEBP, "png": event.PNG}


def _pause():
    check_interrupt()
    time.sleep(0.002)


_KEEP_S = float(os.environ.get("TEXBRIDGE_NODES_KEEP_S") or 120.0)
PICTURES = Pictures(time.monotonic, keep_s=_KEEP_S)
KEPT = KeptPictures(time.monotonic, keep_s=_KEEP_S)
_CONVERTER = Converter()
_SENDER = Sender(PromptServer.instance, pause=_pause)
_ENCODERS = concurrent.futures.ThreadPoolExecutor(
    max_workers=min(4, max(1, (os.cpu_count() or 2) - 1)), thread_name_prefix="texbridge-encode"
)


class TexBridgeOutput:
    """Sends pictures to the client of the prompt, raw or encoded, and to nobody else."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {},
            "optional": {
                "images": ("IMAGE", {"tooltip": "1 to 4 channels"}),
                "mask": ("MASK", {"tooltip": "alone: one channel; with images: transparency, 1 is transparent"}),
                "format": (
                    [*RAW_FORMATS, *ENCODED_FORMATS],
                    {"default": "raw", "tooltip": "raw: 8 bits; raw16: one channel; raw16f: half floats, not cut"},
                ),
                "quality": ("INT", {"default": 90, "min": 1, "max": 100, "tooltip": "webp at 100 is lossless"}),
                "output": ("INT", {"default": 0, "min": 0, "max": 255, "tooltip": "told to the client"}),
                "linear": ("BOOLEAN", {"default": False, "tooltip": "told to the client: numbers, not sRGB colours"}),
                "keep": ("STRING", {"default": "", "tooltip": "name for the last picture, for a later prompt"}),
            },
            "hidden": {"unique_id": "UNIQUE_ID"},
        }

    RETURN_TYPES = ()
    FUNCTION = "send"
    OUTPUT_NODE = True
    CATEGORY = CATEGORY
    DESCRIPTION = "Sends pictures to texbridge over ComfyUI's WebSocket, as raw pixels or encoded for slow links."

    @classmethod
    def IS_CHANGED(cls, **inputs):
        return float("nan")  # whatever is cached: each prompt gets its pictures

    def send(self, images=None, mask=None, format="raw", quality=90, output=0, linear=False, keep="", unique_id=None):
        if keep:
            _keep(keep, _batch(images, mask)[-1:])
        client_id = PromptServer.instance.client_id
        if client_id is None:
            return {}  # a prompt without a client: there is nobody to send to
        batch = _batch(images, mask)
        context = get_executing_context()
        prompt_id = context.prompt_id if context is not None else getattr(PromptServer.instance, "last_prompt_id", "")
        fields = {
            "channels": batch.shape[-1],
            "output": output,
            "total": len(batch),
            "width": batch.shape[2],
            "height": batch.shape[1],
            "linear": bool(linear),
            "prompt_id": str(prompt_id or ""),
            "node_id": str(unique_id or ""),
        }
        if format in ENCODED_FORMATS:
            self._send_encoded(batch, ENCODED_FORMATS[format], quality, fields, client_id)
        else:
            self._send_raw(batch, format, fields, client_id)
        return {}

    def _send_raw(self, batch, wanted, fields, client_id):
        for index, picture in enumerate(batch):
            check_interrupt()
            began = time.perf_counter()
            format = _CONVERTER.format_of(picture, wanted)
            payload = picture.shape[0] * picture.shape[1] * event.BYTES_PER_PIXEL[format]
            start = len(event.header(**fields, format=format, index=index, payload_bytes=payload, convert_us=0))
            buffer = _SENDER.buffer(start + payload)
            view = np.frombuffer(buffer, np.uint8)
            _CONVERTER.write(picture, format, view[start:])
            del view
            took_us = round((time.perf_counter() - began) * 1e6)
            buffer[:start] = event.header(
                **fields, format=format, index=index, payload_bytes=payload, convert_us=took_us
            )
            _SENDER.send(event.EVENT, buffer, client_id)
            del buffer

    def _send_encoded(self, batch, format, quality, fields, client_id):
        """Encoded here, in the execution thread and a few helpers: ComfyUI's event loop only writes."""

        def work(picture):
            began = time.perf_counter()
            chosen = event.WEBP if format == event.JPEG and picture.shape[-1] in (2, 4) else format
            data = encode(eight_bits(picture), chosen, quality)
            return chosen, data, round((time.perf_counter() - began) * 1e6)

        made = map(work, batch) if len(batch) == 1 else _ENCODERS.map(work, batch)
        for index, (chosen, data, took_us) in enumerate(made):
            check_interrupt()
            head = event.header(**fields, format=chosen, index=index, payload_bytes=len(data), convert_us=took_us)
            buffer = _SENDER.buffer(len(head) + len(data))
            buffer[: len(head)], buffer[len(head) :] = head, data
            _SENDER.send(event.EVENT, buffer, client_id)
            del buffer


def _batch(images, mask):
    """The pictures [batch, height, width, channel] that `images` and `mask` make. Raises ValueError."""
    if mask is not None and mask.dim() == 2:
        mask = mask[None]
    if images is None and mask is None:
        raise ValueError("link images or mask: there is nothing to send")
    if images is None:
        return mask[..., None]
    if not 1 <= images.shape[-1] <= 4:
        raise ValueError(f"a picture has {images.shape[-1]} channels; 1 to 4 can be sent")
    if mask is None:
        return images
    if images.shape[-1] == 4 or mask.shape[1:] != images.shape[1:3] or len(mask) not in (1, len(images)):
        raise ValueError(f"images {tuple(images.shape)} and mask {tuple(mask.shape)} don't go together")
    alpha = (1.0 - mask.to(images.device)).expand(len(images), -1, -1)[..., None]
    return torch.cat((images, alpha), dim=-1)


def _keep(name, picture):
    """Keep a picture [1, height, width, channel], without a copy where nothing else of its batch would stay with it."""
    if picture.untyped_storage().nbytes() > 2 * picture.nelement() * picture.element_size():
        picture = picture.clone()
    KEPT.keep(name, picture, picture.nelement() * picture.element_size())


class _Input:
    @classmethod
    def VALIDATE_INPUTS(cls, picture, **inputs):
        if PICTURES.get(picture) is None:
            return _missing(picture)
        return True

    @classmethod
    def IS_CHANGED(cls, picture, **inputs):
        return picture  # a name always means the same picture

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load"
    CATEGORY = CATEGORY


def _missing(picture):
    return (
        f"picture {str(picture)[:100]!r} is not here: it was never sent to this ComfyUI, or not used for "
        f"{PICTURES.keep_s:g} s; send it again to /texbridge/image"
    )


def _entry(picture):
    entry = PICTURES.get(picture)
    if entry is None:
        raise ValueError(_missing(picture))
    return entry


class TexBridgeInput(_Input):
    """Gives a picture that was sent to /texbridge/image, as LoadImage would."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"picture": ("STRING", {"default": "", "tooltip": "what /texbridge/image answered"})}}

    DESCRIPTION = "A picture that texbridge sent into memory: no file, no upload folder."

    def load(self, picture):
        return tensors(_entry(picture), PICTURES.max_pixels)


class TexBridgeInputMask(_Input):
    """Gives one channel of a picture that was sent to /texbridge/image, as LoadImageMask would."""

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "picture": ("STRING", {"default": "", "tooltip": "what /texbridge/image answered"}),
                "channel": (["alpha", "red", "green", "blue"],),
            }
        }

    RETURN_TYPES = ("MASK",)

    DESCRIPTION = "One channel of a picture that texbridge sent into memory."

    def load(self, picture, channel):
        return (channel_mask(_entry(picture), channel, PICTURES.max_pixels),)


def _numbers(text):
    """The numbers of a text, separated by white space. Raises ValueError."""
    return [float(word) for word in text.split()]


class TexBridgeFeedback:
    """Gives the picture that a TexBridgeOutput kept in an earlier prompt, moved, as LoadImage would."""

    @classmethod
    def INPUT_TYPES(cls):
        number = {"step": 0.001}
        return {
            "required": {
                "kept": ("STRING", {"default": "", "tooltip": "what the output was told to keep it as"}),
                "zoom": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 100.0, **number}),
                "rotate": ("FLOAT", {"default": 0.0, "min": -36000.0, "max": 36000.0, **number}),
                "x": ("FLOAT", {"default": 0.0, "min": -100.0, "max": 100.0, **number}),
                "y": ("FLOAT", {"default": 0.0, "min": -100.0, "max": 100.0, **number}),
                "edge": (list(moves.PADDING),),
            },
            "optional": {
                "width": ("INT", {"default": 0, "min": 0, "max": 16384, "tooltip": "0: its own"}),
                "height": ("INT", {"default": 0, "min": 0, "max": 16384, "tooltip": "0: its own"}),
                "match": ("FLOAT", {"default": 0.0, "min": 0.0, "max": 1.0, **number}),
                "mean": ("STRING", {"default": "", "tooltip": "of each channel, that colours are brought to"}),
                "deviation": ("STRING", {"default": "", "tooltip": "of each channel, likewise"}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, kept):
        return True if KEPT.get(kept) is not None else _not_kept(kept)

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load"
    CATEGORY = CATEGORY
    DESCRIPTION = "The last picture of a loop, from ComfyUI's own memory: zoomed, turned, shifted, its colours held."

    def load(self, kept, zoom, rotate, x, y, edge, width=0, height=0, match=0.0, mean="", deviation=""):
        image = KEPT.get(kept)
        if image is None:
            raise ValueError(_not_kept(kept))
        found = moves.gains(image, match, _numbers(mean), _numbers(deviation))
        return moves.image_and_mask(moves.matched(moves.moved(image, zoom, rotate, x, y, edge, width, height), found))


def _not_kept(name):
    return (
        f"kept picture {str(name)[:140]!r} is not here: no output of this ComfyUI kept it, it was not used for "
        f"{KEPT.keep_s:g} s, or two later ones of its loop have come"
    )


NODE_CLASS_MAPPINGS = {
    "TexBridgeOutput": TexBridgeOutput,
    "TexBridgeInput": TexBridgeInput,
    "TexBridgeInputMask": TexBridgeInputMask,
    "TexBridgeFeedback": TexBridgeFeedback,
}

NODE_DISPLAY_NAME_MAPPINGS = {
    "TexBridgeOutput": "texbridge output",
    "TexBridgeInput": "texbridge input",
    "TexBridgeInputMask": "texbridge input (as mask)",
    "TexBridgeFeedback": "texbridge feedback",
}
