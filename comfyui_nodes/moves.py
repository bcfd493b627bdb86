"""Zoom, turn, shift and colours that hold, on tensors, on the device where they live.

What the numbers mean is in texbridge's protocols/comfyui-nodes.md.
"""

import math

import torch

LEAST_GAIN, MOST_GAIN = 0.5, 2.0
FLAT = 1 / 1024
PADDING = {"mirror": "reflection", "clamp": "border"}


def moved(image, zoom, rotate, x, y, edge, width=0, height=0):
    """IMAGE [batch, height, width, channel] moved, in its own size or `width` x `height`. Raises ValueError."""
    if not zoom > 0:
        raise ValueError(f"zoom {zoom} is not over 0")
    rows, columns = image.shape[1:3]
    width, height = width or columns, height or rows
    if zoom == 1 and not rotate % 360 and not x and not y and (width, height) == (columns, rows):
        return image
    turn = math.radians(rotate)
    cosine, sine = math.cos(turn) / zoom, math.sin(turn) / zoom
    place = {"dtype": torch.float32, "device": image.device}
    u = (torch.arange(width, **place) + (0.5 - width / 2 - x * width))[None]
    v = (torch.arange(height, **place) + (0.5 - height / 2 - y * height))[:, None]
    # From -1, the left or upper edge, to 1, the other one: pixels count from the middle, so half of them is 1.
    across = (u * cosine + v * sine) * (2 / width)
    down = (v * cosine - u * sine) * (2 / height)
    grid = torch.stack((across, down), dim=-1)[None].expand(image.shape[0], -1, -1, -1)
    planes = image.to(torch.float32).permute(0, 3, 1, 2)
    sampled = torch.nn.functional.grid_sample(
        planes, grid, mode="bilinear", padding_mode=PADDING[edge], align_corners=False
    )
    return sampled.permute(0, 2, 3, 1).contiguous()


def gains(image, amount, mean, deviation):
    """(scale, offset) for each colour channel of an IMAGE, of its own mean and deviation and those it shall have."""
    colors = image.shape[-1] - (1 if image.shape[-1] in (2, 4) else 0)
    if not amount or len(mean) != colors:
        return []
    flat = image[..., :colors].reshape(-1, colors).to(torch.float32).clamp(0.0, 1.0)
    own_mean, own_deviation = flat.mean(dim=0).tolist(), flat.std(dim=0, unbiased=False).tolist()
    found = []
    for channel in range(colors):
        gain = 1.0
        if own_deviation[channel] >= FLAT:
            gain = min(MOST_GAIN, max(LEAST_GAIN, deviation[channel] / own_deviation[channel]))
        found.append((1 + amount * (gain - 1), amount * (mean[channel] - own_mean[channel] * gain)))
    return found


def matched(image, found):
    """The IMAGE with `gains`, cut to 0..1. The one that comes in is left as it is."""
    image = image.to(torch.float32).clamp(0.0, 1.0)
    for channel, (scale, offset) in enumerate(found):
        image[..., channel].mul_(scale).add_(offset)
    return image.clamp_(0.0, 1.0)


def image_and_mask(image):
    """IMAGE of three channels and MASK, as LoadImage gives them: 1 is transparent, 64 x 64 zeros without alpha."""
    channels = image.shape[-1]
    mask = 1.0 - image[..., -1] if channels in (2, 4) else torch.zeros((1, 64, 64), dtype=torch.float32)
    colors = image[..., :3] if channels >= 3 else image[..., :1].expand(-1, -1, -1, 3)
    return colors.contiguous(), mask
