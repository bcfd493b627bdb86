"""Where a graph's size is written: the empty latent that it starts from, and what has to have the same size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.workflow.template import Node
from bridge.workflow.walks import Walks
from bridge.workflow.workflow import Place

PAIRS: Final = (("width", "height"), ("target_width", "target_height"))


@dataclass(frozen=True, slots=True)
class FoundSize:
    """Inputs for width and height, and why these."""

    widths: tuple[Place, ...]
    heights: tuple[Place, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class _Sized:
    node: Node
    width: Place
    height: Place
    size: tuple[int, int]
    rank: int


def find_size(walks: Walks) -> tuple[FoundSize | None, dict[Place, str], str]:
    """The inputs of the size, those left out with the reason, and a note, "" without one."""
    sized = [found for node in walks.nodes() for pair in PAIRS if (found := _sized(walks, node, pair)) is not None]
    ranked = [each for each in sized if each.rank < _OTHER]
    if not any(node.class_type.startswith("VAEEncode") for node in walks.nodes()):
        # Nothing is sampled from the scaled picture: what counts is the last scaling, whose size goes out.
        ranked.sort(key=lambda each: each.rank == 1 and -sized.index(each))
    first = min(ranked, key=lambda each: each.rank, default=None)
    if first is None:
        loads = [node for node in walks.nodes() if node.class_type.startswith("LoadImage")]
        note = f"no size: it is that of the picture of {loads[0].words}" if loads else ""
        return None, {}, note
    if first.width == first.height:
        words = walks.node(first.width[0]).words
        return None, {}, f"no size: width and height are one number, of {words}; give each its own in ComfyUI"
    same = [each for each in sized if each.size == first.size and each.width != each.height]
    widths = tuple(dict.fromkeys(each.width for each in same))
    heights = tuple(place for place in dict.fromkeys(each.height for each in same) if place not in widths)
    left = {
        place: f"another size than the {first.size[0]} x {first.size[1]} of {first.node.words}"
        for each in sized
        if each not in same
        for place in (each.width, each.height)
        if place not in widths and place not in heights
    }
    others = list(dict.fromkeys(each.node.words for each in same if each.node is not first.node))
    reason = f"{_WHY[first.rank]} {first.node.words}"
    if others:
        reason += f", and what has the same numbers: {', '.join(others)}"
    return FoundSize(widths, heights, reason), left, ""


_OTHER: Final = 3
_WHY: Final = {0: "the latent it starts from:", 1: "what the picture is scaled to:", 2: "the picture it starts from:"}


def _sized(walks: Walks, node: Node, pair: tuple[str, str]) -> _Sized | None:
    if not all(name in node.inputs for name in pair):
        return None
    width, height = (walks.value_place(node.id, name) for name in pair)
    if width is None or height is None:
        return None
    pixels = [walks.value(place) for place in (width, height)]
    if not all(type(value) is int and value > 0 for value in pixels):
        return None
    size = tuple(value for value in pixels if isinstance(value, int))
    return _Sized(node, width, height, (size[0], size[1]), _rank(walks, node))


def _rank(walks: Walks, node: Node) -> int:
    kind = node.class_type
    gives = walks.output_types(node)
    if kind.startswith("Empty") and "Latent" in kind:
        return 0
    if "LATENT" in gives and not any(walks.gives(link) in ("LATENT", "IMAGE") for link in node.links().values()):
        return 0
    if kind.startswith(("ImageScale", "ImageResize", "ResizeAndPad", "Image Resize")):
        return 1
    if kind in ("EmptyImage", "SolidMask") or (gives == {"IMAGE"} and not node.links()):
        return 2
    return _OTHER
