"""API-format JSON: what is read, and the exact words for what is not."""

import json

import pytest
from workflow_files import blurred, empty_image, graph, node

from bridge.errors import ErrorCode, WorkflowError
from bridge.workflow import template
from bridge.workflow.template import Link, parse_template


def test_reads_nodes_links_and_titles_in_the_order_of_the_file() -> None:
    parsed = parse_template(blurred("Soften"))
    assert list(parsed.nodes) == ["1", "2", "3"]
    blur = parsed.nodes["2"]
    assert (blur.class_type, blur.title) == ("ImageBlur", "Soften")
    assert blur.inputs == {"image": Link("1", 0), "blur_radius": 3, "sigma": 1.5}
    assert blur.scalars() == {"blur_radius": 3, "sigma": 1.5}
    assert blur.links() == {"image": Link("1", 0)}
    assert blur.words == 'node 2 "Soften" (ImageBlur)'
    assert parsed.class_types() == {"EmptyImage", "ImageBlur", "SaveImageWebsocket"}


def test_prompt_is_the_file_again_and_fresh_each_time() -> None:
    data = blurred("Soften")
    parsed = parse_template(data)
    first = parsed.prompt()
    assert first == json.loads(data)
    first["1"]["inputs"]["width"] = 1
    assert parsed.prompt() == json.loads(data)


def test_takes_a_byte_order_mark_and_unknown_keys() -> None:
    entry = {**empty_image(), "is_changed": ["x"]}
    parsed = parse_template(b"\xef\xbb\xbf" + graph(n1=entry))
    assert "is_changed" not in parsed.prompt()["1"]


