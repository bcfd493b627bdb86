"""A binding proposed for a graph: prompts, size, seed and the usual knobs, found by links, inputs and titles.

Order: titles with `@` words, which hold as they are; then what a sampler's links tell apart (prompt, negative prompt);
then inputs that everybody calls the same (steps, cfg, denoise, strength ...); then nodes that the user gave a title.
Everything else that holds a value is left out, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from bridge.workflow.check import MODEL_SUFFIXES
from bridge.workflow.names import plain_name
from bridge.workflow.object_info import InputInfo, ObjectInfo
from bridge.workflow.outputs import FILE_CLASSES, SENDING_CLASSES
from bridge.workflow.proposal import (
    LeftOut,
    Proposal,
    Proposed,
    ProposedOutput,
    ProposedSeed,
    ProposedSize,
    free_name,
    place_words,
)
from bridge.workflow.sizes import find_size
from bridge.workflow.targets import mark_target
from bridge.workflow.template import Graph, Node
from bridge.workflow.titles import SIZE_WORDS, Title, parse_title
from bridge.workflow.walks import PromptText, Walks
from bridge.workflow.workflow import Place

KNOBS: Final[dict[str, tuple[str, str, float | int | None, float | int | None]]] = {
    "steps": ("steps", "Steps", 1, 50),
    "cfg": ("cfg", "Guidance (cfg)", 1.0, 20.0),
    "guidance": ("guidance", "Guidance", 0.0, 10.0),
    "denoise": ("denoise", "Denoise", None, None),
    "sampler_name": ("sampler", "Sampler", None, None),
    "scheduler": ("scheduler", "Scheduler", None, None),
}
"""Input -> name, label, and a range that a fader can use; the nodes' own is far wider."""

KNOB_TYPES: Final = frozenset({"LATENT", "SIGMAS", "SAMPLER", "GUIDER", "CONDITIONING"})
"""What a node gives whose inputs of these names are knobs."""

FALLBACK_LIMIT: Final = 24
"""How many parameters a graph without a sampler is given."""

TITLED_LIMIT: Final = 200
"""How many parameters titles may make; a binding takes 256."""


ENDLESS: Final = 2**31
"""A node's own maximum from here on is none for a fader."""


def propose(graph: Graph, object_info: ObjectInfo, hints: dict[Place, str] | None = None) -> Proposal:
    """A binding for a graph, with the reason of each choice.

    Args:
        hints: titles for single inputs, e.g. of the PrimitiveNodes of a UI-format file.
    """
    return _Proposer(graph, object_info, hints or {}).proposal()


def is_titled(node: Node, object_info: ObjectInfo) -> bool:
    """Whether the user gave the node a title of its own."""
    info = object_info.get(node.class_type)
    usual = {node.class_type, info.display_name if info is not None else ""}
    return bool(node.title) and node.title not in usual and not node.title.startswith("CLIP Text Encode (")


