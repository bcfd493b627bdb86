"""The ports that Windows keeps for itself, from what `netsh` prints."""

from __future__ import annotations

import re
from typing import Final

COMMANDS: Final = {
    "tcp": ("netsh", "int", "ipv4", "show", "excludedportrange", "protocol=tcp"),
    "udp": ("netsh", "int", "ipv4", "show", "excludedportrange", "protocol=udp"),
}

_ROW: Final = re.compile(r"\s*(\d{1,5})\s+(\d{1,5})\s*\*?\s*")


def parse_excluded_ranges(text: str) -> tuple[range, ...]:
    """Give the ranges of a table by `netsh int ipv4 show excludedportrange`, lowest first; ends are included.

    A row is two numbers and perhaps a star (excluded by an administrator). Everything else is words, which are in the
    language of the system, so they are not looked at. Rows that can't be ranges are left out.
    """
    found = []
    for line in text.splitlines():
        row = _ROW.fullmatch(line)
        if row is None:
            continue
        first, last = int(row[1]), int(row[2])
        if 0 < first <= last <= 65535:
            found.append(range(first, last + 1))
    return tuple(sorted(found, key=lambda ports: (ports[0], ports[-1])))


def range_with(port: int, ranges: tuple[range, ...]) -> range | None:
    """Give the first of these ranges that has the port, or None."""
    return next((ports for ports in ranges if port in ports), None)
