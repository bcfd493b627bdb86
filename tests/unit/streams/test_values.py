"""Current values: revisions, all or none, client times, a change of workflow."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError, UnknownNameError
from bridge.streams.values import Values
from bridge.types import ParameterSpec, ParameterType

BLUR = ParameterSpec("blur", "Blur", ParameterType.INT, 1, minimum=0, maximum=31)
SIGMA = ParameterSpec("sigma", "Sigma", ParameterType.FLOAT, 1.0, minimum=0.1, maximum=10.0, clamp=False)
PROMPT = ParameterSpec("prompt", "Prompt", ParameterType.STRING, "a lake")


@pytest.fixture
def values() -> Values:
    return Values((BLUR, SIGMA, PROMPT))


def test_begins_with_the_defaults_at_revision_1(values):
    assert dict(values.snapshot().values) == {"blur": 1, "sigma": 1.0, "prompt": "a lake"}
    assert values.revision == values.snapshot().revision == 1
    assert list(values.specs) == ["blur", "sigma", "prompt"]


def test_a_set_is_one_revision_whatever_it_holds(values):
    assert values.set({"blur": 3, "prompt": "a hill"}) == ("blur", "prompt")
    assert values.revision == 2
    assert (values["blur"], values["prompt"]) == (3, "a hill")


def test_same_values_are_no_change(values):
    before = values.snapshot()
    assert values.set({"blur": 1.0, "sigma": 1}) == ()
    assert values.set({}) == ()
    assert values.snapshot() is before


def test_only_changed_names_are_told(values):
    assert values.set({"blur": 1, "sigma": 2}) == ("sigma",)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"blur": 3, "sigma": 11}, InvalidValueError),
        ({"blur": 3, "nothing": 1}, UnknownNameError),
        ({"prompt": "x", "blur": True}, InvalidValueError),
    ],
)
def test_all_or_none(values, params, error):
    before = values.snapshot()
    with pytest.raises(error):
        values.set(params, session=1, client_time=5)
    assert values.snapshot() is before


def test_unknown_names_the_nearest(values):
    with pytest.raises(UnknownNameError) as caught:
        values.set({"blurr": 3})
    assert caught.value.code is ErrorCode.UNKNOWN_PARAMETER
    assert "nearest is 'blur'" in caught.value.message
    assert caught.value.limit == "blur"
    with pytest.raises(UnknownNameError) as caught:
        values.set({"x" * 10_000: 3})
    assert len(caught.value.message) < 300


def test_clamp_respects_reject(values):
    assert values.set({"blur": 99}, clamp=True) == ("blur",)
    assert values["blur"] == 31
    with pytest.raises(InvalidValueError):
        values.set({"sigma": 99}, clamp=True)


def test_check_changes_nothing(values):
    before = values.snapshot()
    checked = values.check({"blur": 5.0})
    assert checked == {"blur": 5}
    assert values.snapshot() is before
    assert values.set(checked) == ("blur",)


def test_a_snapshot_never_changes(values):
    before = values.snapshot()
    values.set({"blur": 9}, session=4, client_time=77)
    assert before.values["blur"] == 1
    assert before.client_times == {}
    with pytest.raises(TypeError):
        before.values["blur"] = 2
    assert values.snapshot() is values.snapshot()


def test_client_times_are_the_last_of_each_session(values):
    values.set({"blur": 2}, session=1, client_time=100)
    values.set({"blur": 3}, session=2, client_time=5)
    values.set({"blur": 4}, session=1, client_time=101)
    values.set({"blur": 5}, session=1)
    assert values.snapshot().client_times == {1: 101, 2: 5}
    values.forget_session(1)
    assert values.snapshot().client_times == {2: 5}


def test_client_time_counts_without_a_change(values):
    assert values.set({"blur": 1}, session=1, client_time=9) == ()
    assert values.revision == 1
    assert values.snapshot().client_times == {1: 9}


@pytest.mark.parametrize("client_time", [-1, 2**64])
def test_client_time_is_a_u64(values, client_time):
    with pytest.raises(InvalidValueError) as caught:
        values.set({"blur": 2}, session=1, client_time=client_time)
    assert caught.value.field == "client_time"
    assert values.revision == 1


def test_client_times_are_bounded(values):
    for session in range(1000):
        values.set({}, session=session, client_time=session + 1)
    times = values.snapshot().client_times
    assert len(times) <= 256
    assert times[999] == 1000


def test_another_workflow_keeps_what_was_set_and_fits(values):
    values.set({"blur": 20, "prompt": "a hill"}, session=1, client_time=3)
    values.change_specs(
        (
            ParameterSpec("blur", "Blur", ParameterType.INT, 2, minimum=0, maximum=10),  # 20 is too much
            ParameterSpec("sigma", "Sigma", ParameterType.FLOAT, 5.0),  # never set: the new default
            ParameterSpec("prompt", "Prompt", ParameterType.STRING, "a sea"),
        )
    )
    assert dict(values.snapshot().values) == {"blur": 2, "sigma": 5.0, "prompt": "a hill"}
    assert values.revision == 3
    assert values.snapshot().client_times == {1: 3}


def test_another_workflow_from_the_defaults(values):
    values.set({"prompt": "a hill"})
    values.change_specs((PROMPT,), carry=False)
    assert dict(values.snapshot().values) == {"prompt": "a lake"}
    with pytest.raises(UnknownNameError):
        values.set({"blur": 3})


@pytest.mark.parametrize(("name", "words"), [("seed", "`run` takes `seed`"), ("size", "`open` takes `size`")])
def test_a_control_is_not_a_parameter(values, name, words):
    with pytest.raises(UnknownNameError) as caught:
        values.set({name: 4})
    assert words in caught.value.message
