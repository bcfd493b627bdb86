"""Converting loses no link; binding again changes nothing; whatever bytes come, only WorkflowError comes out."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ui_files import INFO, NAMES, ui_file, ui_graph, ui_node

from bridge.errors import WorkflowError
from bridge.workflow.bind import bind_workflow
from bridge.workflow.convert import convert_workflow
from bridge.workflow.ui_format import parse_ui_file

SOURCE = ("EmptyImage", (), [64, 64, 1, 0])
STEPS: dict[str, tuple[tuple[str, ...], list[Any]]] = {
    "ImageInvert": (("image",), []),
    "ImageBlur": (("image",), [2, 1.0]),
    "ImageBlend": (("image1", "image2"), [0.5, "normal"]),
    "ImageAddNoise": (("image",), [7, "fixed", 0.25]),
}


@st.composite
def graphs(draw: st.DrawFn) -> tuple[bytes, dict[str, dict[str, list[Any]]]]:
    """A UI-format file of images, and the links that its prompt must have.

    Each link runs over some Reroutes and bypassed nodes, or through a subgraph that hands it on.
    """
    kinds = draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6))
    nodes: list[dict[str, Any]] = [ui_node(1, SOURCE[0], (), ["IMAGE"], SOURCE[2])]
    links: list[list[Any]] = []
    expected: dict[str, dict[str, list[Any]]] = {"1": {}}
    next_id = [1000]

    def new_link(origin: int, target: int, slot: int) -> int:
        next_id[0] += 1
        links.append([next_id[0], origin, 0, target, slot, "IMAGE"])
        return next_id[0]

    def detour(origin: int) -> int:
        for way in draw(st.lists(st.sampled_from(["reroute", "bypass", "subgraph"]), max_size=3)):
            next_id[0] += 1
            node_id = next_id[0]
            link = new_link(origin, node_id, 0)
            if way == "reroute":
                nodes.append(ui_node(node_id, "Reroute", [("", "*", link)], ["*"]))
            elif way == "bypass":
                slots = [("image", "IMAGE", link)]
                nodes.append(ui_node(node_id, "ImageSharpen", slots, ["IMAGE"], [1, 1.0, 1.0], mode=4))
            else:
                nodes.append(ui_node(node_id, "through", [("in", "IMAGE", link)], ["IMAGE"]))
            origin = node_id
        return origin

    for place, kind in enumerate(kinds, 2):
        names, values = STEPS[kind]
        sources = [draw(st.integers(1, place - 1)) for _ in names]
        slots = [(name, "IMAGE", new_link(detour(source), place, slot))
                 for slot, (name, source) in enumerate(zip(names, sources, strict=True))]  # fmt: skip
        nodes.append(ui_node(place, kind, slots, ["IMAGE"], values))
        expected[str(place)] = {name: [str(source), 0] for name, source in zip(names, sources, strict=True)}
    for end in range(1, len(kinds) + 2):
        save = 100 + end
        nodes.append(ui_node(save, "SaveImage", [("images", "IMAGE", new_link(detour(end), save, 0))], values=["x"]))
        expected[str(save)] = {"images": [str(end), 0]}
    through = {
        "id": "through",
        "name": "Through",
        "nodes": [ui_node(1, "Reroute", [("", "*", 1)], ["*"])],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "IMAGE"},
            {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"},
        ],
        "inputs": [{"name": "in", "type": "IMAGE", "linkIds": [1]}],
        "outputs": [{"name": "out", "type": "IMAGE", "linkIds": [2]}],
    }
    order = draw(st.permutations(nodes))
    return ui_graph(list(order), links, definitions={"subgraphs": [through]}), expected


@settings(deadline=None)
@given(graphs())
def test_no_link_is_lost(case: tuple[bytes, dict[str, dict[str, list[Any]]]]) -> None:
    data, expected = case
    prompt = convert_workflow(data, INFO).prompt
    found = {
        node_id: {name: value for name, value in entry["inputs"].items() if isinstance(value, list)}
        for node_id, entry in prompt.items()
    }
    assert found == expected


@settings(deadline=None)
@given(graphs())
def test_binding_again_changes_nothing(case: tuple[bytes, dict[str, dict[str, list[Any]]]]) -> None:
    first = bind_workflow("try", case[0], INFO)
    files = {"workflow_api.json": first.workflow_json, "binding.toml": first.binding_toml}
    for data in (case[0], first.workflow_json):
        again = bind_workflow("try", data, INFO, files)
        assert again.binding_toml == first.binding_toml
        assert again.is_same
        assert not again.added
        assert not again.proposal.gone


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_a_spoilt_file_is_a_workflow_error_or_works(name: str, data: st.DataObject) -> None:
    """One part of a whole file replaced by anything."""
    document = json.loads(ui_file(name))
    place: Any = document
    for _ in range(data.draw(st.integers(1, 6))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    spoilt = json.dumps(document).encode()
    try:
        bind_workflow("try", spoilt, INFO)
    except WorkflowError:
        pass


@settings(deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps({"nodes": [value], "links": [value]}).encode()))
def test_any_bytes(data: bytes) -> None:
    try:
        parse_ui_file(data)
    except WorkflowError:
        pass
