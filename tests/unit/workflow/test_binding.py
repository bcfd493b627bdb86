"""Two files in, a workflow out: what titles, binding and graph say together, and every way to be refused."""

import json

import pytest
from workflow_files import INFO, blurred, empty_image, graph, load, node

from bridge.errors import ErrorCode, WorkflowError
from bridge.types import OutputSpec, Size, WorkflowSpec
from bridge.workflow.binding import load_workflow

SIZED = graph(
    n1=empty_image("Big @width @height"),
    n2=node("Noise", "@seed", image=["1", 0], seed=42, strength=0.5),
    n3=node("SaveImageWebsocket", images=["2", 0]),
)


def noise(**more: object) -> bytes:
    return graph(
        n1=empty_image(),
        n2=node("Noise", image=["1", 0], seed=42, strength=0.5),
        n3=node("SaveImageWebsocket", images=["2", 0]),
        **more,  # type: ignore[arg-type]
    )


def test_controls_by_title() -> None:
    assert load(SIZED).spec == WorkflowSpec(
        name="try",
        label="Try",
        parameters=(),
        outputs=(OutputSpec("image"),),
        has_seed=True,
        default_seed=42,
        size=Size(64, 64),
        size_step=8,
        size_maximum=4096,
    )


def test_controls_by_binding() -> None:
    binding = """
    label = "My try"
    description = "Words."
    [size]
    width = "1.width"
    height = "1.height"
    step = 16
    maximum = 2048
    [seed]
    input = "2.seed"
    """
    workflow = load(noise(), binding)
    assert workflow.description == "Words."
    assert workflow.spec.label == "My try"
    assert (workflow.spec.size, workflow.spec.size_step, workflow.spec.size_maximum) == (Size(64, 64), 16, 2048)
    assert (workflow.spec.has_seed, workflow.spec.default_seed) == (True, 42)


@pytest.mark.parametrize("binding", [None, "", 'label = "x"', '[outputs.a]\nnode = "3"'])
def test_without_a_word_of_binding_the_only_seed_and_size_are_found(binding: str | None) -> None:
    spec = load(noise(), binding).spec
    assert (spec.has_seed, spec.default_seed, spec.size, spec.parameters) == (True, 42, Size(64, 64), ())


def test_without_a_word_of_binding_nothing_is_guessed_where_there_are_two() -> None:
    spec = load(noise(n4=empty_image(), n5=node("Noise", image=["4", 0], seed=1, strength=0.5))).spec
    assert (spec.has_seed, spec.size) == (False, None)


def test_with_a_word_of_binding_nothing_is_guessed() -> None:
    spec = load(noise(), '[parameters.grain]\ninput = "2.strength"').spec
    assert (spec.has_seed, spec.size) == (False, None)
    spec = load(noise(n4=node("Text", "@words", value="x"))).spec
    assert (spec.has_seed, spec.size) == (False, None)


def test_a_size_step_that_fits_the_graphs_own_size() -> None:
    data = graph(n1=empty_image("@width @height", width=100, height=60), n2=node("PreviewImage", images=["1", 0]))
    assert load(data).spec.size_step == 4


def test_a_size_may_go_to_several_nodes() -> None:
    binding = '[size]\nwidth = ["1.width", "4.width"]\nheight = ["1.height", "4.height"]'
    workflow = load(noise(n4=empty_image()), binding)
    prompt = workflow.bind({}, 0, Size(128, 256)).prompt
    sizes = [(prompt[key]["inputs"]["width"], prompt[key]["inputs"]["height"]) for key in "14"]
    assert sizes == [(128, 256), (128, 256)]


def test_parameters_stand_in_the_order_of_the_binding_then_of_the_graph() -> None:
    data = blurred("@sigma @blur_radius", n4=node("Text", "@words", value="x"))
    spec = load(data, '[parameters.words]\nlabel = "Words"\n[parameters.tint]\ninput = "1.color"').spec
    assert [parameter.name for parameter in spec.parameters] == ["words", "tint", "sigma", "blur_radius"]


def test_a_binding_overrides_where_a_title_points() -> None:
    workflow = load(blurred("@x:sigma"), '[parameters.x]\ninput = "2.blur_radius"')
    assert [(spec.name, spec.type) for spec in workflow.spec.parameters] == [("x", "int")]


