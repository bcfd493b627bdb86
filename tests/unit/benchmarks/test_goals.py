"""The table of the benchmarks: how a goal is judged and told."""

import json
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
if str(REPOSITORY) not in sys.path:
    sys.path.append(str(REPOSITORY))

from benchmarks.goals import GOALS, Row, machine, median, percentile  # noqa: E402 - the folder above comes first


@pytest.mark.parametrize(
    ("found", "limit", "at_least", "holds"),
    [(1.2, 1.25, False, True), (1.3, 1.25, False, False), (31.0, 31.0, True, True)],
)
def test_a_row_says_whether_its_goal_holds(found: float, limit: float, at_least: bool, holds: bool) -> None:
    row = Row("P1", "png512", found, limit, sides="8 ms against 7 ms", at_least=at_least)
    assert row.holds is holds
    assert ("holds" if holds else "MISSED") in row.line()
    assert "8 ms against 7 ms" in row.line()
    assert json.loads(json.dumps(row.as_map()))["holds"] is holds


def test_medians_and_percentiles() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([]) == 0.0
    assert percentile([float(number) for number in range(100)], 0.99) == 99.0
    assert percentile([], 0.5) == 0.0


def test_every_goal_has_its_words_and_the_machine_its_line() -> None:
    assert all(words for words in GOALS.values())
    assert "\n" not in machine()
