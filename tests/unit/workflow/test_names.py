"""What a name may be, and what is suggested for one that may not."""

import pytest

from bridge.workflow.names import (
    RESERVED_PARAMETERS,
    label_of,
    name_problem,
    nearest,
    parameter_name_problem,
    plain_name,
    workflow_name_problem,
)

RULE = "names are a to z, 0 to 9 and _, begin with a letter, and have at most 64 characters"


@pytest.mark.parametrize("name", ["a", "top_left", "x1", "a" * 64])
def test_good_names(name: str) -> None:
    assert parameter_name_problem(name) is None
    assert workflow_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Top Left", f"parameter 'Top Left': {RULE}; call it 'top_left'"),
        ("1st", f"parameter '1st': {RULE}; call it 'st'"),
        ("", f"parameter '': {RULE}"),
        ("空", f"parameter '空': {RULE}"),
        ("é", f"parameter 'é': {RULE}; call it 'e'"),
        ("a\n", f"parameter 'a\\n': {RULE}; call it 'a'"),
        ("a" * 100, f"parameter '{'a' * 77}...': {RULE}; call it '{'a' * 64}'"),
        ("run", "parameter 'run': the word is reserved; call it 'run_amount'"),
        ("seed", "parameter 'seed': the seed is a control of every stream; write it as [seed], or as the title @seed"),
        ("size", "parameter 'size': size is a control of every stream; write [size], or the titles @width and @height"),
    ],
)
def test_bad_parameter_names(name: str, words: str) -> None:
    assert parameter_name_problem(name) == words


def test_reserved_words_are_those_of_the_contract_and_their_suggestions_are_free() -> None:
    words = "run live cancel status progress frame error workflow norm freeze blackout"
    assert set(RESERVED_PARAMETERS) == set(words.split())
    for suggestion in RESERVED_PARAMETERS.values():
        assert parameter_name_problem(suggestion) is None


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "a\\b", "a\0", "a.b", "x" * 10_000, ""])
def test_workflow_names_are_never_paths(name: str) -> None:
    assert workflow_name_problem(name) is not None


@pytest.mark.parametrize("name", ["CON", "con", "nul", "com1", "LPT9"])
def test_workflow_names_are_no_windows_devices(name: str) -> None:
    expected = f"workflow {name!r}: Windows keeps this name for a device; call it '{name.lower()}_workflow'"
    assert workflow_name_problem(name) == expected


def test_output_names_follow_the_pattern() -> None:
    assert name_problem("depth", "output") is None
    assert name_problem("Depth", "output") == f"output 'Depth': {RULE}; call it 'depth'"


def test_nearest_plain_and_label() -> None:
    assert nearest("blur_radus", ["sigma", "blur_radius"]) == "blur_radius"
    assert nearest("x", ["sigma"]) is None
    assert plain_name("  Top Left! ") == "top_left"
    assert plain_name("Höhe Ärger") == "hohe_arger"
    assert label_of("top_left") == "Top left"
