"""A parameter's type, range, choices and default: taken from graph and object_info, overridden, or refused."""

from typing import Any

import pytest
from workflow_files import blurred, empty_image, graph, load, node

from bridge.errors import WorkflowError
from bridge.types import Curve, ParameterSpec, ParameterType

T = ParameterType


def place(title: str = "", **inputs: Any) -> bytes:
    """A graph with a Place node (4) that has inputs of every kind."""
    values = {"x": 1.0, "y": -2.0, "clip": True, "size": 2, "tint": "#ff0000", **inputs}
    return blurred(n4=node("Place", title, image=["1", 0], **values))


def one_spec(data: bytes, binding: str | None = None) -> ParameterSpec:
    (spec,) = load(data, binding).spec.parameters
    return spec


COLOR = (0x33 / 255, 0x66 / 255, 0x99 / 255, 1.0)

TAKEN = [
    (
        blurred("Radius @r:blur_radius"),
        ParameterSpec("r", "Radius", T.INT, 3, minimum=1, maximum=31, step=1),
    ),
    (
        blurred("@soft_edge:sigma"),
        ParameterSpec("soft_edge", "Soft edge", T.FLOAT, 1.5, minimum=0.1, maximum=10.0, step=0.1),
    ),
    (
        graph(n1=empty_image("@c:color"), n2=node("SaveImageWebsocket", images=["1", 0])),
        ParameterSpec("c", "C", T.COLOR, COLOR),
    ),
    (place("@clip:clip"), ParameterSpec("clip", "Clip", T.BOOL, True)),
    (place("@size_of:size"), ParameterSpec("size_of", "Size of", T.CHOICE, "2", choices=("1", "2", "4"))),
    (place("@tint:tint"), ParameterSpec("tint", "Tint", T.STRING, "#ff0000")),
    (
        blurred(n4=node("Text", "Say @words", value="hello")),
        ParameterSpec("words", "Say", T.STRING, "hello", multiline=True),
    ),
    (
        blurred(n4=node("Noise", "@grain:seed", image=["1", 0], seed=7, strength=0.5)),
        ParameterSpec("grain", "Grain", T.SEED, 7, minimum=0, maximum=4294967295),
    ),
    (
        graph(n1=node("LoadImage", "@photo", image="b.png"), n2=node("SaveImage", images=["1", 0])),
        ParameterSpec("photo", "Photo", T.IMAGE, "b.png"),
    ),
    (
        # A model that isn't on the list here may be there where it counts.
        blurred(n4=node("CheckpointLoaderSimple", "@model", ckpt_name="x.safetensors")),
        ParameterSpec("model", "Model", T.CHOICE, "x.safetensors", choices=("x.safetensors",)),
    ),
]


@pytest.mark.parametrize(("data", "expected"), TAKEN)
def test_taken_from_graph_and_object_info(data: bytes, expected: ParameterSpec) -> None:
    assert one_spec(data) == expected


OVERRIDDEN = [
    (
        '[parameters.r]\ninput = "2.blur_radius"\nlabel = "R"\nmin = 2\nmax = 8\nstep = 2\ndefault = 4\nunit = "px"\n'
        'curve = "log"\nout_of_range = "reject"',
        ParameterSpec("r", "R", T.INT, 4, minimum=2, maximum=8, step=2, unit="px", curve=Curve.LOG, clamp=False),
    ),
    (
        '[parameters.s]\ninput = "2.sigma"\ntype = "int"\ndefault = 2',
        ParameterSpec("s", "S", T.INT, 2, minimum=1, maximum=10, step=1),
    ),
    (
        '[parameters.p]\ninputs = ["4.x", "4.y"]\ntype = "vec2"',
        ParameterSpec("p", "P", T.VEC2, (1.0, -2.0), minimum=-4.0, maximum=4.0),
    ),
    (
        '[parameters.c]\ninput = "4.tint"\ntype = "color"',
        ParameterSpec("c", "C", T.COLOR, (1.0, 0.0, 0.0, 1.0)),
    ),
    (
        '[parameters.c]\ninput = "4.tint"\ntype = "color"\ndefault = [0.0, 0.5, 1.0]',
        ParameterSpec("c", "C", T.COLOR, (0.0, 0.5, 1.0, 1.0)),
    ),
    (
        '[parameters.t]\ninput = "4.tint"\nchoices = ["#ff0000", "#00ff00"]',
        ParameterSpec("t", "T", T.CHOICE, "#ff0000", choices=("#ff0000", "#00ff00")),
    ),
    (
        '[parameters.n]\ninput = "4.size"\nchoices = ["2", "4"]',
        ParameterSpec("n", "N", T.CHOICE, "2", choices=("2", "4")),
    ),
    (
        '[parameters.t]\ninput = "4.tint"\nmultiline = true',
        ParameterSpec("t", "T", T.STRING, "#ff0000", multiline=True),
    ),
]


@pytest.mark.parametrize(("binding", "expected"), OVERRIDDEN)
def test_overridden_by_the_binding(binding: str, expected: ParameterSpec) -> None:
    assert one_spec(place(), binding) == expected


def test_a_binding_extends_what_a_title_names() -> None:
    spec = one_spec(blurred("Soft @s:sigma"), '[parameters.s]\nmax = 2.0\nunit = "px"')
    assert spec == ParameterSpec("s", "Soft", T.FLOAT, 1.5, minimum=0.1, maximum=2.0, step=0.1, unit="px")


