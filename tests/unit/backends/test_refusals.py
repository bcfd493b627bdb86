"""ComfyUI's words about failed prompts, as recorded, become one error that names the place."""

import pytest

from bridge.backends.refusals import execution_failure, history_failure, rejection
from bridge.codec.comfy_events import ExecutionError
from bridge.errors import ErrorCode


def node_error(kind, message, details, class_type="ImageBlur", **extra):
    error = {"type": kind, "message": message, "details": details, "extra_info": extra}
    return {"errors": [error], "dependent_outputs": ["9"], "class_type": class_type}


OUTPUTS_FAILED = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}

REJECTIONS = [
    (
        400,
        {
            "error": {**OUTPUTS_FAILED, "details": "", "extra_info": {}},
            "node_errors": {
                "2": node_error(
                    "value_bigger_than_max",
                    "Value 999 bigger than max of 31",
                    "blur_radius",
                    input_name="blur_radius",
                    received_value=999,
                )
            },
        },
        "ComfyUI rejected the prompt: node 2 (ImageBlur) input blur_radius: Value 999 bigger than max of 31",
        "blur_radius",
        999,
    ),
    (
        400,
        {
            "error": OUTPUTS_FAILED,
            "node_errors": {
                "4": node_error(
                    "value_not_in_list",
                    "Value not in list",
                    "upscale_method: 'nope' not in ['area']",
                    "ImageScale",
                    input_name="upscale_method",
                    received_value="nope",
                )
            },
        },
        "ComfyUI rejected the prompt: node 4 (ImageScale) input upscale_method: Value not in list: "
        "upscale_method: 'nope' not in ['area']",
        "upscale_method",
        "nope",
    ),
    (
        400,
        {
            "error": OUTPUTS_FAILED,
            "node_errors": {
                "1": node_error(
                    "custom_validation_failed",
                    "Custom validation failed for node",
                    "image - Invalid image file: nofile.png",
                    "LoadImage",
                    input_name="image",
                )
            },
        },
        "ComfyUI rejected the prompt: node 1 (LoadImage) input image: Custom validation failed for node: "
        "image - Invalid image file: nofile.png; send a picture for it first, or put the file into ComfyUI's input "
        "folder",
        "image",
        None,
    ),
    (
        400,
        {
            "error": {
                "type": "invalid_prompt",
                "message": "Cannot execute because node NoSuchNode does not exist.",
                "details": "Node ID '#2'",
            },
            "node_errors": {},
        },
        "ComfyUI rejected the prompt: Cannot execute because node NoSuchNode does not exist. Node ID '#2'; "
        "install the custom node that has it, or update ComfyUI",
        None,
        None,
    ),
    (
        400,
        {"error": {**OUTPUTS_FAILED, "details": ""}, "node_errors": {}},
        "ComfyUI rejected the prompt: Prompt outputs failed validation",
        None,
        None,
    ),
    (409, {"error": "duplicate prompt_id"}, "ComfyUI rejected the prompt: duplicate prompt_id", None, None),
    (400, {}, "ComfyUI rejected the prompt: status 400 without a reason", None, None),
    (400, {"error": 7, "node_errors": [1]}, "ComfyUI rejected the prompt: status 400 without a reason", None, None),
    (
        200,
        {
            "prompt_id": "c9a3",
            "node_errors": {"10": node_error("exception_during_validation", "Exception", "'77'", "SaveImageWebsocket")},
        },
        "ComfyUI rejected the prompt: node 10 (SaveImageWebsocket): Exception: '77'",
        None,
        None,
    ),
]


@pytest.mark.parametrize(("status", "content", "message", "field", "value"), REJECTIONS)
def test_rejections_name_node_input_and_value(status, content, message, field, value):
    error = rejection(status, content)
    assert (error.message, error.field, error.value) == (message, field, value)
    missing = "NoSuchNode" in message
    assert error.code is (ErrorCode.MISSING_NODE if missing else ErrorCode.PROMPT_REJECTED)
    assert not error.retry


def test_a_prompt_taken_whole_is_no_error():
    assert rejection(200, {"prompt_id": "x", "number": 1, "node_errors": {}}) is None
    assert rejection(200, {"prompt_id": "x"}) is None


def test_many_node_errors_are_shortened():
    content = {"node_errors": {str(n): node_error("t", "bad", "") for n in range(40)}}
    error = rejection(400, content)
    assert "and 13 more" in error.message
    assert len(error.detail) == 16


@pytest.mark.parametrize(
    "node_errors", [{"1": None}, {"1": {"errors": None}}, {"1": {"errors": [None]}}, {"1": {"errors": "x"}}, "x"]
)
def test_odd_node_errors_do_not_raise(node_errors):
    assert rejection(400, {"error": "bad", "node_errors": node_errors}).code is ErrorCode.PROMPT_REJECTED


def test_execution_error_names_node_class_and_exception():
    error = execution_failure(ExecutionError("p", "3", "LoadImage", "PIL.UnidentifiedImageError", "cannot identify\n"))
    assert error.code is ErrorCode.EXECUTION_FAILED
    assert error.message == "node 3 (LoadImage) failed: PIL.UnidentifiedImageError: cannot identify"
    assert error.detail["node_id"] == "3"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("torch.OutOfMemoryError", "HIP out of memory. Tried to allocate 2.00 GiB"),
        ("RuntimeError", "CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 18.10 GB, other allocations: 1.2 GB)"),
        ("RuntimeError", "Could not allocate tensor with 1073741824 bytes. There is not enough GPU video memory!"),
        ("MemoryError", "not enough memory"),
    ],
)
def test_out_of_memory_is_told_apart(kind, message):
    error = execution_failure(ExecutionError("p", "3", "KSampler", kind, message))
    assert error.code is ErrorCode.OUT_OF_MEMORY
    assert not error.retry  # that is for who counts the tries
    assert "smaller size" in error.message
    assert "--lowvram" in error.message


HISTORIES = [
    ({"status": {"status_str": "success", "messages": []}}, None),
    ({}, None),
    ({"status": {"status_str": "error", "messages": [["execution_interrupted", {}]]}}, ErrorCode.INTERRUPTED),
    (
        {"status": {"status_str": "error", "messages": [["execution_start", {}], ["execution_error", {"node_id": 3}]]}},
        ErrorCode.EXECUTION_FAILED,
    ),
    ({"status": {"status_str": "error", "messages": [7, ["x"], ["y", 1]]}}, ErrorCode.EXECUTION_FAILED),
    ({"status": {"status_str": "error"}}, ErrorCode.EXECUTION_FAILED),
]


@pytest.mark.parametrize(("entry", "code"), HISTORIES)
def test_history_tells_why_a_prompt_failed(entry, code):
    error = history_failure(entry)
    assert (error.code if error else None) == code
