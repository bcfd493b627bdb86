"""Words that name an input, in bindings and titles: what they mean, and the words for those that mean nothing."""

import pytest
from workflow_files import blurred, empty_image, graph, load, node

from bridge.errors import WorkflowError

TAIL = "[parameters.x]\ninput = "


def bound(title: str, name: str = "x") -> tuple[str, str]:
    """Which node and input `title` on an ImageBlur binds: found by binding a value and looking for it."""
    workflow = load(blurred(title))
    value = 0.5 if workflow.spec.parameters[0].type == "float" else 30
    prompt = workflow.bind({name: value}, 0).prompt
    ((node_id, input_name),) = [
        (node_id, input_name)
        for node_id, entry in prompt.items()
        for input_name, held in entry["inputs"].items()
        if held == value
    ]
    return node_id, input_name


@pytest.mark.parametrize(
    ("title", "name", "input_name"),
    [
        ("@sigma", "sigma", "sigma"),
        ("Soft @x:sigma", "x", "sigma"),
        ("@blur_radius words", "blur_radius", "blur_radius"),
        ("@sigma:blur_radius", "sigma", "blur_radius"),
    ],
)
def test_marks(title: str, name: str, input_name: str) -> None:
    assert bound(title, name) == ("2", input_name)


def test_a_mark_on_the_only_free_input() -> None:
    data = graph(
        n1=node("LoadImage", "@photo", image="a.png", upload="image"), n2=node("PreviewImage", images=["1", 0])
    )
    # Older exports say "upload" too, which is no input.
    assert load(data).picture_inputs == {"photo": (("1", "image"),)}


def test_a_mark_on_a_node_that_object_info_does_not_know() -> None:
    data = blurred(n4=node("Custom", "@amount:a @words:b", a=3, b="x", image=["1", 0]))
    workflow = load(data)
    assert [(spec.name, spec.type, spec.default) for spec in workflow.spec.parameters] == [
        ("amount", "int", 3),
        ("words", "string", "x"),
    ]


def test_the_seed_mark_finds_noise_seed() -> None:
    data = blurred(n4=node("SamplerCustom", "@seed", noise_seed=3, cfg=1.0))
    assert load(data).bind({}, 9).prompt["4"]["inputs"]["noise_seed"] == 9


def test_the_same_mark_on_two_nodes_writes_both() -> None:
    data = graph(
        n1=empty_image("@tint:color"),
        n2=empty_image("@tint:color", color=0x336699),
        n3=node("SaveImageWebsocket", images=["1", 0]),
    )
    prompt = load(data).bind({"tint": (1.0, 0.0, 0.0, 1.0)}, 0).prompt
    assert [prompt[node_id]["inputs"]["color"] for node_id in "12"] == [0xFF0000, 0xFF0000]


def test_titles_in_a_binding_with_and_without_their_marks() -> None:
    for text in ("title:Soft one.sigma", "title:Soft one @r:blur_radius.sigma", "2.sigma"):
        workflow = load(blurred("Soft one @r:blur_radius"), f'{TAIL}"{text}"')
        assert workflow.bind({"x": 0.5}, 0).prompt["2"]["inputs"]["sigma"] == 0.5


MARK_PROBLEMS = [
    (
        "@blur",
        "title word '@blur' on node 2 \"@blur\" (ImageBlur) is ambiguous; write @blur:INPUT with one of blur_radius, "
        "sigma",
    ),
    (
        "@blur:sigm",
        "title word '@blur:sigm': node 2 \"@blur:sigm\" (ImageBlur) has no input 'sigm'; did you mean 'sigma'?",
    ),
    (
        "@blur:zz",
        "title word '@blur:zz': node 2 \"@blur:zz\" (ImageBlur) has no input 'zz'; its inputs are image, blur_radius, "
        "sigma",
    ),
    (
        "@blur:image",
        "title word '@blur:image': node 2 \"@blur:image\" (ImageBlur) input 'image' is linked to node 1; bind an "
        "input of node 1, or cut the link",
    ),
    (
        "@live:sigma",
        "node 2 \"@live:sigma\" (ImageBlur): parameter 'live': the word is reserved; call it 'live_amount'",
    ),
    (
        "@size:sigma",
        "node 2 \"@size:sigma\" (ImageBlur): parameter 'size': size is a control of every stream; write [size], or "
        "the titles @width and @height",
    ),
]


@pytest.mark.parametrize(("title", "problem"), MARK_PROBLEMS)
def test_bad_marks(title: str, problem: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(blurred(title))
    assert caught.value.problems == (problem,)


def test_a_mark_on_a_node_without_values() -> None:
    data = graph(n1=empty_image(), n2=node("SaveImageWebsocket", "@x", images=["1", 0]))
    with pytest.raises(WorkflowError) as caught:
        load(data)
    assert caught.value.problems == (
        "title word '@x' on node 2 \"@x\" (SaveImageWebsocket): the node has no input that holds a value, only links",
    )


TEXT_PROBLEMS = [
    ("sigma", '\'sigma\' names no input; write "NODE.INPUT", e.g. "3.sigma" or "title:Soften.sigma"'),
    ("2.", '\'2.\' names no input; write "NODE.INPUT", e.g. "3.sigma" or "title:Soften.sigma"'),
    ("9.x", "there is no node '9'; nodes are 1 (EmptyImage), 2 (ImageBlur), 3 (SaveImageWebsocket), 4 (Place)"),
    ("4.mask", "node 4 (Place) input 'mask' takes MASK over a link, not a value"),
    ("title:.x", "no node has the title ''; titles are Soft"),
]


@pytest.mark.parametrize(("text", "problem"), TEXT_PROBLEMS)
def test_bad_inputs_in_a_binding(text: str, problem: str) -> None:
    data = blurred("Soft", n4=node("Place", image=["1", 0], x=0.0, y=0.0, clip=False, size=1, tint="#000000"))
    with pytest.raises(WorkflowError) as caught:
        load(data, f'{TAIL}"{text}"')
    assert caught.value.problems == (f"[parameters.x]: {problem}",)


def test_an_ambiguous_title_in_a_binding() -> None:
    data = blurred("Same", n4=empty_image("Same"))
    with pytest.raises(WorkflowError) as caught:
        load(data, f'{TAIL}"title:Same.sigma"')
    assert caught.value.problems == ("[parameters.x]: nodes 2, 4 all have the title 'Same'; rename one, or use its id",)


def test_an_optional_input_that_the_graph_leaves_out_can_be_bound() -> None:
    data = blurred(n4=node("Place", "@amount", image=["1", 0], x=0.0, y=0.0, clip=False, size=1, tint="#000000"))
    with pytest.raises(WorkflowError, match="ambiguous"):
        load(data)
    workflow = load(data.replace(b"@amount", b"@amount:amount"))
    assert workflow.spec.parameters[0].default == 0.25
    assert workflow.bind({"amount": 0.5}, 0).prompt["4"]["inputs"]["amount"] == 0.5


def test_a_custom_widget_is_bound_by_its_value() -> None:
    data = blurred(
        n4=node("Curve", "@shape", image=["1", 0], curve="0,0 1,1", either=["4x", 1]),
        n4x=node("Place", image=["1", 0], x=0.0, y=0.0, clip=False, size=1, tint="#000000"),
    )
    workflow = load(data)
    assert [(spec.name, spec.type, spec.default) for spec in workflow.spec.parameters] == [
        ("shape", "string", "0,0 1,1"),
    ]
