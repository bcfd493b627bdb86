"""When a prompt without a socket is looked at, and what a history entry names."""

import pytest

from bridge.backends.polling import LAST_LOOK_S, LONGEST_REST_S, StoredFile, next_look_s, stored_files


@pytest.mark.parametrize(
    ("ran_s", "usual_s", "rest_s"),
    [
        (0.0, None, 0.02),
        (0.1, None, 0.02),
        (1.0, None, 0.1),
        (60.0, None, LAST_LOOK_S),
        (0.0, 0.01, 0.02),
        (0.0, 0.1, 0.09),
        (0.095, 0.1, 0.02),
        (0.0, 30.0, LONGEST_REST_S),
        (0.5, 1.0, 0.4),
        (0.9, 1.0, 0.02),
        (10.0, 10.0, 0.2),
        (3.0, 1.0, 0.2),
        (90.0, 1.0, LAST_LOOK_S),
    ],
)
def test_the_rests_between_looks(ran_s: float, usual_s: float | None, rest_s: float) -> None:
    assert next_look_s(ran_s, usual_s) == pytest.approx(rest_s)


@pytest.mark.parametrize("usual_s", [None, 0.001, 0.1, 3.0, 60.0])
def test_looks_are_bounded(usual_s: float | None) -> None:
    ran_s, looks = 0.0, 0
    while ran_s < 120.0:
        rest_s = next_look_s(ran_s, usual_s)
        assert 0.02 <= rest_s <= LONGEST_REST_S
        ran_s, looks = ran_s + rest_s, looks + 1
    assert looks < 400


def image(name: str, **more: object) -> dict[str, object]:
    return {"filename": name, "subfolder": "", "type": "temp", **more}


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ({"9": {"images": [image("a.png"), image("b.png")]}}, [("9", ["a.png", "b.png"])]),
        (
            {"12": {"images": [image("d.png")]}, "9": {"images": [image("a.png")]}},
            [("9", ["a.png"]), ("12", ["d.png"])],
        ),
        ({"7": {"images": [image("x.png")]}}, []),
        ({"9": {"images": [image("a.png"), {"subfolder": ""}, 3, {"filename": 4}]}}, [("9", ["a.png"])]),
        ({"9": {"text": ["x"]}}, []),
        ({"9": []}, []),
        ([], []),
        (None, []),
    ],
)
def test_the_files_that_a_history_names(outputs: object, found: list[tuple[str, list[str]]]) -> None:
    told = stored_files({"outputs": outputs}, {"9": 0, "12": 1})
    assert [(node, [file.filename for file in files]) for node, files in told] == found


def test_folders_are_as_told() -> None:
    entry = {"outputs": {"9": {"images": [image("a.png", subfolder="s", type="output"), {"filename": "b.png"}]}}}
    assert stored_files(entry, {"9": 0})[0][1] == [
        StoredFile("a.png", "s", "output"),
        StoredFile("b.png", "", "output"),
    ]
