"""What others wrote (workflow files, OSC senders, ComfyUIs), put into a terminal that does nothing but show it."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final, TextIO

_ACTS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal, or turns the order of what is read: control characters but for tab and new line, and bidi."""


def printable(text: object) -> str:
    """Give a text with all that a terminal would act on escaped; lines stay lines."""
    return _ACTS.sub(lambda found: repr(found[0])[1:-1], str(text))


def say(text: object = "", *, file: TextIO | None = None) -> None:
    """Print a text of which parts may be somebody else's."""
    print(printable(text), file=sys.stdout if file is None else file)


class PrintableFormatter(logging.Formatter):
    """Log messages name workflows, nodes and what ComfyUI said."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, or the lines of a traceback."""
        return printable(super().format(record))
