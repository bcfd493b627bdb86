"""What every frame is made of, checked against the workflow."""

import pytest

from bridge.cli.run import typed_value
from bridge.codec.messages import Described, OutputDescription, ParameterDescription
from bridge.errors import ConfigError, InvalidValueError, UnknownNameError
from bridge.render.shot import MAX_PIECE_KEYS, Shot
from bridge.render.track_texts import Key, Text, parse_track
from bridge.streams.tracks import check_tracks, frame_seed
from bridge.streams.values import Values
from bridge.types import ParameterSpec, ParameterType, SeedPolicy

PARAMETERS = (
    ParameterDescription(name="blur", label="Blur", type="float", default=0.0, min=0.0, max=1.0),
    ParameterDescription(name="steps", label="Steps", type="int", default=4, min=1, max=50),
    ParameterDescription(name="tint", label="Tint", type="color", default=[1.0, 0.0, 0.0, 1.0]),
    ParameterDescription(name="prompt", label="Prompt", type="string", default="x"),
    ParameterDescription(name="method", label="Method", type="choice", default="a", choices=["a", "b"]),
    ParameterDescription(name="depth", label="Depth", type="image"),
    ParameterDescription(name="newer", label="Newer", type="matrix"),
)


def described(has_seed: bool | None = True) -> Described:
    return Described(
        workflow="sky", parameters=PARAMETERS, outputs=[OutputDescription("image", "color")], has_seed=has_seed
    )


def shot(*tracks: str, constants=None, has_seed=True, seed=7, policy=SeedPolicy.FIXED, pictures=()):  # type: ignore[no-untyped-def]
    return Shot(
        described(has_seed),
        constants or {},
        dict(map(parse_track, tracks)),
        typed=typed_value,
        seed=seed,
        seed_policy=policy,
        pictures=pictures,
    )


def test_values_are_those_of_the_tracks_module() -> None:
    made = shot("blur=1001:0.3,1048:0.8:cubic_in_out", "tint=1001:#ff0000,1011:0,0,1", "prompt=1:a,1005:b")
    specs = (
        ParameterSpec("blur", "", ParameterType.FLOAT, 0.0, 0.0, 1.0),
        ParameterSpec("tint", "", ParameterType.COLOR, (0.0, 0.0, 0.0, 1.0)),
    )
    keys = {"blur": [[1001, 0.3], [1048, 0.8, "cubic_in_out"]], "tint": [[1001, [1, 0, 0]], [1011, [0, 0, 1]]]}
    tracks = check_tracks(Values(specs), keys)
    for frame in (1, 1001, 1004, 1025, 1048, 2000):
        values = made.values(frame)
        assert values["blur"] == tracks.at(frame)["blur"]
        assert values["tint"] == list(tracks.at(frame)["tint"])  # type: ignore[arg-type]
    assert [made.values(frame)["prompt"] for frame in (0, 1004, 1005)] == ["a", "a", "b"]
    assert made.names == ("blur", "tint", "prompt")


def test_constants_are_typed_and_checked() -> None:
    made = shot(constants={"blur": "0.25", "tint": "#00ff00", "prompt": "a fox", "newer": "anything"})
    assert made.constants == {"blur": 0.25, "tint": [0.0, 1.0, 0.0, 1.0], "prompt": "a fox", "newer": "anything"}


@pytest.mark.parametrize("policy", list(SeedPolicy))
def test_seeds_are_those_of_the_frame_number(policy: SeedPolicy) -> None:
    """So a frame made alone is the frame that it is among the others."""
    made = shot(seed=9, policy=policy)
    assert made.frame_seed(1001) == frame_seed(policy, 9, 1001)
    assert made.frame_seed(1050) == frame_seed(policy, 9, 1050)
    (piece,) = made.pieces([1050])
    assert piece.tracks["seed"] == [[1050, frame_seed(policy, 9, 1050), "step"]]


def test_a_track_of_seeds() -> None:
    made = shot("seed=1001:7,1003:18446744073709551615", policy=SeedPolicy.INCREMENT)
    assert [made.frame_seed(frame) for frame in (1000, 1002, 1003)] == [7, 7, 2**64 - 1]
    assert made.values(1003) == {}


