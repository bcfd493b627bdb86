"""A small ComfyUI-compatible server for a machine without one. Imports nothing of the rest of the bridge.

It runs the model-free nodes with numpy and Pillow and speaks ComfyUI's HTTP and WebSocket as recordings of a
real ComfyUI v0.3.64 show them (`tests/recordings`, `tests/conformance`). What it leaves out answers 404.
"""

from typing import Final

from bridge.embedded.catalog import CATALOG
from bridge.embedded.server import EmbeddedServer

__all__ = ["NODE_TYPES", "EmbeddedServer"]

NODE_TYPES: Final = frozenset(CATALOG)
"""Every `class_type` that the embedded server runs."""
