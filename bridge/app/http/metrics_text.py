"""The text format that Prometheus reads, version 0.0.4: families of samples, written out.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final, Literal

PREFIX: Final = "texbridge_"

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


class MetricsText:
    """Collects samples by family; `str()` gives the page. Families stand in the order of their first sample."""

    def __init__(self) -> None:
        self._heads: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}

    def gauge(self, name: str, words: str, value: float | None, **labels: str) -> None:
        """A value that goes up and down; None leaves the sample out."""
        self._add("gauge", name, words, name, value, labels)

    def counter(self, name: str, words: str, value: float | None, **labels: str) -> None:
        """A total since the start; `name` ends in `_total`. None leaves the sample out."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        self._add("counter", name, words, name, value, labels)

    def histogram(self, name: str, words: str, buckets: Mapping[float, int], total: float) -> None:
        """A distribution: `buckets` count what was at most their bound, not cumulated, the last bound is infinity."""
        counted = 0
        for bound, count in buckets.items():
            counted += count
            self._add("histogram", name, words, f"{name}_bucket", counted, {"le": _number(bound)})
        self._add("histogram", name, words, f"{name}_sum", total, {})
        self._add("histogram", name, words, f"{name}_count", counted, {})

    def _add(
        self,
        kind: Literal["gauge", "counter", "histogram"],
        family: str,
        words: str,
        name: str,
        value: float | None,
        labels: Mapping[str, str],
    ) -> None:
        if value is None:
            return
        for part in (name, *labels):
            if not _NAME.fullmatch(part):
                raise ValueError(f"not a name: {part!r}")
        if family not in self._heads:
            told = words.replace("\\", r"\\").replace("\n", r"\n")
            self._heads[family] = f"# HELP {PREFIX}{family} {told}\n# TYPE {PREFIX}{family} {kind}\n"
            self._lines[family] = []
        given = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        braces = f"{{{given}}}" if given else ""
        self._lines[family].append(f"{PREFIX}{name}{braces} {_number(value)}\n")

    def __str__(self) -> str:
        return "".join(head + "".join(self._lines[family]) for family, head in self._heads.items())


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(value) if isinstance(value, float) else str(int(value))
