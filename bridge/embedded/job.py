"""What a running node can do besides computing: report progress, show a picture or text, notice an interrupt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from bridge.embedded.files import FileStore


class InterruptedPromptError(Exception):
    """The prompt was interrupted. Not a fault: it ends as `execution_interrupted`."""


class Reporter(Protocol):
    """Where a node's reports go; implemented by the execution of its prompt."""

    def progress(self, node_id: str, value: int, maximum: int, picture: bytes | None) -> None:
        """`value` of `maximum` steps done, with a PNG or JPEG file or None. Raises InterruptedPromptError."""
        ...

    def step(self, share: float) -> None:
        """Wait for this share of the prompt's delay, as a model would take it. Raises InterruptedPromptError."""
        ...

    def binary(self, message: bytes) -> None:
        """A message of the node's own to the prompt's client, event number included. Raises InterruptedPromptError."""
        ...

    def text(self, node_id: str, text: str) -> None:
        """A line to show at the node."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one node. `max_pixels` bounds every batch that a node may make (images x height x width)."""

    node_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    files: FileStore
    reporter: Reporter
    preview_tag: str
    max_pixels: int
    prompt_id: str = ""

    def check_pixels(self, images: int, height: int, width: int) -> None:
        """Raises MemoryError when a batch is over `max_pixels`."""
        if images * height * width > self.max_pixels:
            raise MemoryError(f"{images} x {height} x {width} pixels > the embedded server's {self.max_pixels}")
