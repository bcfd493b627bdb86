"""ComfyUI's own words about a failed prompt, turned into one `BackendError` that names node, input and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.codec.comfy_events import ExecutionError
from bridge.errors import BackendError, ErrorCode

_MOST_DETAILS: Final = 16
_OUT_OF_MEMORY: Final = (
    "outofmemory",  # torch.OutOfMemoryError, torch.cuda.OutOfMemoryError
    "out of memory",  # CUDA, HIP, MPS backend, Intel's XPU
    "allocation on device",  # ComfyUI's own, and cudaMallocAsync's
    "not enough memory",  # DefaultCPUAllocator
    "not enough gpu video memory",  # DirectML
    "could not allocate tensor",  # DirectML
    "alloc_failed",  # cuBLAS, cuDNN
)

MEMORY_ADVICE: Final = (
    "take a smaller size or batch, a smaller model, or start ComfyUI with --lowvram; close other programs that use "
    "the GPU"
)


def rejection(status: int, content: Mapping[str, Any]) -> BackendError | None:
    """The error in an answer to POST /prompt; None if the prompt was taken whole.

    A 200 that carries `node_errors` took one output and left another: an error too. `detail` lists up to 16 of
    `{node_id, class_type, type, message, input, value}`. `field` and `value` are those of the first.
    """
    details = _details(content.get("node_errors"))
    if status == 200 and not details:
        return None
    words: list[str] = []
    for detail in details[:3]:
        place = f"node {detail['node_id']} ({detail['class_type']})"
        if detail["input"]:
            place += f" input {detail['input']}"
        line = f"{place}: {detail['message']}"
        if detail["value"] is not None and repr(detail["value"]) not in line and str(detail["value"]) not in line:
            line += f" (given {_short(detail['value'])})"
        words.append(line)
    if len(details) > 3:
        words.append(f"and {len(details) - 3} more")
    if not words:
        words.append(_error_words(content.get("error")) or f"status {status} without a reason")
    if any("Invalid image file" in detail["message"] for detail in details):
        words.append("send a picture for it first, or put the file into ComfyUI's input folder")
    missing = _is_missing_node(content.get("error"))
    if missing:
        words.append("install the custom node that has it, or update ComfyUI")
    first = details[0] if details else {"input": None, "value": None}
    return BackendError(
        "ComfyUI rejected the prompt: " + "; ".join(words),
        code=ErrorCode.MISSING_NODE if missing else ErrorCode.PROMPT_REJECTED,
        field=first["input"],
        value=first["value"],
        detail=details,
    )


def execution_failure(event: ExecutionError) -> BackendError:
    """The error of a node that failed: OUT_OF_MEMORY, or EXECUTION_FAILED. No traceback."""
    said = event.exception_message.strip()[:400]
    place = f"node {event.node_id} ({event.node_type})"
    told = f"{event.exception_type} {said}".lower()
    detail = {
        "node_id": event.node_id,
        "class_type": event.node_type,
        "exception_type": event.exception_type,
        "message": said,
    }
    if any(words in told for words in _OUT_OF_MEMORY):
        return BackendError(
            f"ComfyUI ran out of memory in {place}: {MEMORY_ADVICE}. It said: {_first_line(said)}",
            code=ErrorCode.OUT_OF_MEMORY,
            detail=detail,
        )
    return BackendError(
        f"{place} failed: {event.exception_type}: {said}", code=ErrorCode.EXECUTION_FAILED, detail=detail
    )


def interruption() -> BackendError:
    """The error of a prompt that somebody else interrupted."""
    return BackendError("the prompt was interrupted at ComfyUI, not by this bridge", code=ErrorCode.INTERRUPTED)


def history_failure(entry: Mapping[str, Any]) -> BackendError | None:
    """The error that a history entry tells of; None for a success."""
    status = entry.get("status")
    if not isinstance(status, dict) or status.get("status_str") != "error":
        return None
    for message in status.get("messages") or ():
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[1], dict):
            continue
        kind, data = message
        if kind == "execution_interrupted":
            return interruption()
        if kind == "execution_error":
            texts = {name: str(data.get(name) or "") for name in ("exception_type", "exception_message")}
            return execution_failure(
                ExecutionError("", str(data.get("node_id")), str(data.get("node_type")), *texts.values())
            )
    return BackendError("the prompt failed at ComfyUI, its history doesn't say why", code=ErrorCode.EXECUTION_FAILED)


def _details(node_errors: object) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if not isinstance(node_errors, dict):
        return details
    for node_id, report in node_errors.items():
        if not isinstance(report, dict):
            continue
        errors = report.get("errors")
        for error in errors if isinstance(errors, list) and errors else [{}]:
            if not isinstance(error, dict) or len(details) >= _MOST_DETAILS:
                continue
            info = error.get("extra_info")
            extra: dict[str, Any] = info if isinstance(info, dict) else {}
            message = str(error.get("message") or "can't be used")
            told = str(error.get("details") or "")
            name = extra.get("input_name")
            if told and told != name and told not in message:
                message = f"{message}: {told}"
            details.append(
                {
                    "node_id": str(node_id),
                    "class_type": str(report.get("class_type")),
                    "type": str(error.get("type") or ""),
                    "message": message[:400],
                    "input": name if isinstance(name, str) else None,
                    "value": extra.get("received_value"),
                }
            )
    return details


def _is_missing_node(error: object) -> bool:
    """True if ComfyUI has no such node class: `invalid_prompt`, "Cannot execute because node X does not exist."

    Newer ones (read) say `missing_node_type`.
    """
    if not isinstance(error, dict):
        return False
    kind, message = str(error.get("type") or ""), str(error.get("message") or "")
    return kind == "missing_node_type" or (kind == "invalid_prompt" and message.endswith("does not exist."))


def _error_words(error: object) -> str:
    if isinstance(error, str):
        return error[:400]
    if not isinstance(error, dict):
        return ""
    message, told = str(error.get("message") or ""), str(error.get("details") or "")
    kind = str(error.get("type") or "")
    if told and told != message:
        message = f"{message} {told}".strip()
    return (message or kind)[:400]


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()[:200] or "nothing"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
