"""Frame numbers as farms spell them, and chunks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.render.frame_numbers import Chunk, frames_text, parse_chunk, parse_frames


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("1001", (1001,)),
        ("0", (0,)),
        ("1001-1004", (1001, 1002, 1003, 1004)),
        ("1001-1008x3", (1001, 1004, 1007)),
        ("1010,1001-1003, 1002", (1001, 1002, 1003, 1010)),
        ("1-3 7", (1, 2, 3, 7)),
        ("5-5x9", (5,)),
    ],
)
def test_frames(text: str, frames: tuple[int, ...]) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no frame"),
        (" , ", "names no frame"),
        ("1001-", "'1001-' is not a frame"),
        ("a-b", "'a-b' is not a frame"),
        ("-5", "'-5' is not a frame"),
        ("1-9x0", "a step of 0"),
        ("1100-1001", "runs backwards; write 1001-1100"),
        ("1-1000000", "more than 100,000 frames"),
        ("1-99999,200000-299999", "are over 100,000"),
        ("1001-1100y2", "as in 1001-1100x2"),
    ],
)
def test_no_frames(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_frames(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([3, 1, 2], "1-3"),
        ([1, 3, 5, 7], "1-7x2"),
        ([1, 5], "1,5"),
        ([1, 2, 3, 9, 11, 12], "1-3,9,11-12"),
    ],
)
def test_shortest_spelling(frames: list[int], text: str) -> None:
    assert frames_text(frames) == text


@given(st.sets(st.integers(0, 200)))
def test_spelling_and_back(frames: set[int]) -> None:
    text = frames_text(frames)
    assert (parse_frames(text) if text else ()) == tuple(sorted(frames))


@given(st.integers(0, 300), st.integers(1, 40))
def test_chunks_are_the_whole(count: int, chunks: int) -> None:
    frames = tuple(range(1001, 1001 + count))
    taken = [Chunk(place, chunks).take(frames) for place in range(1, chunks + 1)]
    assert sum(taken, ()) == frames
    assert max(map(len, taken)) - min(map(len, taken)) <= 1


def test_chunk_in_words() -> None:
    chunk = parse_chunk(" 2/4")
    assert (chunk, str(chunk), chunk.word) == (Chunk(2, 4), "2/4", "2of4")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/4", ""])
def test_no_chunk(text: str) -> None:
    with pytest.raises(ConfigError, match="PLACE/COUNT"):
        parse_chunk(text)