def test_constants_go_with_every_piece() -> None:
    (piece,) = shot("blur=1:0,2:1", constants={"steps": "9"}).pieces([1, 2])
    assert piece.tracks["steps"] == [[1, 9, "step"]]


def test_a_workflow_without_seed() -> None:
    made = shot("blur=1:0,3:1", has_seed=False)
    assert made.frame_seed(1) is None
    (piece,) = made.pieces([1, 2, 3])
    assert piece.tracks == {"blur": [[1, 0.0, "step"], [2, 0.5, "step"], [3, 1.0, "step"]]}
    with pytest.raises(ConfigError, match="sky has no seed"):
        shot("seed=1:7", has_seed=False)


def test_pieces_have_keys_where_values_change() -> None:
    made = shot("blur=1:0.5,5:0.5,7:1", "prompt=1:a,6:b")
    (piece,) = made.pieces([1, 3, 5, 6, 7, 9])
    assert piece.frames == (1, 3, 5, 6, 7, 9)
    assert piece.tracks == {
        "blur": [[1, 0.5, "step"], [4, 0.75, "step"], [5, 1.0, "step"]],
        "prompt": [[1, "a", "step"], [4, "b", "step"]],
        "seed": [[1, 7, "step"]],
    }


def test_many_frames_are_several_pieces() -> None:
    made = shot("blur=0:0,9999:1", "steps=0:1,9999:50", policy=SeedPolicy.INCREMENT)
    frames = tuple(range(10_000))
    pieces = list(made.pieces(frames))
    assert sum((piece.frames for piece in pieces), ()) == frames
    for piece in pieces:
        assert sum(map(len, piece.tracks.values())) <= MAX_PIECE_KEYS
        assert all(keys[0][0] == piece.first for keys in piece.tracks.values())
    assert pieces[1].tracks["seed"][0][1] == 7 + pieces[1].frames[0]
    assert list(made.pieces([])) == []


@pytest.mark.parametrize(
    ("tracks", "constants", "pictures", "words"),
    [
        (["blur=1:0,5:1"], {"blur": "0"}, [], "blur is given by -p and by a track"),
        (["blur=1:0,5:1"], {}, ["blur"], "blur is given by a track and by --image"),
        ([], {}, ["blur"], "--image blur: that is float, set by -p or --track; sky takes pictures in depth"),
        ([], {"depth": "x.png"}, [], "depth is a picture: --image depth=FILE"),
        (["depth=1:x.png"], {}, [], "depth is a picture: --image depth=FILE"),
        (["blur=1:0,5:0.8:ease"], {}, [], "is not a number; float wants one; 'ease' is no easing: step, linear, "),
    ],
)
def test_what_does_not_fit(tracks: list[str], constants: dict[str, str], pictures: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shot(*tracks, constants=constants, pictures=pictures)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("tracks", "constants", "pictures", "words"),
    [
        (["blurr=1:0"], {}, [], "nearest is 'blur'"),
        ([], {"blurr": "0"}, [], "nearest is 'blur'"),
        ([], {}, ["dept"], "nearest is 'depth'"),
        (["blur=1:0,5:2"], {}, [], "frame 5"),
        (["prompt=1:a,5:b:linear"], {}, [], "switches"),
        ([], {"steps": "51"}, [], "steps"),
        (["seed=1:-1"], {}, [], "seed"),
    ],
)
def test_what_the_bridge_would_refuse(
    tracks: list[str], constants: dict[str, str], pictures: list[str], words: str
) -> None:
    with pytest.raises((UnknownNameError, InvalidValueError)) as caught:
        shot(*tracks, constants=constants, pictures=pictures)
    assert words in str(caught.value)


def test_facts_for_the_manifest() -> None:
    made = Shot(
        described(),
        {},
        {"steps": [Key(1, Text("4")), Key(9, Text("8"), ["bezier", 0, 0, 1, 1])], "tint": [Key(1, [1, 0, 0])]},
        typed=typed_value,
        seed=0,
        seed_policy=SeedPolicy.FIXED,
    )
    assert made.track_facts == {"steps": [[1, 4], [9, 8, ["bezier", 0, 0, 1, 1]]], "tint": [[1, [1, 0, 0]]]}
