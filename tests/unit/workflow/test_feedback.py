"""`[feedback]` of a binding: parameters that it brings, what it names, and what is wrong with it."""

import pytest
from workflow_files import INFO, graph, load, node

from bridge.errors import WorkflowError
from bridge.types import ColorMatch, Curve, Edge, FeedbackRule, ParameterType, PictureMove, Size
from bridge.workflow.binding import load_workflow
from bridge.workflow.feedback import feedback_is_on, feedback_match, feedback_move
from bridge.workflow.nodes import kept_ticket, node_prompt, takes_kept
from bridge.workflow.object_info import ObjectInfo


def photo(*, title="@picture:image", more=None):
    return graph(
        n1=node("LoadImage", title, image="a.png"),
        n2=node("ImageBlur", "", image=["1", 0], blur_radius=3, sigma=1.5),
        n3=node("SaveImageWebsocket", images=["2", 0]),
        **(more or {}),
    )


def problem(binding, **options):
    with pytest.raises(WorkflowError) as caught:
        load(photo(**options), binding)
    return "\n".join(caught.value.problems or (caught.value.message,))


def test_an_empty_table_is_the_only_picture_and_the_first_output():
    workflow = load(photo(), "[feedback]\n")
    assert workflow.spec.feedback == FeedbackRule("picture", 0, Edge.MIRROR, sized=False)
    assert [spec.name for spec in workflow.spec.parameters] == [
        "picture",
        "feedback",
        "feedback_zoom",
        "feedback_rotate",
        "feedback_x",
        "feedback_y",
        "feedback_match",
    ]
    by_name = {spec.name: spec for spec in workflow.spec.parameters}
    assert by_name["feedback"].type is ParameterType.BOOL
    assert by_name["feedback"].default is True
    zoom = by_name["feedback_zoom"]
    assert (zoom.minimum, zoom.maximum, zoom.default, zoom.curve) == (0.5, 2.0, 1.0, Curve.LOG)


def test_without_the_table_there_is_nothing_of_it():
    workflow = load(photo())
    assert workflow.spec.feedback is None
    assert [spec.name for spec in workflow.spec.parameters] == ["picture"]


def test_its_parameters_write_no_input():
    workflow = load(photo(), "[feedback]\nzoom = 1.02\n")
    plain = load(photo()).bind({}, 0).prompt
    assert workflow.bind({"feedback": False, "feedback_zoom": 1.5}, 0).prompt == plain


def test_everything_said():
    binding = """
[parameters.picture]
fit = "cover"
[feedback]
parameter = "picture"
output = "image"
edge = "clamp"
on = false
zoom = 1.02
rotate = -1
x = 0.01
y = 0.02
match = 0.5
"""
    workflow = load(photo(), binding)
    assert workflow.spec.feedback == FeedbackRule("picture", 0, Edge.CLAMP, sized=True)
    values = {spec.name: spec.default for spec in workflow.spec.parameters}
    assert not feedback_is_on(workflow.spec.feedback, values)
    assert feedback_is_on(workflow.spec.feedback, values | {"feedback": True})
    assert feedback_move(workflow.spec.feedback, values) == PictureMove(1.02, -1.0, 0.01, 0.02, Edge.CLAMP)
    assert feedback_match(values) == 0.5


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ("[feedback]\nzom = 1", "did you mean 'zoom'"),
        ("[feedback]\nzoom = 3", "zoom 3 is outside 0.5..2"),
        ('[feedback]\nzoom = "x"', "zoom must be a finite number"),
        ("[feedback]\nzoom = nan", "zoom must be a finite number"),
        ("[feedback]\nzoom = true", "zoom must be a finite number"),
        ("[feedback]\non = 1", "on must be true or false"),
        ('[feedback]\nedge = "miror"', "did you mean 'mirror'"),
        ("[feedback]\nparameter = 3", "parameter must be a text"),
        ('[feedback]\nparameter = "pictur"', "'pictur' is no image parameter; there are picture"),
        ('[feedback]\noutput = "depth"', "output 'depth' is none of image"),
        ("feedback = 3", "must be a table"),
    ],
)
def test_what_is_wrong(binding, words):
    assert words in problem(binding)


def test_a_graph_needs_a_picture_to_feed_back_into():
    assert "needs an image parameter" in problem("[feedback]\n", title="no words")


def test_with_several_pictures_one_must_be_named():
    more = {"n4": node("LoadImage", "@other:image", image="a.png"), "n5": node("PreviewImage", images=["4", 0])}
    assert "parameter must be said; there are" in problem("[feedback]\n", more=more)


def test_names_that_are_taken():
    more = {"n4": node("Noise", "@feedback_zoom:strength", image=["1", 0], seed=1, strength=0.5)}
    assert "'feedback_zoom', and the graph has one" in problem("[feedback]\n", more=more)


def test_the_loader_becomes_the_node_that_takes_the_kept_picture():
    workflow = load(photo(), "[feedback]\n")
    assert takes_kept(workflow, "picture")
    match = ColorMatch(0.5, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    ticket = kept_ticket("loop/step", PictureMove(1.02, -1.0, 0.1, 0.2, Edge.CLAMP), Size(64, 32), match)
    bound = workflow.bind({"picture": "a.png"}, 0, None, {"picture": ticket})
    prompt = node_prompt(bound, lambda output: {"format": "raw", "keep": "loop/next"})
    assert prompt["1"]["class_type"] == "TexBridgeFeedback"
    assert prompt["1"]["inputs"] == {
        "kept": "loop/step",
        "zoom": 1.02,
        "rotate": -1.0,
        "x": 0.1,
        "y": 0.2,
        "edge": "clamp",
        "width": 64,
        "height": 32,
        "match": 0.5,
        "mean": "0.100000 0.200000 0.300000",
        "deviation": "0.400000 0.500000 0.600000",
    }
    assert prompt["3"]["inputs"]["keep"] == "loop/next"
    assert type(prompt["1"]["inputs"]["kept"]) is str


def test_a_mask_loader_takes_no_kept_picture():
    data = graph(
        n1=node("LoadImageMask", "@picture:image", image="a.png", channel="red"),
        n2=node("SaveImageWebsocket", images=["1", 0]),
    )
    info = INFO.merged(
        ObjectInfo.from_json(
            b'{"LoadImageMask": {"input": {"required": {"image": [["a.png"], {"image_upload": true}],'
            b' "channel": [["alpha", "red"]]}}, "output": ["MASK"]}}'
        )
    )
    workflow = load_workflow("try", data, b"[feedback]\n", info)
    assert not takes_kept(workflow, "picture")
