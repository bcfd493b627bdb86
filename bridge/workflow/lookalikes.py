"""Tells whether a JSON file is a workflow, and in which form ComfyUI wrote it."""

from __future__ import annotations

from enum import StrEnum

from bridge.errors import WorkflowError
from bridge.workflow.template import parse_json

MAX_DEPTH = 64
"""UI files hold subgraphs and whatever extensions keep there."""


class FileForm(StrEnum):
    """How ComfyUI wrote a workflow: *Workflow > Save*, or *Export (API)*."""

    UI = "ui"
    API = "api"


def file_form(data: bytes) -> FileForm | None:
    """Give the form of a workflow's file, None if it is none. Raises nothing, whatever the bytes are."""
    try:
        document = parse_json(data, MAX_DEPTH)
    except WorkflowError:
        return None
    if isinstance(document.get("nodes"), list) and isinstance(document.get("links"), list):
        return FileForm.UI
    nodes = [value for value in document.values() if isinstance(value, dict)]
    is_api = all(isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict) for node in nodes)
    return FileForm.API if nodes and is_api else None
