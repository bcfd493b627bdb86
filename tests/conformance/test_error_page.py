"""`protocols/errors.md` and `bridge.errors.ErrorCode` say the same."""

from __future__ import annotations

import re

from vectors import PROTOCOLS, VECTORS

from bridge.errors import ErrorCode

PAGE = (PROTOCOLS / "errors.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d{3}) \| `([a-z0-9_]+)` \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def rows(page: str) -> dict[int, str]:
    found = [(int(match[1]), match[2]) for match in ROW.finditer(page)]
    assert len(dict(found)) == len(found), "a code stands twice"
    return dict(found)


def test_page_and_enumeration_are_the_same() -> None:
    assert rows(PAGE) == {int(code): code.word for code in ErrorCode}


def test_codes_stand_under_their_band_in_order() -> None:
    band, before = 0, 0
    for line in PAGE.splitlines():
        if heading := re.match(r"## (\d)xx ", line):
            band = int(heading[1])
        elif row := ROW.match(line):
            code = int(row[1])
            assert code // 100 == band, line
            assert code > before, line
            before = code
    assert band == 6


def test_a_changed_page_is_seen() -> None:
    right = {int(code): code.word for code in ErrorCode}
    assert rows(PAGE.replace("`stream_exists`", "`stream_there`")) != right
    assert rows(re.sub(r"^\| 405 .*\n", "", PAGE, flags=re.MULTILINE)) != right
    assert rows(PAGE + "\n| 699 | `new` | x | y |\n") != right


def test_fatal_codes_of_the_page_are_those_that_close_a_connection() -> None:
    """What `links` closes with: the framing and the greeting. `test_link_connection` has each over real sockets."""
    (sentence,) = re.findall(r"\*\*Fatal\*\* are(.*?fatal\.)", PAGE, re.DOTALL)
    fatal = {int(code) for code in re.findall(r"\b\d{3}\b", sentence)}
    assert fatal == {101, 102, 104, 105, 107, 111, 401, 402, 407, 409, 601, 603}
    assert "until `hello` is answered every other error too" in sentence


def test_codes_in_other_pages_and_vectors_have_their_names() -> None:
    """Where a page says ``404 `stream_exists` `` or a vector `error 103 bad_frame`, number and word belong together."""
    seen = 0
    for path in [*PROTOCOLS.glob("*.md"), *VECTORS.glob("*/*.hex")]:
        for code, word in re.findall(r"\berror (\d{3}) `?([a-z_]+)", path.read_text(encoding="utf-8")):
            assert ErrorCode(int(code)).word == word, path.name
            seen += 1
    assert seen > 50