SIZE_WORDS = "[size]\nwidth = '1.width'\nheight = '1.height'\n"
PROBLEMS = [
    (SIZED, "[size]\nstep = 48\nwidth='1.width'\nheight='1.height'",
     ("size: the graph's own width 64 is not 1..4096 in steps of 48",
      "size: the graph's own height 64 is not 1..4096 in steps of 48")),
    (noise(), SIZE_WORDS + "maximum = 8192", ("[size]: maximum 8192 is over what the nodes take, 4096",)),
    (noise(), SIZE_WORDS + "maximum = 32",
     ("size: the graph's own width 64 is not 1..32 in steps of 8",
      "size: the graph's own height 64 is not 1..32 in steps of 8")),
    (blurred(), "[size]\nstep = 8\n[parameters.a]\ninput = '2.sigma'",
     ("[size]: step and maximum say nothing without width and height",)),
    (graph(n1=empty_image("@width"), n2=node("PreviewImage", images=["1", 0])), "",
     ("size: only one of width and height is bound; say @height too",)),
    (noise(), "[size]\nwidth = '1.width'\nheight = '2.strength'",
     ("size: node 2 (Noise) input 'strength' holds 0.5; width and height go to an INT",)),
    (noise(), "[seed]\ninput = '2.strength'",
     ("seed: node 2 (Noise) input 'strength' takes FLOAT; a seed goes to an INT",)),
    (noise(), "[seed]\ninput = '2.seed'\n[parameters.grain]\ninput = '2.seed'",
     ("node 2 (Noise) input 'seed' is bound twice: seed and parameter 'grain'; keep one",)),
    (noise(), SIZE_WORDS + "[parameters.w]\ninput = '1.width'",
     ("node 1 (EmptyImage) input 'width' is bound twice: width and parameter 'w'; keep one",)),
    (noise(), "[parameters.a]\ninputs = ['2.strength', '2.strength']",
     ("node 2 (Noise) input 'strength' is bound twice: parameter 'a' and parameter 'a'; keep one",)),
    (noise(), "[parameters.a]\nlabel = 'x'",
     ("[parameters.a]: needs input, e.g. input = \"3.sigma\", or a title with @a",)),
    (noise(), "[parameters.a]\ninput = '2.strengt'",
     ("[parameters.a]: node 2 (Noise) has no input 'strengt'; did you mean 'strength'?",)),
]  # fmt: skip


@pytest.mark.parametrize(("data", "binding", "problems"), PROBLEMS)
def test_refused_with_node_input_and_what_would_be_right(data: bytes, binding: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(data, binding)
    assert caught.value.problems == problems
    assert caught.value.message.splitlines() == ["workflow 'try': is not usable:", *problems]
    assert caught.value.code is ErrorCode.WORKFLOW_BROKEN


def test_a_failed_title_is_told_once() -> None:
    with pytest.raises(WorkflowError) as caught:
        load(blurred("@x"), "[parameters.x]\nlabel = 'X'")
    assert len(caught.value.problems) == 1


def test_errors_of_both_files_carry_the_workflows_name() -> None:
    with pytest.raises(WorkflowError, match="workflow 'try': the workflow file is not JSON"):
        load(b"{")
    with pytest.raises(WorkflowError, match=r"workflow 'try': binding.toml is not TOML"):
        load(blurred(), "=")


@pytest.mark.parametrize("name", ["../x", "CON", "Try", "", "a" * 10_000, "a\0"])
def test_bad_workflow_names(name: str) -> None:
    with pytest.raises(WorkflowError):
        load(blurred(), name=name)


def test_a_graph_of_unknown_classes_loads_by_its_values() -> None:
    data = graph(
        n1=node("Mystery", "@amount:a @on:b", a=0.5, b=True, width=64, height=64),
        n2=node("SaveImageWebsocket", images=["1", 0]),
    )
    workflow = load_workflow("try", data, b"[size]\nwidth='1.width'\nheight='1.height'", INFO)
    assert [(spec.name, spec.type, spec.minimum) for spec in workflow.spec.parameters] == [
        ("amount", "float", None),
        ("on", "bool", None),
    ]
    assert workflow.spec.size == Size(64, 64)


def test_the_file_comes_back_unchanged_when_nothing_is_said() -> None:
    assert load(blurred()).bind({}, 0).prompt == json.loads(blurred())
