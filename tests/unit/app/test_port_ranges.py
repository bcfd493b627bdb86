"""Windows' table of reserved ports, in the languages that it comes in."""

from __future__ import annotations

import pytest

from bridge.app.doctor.port_ranges import parse_excluded_ranges, range_with

ENGLISH = """

Protocol tcp Port Exclusion Ranges

Start Port    End Port
----------    --------
      5357        5357
      9395        9494
     50000       50059     *
      1074        1173

* - Administered port exclusions.

"""

GERMAN = """

Portausschlussbereiche f\ufffdr das Protokoll "tcp"

Startport      Endport
----------    --------
        80          80
      9395        9494

* - Verwaltete Portausschl\ufffdsse.
"""

JAPANESE = """
\u30d7\u30ed\u30c8\u30b3\u30eb tcp \u30dd\u30fc\u30c8\u9664\u5916\u7bc4\u56f2

\u958b\u59cb\u30dd\u30fc\u30c8    \u7d42\u4e86\u30dd\u30fc\u30c8
----------    --------
      9395        9494
\u3000
* - \u7ba1\u7406\u3055\u308c\u305f\u30dd\u30fc\u30c8\u9664\u5916\u3002
"""


def test_the_english_table() -> None:
    found = parse_excluded_ranges(ENGLISH)
    assert found == (range(1074, 1174), range(5357, 5358), range(9395, 9495), range(50000, 50060))


@pytest.mark.parametrize("text", [GERMAN, JAPANESE, JAPANESE.replace("\n", "\r\n")])
def test_other_languages(text: str) -> None:
    assert range(9395, 9495) in parse_excluded_ranges(text)


def test_bytes_of_another_code_page() -> None:
    text = JAPANESE.encode("cp932").decode("ascii", "replace")
    assert parse_excluded_ranges(text) == (range(9395, 9495),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The following command was not found: int ipv4 show excludedportrange.",
        "9494 9395",
        "0 10",
        "60000 70000",
        "1 2 3",
        "12",
        "9395 9494 x",
        "999999999999999999 9999999999999999999",
    ],
)
def test_what_is_no_range_is_left_out(text: str) -> None:
    assert parse_excluded_ranges(text) == ()


@pytest.mark.parametrize(("port", "found"), [(9395, True), (9400, True), (9494, True), (9394, False), (9495, False)])
def test_both_ends_belong_to_the_range(port: int, found: bool) -> None:
    assert (range_with(port, parse_excluded_ranges(ENGLISH)) is not None) is found
