"""A binding carried over to an edited graph: names, labels and ranges stay, what is gone is named.

What was decided once is not asked again: an input that the old graph had and the old binding did not bind stays
unbound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.workflow.binding_file import BindingFile, ParameterEntry
from bridge.workflow.matches import match_nodes
from bridge.workflow.object_info import ObjectInfo
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
from bridge.workflow.propose import node_ref
from bridge.workflow.targets import find_node, find_target, mark_target
from bridge.workflow.template import Graph, Link
from bridge.workflow.titles import Title, parse_title
from bridge.workflow.walks import Walks
from bridge.workflow.workflow import Place

YOURS = "as in the binding.toml before"


@dataclass(frozen=True, slots=True)
class Rebinding:
    """The proposal for the new graph, the names that stayed and those that are new."""

    proposal: Proposal
    kept: tuple[str, ...]
    added: tuple[str, ...]


def is_same_workflow(old: Graph, new: Graph, rebinding: Rebinding | None) -> bool:
    """Whether the new graph is a later form of the old one: something bound is left, or half of its nodes."""
    if rebinding is not None and rebinding.kept:
        return True
    return len(match_nodes(old, new)) * 2 >= len(old.nodes)


def rebind(fresh: Proposal, new: Graph, old: Graph, file: BindingFile, object_info: ObjectInfo) -> Rebinding:
    """Carry `file`, the binding of `old`, over to `new`; `fresh` is what would be proposed for `new` without it."""
    return _Rebinder(fresh, new, old, file, object_info).rebinding()


class _Rebinder:
    def __init__(self, fresh: Proposal, new: Graph, old: Graph, file: BindingFile, object_info: ObjectInfo) -> None:
        self.fresh = fresh
        self.new = new
        self.old = old
        self.file = file
        self.object_info = object_info
        self.walks = Walks(new, object_info)
        self.matches = match_nodes(old, new)
        self.old_titles = _titles(old)
        self.new_titles = _titles(new)
        self.reasons = {place: each.reason for each in fresh.parameters for place in each.places}
        self.gone: list[str] = []
        self.notes: list[str] = []
        self.taken: set[Place] = set()
        self.known = {
            (self.matches[node.id], name)
            for node in old.nodes.values()
            if node.id in self.matches
            for name in node.scalars()
        }

    def rebinding(self) -> Rebinding:
        titled = {each.name: each for each in self.fresh.parameters if each.origin == "title"}
        for each in titled.values():
            self.taken.update(each.places)
        kept: dict[str, Proposed] = {}
        for name, entry in self.file.parameters.items():
            made = self._parameter(name, entry, titled.pop(name, None))
            if made is not None:
                kept[name] = made
        kept.update(titled)
        seed, size = self._seed(), self._size()
        added: list[str] = []
        left = list(self.fresh.left_out)
        for each in self.fresh.parameters:
            if each.origin == "title" or any(place in self.taken for place in each.places):
                continue
            if all(place in self.known for place in each.places):
                left += [self._unbound(place) for place in each.places]
                continue
            name = free_name(each.name, kept)
            kept[name] = replace(each, name=name)
            self.taken.update(each.places)
            added.append(name)
        left = [each for each in left if each.place not in self.taken]
        feedback = self._feedback(kept)
        proposal = Proposal(
            tuple(kept.values()),
            seed,
            size,
            self._outputs(),
            tuple(left),
            label=self.file.label or "",
            description=self.file.description,
            notes=(*self.fresh.notes, *self.notes),
            gone=tuple(self.gone),
            feedback=feedback,
        )
        names = tuple(name for name in kept if name not in added and name in self.file.parameters)
        said = (*names, *(word for word, each in (("seed", seed), ("size", size)) if each and each.origin == "kept"))
        return Rebinding(proposal, said, tuple(added))

    def _feedback(self, kept: Mapping[str, Proposed]) -> dict[str, Any] | None:
        """The loop's keys, if what they name is still there."""
        entry = self.file.feedback
        if entry is None:
            return None
        if entry.parameter is not None and entry.parameter not in kept:
            self.gone.append(f"[feedback]: its parameter {entry.parameter} is gone")
            return None
        return entry.keys()

    # --- parameters ----------------------------------------------------------------------------------------

    def _parameter(self, name: str, entry: ParameterEntry, titled: Proposed | None) -> Proposed | None:
        keys = _keys(entry)
        if not entry.inputs:
            if titled is not None:
                return replace(titled, keys=self._held(name, titled.places, keys))
            pairs = [(self._ref(place), place) for place in self._old_marks(name)]
        else:
            pairs = [pair for text in entry.inputs if (pair := self._carried(text)) is not None]
        wanted = len(entry.inputs) or 1
        pairs = [pair for pair in pairs if pair[1] not in self.taken]
        is_vector = entry.type is not None and entry.type.startswith("vec")
        if not pairs or (is_vector and len(pairs) < wanted):
            self.gone.append(f"{name}: {self._why_gone(entry.inputs or (f'@{name}',))}")
            return None
        if len(pairs) < wanted:
            self.notes.append(f"{name}: {wanted - len(pairs)} of its {wanted} inputs are gone, the others are kept")
        places = tuple(place for _, place in pairs)
        self.taken.update(places)
        reason = self.reasons.get(places[0], YOURS)
        refs = tuple(ref for ref, _ in pairs)
        return Proposed(name, places, reason, self._held(name, places, keys), refs, "kept")

    def _held(self, name: str, places: tuple[Place, ...], keys: dict[str, Any]) -> dict[str, Any]:
        """The keys, with a range that still holds the graph's own value where no default is given."""
        value = self.walks.value(places[0])
        if isinstance(value, bool) or not isinstance(value, int | float) or "default" in keys:
            return keys
        for key, is_out in (("min", value < keys.get("min", value)), ("max", value > keys.get("max", value))):
            if is_out:
                self.notes.append(f"{name}: {key} was {keys[key]}, is {value} now, which the graph holds")
                keys = {**keys, key: value}
        return keys

    def _old_marks(self, name: str) -> list[Place]:
        """Where an `@name` of the old titles wrote, in the new graph."""
        places: list[Place] = []
        for node in self.old.nodes.values():
            for mark in self.old_titles[node.id].marks:
                if mark.name == name:
                    target = mark_target(node, mark.name, mark.input, self.object_info, [])
                    place = self._moved((node.id, target.input)) if target else None
                    if place is not None:
                        places.append(place)
        return places

    def _carried(self, text: str) -> tuple[str, Place] | None:
        """An input of the old binding in the new graph, with the words for it; None if it is gone."""
        target = find_target(self.old, self.old_titles, self.object_info, text, "", [])
        if target is None:
            return None
        place = self._moved((target.node.id, target.input))
        if place is None:
            return None
        return (text if self._still_means(text, place) else self._ref(place)), place

    def _still_means(self, text: str, place: Place) -> bool:
        target = find_target(self.new, self.new_titles, self.object_info, text, "", [])
        return target is not None and (target.node.id, target.input) == place

    def _moved(self, place: Place) -> Place | None:
        """The same input in the new graph; where it is linked now, the one value that feeds it."""
        node_id = self.matches.get(place[0])
        if node_id is None or (place[1] not in self.new.nodes[node_id].inputs):
            return None
        return self.walks.value_place(node_id, place[1])

    def _ref(self, place: Place) -> str:
        return f"{node_ref(self.new.nodes[place[0]], self.new, self.object_info)}.{place[1]}"

    def _why_gone(self, texts: tuple[str, ...]) -> str:
        for text in texts:
            target = find_target(self.old, self.old_titles, self.object_info, text, "", [])
            if target is None:
                continue
            node_id = self.matches.get(target.node.id)
            if node_id is None:
                return f"{target.node.words} is no longer in the graph"
            node = self.new.nodes[node_id]
            if isinstance(node.inputs.get(target.input), Link):
                return f"{node.words} input {target.input!r} is linked now"
            return f"{node.words} has no input {target.input!r} now, or another parameter has it"
        return f"{', '.join(texts)} is no longer in the graph"

    # --- seed, size, outputs -------------------------------------------------------------------------------

    def _seed(self) -> ProposedSeed | None:
        fresh = self.fresh.seed
        if fresh is not None and fresh.origin == "title" and not self.file.seed:
            self.taken.update(fresh.places)
            return fresh
        pairs = self._all(self.file.seed)
        if pairs:
            return ProposedSeed(
                tuple(place for _, place in pairs),
                fresh.reason if fresh and {place for _, place in pairs} == set(fresh.places) else YOURS,
                tuple(ref for ref, _ in pairs),
                "kept",
            )
        if self.file.seed:
            self.gone.append(f"seed: {self._why_gone(self.file.seed)}")
        if fresh is None or any(place in self.taken for place in fresh.places):
            return None
        if not self.file.seed and all(place in self.known for place in fresh.places) and self._was_decided():
            return None
        self.taken.update(fresh.places)
        return fresh

    def _size(self) -> ProposedSize | None:
        fresh = self.fresh.size
        if fresh is not None and fresh.origin == "title" and not self.file.width:
            self.taken.update((*fresh.widths, *fresh.heights))
            return replace(fresh, keys=self._size_keys())
        widths, heights = self._all(self.file.width), self._all(self.file.height)
        if widths and heights:
            places = tuple(place for _, place in widths), tuple(place for _, place in heights)
            is_fresh = fresh is not None and places == (fresh.widths, fresh.heights)
            return ProposedSize(
                *places,
                fresh.reason if fresh is not None and is_fresh else YOURS,
                tuple(ref for ref, _ in widths),
                tuple(ref for ref, _ in heights),
                self._size_keys(),
                "kept",
            )
        if self.file.width:
            self.gone.append(f"size: {self._why_gone((*self.file.width, *self.file.height))}")
        if fresh is None or any(place in self.taken for place in (*fresh.widths, *fresh.heights)):
            return None
        if not self.file.width and all(place in self.known for place in fresh.widths) and self._was_decided():
            return None
        self.taken.update((*fresh.widths, *fresh.heights))
        return fresh

    def _was_decided(self) -> bool:
        """Whether the old binding said anything of inputs: if not, the loader guessed, and so do we."""
        return bool(self.file.parameters or self.file.seed or self.file.width)

    def _size_keys(self) -> dict[str, Any]:
        keys = {"step": self.file.size_step, "maximum": self.file.size_maximum}
        return {key: value for key, value in keys.items() if value is not None}

    def _all(self, texts: tuple[str, ...]) -> list[tuple[str, Place]]:
        found = [pair for text in texts if (pair := self._carried(text)) is not None and pair[1] not in self.taken]
        self.taken.update(place for _, place in found)
        return found

    def _outputs(self) -> tuple[ProposedOutput, ...]:
        fresh = {each.node_id: each for each in self.fresh.outputs}
        kept: dict[str, ProposedOutput] = {}
        for entry in self.file.outputs:
            node = find_node(self.old, self.old_titles, entry.node, "", [])
            node_id = self.matches.get(node.id) if node is not None else None
            if node_id is None:
                self.gone.append(f"output {entry.name}: {entry.node} is no longer in the graph")
                continue
            now = find_node(self.new, self.new_titles, entry.node, "", [])
            ref = entry.node
            if now is None or now.id != node_id:
                ref = node_ref(self.new.nodes[node_id], self.new, self.object_info)
            reason = fresh[node_id].reason if node_id in fresh else YOURS
            kept[entry.name] = ProposedOutput(entry.name, node_id, ref, reason, entry.kind, "kept", entry.bits)
        taken = {each.node_id for each in kept.values()}
        old_ids = set(self.matches.values())
        for each in self.fresh.outputs:
            if each.node_id not in taken and not (self.file.outputs and each.node_id in old_ids):
                name, number = each.name, 1
                while name in kept:
                    number += 1
                    name = f"{each.name}_{number}"
                kept[name] = replace(each, name=name)
        return tuple(kept.values())

    def _unbound(self, place: Place) -> LeftOut:
        node = self.new.nodes[place[0]]
        words = place_words(node, place[1])
        return LeftOut(place, words, self.walks.value(place), "the binding.toml before leaves it out too")


def _titles(graph: Graph) -> dict[str, Title]:
    return {node.id: parse_title(node.title, node.words, []) for node in graph.nodes.values()}


def _keys(entry: ParameterEntry) -> dict[str, Any]:
    """What the old binding.toml said of a parameter besides its inputs, under the file's own keys."""
    clamp = None if entry.clamp is None else "clamp" if entry.clamp else "reject"
    said: Mapping[str, Any] = {
        "label": entry.label,
        "type": None if entry.type is None else str(entry.type),
        "min": entry.minimum,
        "max": entry.maximum,
        "step": entry.step,
        "default": entry.default,
        "unit": entry.unit,
        "curve": None if entry.curve is None else str(entry.curve),
        "out_of_range": clamp,
        "choices": None if entry.choices is None else list(entry.choices),
        "multiline": entry.multiline,
        **entry.picture,
    }
    return {key: value for key, value in said.items() if value is not None}
