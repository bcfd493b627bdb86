"""Named workflows: loaded, replaced live, kept when the new one is bad."""

import json

import pytest
from workflow_files import CLASSES, INFO, blurred, empty_image, graph, node

from bridge.errors import ErrorCode, UnknownNameError, WorkflowError
from bridge.workflow import library as library_module
from bridge.workflow.library import Changes, Library, find_changes
from bridge.workflow.object_info import ObjectInfo

GOOD = {"workflow_api.json": blurred("@soft:sigma"), "README.md": b"words"}
OTHER = {"workflow_api.json": blurred("@softer:sigma")}
BAD = {"workflow_api.json": b"{"}


def library(**folders: dict[str, bytes]) -> Library:
    made = Library(INFO)
    made.load(folders)
    return made


def parameter_of(made: Library, name: str) -> str:
    return made.get(name).spec.parameters[0].name


def test_loads_what_is_good_and_says_why_the_rest_is_not() -> None:
    made = Library(INFO)
    errors = made.load({"good": GOOD, "bad": BAD, "empty": {}, "near": {"workflow_api.jsn": b""}})
    assert made.names == ("good",)
    assert made.errors == errors
    assert {name: error.message for name, error in errors.items()} == {
        "bad": "workflow 'bad': the workflow file is not JSON: Expecting property name enclosed in double quotes at "
        "line 1, column 2",
        "empty": "workflow 'empty': has no workflow_api.json; export it from ComfyUI with Workflow > Export (API)",
        "near": "workflow 'near': has no workflow_api.json; rename 'workflow_api.jsn'",
    }


@pytest.mark.parametrize("name", ["CON", "../x", "Good", ".git"])
def test_bad_folder_names(name: str) -> None:
    made = Library(INFO)
    assert list(made.load({name: GOOD})) == [name]
    assert made.names == ()


def test_an_edited_one_is_replaced() -> None:
    made = library(a=GOOD)
    old = made.get("a")
    assert made.reload("a", OTHER) is None
    assert parameter_of(made, "a") == "softer"
    # Whoever holds the old one can go on with it.
    assert old.bind({"soft": 0.5}, 0).prompt["2"]["inputs"]["sigma"] == 0.5


def test_the_old_one_is_kept_while_the_new_one_is_bad() -> None:
    made = library(a=GOOD)
    error = made.reload("a", BAD)
    assert error is not None
    assert made.errors == {"a": error}
    assert parameter_of(made, "a") == "soft"
    assert made.reload("a", OTHER) is None
    assert made.errors == {}
    assert parameter_of(made, "a") == "softer"


def test_get_says_why_and_what_is_near() -> None:
    made = library(gradient=GOOD, broken=BAD)
    with pytest.raises(UnknownNameError) as unknown:
        made.get("gradent")
    assert unknown.value.message == "there is no workflow 'gradent'; did you mean 'gradient'?"
    assert unknown.value.code is ErrorCode.UNKNOWN_WORKFLOW
    with pytest.raises(UnknownNameError, match="there is no workflow 'zzz'; there are gradient"):
        made.get("zzz")
    for _ in range(3):
        with pytest.raises(WorkflowError, match="workflow 'broken': the workflow file is not JSON") as broken:
            made.get("broken")
        depth = 0
        trace = broken.value.__traceback__
        while trace is not None:
            depth, trace = depth + 1, trace.tb_next
        assert depth <= 2


def test_remove_forgets_the_workflow_and_its_error() -> None:
    made = library(a=GOOD, b=BAD)
    for name in ("a", "b", "never"):
        made.remove(name)
    assert (made.names, dict(made.errors)) == ((), {})


def test_refresh_takes_choices_from_the_new_object_info() -> None:
    loader = {
        "workflow_api.json": graph(
            n1=empty_image(),
            n2=node("SaveImageWebsocket", images=["1", 0]),
            n3=node("CheckpointLoaderSimple", "@model", ckpt_name="a.ckpt"),
        )
    }
    made = library(plain=GOOD, loader=loader)
    assert made.get("loader").spec.parameters[0].choices == ("a.ckpt",)
    live = {**CLASSES, "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["a.ckpt", "b.ckpt"]]}}}}
    info = ObjectInfo.from_json(json.dumps(live).encode())
    assert made.refresh(info) == ("loader",)
    assert made.object_info is info
    assert made.get("loader").spec.parameters[0].choices == ("a.ckpt", "b.ckpt")


def test_refresh_that_fails_in_an_unforeseen_way_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams keep the spec that they were told: the library must not go on without them."""
    made = library(first=GOOD, second=OTHER)
    before = {name: made.get(name) for name in made.names}
    load = library_module.load_workflow

    def fail_at_second(name: str, *more: object) -> object:
        if name == "second":
            raise ZeroDivisionError("a bug")
        return load(name, *more)

    monkeypatch.setattr(library_module, "load_workflow", fail_at_second)
    with pytest.raises(ZeroDivisionError):
        made.refresh(ObjectInfo({}))
    assert {name: made.get(name) for name in made.names} == before
    assert made.object_info is INFO
    assert not made.errors


def test_refresh_keeps_what_no_longer_loads() -> None:
    made = library(a=GOOD)
    blur = {"input": {"required": {"image": ["IMAGE"], "sigma": ["IMAGE"]}}, "output": ["IMAGE"]}
    info = ObjectInfo.from_json(json.dumps({**CLASSES, "ImageBlur": blur}).encode())
    assert made.refresh(info) == ()
    assert list(made.errors) == ["a"]
    assert parameter_of(made, "a") == "soft"


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "MAX_WORKFLOWS", 2)
    made = library(a=GOOD, b=BAD)
    error = made.reload("c", GOOD)
    assert error is not None
    assert error.message == "workflow 'c': there are 2 already, which is the limit"
    assert made.reload("b", GOOD) is None
    assert made.names == ("a", "b")


def test_changes_between_two_looks() -> None:
    changes = find_changes({"a": 1, "b": (1, 2), "c": 3}, {"b": (1, 3), "c": 3, "d": 1})
    assert changes == Changes(added=("d",), changed=("b",), removed=("a",))
    assert changes
    assert not find_changes({"a": 1}, {"a": 1})
