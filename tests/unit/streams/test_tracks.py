"""Tracks: what a parameter is at each frame, seeds, and every way to say it wrong."""

import pytest

from bridge.errors import ErrorCode, InvalidValueError, TexbridgeError, UnknownNameError
from bridge.streams.tracks import MAX_KEYS, check_tracks, frame_seed
from bridge.streams.values import Values
from bridge.types import ParameterSpec, ParameterType, Picture, SeedPolicy

T = ParameterType
VALUES = Values(
    (
        ParameterSpec("blur", "Blur", T.INT, 1, minimum=0, maximum=31),
        ParameterSpec("big", "Big", T.INT, 0),
        ParameterSpec("sigma", "Sigma", T.FLOAT, 1.0, minimum=0.1, maximum=10.0),
        ParameterSpec("prompt", "Prompt", T.STRING, "a lake"),
        ParameterSpec("on", "On", T.BOOL, False),
        ParameterSpec("method", "Method", T.CHOICE, "area", choices=("area", "lanczos")),
        ParameterSpec("noise_seed", "Noise", T.SEED, 0),
        ParameterSpec("tint", "Tint", T.COLOR, (0.0, 0.0, 0.0, 1.0)),
        ParameterSpec("at", "At", T.VEC2, (0.0, 0.0), minimum=-1.0, maximum=1.0),
        ParameterSpec("photo", "Photo", T.IMAGE, ""),
    )
)


def along(track, frames, name="sigma"):
    tracks = check_tracks(VALUES, {name: track})
    return [tracks.at(frame)[name] for frame in frames]


def test_the_value_holds_before_the_first_and_after_the_last_key():
    assert along([[10, 1.0], [12, 2.0]], [-5, 0, 10, 11, 12, 13, 999]) == [1.0, 1.0, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_one_key_is_a_value():
    assert along([[7, 4]], [0, 7, 8]) == [4.0, 4.0, 4.0]


def test_the_easing_is_that_of_the_way_to_its_key():
    """`render --track "denoise=1001:0.3,1048:0.8:cubic_in_out"` says it of the key at which it ends."""
    assert along([[0, 1.0, "step"], [4, 5.0, "cubic_in"], [8, 9.0]], [0, 2, 4, 6, 8]) == [1.0, 1.5, 5.0, 7.0, 9.0]


def test_step_waits_for_its_key():
    assert along([[0, 1.0], [4, 5.0, "step"]], [0, 3, 4]) == [1.0, 1.0, 5.0]


def test_ints_are_rounded_half_up():
    assert along([[0, 0], [4, 2]], range(5), "blur") == [0, 1, 1, 2, 2]
    assert along([[0, -3], [2, -2]], [1], "big") == [-2]


def test_large_ints_are_exact_at_their_keys_and_never_leave_64_bits():
    first, last = 2**62 + 1, 2**63 - 1
    assert along([[0, first], [4, last, ["bezier", 0.1, 9, 0.9, 9]]], [0, 2, 4], "big") == [first, last, last]


def test_colours_by_their_numbers_alpha_too():
    track = [[0, [0.0, 0.0, 0.0]], [2, [1.0, 0.5, 0.0, 0.0]]]
    assert along(track, [1], "tint") == [(0.5, 0.25, 0.0, 0.5)]
    assert along([[0, "#000000"], [1, "#ff0000"]], [1], "tint") == [(1.0, 0.0, 0.0, 1.0)]


def test_vectors_by_component():
    assert along([[0, [0, 1]], [4, [1, -1]]], [1], "at") == [(0.25, 0.5)]


def test_what_overshoots_is_clamped():
    over = ["bezier", 0.3, 4, 0.7, 4]
    assert max(along([[0, 1.0], [10, 9.0, over]], range(11))) == 10.0
    assert max(along([[0, 1], [10, 30, over]], range(11), "blur")) == 31
    assert max(value[0] for value in along([[0, [0, 0, 0]], [10, [1, 1, 1], over]], range(11), "tint")) == 1.0


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("prompt", "a lake", "a hill"), ("on", False, True), ("method", "area", "lanczos"), ("noise_seed", 1, 2**64 - 1)],
)
def test_what_has_no_between_switches_at_its_key(name, before, after):
    assert along([[0, before], [3, after]], range(5), name) == [before, before, before, after, after]
    assert along([[0, before, "linear"], [3, after, "step"]], [2, 3], name) == [before, after]


def test_pictures_switch():
    one, two = Picture(b"1", "1"), Picture(b"2", "2")
    assert along([[0, one], [2, two]], [0, 1, 2], "photo") == [one, one, two]


def test_frames_depend_on_nothing_but_the_tracks():
    raw = {"sigma": [[0, 0.1], [99, 10.0, ["bezier", 0.42, 0, 0.58, 1]]], "blur": [[0, 0], [99, 31, "smoothstep"]]}
    forward, backward = check_tracks(VALUES, raw), check_tracks(VALUES, raw)
    assert [forward.at(i) for i in range(100)] == [backward.at(i) for i in reversed(range(100))][::-1]


