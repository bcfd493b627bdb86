"""Tracks as people write them."""

import json
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.render.track_texts import Key, Text, merge_tracks, parse_track, read_tracks


def test_the_example() -> None:
    name, keys = parse_track("denoise=1001:0.3,1048:0.8:cubic_in_out")
    assert name == "denoise"
    assert keys == [Key(1001, "0.3", None), Key(1048, "0.8", "cubic_in_out")]
    assert all(isinstance(key.value, Text) for key in keys)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("c=1:0.2,0.4,1,9:#ff8800:step", [Key(1, "0.2,0.4,1"), Key(9, "#ff8800", "step")]),
        ("p=1:a red fox, in snow,50: a blue one", [Key(1, "a red fox, in snow"), Key(50, "a blue one")]),
        ("p=1:seen at 10:30", [Key(1, "seen at 10:30")]),
        ("v=5:1,1:0", [Key(1, "0"), Key(5, "1")]),
        ("v=-5:1, 0 : 2 : smoothstep", [Key(-5, "1"), Key(0, "2", "smoothstep")]),
        (
            "v=1:0,9:1:bezier(0.4,0,0.2,1),12:3",
            [Key(1, "0"), Key(9, "1", ["bezier", 0.4, 0.0, 0.2, 1.0]), Key(12, "3")],
        ),
        ("p=1:", [Key(1, "")]),
        ("c=1:#f00,20:0,0,1:step,30:1,1,1", [Key(1, "#f00"), Key(20, "0,0,1", "step"), Key(30, "1,1,1")]),
        ("v=1:0,0,20:5,6:bezier(0,0,1,1)", [Key(1, "0,0"), Key(20, "5,6", ["bezier", 0.0, 0.0, 1.0, 1.0])]),
        ("m=1:nearest,9:linear", [Key(1, "nearest"), Key(9, "linear")]),
    ],
)
def test_tracks(text: str, keys: list[Key]) -> None:
    assert parse_track(text)[1] == keys


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("denoise", "must be NAME=FRAME:VALUE"),
        ("=1:2", "must be NAME=FRAME:VALUE"),
        ("denoise=", "must be NAME=FRAME:VALUE"),
        ("denoise=0.5", "'0.5' is not FRAME:VALUE"),
        ("denoise=a:1", "'a:1' is not FRAME:VALUE"),
        ("denoise=1:0,1:1", "frame 1 is there twice"),
        ("denoise=1:0,9:1:bezier(0.4,0,1)", "must be bezier(x1,y1,x2,y2)"),
        ("denoise=1:0,9:1:bezier(a,b,c,d)", "must be bezier(x1,y1,x2,y2)"),
    ],
)
def test_no_tracks(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_track(text)
    assert words in str(caught.value)


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "denoise": [[1001, "0.3"], [1048, "0.8", "cubic_in_out"]],
                "prompt": [[1001, "a lake, at night"], [1030, "a hill"]],
            }
        )
    )
    (tmp_path / "a.csv").write_text(
        'frame,denoise,denoise:easing,prompt\n1001,0.3,,"a lake, at night"\n\n1048,0.8,cubic_in_out\n1030,,,a hill\n'
    )
    assert read_tracks(tmp_path / "a.json") == read_tracks(tmp_path / "a.csv")


def test_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    """Semicolons, a byte order mark, Windows' line ends, and a cell of two lines."""
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfFrame;blur;prompt\r\n1;0.5;"a\nb"\r\n9;1;\r\n')
    assert read_tracks(tmp_path / "a.csv") == {"blur": [Key(1, "0.5"), Key(9, "1")], "prompt": [Key(1, "a\nb")]}


def test_json_keeps_its_types(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"c": [[1.0, [1, 0, 0]], [5, "#ff0000", ["bezier", 0, 0, 1, 1]]], "n": [[0, 3]]}')
    tracks = read_tracks(tmp_path / "a.json")
    assert tracks == {"c": [Key(1, [1, 0, 0]), Key(5, "#ff0000", ["bezier", 0, 0, 1, 1])], "n": [Key(0, 3)]}
    assert not isinstance(tracks["c"][1].value, Text)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "", "must be a .json or a .csv file"),
        ("a.json", "[", "Expecting value"),
        ("a.json", "[]", "must be {parameter: [[frame, value, easing?], ...]}"),
        ("a.json", '{"a": []}', "a has no keys"),
        ("a.json", '{"a": 5}', "a: 5 is not [frame, value]"),
        ("a.json", '{"a": [[1.5, 0]]}', "a: [1.5, 0] is not [frame, value]"),
        ("a.json", '{"a": [[true, 0]]}', "a: [true, 0] is not"),
        ("a.json", '{"a": [[1e999, 0]]}', "is not [frame, value]"),
        ("a.json", '{"a": [[1, 0], [1, 2]]}', "frame 1 is there twice"),
        ("a.json", '{"a": [[1, 0], [5, 2, "ease"]]}', "easing 'ease' is not one of step, linear"),
        ("a.csv", "", "the first line must be frame,NAME"),
        ("a.csv", "frame\n1", "the first line must be frame,NAME"),
        ("a.csv", "frame,a,a\n", "the first line must be frame,NAME"),
        ("a.csv", "frame,a:easing\n1,x", "column 'a:easing' has no column 'a'"),
        ("a.csv", "frame,a\nx,1", "line 2 must begin with a frame"),
        ("a.csv", "frame,a\n1,2,3", "line 2 must begin with a frame and have at most 2 cells"),
        ("a.csv", "frame,a\n1,\n", "column 'a' has no values"),
        ("a.csv", "frame,a\n1,0\n1,2\n", "frame 1 is there twice"),
    ],
)
def test_no_files(tmp_path: Path, name: str, text: str, words: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_tracks(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't read"):
        read_tracks(tmp_path / "none.csv")


def test_two_tracks_of_one_parameter() -> None:
    with pytest.raises(ConfigError, match="blur has two tracks"):
        merge_tracks([("blur", [Key(1, 0)]), ("blur", [Key(2, 0)])])