def test_inputs_written_together_share_the_narrowest_range() -> None:
    data = blurred(n4=node("Noise", image=["1", 0], seed=0, strength=0.3))
    spec = one_spec(data, '[parameters.a]\ninputs = ["2.sigma", "4.strength"]\ndefault = 0.3')
    assert (spec.minimum, spec.maximum) == (0.1, 1.0)


NAME = "parameter 'a'"
BLUR = "node 2 (ImageBlur)"
PLACE = "node 4 (Place)"

REFUSED = [
    ('input = "2.sigma"\ntype = "bool"', "type bool doesn't fit node 2 (ImageBlur) input 'sigma', which takes FLOAT; "
     "right are float, int"),
    ('input = "2.blur_radius"\nmax = 64', f"max 64 is outside what {BLUR} input 'blur_radius' takes (1..31)"),
    ('input = "2.blur_radius"\nmin = 0', f"min 0 is outside what {BLUR} input 'blur_radius' takes (1..31)"),
    ('input = "2.blur_radius"\nmin = 1.5', "min 1.5 must be a whole number for type int"),
    ('input = "2.blur_radius"\nmin = 9\nmax = 5\ndefault = 9', "min 9 is over max 5"),
    ('input = "2.blur_radius"\nmax = 2', "default 3 (from the graph) is outside 1..2"),
    ('input = "2.blur_radius"\ndefault = 40', "default 40 (from binding.toml) is outside 1..31"),
    ('input = "4.x"\ntype = "int"\ndefault = 1e300', "default '1e+300' is no int"),
    ('input = "2.blur_radius"\ndefault = "x"', "default 'x' is no int"),
    ('input = "2.blur_radius"\ndefault = true', "default 'True' is no int"),
    ('input = "2.sigma"\ntype = "int"', f"{BLUR} input 'sigma' holds '1.5', which is no int"),
    ('input = "2.sigma"\nstep = 0', "step 0 must be above 0"),
    ('input = "4.x"\ncurve = "log"', "curve 'log' needs a min above 0 and a max, not -8.0..8.0"),
    ('input = "4.clip"\nmin = 0', "min says nothing for type bool: take it out"),
    ('input = "4.clip"\ndefault = 1', "default '1' is no bool; write true or false"),
    ('input = "2.sigma"\nchoices = ["a"]', "choices say nothing for type float: take them out"),
    ('input = "4.size"\nchoices = ["3"]', f"choice '3' isn't offered by {PLACE} input 'size'; it has 1, 2, 4"),
    ('input = "4.size"\nchoices = ["1"]', "default '2' (from the graph) isn't among the choices 1"),
    ('input = "4.size"\ndefault = "9"', "default '9' (from binding.toml) isn't among the choices 1, 2, 4"),
    ('input = "4.tint"\ntype = "color"\ndefault = [2.0, 0, 0]',
     "default '[2.0, 0, 0]' is no color; write \"#3366ff\" or [0.2, 0.4, 1.0]"),
    ('inputs = ["4.x"]\ntype = "vec2"', "type vec2 needs 2 inputs, one for each component, not 1"),
    ('inputs = ["4.x", "4.tint"]\ntype = "vec2"',
     f"{PLACE} input 'tint' takes STRING, a component of vec2 needs FLOAT or INT"),
    ('inputs = ["4.x", "4.y"]\ntype = "vec2"\ndefault = [1.0]', "default '[1.0]' is no vec2; write [0.5, 0.5]"),
    ('inputs = ["4.x", "4.tint"]',
     f"its inputs have different types: {PLACE} input 'x' is float, {PLACE} input 'tint' is string; say type, or "
     "give them names of their own"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "problem"), REFUSED)
def test_refused(body: str, problem: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(place(), f"[parameters.a]\n{body}")
    assert caught.value.problems == (f"{NAME}: {problem}",)


@pytest.mark.parametrize("key", ["default", "min", "max", "step"])
@pytest.mark.parametrize("number", ["9" * 400, str(2**64), str(-(2**63) - 1)])
def test_a_number_over_64_bits_is_refused(key: str, number: str) -> None:
    with pytest.raises(WorkflowError, match="over 64 bits"):
        load(place(), f'[parameters.a]\ninput = "2.blur_radius"\n{key} = {number}')


def test_a_value_that_the_input_cannot_have() -> None:
    with pytest.raises(WorkflowError) as caught:
        load(place("@a:x", x="left"))
    assert caught.value.problems == (
        "parameter 'a': node 4 \"@a:x\" (Place) input 'x' holds 'left', which is no float",
    )


def test_an_input_without_any_value_needs_a_default() -> None:
    data = blurred(n4=node("Text", value=None))
    with pytest.raises(WorkflowError, match=r"holds no value; give a default"):
        load(data, '[parameters.a]\ninput = "4.value"')
    assert one_spec(data, '[parameters.a]\ninput = "4.value"\ndefault = "x"').default == "x"


def test_a_null_that_nobody_knows_fits_no_type() -> None:
    with pytest.raises(WorkflowError, match="holds None, which no type of parameter fits"):
        load(blurred(n4=node("Custom", "@a", value=None)))


def test_a_choice_of_nothing() -> None:
    with pytest.raises(WorkflowError, match="offers nothing to choose from here, and the graph holds no value"):
        load(blurred(n4=node("CheckpointLoaderSimple")), '[parameters.a]\ninput = "4.ckpt_name"')
