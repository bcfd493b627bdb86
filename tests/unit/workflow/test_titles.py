"""The words of a title: labels, marks and outputs."""

import pytest

from bridge.types import OutputKind
from bridge.workflow.titles import Title, TitleMark, TitleOutput, kind_of_name, parse_title

CASES = [
    ("", Title("", (), None)),
    ("KSampler", Title("KSampler", (), None)),
    ("Positive @prompt words", Title("Positive words", (TitleMark("prompt", None),), None)),
    (
        "@seed @steps  @cfg",
        Title("", (TitleMark("seed", None), TitleMark("steps", None), TitleMark("cfg", None)), None),
    ),
    ("@strength:denoise", Title("", (TitleMark("strength", "denoise"),), None)),
    ("mail me@home @ 5", Title("mail me@home @ 5", (), None)),
    ("@out", Title("", (), TitleOutput(None, None))),
    ("Depth map @out depth", Title("Depth map", (), TitleOutput("depth", None))),
    ("@out shadow:mask @x", Title("", (TitleMark("x", None),), TitleOutput("shadow", OutputKind.MASK))),
    ("@out @x", Title("", (TitleMark("x", None),), TitleOutput(None, None))),
]


@pytest.mark.parametrize(("title", "expected"), CASES)
def test_titles_taken_apart(title: str, expected: Title) -> None:
    problems: list[str] = []
    assert parse_title(title, "node 1", problems) == expected
    assert problems == []


BAD = [
    ("@x:", "node 1: '@x:' names no input after the colon"),
    ("@x @x:sigma", "node 1: has @x twice; give the second another name"),
    ("@out a @out b", "node 1: has @out twice; a node is one output"),
    ("@out:depth", "node 1: has '@out:depth'; write '@out depth', the name after a space"),
    ("@out a:colour", "node 1: 'colour' is no kind of output; kinds are color, data and mask"),
    (
        "@out Depth",
        "node 1: output 'Depth': names are a to z, 0 to 9 and _, begin with a letter, and have at most 64 characters; "
        "call it 'depth'",
    ),
]


@pytest.mark.parametrize(("title", "problem"), BAD)
def test_bad_titles(title: str, problem: str) -> None:
    problems: list[str] = []
    parse_title(title, "node 1", problems)
    assert problems == [problem]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("image", OutputKind.COLOR),
        ("depth", OutputKind.DATA),
        ("depth_2", OutputKind.DATA),
        ("far_depth", OutputKind.DATA),
        ("normals", OutputKind.DATA),
        ("mask", OutputKind.MASK),
        ("hair_mask", OutputKind.MASK),
        ("depth_view", OutputKind.COLOR),
    ],
)
def test_kind_by_name(name: str, kind: OutputKind) -> None:
    assert kind_of_name(name) is kind
