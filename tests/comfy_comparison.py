"""Compares what a ComfyUI-compatible server answers with what a recording says, field by field.

What differs from run to run is named here, and nothing else is left out: see VOLATILE_FIELDS, UNORDERED_LISTS,
VOLATILE_HEADERS and Names.
"""

import base64
import io
import json
import re
import struct
import uuid

import numpy as np
from PIL import Image

VOLATILE_FIELDS = {
    "timestamp": "the clock",
    "traceback": "the server's own code; it must be a list of text",
    "ram_total": "the machine",
    "ram_free": "the machine",
    "vram_total": "the machine",
    "vram_free": "the machine",
    "torch_vram_total": "the machine",
    "torch_vram_free": "the machine",
    "os": "the machine",
    "python_version": "the machine",
    "pytorch_version": "the machine",
    "argv": "how it was started",
    "required_frontend_version": "ComfyUI's packages",
    "installed_templates_version": "ComfyUI's packages",
    "required_templates_version": "ComfyUI's packages",
}
"""Fields of any JSON whose value may differ, but not its type."""

UNORDERED_LISTS = {
    "executed": "a set in ComfyUI",
    "current_outputs": "a set in ComfyUI",
    "errors": "inputs are checked in the order of a set in ComfyUI",
}
"""Lists whose order may differ. `details` of a refused prompt has a line for each bad output, in any order, and
`dependent_outputs` holds every bad output that ComfyUI's set of outputs gave it from there on: one must be common."""

VOLATILE_HEADERS = ("server", "etag", "content-length", "date")
"""content-length follows from the body, which is compared; `etag` must be there."""

TOLERANCE = 1
"""Pixels may differ by this much of 255."""

TOKEN = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # prompt ids
    r"|[0-9a-f]{32}"  # client ids
    r"|[\w%-]+_\d{5}_\.png"  # files that SaveImage and PreviewImage count
)
FOLDER = re.compile(r"'[^']*/(input|temp|output)/")
TENSOR = re.compile(r"^(tensor\(|\[\[)")


class Names:
    """What a recorded id, file name or prompt number is called in this run: learnt at first sight, then held to."""

    def __init__(self) -> None:
        self.actual: dict[str, str] = {}
        self.recorded: dict[str, str] = {}
        self.number_offset: int | None = None

    def bind(self, recorded: str, actual: str) -> bool:
        """Whether these two may stand for each other, as they then do for the rest of the recording."""
        if recorded in self.actual or actual in self.recorded:
            return self.actual.get(recorded) == actual
        if shape(recorded) != shape(actual):
            return False
        self.actual[recorded] = actual
        self.recorded[actual] = recorded
        return True

    def to_actual(self, text: str) -> str:
        """Recorded text as it is to be sent in this run; unknown ids get a fresh one."""

        def replace(match: re.Match[str]) -> str:
            token = match[0]
            if token not in self.actual and not token.endswith(".png"):
                fresh = uuid.uuid4()
                self.bind(token, fresh.hex if len(token) == 32 else str(fresh))
            return self.actual.get(token, token)

        return TOKEN.sub(replace, text)

    def same_text(self, recorded: str, actual: str) -> bool:
        """Whether two texts are equal but for what Names stands for and the folder of a path."""
        recorded, actual = FOLDER.sub(r"'<folder>/\1/", recorded), FOLDER.sub(r"'<folder>/\1/", actual)
        if TOKEN.sub("", recorded) != TOKEN.sub("", actual):
            return False
        pairs = zip(TOKEN.findall(recorded), TOKEN.findall(actual), strict=False)
        return all(self.bind(*pair) for pair in pairs) and len(TOKEN.findall(recorded)) == len(TOKEN.findall(actual))

    def same_number(self, recorded: float, actual: float) -> bool:
        """Whether two prompt numbers agree: given ones (float) exactly, counted ones (int) up to where it began."""
        if isinstance(recorded, float) or isinstance(actual, float):
            return type(recorded) is type(actual) and recorded == actual
        if (recorded < 0) != (actual < 0):
            return False
        if self.number_offset is None:
            self.number_offset = abs(actual) - abs(recorded)
        return abs(actual) - abs(recorded) == self.number_offset


def shape(token: str) -> str:
    """What an id or a counted file name must have in common with what stands for it."""
    if token.endswith(".png"):
        return re.sub(r"_temp_[a-z]{5}_\d{5}|_\d{5}_", "_*_", token)
    return re.sub(r"[0-9a-f]", "0", token)


def differences(recorded: object, actual: object, names: Names, path: str = "") -> list[str]:
    """One line for each place where two JSON values differ; types count: 0.0 is not 0."""
    field = re.sub(r"\[\d+\]$", "", path).rpartition(".")[2]
    if field in VOLATILE_FIELDS:
        same = type(recorded) is type(actual) or (None in (recorded, actual) and field.endswith("_version"))
        return [] if same else [f"{path}: {recorded!r} is now a {type(actual).__name__}"]
    if type(recorded) is not type(actual):
        return [f"{path}: {recorded!r} is now {actual!r}"]
    if isinstance(recorded, dict) and isinstance(actual, dict):
        return _dict_differences(recorded, actual, names, path)
    if isinstance(recorded, list) and isinstance(actual, list):
        return _list_differences(recorded, actual, names, path)
    if isinstance(recorded, str) and isinstance(actual, str):
        if "current_inputs" in path and TENSOR.match(recorded):
            return []  # torch's and numpy's way of writing an array
        if path == ".error.details":
            recorded, actual = ("\n".join(sorted(text.split("\n"))) for text in (recorded, actual))
        same = names.same_text(recorded, actual)
    elif path.endswith((".number", "prompt[0]")) or re.search(r"queue_\w+\[\d+\]\[0\]$", path):
        same = names.same_number(recorded, actual)  # type: ignore[arg-type]
    else:
        same = recorded == actual
    return [] if same else [f"{path}: {recorded!r} is now {actual!r}"]