class _Proposer:
    def __init__(self, graph: Graph, object_info: ObjectInfo, hints: dict[Place, str]) -> None:
        self.graph = graph
        self.object_info = object_info
        self.hints = hints
        self.walks = Walks(graph, object_info)
        self.found: dict[str, Proposed] = {}
        self.taken: set[Place] = set()
        self.left: dict[Place, str] = {}
        self.notes: list[str] = []
        self.titles: dict[str, Title] = {
            node.id: parse_title(node.title, node.words, []) for node in graph.nodes.values()
        }
        self.marked: dict[str, list[Place]] = {}

    def proposal(self) -> Proposal:
        self._marks()
        size = self._size()
        seed = self._seed()
        self._prompts()
        self._pictures()
        self._knobs()
        self._strengths()
        self._titled()
        if not self.found:
            self._everything()
        order = [self.found[name] for name in sorted(self.found, key=lambda name: self._rank(self.found[name]))]
        return Proposal(tuple(order), seed, size, self._outputs(), self._left_out(), notes=tuple(self.notes))

    def _rank(self, proposed: Proposed) -> int:
        """Titled nodes first; the order is kept otherwise."""
        node = self.walks.node(proposed.places[0][0])
        return 0 if proposed.origin == "title" else 1 if is_titled(node, self.object_info) else 2

    # --- titles --------------------------------------------------------------------------------------------

    def _marks(self) -> None:
        """Titles with `@` words: they hold without binding.toml, which only adds a usable range."""
        for node in self.graph.nodes.values():
            for mark in self.titles[node.id].marks:
                target = mark_target(node, mark.name, mark.input, self.object_info, [])
                if target is not None:
                    self.marked.setdefault(mark.name, []).append((node.id, target.input))
        for name, places in self.marked.items():
            self.taken.update(places)
            if name != "seed" and name not in SIZE_WORDS:
                keys = self._range(places[0], *KNOBS[places[0][1]][2:]) if places[0][1] in KNOBS else {}
                self.found[name] = Proposed(name, tuple(places), f"its title says @{name}", keys, origin="title")

    # --- size and seed -------------------------------------------------------------------------------------

    def _size(self) -> ProposedSize | None:
        marked = [tuple(self.marked.get(word, ())) for word in SIZE_WORDS]
        if any(marked):
            return ProposedSize(marked[0], marked[1], "their titles say @width and @height", origin="title")
        size, left, note = find_size(self.walks)
        self.left.update(left)
        if note:
            self.notes.append(note)
        if size is None:
            return None
        widths = tuple(place for place in size.widths if place not in self.taken)
        heights = tuple(place for place in size.heights if place not in self.taken)
        if not widths or not heights:
            return None
        self.taken.update((*widths, *heights))
        return ProposedSize(widths, heights, size.reason, self._refs(widths), self._refs(heights))

    def _seed(self) -> ProposedSeed | None:
        if "seed" in self.marked:
            return ProposedSeed(tuple(self.marked["seed"]), "its title says @seed", origin="title")
        places: list[Place] = []
        for node in self.walks.nodes():
            for name in ("seed", "noise_seed"):
                place = self.walks.value_place(node.id, name) if name in node.inputs else None
                if place is not None and self.walks.input_type(place) == "INT" and place not in self.taken:
                    places.append(place)
        found = tuple(dict.fromkeys(places))
        if not found:
            return None
        self.taken.update(found)
        reason = (
            "the only seed" if len(found) == 1 else f"all {len(found)} seeds of the graph: one number for a picture"
        )
        return ProposedSeed(found, reason, self._refs(found))

    # --- prompts -------------------------------------------------------------------------------------------

    def _prompts(self) -> None:
        texts = [text for text in self.walks.prompt_texts() if text.place not in self.taken]
        for role, name, label in (("positive", "prompt", "Prompt"), ("negative", "negative", "Negative prompt")):
            groups: dict[Any, list[PromptText]] = {}
            for text in texts:
                if text.role == role:
                    groups.setdefault(self.walks.value(text.place), []).append(text)
            # Two encoders of the same words are one prompt; an empty text beside others belongs to the first.
            ordered = list(groups.values())
            for number, group in enumerate(ordered):
                title = self._title(group[0].place) or self._title((group[0].encoder, ""))
                wanted = name if number == 0 else f"{name}_{plain_name(title) or group[0].place[1]}"
                self._add(
                    wanted if wanted != f"{name}_text" else name,
                    tuple(text.place for text in group),
                    _prompt_reason(group),
                    {"label": title or label, "multiline": True},
                )

    # --- pictures ------------------------------------------------------------------------------------------

    def _pictures(self) -> None:
        for node in self.walks.nodes():
            info = self.object_info.get(node.class_type)
            for name in sorted(self.walks.free(node.id)):
                place = (node.id, name)
                spec = info.inputs.get(name) if info is not None else None
                is_picture = spec.is_picture if spec is not None else node.class_type.startswith("LoadImage")
                if not is_picture or place in self.taken or (spec is None and name != "image"):
                    continue
                wanted, label, reason = self._picture_use(node)
                title = self._title(place)
                self._add(plain_name(title) if title else wanted, (place,), reason, {"label": title or label})

    def _picture_use(self, node: Node) -> tuple[str, str, str]:
        """What a loaded picture is for, by the first node downstream that tells."""
        seen: set[str] = set()
        left = [node.id]
        while left:
            current = left.pop(0)
            for user, name in self.walks.consumers(current):
                kind = user.class_type
                feeds = f"a picture from the engine: feeds {user.words}"
                if "ControlNet" in kind and name in ("image", "control_image"):
                    return "control_image", "Control picture", feeds
                if "IPAdapter" in kind or "CLIPVision" in kind or "StyleModel" in kind:
                    return "reference_image", "Reference picture", feeds
                if name in ("mask", "noise_mask") and "LoadImageMask" in node.class_type:
                    return "mask", "Mask", feeds
                if kind.startswith("VAEEncode") or "pixels" in user.inputs:
                    return "image", "Picture", feeds
                if user.id not in seen:
                    seen.add(user.id)
                    left.append(user.id)
        return (
            ("mask", "Mask", "a mask from the engine")
            if "Mask" in node.class_type
            else (
                "image",
                "Picture",
                "a picture from the engine",
            )
        )

    # --- knobs ---------------------------------------------------------------------------------------------

    def _knobs(self) -> None:
        for name, (wanted, label, low, high) in KNOBS.items():
            groups: dict[Any, list[Place]] = {}
            for node in self.walks.nodes():
                if name not in node.inputs or not self._is_knob(node):
                    continue
                place = self.walks.value_place(node.id, name)
                if place is None or place in self.taken:
                    continue
                if name == "denoise" and self._starts_empty(node):
                    self.left[place] = "it starts from an empty picture, of which nothing can be kept"
                    continue
                value = self.walks.value(place)
                if place not in groups.setdefault(value, []):
                    groups[value].append(place)
            several = len(groups) > 1
            for value, places in groups.items():
                node = self.walks.node(places[0][0])
                title = self._title(places[0])
                mine = f"{plain_name(title)}_{wanted}" if several and title else wanted
                reason = f"{name} of {_listed(self.walks.node(place[0]).words for place in places)}"
                if len(places) > 1:
                    reason += f": the same number, {value}" if not isinstance(value, str) else f": both {value}"
                shown = f"{title}: {label.lower()}" if several and title else label
                self._add(mine, tuple(places), reason, {"label": shown, **self._range(places[0], low, high)})

    def _is_knob(self, node: Node) -> bool:
        types = self.walks.output_types(node)
        return bool(types & KNOB_TYPES) if types else True

    def _starts_empty(self, node: Node) -> bool:
        """Whether a sampler's picture is a fresh one: only then does denoise under 1 make no sense."""
        if self.walks.value((node.id, "denoise")) not in (None, 1, 1.0):
            return False
        chain = [node.id]
        if "latent_image" not in node.inputs:
            chain = [user.id for user, _ in self.walks.consumers(node.id) if "latent_image" in user.inputs]
        sources = [self.graph.nodes[user].links().get("latent_image") for user in chain]
        classes = {
            self.graph.nodes[each].class_type for link in sources if link for each in self.walks.upstream(link.node_id)
        }
        is_empty = any(kind.startswith("Empty") and "Latent" in kind for kind in classes)
        return is_empty and not any(kind.startswith("VAEEncode") or "KSampler" in kind for kind in classes)

    def _strengths(self) -> None:
        loras = [node for node in self.walks.nodes() if "strength_model" in self.walks.free(node.id)]
        for node in loras:
            file = str(node.inputs.get("lora_name") or node.class_type)
            stem = plain_name(re.sub(r"\.[A-Za-z0-9]+$", "", file.replace("\\", "/").rpartition("/")[2]))
            places = [(node.id, "strength_model")]
            clip = (node.id, "strength_clip")
            if clip[1] in self.walks.free(node.id):
                if self.walks.value(clip) == self.walks.value(places[0]):
                    places.append(clip)
                else:
                    self.left[clip] = "another number than strength_model"
            places = [place for place in places if place not in self.taken]
            title = self._title((node.id, ""))
            wanted = plain_name(title) if title else "lora_strength" if len(loras) == 1 else f"{stem}_strength"
            if places:
                keys = {"label": title or f"Strength of {stem or 'the LoRA'}", **self._range(places[0], 0.0, 2.0)}
                self._add(wanted, tuple(places), f"how much of {file}", keys)
        for node in self.walks.nodes():
            place = (node.id, "strength")
            is_control = "ControlNet" in node.class_type and "CONDITIONING" in self.walks.output_types(node)
            if is_control and "strength" in self.walks.free(node.id) and place not in self.taken:
                title = self._title(place)
                keys = {"label": title or "Control strength", **self._range(place, 0.0, 2.0)}
                reason = f"how strictly {node.words} is followed"
                self._add(plain_name(title) if title else "control_strength", (place,), reason, keys)

    # --- what the user named -------------------------------------------------------------------------------

    def _titled(self) -> None:
        for node in self.walks.nodes():
            places = [place for place in self._open(node) if not self._unusable(place)]
            # A sampler with a title has its usual knobs by now; nobody means all the others.
            is_new = not any(node.id == node_id for each in self.found.values() for node_id, _ in each.places)
            titled = is_titled(node, self.object_info) and not self.titles[node.id].marks and is_new
            for place in places:
                title = self.hints.get(place, "") or (node.title if titled else "")
                if not title or len(self.found) >= TITLED_LIMIT:
                    continue
                base = plain_name(title)
                alone = len(places) == 1 or place in self.hints
                wanted = base if alone else f"{base}_{plain_name(place[1])}"
                label = title if alone else f"{title}: {place[1].replace('_', ' ')}"
                keys = {"label": label, **self._led_range(node, place)}
                self._add(wanted or place[1], (place,), f'its node has the title "{title}"', keys)

    def _everything(self) -> None:
        """A graph without a sampler and without titles: its values are all that there is to play with."""
        for node in self.walks.nodes():
            for place in self._open(node):
                if len(self.found) < FALLBACK_LIMIT and not self._unusable(place):
                    name = plain_name(place[1])
                    wanted = name if name not in self.found else f"{_snake(node.class_type)}_{name}"
                    self._add(wanted, (place,), f"{place[1]} of {node.words}; the graph has no sampler", {})

    def _open(self, node: Node) -> list[Place]:
        places = [(node.id, name) for name in node.inputs if name in self.walks.free(node.id)]
        return [place for place in places if place not in self.taken and place not in self.left]

    def _unusable(self, place: Place) -> str:
        """Why an input is nothing to turn while a show runs; "" if it may be."""
        name, value = place[1], self.walks.value(place)
        if isinstance(value, str) and value.lower().endswith(MODEL_SUFFIXES):
            return "which model file: a change loads for seconds; bind it by hand if you want that"
        if name == "batch_size":
            return "a request is one picture"
        if name == "filename_prefix":
            return "no file is written"
        if name in ("device", "weight_dtype", "dtype", "type") and isinstance(value, str):
            return "how a model is loaded"
        if self.walks.input_type(place) not in ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO", "COLOR"):
            return "no type of parameter fits"
        if value is None:
            return "it holds no value"
        return ""

    # --- outputs and the rest ------------------------------------------------------------------------------

    def _outputs(self) -> tuple[ProposedOutput, ...]:
        """Names for outputs where there are several: saved pictures before previews."""
        has_socket = any(node.class_type in SENDING_CLASSES for node in self.graph.nodes.values())
        classes = SENDING_CLASSES if has_socket else (*SENDING_CLASSES, *FILE_CLASSES)
        nodes = [node for node in self.walks.nodes() if node.class_type in classes]
        if len(nodes) < 2:
            return ()
        nodes.sort(key=lambda node: classes.index(node.class_type))
        names: dict[str, ProposedOutput] = {}
        for node in nodes:
            if self.titles[node.id].output is not None:
                continue
            title = node.title if is_titled(node, self.object_info) else ""
            if not title and names:
                source = self.graph.nodes[link.node_id] if (link := node.links().get("images")) else node
                title = source.title if is_titled(source, self.object_info) else ""
            wanted = plain_name(title) if title else "image"
            name, number = wanted or "image", 1
            while name in names:
                number += 1
                name = f"{wanted}_{number}"
            names[name] = ProposedOutput(name, node.id, self._node_ref(node), f"{node.class_type}, output {len(names)}")
        return tuple(names.values())

    def _left_out(self) -> tuple[LeftOut, ...]:
        found: list[LeftOut] = []
        for node in self.walks.nodes():
            for name in node.inputs:
                place = (node.id, name)
                if name not in self.walks.free(node.id) or place in self.taken:
                    continue
                reason = self.left.get(place) or self._unusable(place) or "not one of the usual; give its node a title"
                found.append(LeftOut(place, place_words(node, name), self.walks.value(place), reason))
        return tuple(found)

    # --- helpers of all ------------------------------------------------------------------------------------

    def _add(self, wanted: str, places: tuple[Place, ...], reason: str, keys: dict[str, Any]) -> None:
        name = free_name(wanted, self.found)
        self.taken.update(places)
        self.found[name] = Proposed(name, places, reason, keys, self._refs(places))

    def _title(self, place: Place) -> str:
        """The user's own words for an input, "" without any."""
        if place in self.hints:
            return self.hints[place]
        node = self.walks.node(place[0])
        return self.titles[node.id].label if is_titled(node, self.object_info) else ""

    def _spec(self, place: Place) -> InputInfo | None:
        info = self.object_info.get(self.walks.node(place[0]).class_type)
        return info.inputs.get(place[1]) if info is not None else None

    def _range(self, place: Place, low: float | int | None, high: float | int | None) -> dict[str, Any]:
        """A narrower range than the node's, wide enough for the graph's own value."""
        value = self.walks.value(place)
        if low is None or high is None or isinstance(value, bool) or not isinstance(value, int | float):
            return {}
        spec = self._spec(place)
        low, high = min(low, value), max(high, value)
        if spec is not None and spec.minimum is not None:
            low = max(low, spec.minimum)
        if spec is not None and spec.maximum is not None:
            high = min(high, spec.maximum)
        as_float = self.walks.input_type(place) == "FLOAT"
        return {"min": float(low), "max": float(high)} if as_float else {"min": int(low), "max": int(high)}

    def _led_range(self, node: Node, place: Place) -> dict[str, Any]:
        """For a number of a node that takes any (PrimitiveFloat): the range of all inputs that it is led to."""
        own = self._spec(place)
        if own is None or self.walks.input_type(place) not in ("INT", "FLOAT") or (own.maximum or 0) < ENDLESS:
            return {}
        specs = [self._spec((consumer.id, name)) for consumer, name in self.walks.consumers(node.id)]
        lows = [spec.minimum for spec in specs if spec is not None and spec.minimum is not None]
        highs = [spec.maximum for spec in specs if spec is not None and spec.maximum is not None]
        if not specs or len(lows) != len(specs) or len(highs) != len(specs) or max(lows) >= min(highs):
            return {}
        return self._range(place, max(lows), min(highs))

    def _refs(self, places: Iterable[Place]) -> tuple[str, ...]:
        return tuple(f"{self._node_ref(self.walks.node(node_id))}.{name}" for node_id, name in places)

    def _node_ref(self, node: Node) -> str:
        return node_ref(node, self.graph, self.object_info)


def node_ref(node: Node, graph: Graph, object_info: ObjectInfo) -> str:
    """How binding.toml names a node: by the user's own title, which outlives its id, where no other node has it."""
    if not is_titled(node, object_info) or node.title != node.title.strip():
        return node.id
    titles = [parse_title(each.title, "", []) for each in graph.nodes.values()]
    label = parse_title(node.title, "", []).label
    same = [
        each for each, title in zip(graph.nodes.values(), titles, strict=True) if label in (each.title, title.label)
    ]
    return f"title:{label}" if label and len(same) == 1 and label.isprintable() else node.id


def _prompt_reason(group: list[PromptText]) -> str:
    first = group[0]
    through = f", through {', '.join(dict.fromkeys(first.through))}" if first.through else ""
    more = f", and the same words in {len(group) - 1} more" if len(group) > 1 else ""
    return f"feeds {first.role} of {first.sampler}{through}{more}"


def _listed(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def _snake(class_type: str) -> str:
    return plain_name(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", class_type))
