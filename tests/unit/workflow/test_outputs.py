"""Where pictures come from: outputs named, ordered, and put in the place of nodes that write files."""

import pytest
from workflow_files import blurred, empty_image, graph, load, node

from bridge.errors import WorkflowError
from bridge.types import OutputKind, OutputSpec
from bridge.workflow.template import Link
from bridge.workflow.workflow import Workflow

SOCKET = "SaveImageWebsocket"


def outputs_of(workflow: Workflow) -> dict[str, OutputSpec]:
    return {node_id: workflow.spec.outputs[index] for node_id, index in workflow.bind({}, 0).output_nodes.items()}


@pytest.mark.parametrize("class_type", ["SaveImage", "PreviewImage"])
def test_a_graph_that_writes_files_gets_a_socket_output(class_type: str) -> None:
    extra = {"filename_prefix": "x"} if class_type == "SaveImage" else {}
    workflow = load(graph(n1=empty_image(), n2=node(class_type, "Save", images=["1", 0], **extra)))
    assert workflow.graph.nodes["2"].class_type == SOCKET
    assert workflow.graph.nodes["2"].inputs == {"images": Link("1", 0)}
    assert workflow.notes == (
        f'node 2 "Save" ({class_type}) was replaced by a SaveImageWebsocket in memory; the file is unchanged',
    )
    assert workflow.required_class_types == {"EmptyImage", SOCKET}
    assert outputs_of(workflow) == {"2": OutputSpec("image")}


def test_beside_a_socket_output_files_are_written_as_before() -> None:
    workflow = load(blurred(n4=node("PreviewImage", images=["1", 0]), n5=node("PreviewAny", source=["1", 0])))
    assert workflow.graph.nodes["4"].class_type == "PreviewImage"
    assert list(outputs_of(workflow)) == ["3"]
    assert workflow.notes == (
        "node 4 (PreviewImage) stays as it is; the picture comes from SaveImageWebsocket",
        "node 5 (PreviewAny) is run too, but its result isn't sent",
    )


def test_beside_a_socket_output_a_named_file_output_is_replaced() -> None:
    workflow = load(
        blurred(
            n4=node("PreviewImage", "@out depth", images=["1", 0]),
            n5=node("PreviewImage", images=["1", 0]),
        ),
        '[outputs.flat]\nnode = "5"\nkind = "mask"',
    )
    assert outputs_of(workflow) == {
        "5": OutputSpec("flat", OutputKind.MASK),
        "3": OutputSpec("image"),
        "4": OutputSpec("depth", OutputKind.DATA),
    }


def test_names_kinds_and_order() -> None:
    workflow = load(
        graph(
            n1=empty_image(),
            n2=node(SOCKET, images=["1", 0]),
            n3=node(SOCKET, "@out image", images=["1", 0]),
            n4=node(SOCKET, "@out", images=["1", 0]),
            n5=node(SOCKET, "Hair @out hair:mask", images=["1", 0]),
            n6=node(SOCKET, "Far @out depth", images=["1", 0]),
        ),
        '[outputs.far]\nnode = "title:Far"',
    )
    assert outputs_of(workflow) == {
        # The binding's name overrides the title's, and with it the kind that a name stands for.
        "6": OutputSpec("far", OutputKind.COLOR),
        "2": OutputSpec("image_2"),
        "3": OutputSpec("image"),
        "4": OutputSpec("image_3"),
        "5": OutputSpec("hair", OutputKind.MASK),
    }