REFUSED = [
    (b"{", "the workflow file is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
    (b"", "the workflow file is not JSON: Expecting value at line 1, column 1"),
    (b"\xff{}", "the workflow file is not UTF-8 text (byte 0)"),
    (b'{"1": NaN}', "the workflow file has the number NaN, which is not JSON: give a finite number"),
    (b'{"1": -Infinity}', "the workflow file has the number -Infinity, which is not JSON: give a finite number"),
    (b'{"1": 18446744073709551616}', "the workflow file has the number 18446744073709551616, which is over 64 bits"),
    (b'{"1": -9223372036854775809}', "the workflow file has the number -9223372036854775809, which is over 64 bits"),
    (b'{"1": ' + b"9" * 400 + b"}", f"the workflow file has the number {'9' * 40}, which is over 64 bits"),
    (b'{"1": 1e400}', "the workflow file has the number 1e400, which is too large: give a finite number"),
    (b'{"1": {}, "1": {}}', "the workflow file has the key '1' twice in one map: keep one of them"),
    (b'{"1": "\\ud800"}', "the workflow file has a lone surrogate in the text '\\ud800'"),
    (b'{"\\ud800": 1}', "the workflow file has a lone surrogate in the text '\\ud800'"),
    (b"[" * 100_000, "the workflow file is nested deeper than 16 levels"),
    (b'{"1": ' + b"[" * 20 + b"]" * 20 + b"}", "the workflow file is nested deeper than 16 levels"),
    (b"3", "the workflow file holds a JSON number, not a map of nodes: " + template.EXPORT_HINT),
    (b"null", "the workflow file holds a JSON null, not a map of nodes: " + template.EXPORT_HINT),
    (b"{}", "the workflow file has no nodes: " + template.EXPORT_HINT),
    (
        b'{"prompt": {"1": {"class_type": "A", "inputs": {}}}}',
        "this is the body of POST /prompt: keep only the map that stands under 'prompt'",
    ),
]


@pytest.mark.parametrize(("data", "words"), REFUSED)
def test_refuses_with_words(data: bytes, words: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parse_template(data)
    assert caught.value.message == words
    assert caught.value.code is ErrorCode.WORKFLOW_BROKEN


def test_recognises_a_ui_export_and_says_how_to_export() -> None:
    ui = {"last_node_id": 3, "nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}
    with pytest.raises(WorkflowError, match=r"UI format .* Workflow > Export \(API\)"):
        parse_template(json.dumps(ui).encode())


def test_refuses_too_many_bytes_and_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MAX_TEMPLATE_BYTES", 10)
    with pytest.raises(WorkflowError, match="has 11 bytes, more than 10"):
        parse_template(b" " * 11)
    monkeypatch.undo()
    monkeypatch.setattr(template, "MAX_NODES", 1)
    with pytest.raises(WorkflowError, match="has 2 nodes, more than 1"):
        parse_template(graph(n1=empty_image(), n2=empty_image()))


def test_a_number_with_too_many_digits_is_refused_in_words() -> None:
    with pytest.raises(WorkflowError, match="over 64 bits"):
        parse_template(b'{"1": ' + b"9" * 5000 + b"}")


PROBLEMS = [
    ({"1": 3}, "node 1: is a JSON number, not a map with class_type and inputs"),
    (
        {"1": {"inputs": {}}},
        'node 1: has no class_type; it names the node\'s class, e.g. "EmptyImage"',
    ),
    (
        {"1": {"class_typ": "A", "inputs": {}}},
        "node 1: has no class_type (it has 'class_typ': rename it); it names the node's class, e.g. \"EmptyImage\"",
    ),
    ({"1": {"class_type": "A", "inputs": []}}, "node 1 (A): inputs is a JSON list, not a map"),
    (
        {"1": {"class_type": "A", "inputs": {"x": {"a": 1}}}},
        "node 1 (A): input 'x' is a map; an input is a value or a link",
    ),
    (
        {"1": node("A", "My node", x=[1, 2, 3])},
        "node 1 \"My node\" (A): input 'x' is the list [1, 2, 3]; a list is a link and must be "
        '[node id as text, output number], e.g. ["4", 0]',
    ),
    (
        {"1": node("A", x=["1", True])},
        "node 1 (A): input 'x' is the list [\"1\", true]; a list is a link and must be "
        '[node id as text, output number], e.g. ["4", 0]',
    ),
    (
        {"1": node("A", x=["2", -1])},
        "node 1 (A): input 'x' is the list [\"2\", -1]; a list is a link and must be "
        '[node id as text, output number], e.g. ["4", 0]',
    ),
    (
        {"1": node("A", x=["9", 0]), "2": node("B")},
        "node 1 (A): input 'x' is linked to node '9', which isn't there; the nodes are 1, 2",
    ),
    (
        {"12": node("A", x=["123", 0]), "124": node("B")},
        "node 12 (A): input 'x' is linked to node '123', which isn't there; did you mean '12'?",
    ),
]


@pytest.mark.parametrize(("document", "problem"), PROBLEMS)
def test_names_node_and_input(document: object, problem: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parse_template(json.dumps(document).encode())
    assert caught.value.problems == (problem,)


def test_lists_every_problem_at_once() -> None:
    with pytest.raises(WorkflowError) as caught:
        parse_template(json.dumps({"1": 3, "2": node("A", x=["9", 0]), "3": {}}).encode())
    assert [line.split(":")[0] for line in caught.value.problems] == ["node 1", "node 3", "node 2 (A)"]


def test_names_a_cycle_in_the_direction_of_the_pictures() -> None:
    data = graph(n1=node("A", x=["3", 0]), n2=node("B", x=["1", 0]), n3=node("C", x=["2", 0], y=["4", 0]), n4=node("D"))
    with pytest.raises(WorkflowError) as caught:
        parse_template(data)
    assert caught.value.problems == ("cycle: 1 -> 2 -> 3 -> 1; a node can't feed itself: cut one link",)


def test_a_node_linked_to_itself_is_a_cycle() -> None:
    with pytest.raises(WorkflowError, match="cycle: 1 -> 1"):
        parse_template(graph(n1=node("A", x=["1", 0])))


def test_a_diamond_and_a_long_chain_are_no_cycles() -> None:
    chain = {str(number): node("A", x=[str(number - 1), 0], y=["0", 0]) for number in range(1, 3000)}
    parsed = parse_template(json.dumps({"0": node("A"), **chain}).encode())
    assert len(parsed.nodes) == 3000
