"""Whatever values come: a prompt keeps its links and gains none, and the template is never touched."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from workflow_files import graph, load, node

from bridge.errors import InvalidValueError, UnknownNameError, WorkflowError
from bridge.types import ParameterSpec, ParameterType, Picture, Size
from bridge.workflow.binding import load_workflow
from bridge.workflow.binding_file import parse_binding_file
from bridge.workflow.object_info import ObjectInfo
from bridge.workflow.template import parse_template
from bridge.workflow.titles import parse_title

DATA = graph(
    n1=node("LoadImage", "@photo", image="a.png"),
    n2=node("ImageBlur", "@radius:blur_radius @soft:sigma", image=["1", 0], blur_radius=3, sigma=1.5),
    n3=node("Noise", "@seed @grain:strength", image=["2", 0], seed=42, strength=0.5),
    n4=node("Place", "@clip:clip @scale:size", image=["3", 0], x=0.0, y=0.0, clip=False, size=1, tint="#ffffff"),
    n5=node("EmptyImage", "@width @height @tint:color", width=64, height=64, batch_size=1, color=255),
    n6=node("Text", "@words", value="hello"),
    n7=node("ImageBlend", image1=["4", 0], image2=["5", 0], blend_factor=0.5, blend_mode="normal"),
    n8=node("SaveImageWebsocket", images=["7", 0]),
)
WORKFLOW = load(DATA, '[parameters.at]\ninputs = ["4.x", "4.y"]\ntype = "vec2"')
TEMPLATE = copy.deepcopy(WORKFLOW.bind({}, 0).prompt)
NAMES = {"photo": "texbridge/x.png"}


def value_of(spec: ParameterSpec) -> st.SearchStrategy[Any]:
    """Values as the link's check gives them."""
    number = st.floats(spec.minimum, spec.maximum, allow_nan=False) if spec.type == "float" else st.nothing()
    unit = st.floats(0, 1)
    return {
        ParameterType.INT: lambda: st.integers(int(spec.minimum or 0), int(spec.maximum or 9)),
        ParameterType.FLOAT: lambda: number,
        ParameterType.BOOL: st.booleans,
        ParameterType.STRING: st.text,
        ParameterType.CHOICE: lambda: st.sampled_from(spec.choices),
        ParameterType.COLOR: lambda: st.tuples(unit, unit, unit, unit),
        ParameterType.VEC2: lambda: st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
        ParameterType.IMAGE: lambda: st.just(Picture(b"x", "00")),
    }[spec.type]()


GOOD_VALUES = st.fixed_dictionaries({}, optional={spec.name: value_of(spec) for spec in WORKFLOW.spec.parameters})
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
SEEDS = st.integers(0, 2**64 - 1)
SIZES = st.none() | st.builds(lambda w, h: Size(w * 8, h * 8), st.integers(1, 512), st.integers(1, 512))


def shape(prompt: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """Each input as what it may be: a link as itself, a value as its type."""
    return {
        (node_id, name): tuple(value) if isinstance(value, list) else type(value)
        for node_id, entry in prompt.items()
        for name, value in entry["inputs"].items()
    }


@given(GOOD_VALUES, SEEDS, SIZES)
def test_links_stay_and_values_keep_their_types(values: dict[str, Any], seed: int, size: Size | None) -> None:
    bound = WORKFLOW.bind(values, seed, size, NAMES)
    assert shape(bound.prompt) == shape(TEMPLATE)
    assert WORKFLOW.bind(values, seed, size, NAMES).prompt == bound.prompt
    assert WORKFLOW.bind({}, 0).prompt == TEMPLATE


@given(st.dictionaries(st.sampled_from([spec.name for spec in WORKFLOW.spec.parameters]) | st.text(), ANYTHING), SEEDS)
def test_anything_is_bound_or_refused_and_makes_no_link(values: dict[str, Any], seed: int) -> None:
    try:
        prompt = WORKFLOW.bind(values, seed, None, NAMES).prompt
    except (InvalidValueError, UnknownNameError):
        pass
    else:
        assert shape(prompt) == shape(TEMPLATE)
    assert WORKFLOW.bind({}, 0).prompt == TEMPLATE


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    for read in (parse_template, ObjectInfo.from_json, parse_binding_file):
        try:
            read(data)
        except WorkflowError:
            pass


INPUTS = st.dictionaries(st.sampled_from(["images", "image", "seed", "sigma", "x"]), ANYTHING, max_size=3)
CLASSES = st.sampled_from(["SaveImageWebsocket", "SaveImage", "ImageBlur", "Noise", "Unknown"])
TITLES = st.lists(st.sampled_from(["@seed", "@x", "@x:sigma", "@out", "depth", "@width", "Soft"]), max_size=4)
NODES = st.builds(lambda kind, title, inputs: node(kind, " ".join(title), **inputs), CLASSES, TITLES, INPUTS)


@given(st.dictionaries(st.sampled_from("123"), NODES, max_size=3), st.none() | st.text())
def test_any_graph_is_loaded_or_refused(nodes: dict[str, Any], binding: str | None) -> None:
    try:
        data = graph(**nodes)
    except (TypeError, ValueError):
        return  # bytes are no JSON
    toml = None if binding is None else binding.encode("utf-8", "surrogatepass")
    try:
        workflow = load_workflow("any", data, toml, ObjectInfo({}))
    except WorkflowError:
        pass
    else:
        assert workflow.bind({}, 0).output_nodes


@given(st.text())
def test_any_title_is_taken_apart(title: str) -> None:
    problems: list[str] = []
    parsed = parse_title(title, "node 1", problems)
    assert not any(word.startswith("@") and len(word) > 1 for word in parsed.label.split())