def _dict_differences(recorded: dict, actual: dict, names: Names, path: str) -> list[str]:
    found: list[str] = []
    # A key may be an id, {prompt_id: history}: those not yet known are taken in their order.
    unknown = (key for key in actual if TOKEN.search(key) and key not in names.recorded)
    for key, value in recorded.items():
        other = key if key in actual else names.actual.get(key) or (TOKEN.search(key) and next(unknown, None)) or key
        if other not in actual or not names.same_text(key, other):
            found.append(f"{path}.{key}: missing")
        else:
            found += differences(value, actual[other], names, f"{path}.{key}")
    if len(actual) > len(recorded):
        found.append(f"{path}: has {sorted(actual)}, recorded {sorted(recorded)}")
    return found


def _list_differences(recorded: list, actual: list, names: Names, path: str) -> list[str]:
    field = path.rpartition(".")[2]
    if field == "dependent_outputs" and set(recorded) & set(actual):
        return []
    if len(recorded) != len(actual):
        return [f"{path}: {recorded!r} is now {actual!r}"]
    if field in UNORDERED_LISTS or re.search(r"(prompt|queue_\w+\[\d+\])\[4\]$", path):
        recorded, actual = sorted(recorded, key=_order), sorted(actual, key=_order)
    found: list[str] = []
    for index, pair in enumerate(zip(recorded, actual, strict=True)):
        found += differences(*pair, names, f"{path}[{index}]")
    return found


def _order(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps({"details": value.get("details"), "type": value.get("type")})
    return json.dumps(value)


def binary_differences(recorded: bytes, actual: bytes, names: Names) -> list[str]:
    """How two binary WebSocket messages differ: event number, header, picture."""
    kind = struct.unpack_from(">I", recorded)[0]
    if actual[:4] != recorded[:4]:
        return [f"event {kind} is now {actual[:4].hex()}"]
    if kind == 1:
        found = [] if recorded[4:8] == actual[4:8] else [f"format {recorded[4:8].hex()} is now {actual[4:8].hex()}"]
        return found + picture_differences(recorded[8:], actual[8:])
    (length,), (other,) = struct.unpack_from(">I", recorded, 4), struct.unpack_from(">I", actual, 4)
    header, other_header = recorded[8 : 8 + length], actual[8 : 8 + other]
    if kind == 4:
        found = differences(json.loads(header), json.loads(other_header), names)
        return found + picture_differences(recorded[8 + length :], actual[8 + other :])
    return [] if recorded == actual else [f"{recorded!r} is now {actual!r}"]


def picture_differences(recorded: bytes, actual: bytes, tolerance: int = TOLERANCE) -> list[str]:
    """How two picture files differ: format, mode, size, text chunks, and pixels beyond the tolerance."""
    try:
        with Image.open(io.BytesIO(recorded)) as one, Image.open(io.BytesIO(actual)) as other:
            facts = [(image.format, image.mode, image.size, sorted(image.info)) for image in (one, other)]
            if facts[0] != facts[1]:
                return [f"picture {facts[0]} is now {facts[1]}"]
            apart = np.abs(np.asarray(one, np.int32) - np.asarray(other, np.int32))
    except OSError:
        return [] if recorded == actual else ["a file that is no picture differs"]
    if apart.max() > tolerance:
        return [
            f"pixels differ by up to {apart.max()} of 255, {np.mean(apart > tolerance):.1%} by more than {tolerance}"
        ]
    return []


def answer_differences(recorded: dict, status: int, headers: dict, body: bytes, names: Names) -> list[str]:
    """How an HTTP answer differs from a `recv` line: status, the recorded headers, body."""
    found = [] if status == recorded["status"] else [f"status {recorded['status']} is now {status}: {body[:500]!r}"]
    for name, value in recorded["headers"].items():
        if name in VOLATILE_HEADERS:
            if name == "etag" and name not in headers:
                found.append("header etag: missing")
        elif headers.get(name) is None or not names.same_text(value, headers[name]):
            found.append(f"header {name}: {value!r} is now {headers.get(name)!r}")
    if "json" in recorded:
        try:
            return found + differences(recorded["json"], json.loads(body), names)
        except ValueError:
            return [*found, f"no JSON: {body[:200]!r}"]
    if "b64" in recorded:
        return found + picture_differences(base64.b64decode(recorded["b64"]), body)
    if "text" in recorded and body.decode() != recorded["text"]:
        found.append(f"text {recorded['text']!r} is now {body!r}")
    if recorded.get("body_len") == 0 and body:
        found.append(f"no body is now {body[:200]!r}")
    return found