PROBLEMS = [
    (
        graph(n1=empty_image()),
        "",
        "the graph has no image output; add a SaveImageWebsocket node (or SaveImage, PreviewImage) and link an "
        "IMAGE to its input 'images'",
    ),
    (
        graph(n1=empty_image("@out picture"), n2=node(SOCKET, images=["1", 0])),
        "",
        'node 1 "@out picture" (EmptyImage): @out stands on a node that is no image output; put it on a '
        "SaveImageWebsocket node (or SaveImage, PreviewImage) that takes this node's IMAGE",
    ),
    (
        graph(n1=empty_image(), n2=node(SOCKET, images="x")),
        "",
        "node 2 (SaveImageWebsocket): input 'images' must be linked to a node that gives an IMAGE",
    ),
    (
        blurred(),
        '[outputs.a]\nnode = "1"',
        "[outputs.a]: node 1 (EmptyImage) is no image output; name a SaveImageWebsocket, SaveImage or PreviewImage",
    ),
    (
        blurred(),
        '[outputs.a]\nnode = "3"\n[outputs.b]\nnode = "3"',
        "[outputs.b]: node 3 (SaveImageWebsocket) is output 'a' already",
    ),
    (
        blurred(),
        '[outputs.a]\nnode = "9"',
        "[outputs.a]: there is no node '9'; nodes are 1 (EmptyImage), 2 (ImageBlur), 3 (SaveImageWebsocket)",
    ),
    (
        blurred("Soften"),
        '[outputs.a]\nnode = "title:Softn"',
        "[outputs.a]: no node has the title 'Softn'; did you mean 'title:Soften'?",
    ),
    (
        graph(
            n1=empty_image(),
            n2=node(SOCKET, "@out a", images=["1", 0]),
            n3=node(SOCKET, "@out a", images=["1", 0]),
        ),
        "",
        'node 3 "@out a" (SaveImageWebsocket): output \'a\' is node 2 "@out a" (SaveImageWebsocket) already',
    ),
]


@pytest.mark.parametrize(("data", "binding", "problem"), PROBLEMS)
def test_bad_outputs(data: bytes, binding: str, problem: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        load(data, binding)
    assert caught.value.problems == (problem,)


def test_more_outputs_than_the_header_can_number() -> None:
    nodes = {f"n{number}": node(SOCKET, images=["1", 0]) for number in range(2, 259)}
    with pytest.raises(WorkflowError, match="has 257 image outputs, more than 256"):
        load(graph(n1=empty_image(), **nodes))


def test_outputs_as_files_for_a_mute_comfyui() -> None:
    workflow = load(
        graph(n1=empty_image(), n2=node(SOCKET, "@out a", images=["1", 0]), n3=node("SaveImage", images=["1", 0]))
    )
    bound = workflow.bind({}, 0)
    before = {node_id: dict(entry) for node_id, entry in bound.prompt.items()}
    files = bound.with_files()
    assert list(files) == list(bound.prompt)
    assert files["1"] is bound.prompt["1"]
    assert files["2"] == {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}, "_meta": {"title": "@out a"}}
    assert files["3"]["class_type"] == "SaveImage"  # was no output, and is none now
    assert bound.prompt == before


def test_bits_are_those_of_the_binding() -> None:
    workflow = load(blurred(), '[outputs.depth]\nnode = "3"\nbits = 16')
    assert outputs_of(workflow) == {"3": OutputSpec("depth", OutputKind.DATA, 16)}


@pytest.mark.parametrize(("format", "bits"), [("raw", 8), ("raw16", 16), ("raw16f", 16), ("png", 8)])
def test_the_pack_s_node_is_an_output_and_says_its_bits(format: str, bits: int) -> None:
    own = node("TexBridgeOutput", "@out depth", images=["1", 0], format=format, quality=90, output=7, keep="")
    workflow = load(graph(n1=empty_image(), n2=own, n3=node("SaveImage", images=["1", 0], filename_prefix="x")))
    assert outputs_of(workflow) == {"2": OutputSpec("depth", OutputKind.DATA, bits)}
    assert workflow.graph.nodes["2"].class_type == SOCKET
    assert workflow.bind({}, 0).prompt["2"]["inputs"] == {"images": ["1", 0]}
    assert workflow.notes[0].startswith("node 3 (SaveImage) stays as it is")
    assert workflow.notes[1].startswith('node 2 "@out depth" (TexBridgeOutput) is used where ComfyUI has it')
    bound = load(graph(n1=empty_image(), n2=own), '[outputs.image]\nnode = "2"\nkind = "color"\nbits = 8')
    assert outputs_of(bound) == {"2": OutputSpec("image", OutputKind.COLOR, 8)}


def test_a_mask_of_the_pack_s_node_is_refused() -> None:
    mask = node("SolidMask", value=1.0, width=8, height=8)
    alone = graph(n1=mask, n2=node("TexBridgeOutput", mask=["1", 0]))
    with pytest.raises(WorkflowError, match=r"images' must be linked.*MaskToImage makes one"):
        load(alone)
    beside = graph(n1=mask, n2=empty_image(), n3=node("TexBridgeOutput", images=["2", 0], mask=["1", 0]))
    with pytest.raises(WorkflowError, match="JoinImageWithAlpha"):
        load(beside)