def test_keys_outside_of_what_is_made_shape_it():
    """So a part of a shot has the shot's own tracks."""
    assert along([[-100, 1.0], [100, 9.0]], [0]) == [5.0]


def test_a_track_of_the_seed_control_switches():
    tracks = check_tracks(VALUES, {"seed": [[0, 7], [2, 8]]}, has_seed=True)
    assert [tracks.seed_at(frame) for frame in range(4)] == [7, 7, 8, 8]
    assert tracks.at(0) == {}
    assert check_tracks(VALUES, {}).seed_at(0) is None


def test_no_tracks_are_tracks():
    assert check_tracks(VALUES, {}).at(3) == {}


def test_whole_floats_are_frames():
    assert along([[0.0, 1.0], [2.0, 2.0]], [1]) == [1.5]


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ({"sgma": [[0, 1]]}, ErrorCode.UNKNOWN_PARAMETER, "nearest is 'sigma'"),
        ({"seed": [[0, 1]]}, ErrorCode.UNKNOWN_PARAMETER, "the seed is a control"),
        ({"sigma": []}, ErrorCode.WRONG_TYPE, "sigma: track"),
        ({"sigma": 4}, ErrorCode.WRONG_TYPE, "sigma: track 4"),
        ({"sigma": [4]}, ErrorCode.WRONG_COMPONENTS, "sigma: key 0 4"),
        ({"sigma": [[0]]}, ErrorCode.WRONG_COMPONENTS, "sigma: key 0"),
        ({"sigma": [[0, 1, "linear", 2]]}, ErrorCode.WRONG_COMPONENTS, "sigma: key 0"),
        ({"sigma": [[0.5, 1]]}, ErrorCode.WRONG_TYPE, "frame 0.5"),
        ({"sigma": [[True, 1]]}, ErrorCode.WRONG_TYPE, "frame True"),
        ({"sigma": [["0", 1]]}, ErrorCode.WRONG_TYPE, "frame '0'"),
        ({"sigma": [[2**31, 1]]}, ErrorCode.OUT_OF_RANGE, "outside"),
        ({"sigma": [[4, 1], [2, 1]]}, ErrorCode.OUT_OF_RANGE, "frame 2 stands after frame 4"),
        ({"sigma": [[4, 1], [4, 2]]}, ErrorCode.OUT_OF_RANGE, "frame 4 is there twice"),
        ({"sigma": [[4, 11]]}, ErrorCode.OUT_OF_RANGE, "frame 4: sigma: 11 is outside 0.1..10.0"),
        ({"sigma": [[4, 1], [8, 2, "ease"]]}, ErrorCode.NOT_A_CHOICE, "sigma at frame 8: easing 'ease'"),
        ({"prompt": [[0, "a"], [8, "b", "linear"]]}, ErrorCode.NOT_A_CHOICE, "prompt at frame 8: a string switches"),
        ({"prompt": [[0, ["4", 0]]]}, ErrorCode.WRONG_TYPE, "never becomes a node link"),
        ({"tint": [[0, [1, 1]]]}, ErrorCode.WRONG_COMPONENTS, "frame 0: tint"),
        ({"sigma": [[n, 1] for n in range(MAX_KEYS)], "blur": [[0, 1]]}, ErrorCode.OUT_OF_RANGE, "16385 keys"),
        ([], ErrorCode.WRONG_TYPE, "is not a map"),
    ],
)
def test_refused_with_words(raw, code, words):
    with pytest.raises(TexbridgeError) as caught:
        check_tracks(VALUES, raw)
    assert caught.value.code is code
    assert words in caught.value.message
    assert isinstance(caught.value, InvalidValueError | UnknownNameError)


def test_a_wrong_seed_of_the_control_names_its_frame():
    with pytest.raises(InvalidValueError, match="frame 3: seed: -1"):
        check_tracks(VALUES, {"seed": [[3, -1]]}, has_seed=True)


def test_seeds_by_policy():
    assert [frame_seed(SeedPolicy.FIXED, 7, frame) for frame in (0, 1, 99)] == [7, 7, 7]
    assert [frame_seed(SeedPolicy.INCREMENT, 2**64 - 1, frame) for frame in (0, 1, 2)] == [2**64 - 1, 0, 1]
    random = [frame_seed(SeedPolicy.RANDOM, 7, frame) for frame in range(1000)]
    assert len(set(random)) == 1000
    assert all(0 <= seed < 2**32 for seed in random)
    assert random != [frame_seed(SeedPolicy.RANDOM, 8, frame) for frame in range(1000)]


def test_random_seeds_are_splitmix64():
    """The first outputs of splitmix64 from 0, upper halves: e220a8397b1dcdaf, 6e789e6aa1b965f4, 06c45d188009454f."""
    assert [frame_seed(SeedPolicy.RANDOM, 0, frame) for frame in range(3)] == [0xE220A839, 0x6E789E6A, 0x06C45D18]
