"""What the pages of `protocols/` say, next to something that fails when it goes wrong."""

from __future__ import annotations

import re
import struct
import tomllib

import pytest
from vectors import PROTOCOLS

from bridge.codec import frame, parts
from bridge.codec.messages import MessageLimits
from bridge.codec.osc import OscLimits
from bridge.codec.payloads import BLOCK_FORMATS, PAYLOAD_FORMATS
from bridge.scheduler.policy import waiting_limit
from bridge.streams.controls import STREAM_WORDS
from bridge.streams.names import RESERVED_STREAMS
from bridge.streams.requests import KEEP_ANSWER_S, MAX_KEYS
from bridge.types import (
    BYTES_PER_PIXEL,
    Curve,
    Fill,
    Fit,
    FrameFlags,
    Mode,
    OutputKind,
    ParameterType,
    PixelFormat,
    StreamState,
)
from bridge.workflow.binding_file import parse_binding_file
from bridge.workflow.names import RESERVED_PARAMETERS
from bridge.workflow.picture_rules import PICTURE_KEYS
from bridge.workflow.titles import kind_of_name

PAGES = {path.name: path.read_text(encoding="utf-8") for path in PROTOCOLS.glob("*.md")}
PAGES["vectors/README.md"] = (PROTOCOLS / "vectors" / "README.md").read_text(encoding="utf-8")
WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings as Markdown viewers make them."""
    titles = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_links_lead_somewhere(name: str) -> None:
    folder = (PROTOCOLS / name).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else (PROTOCOLS / name).resolve()
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def layout(page: str, heading: str) -> list[tuple[int, str, str]]:
    """(offset, type, field) of the first table of offsets below a heading."""
    text = page.partition(f"\n## {heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)*^\| offset .*\n\|[-|]+\n((?:^\|.*\n)+)", text, flags=re.MULTILINE)
    assert table is not None
    rows = re.findall(r"^\| (\d+) \| (\S+) \| (?:`?(\w*)`?)", table[1], flags=re.MULTILINE)
    return [(int(offset), kind, field) for offset, kind, field in rows]


@pytest.mark.parametrize(
    ("heading", "size", "codec"),
    [("Frame", frame.HEADER_BYTES, frame._HEADER), ("Parts", parts.HEADER_BYTES, parts._HEADER)],
)
def test_header_tables_have_no_gap_and_are_the_codecs(heading: str, size: int, codec: struct.Struct) -> None:
    rows = layout(PAGES["frame.md"], heading)
    at = 0
    letters = ""
    for offset, kind, field in rows:
        assert offset == at, field
        match = re.fullmatch(r"(u\d+)(?:\[(\d+)\])?", kind)
        assert match is not None, kind
        at += WIDTHS[match[1]] * int(match[2] or 1)
        letters += f"{match[2]}s" if match[2] else {"u8": "B", "u16": "H", "u32": "I", "u64": "Q"}[match[1]]
        assert match[2] or offset % WIDTHS[match[1]] == 0, "a C struct would have padding here"
    assert at == size == struct.calcsize("<" + letters)
    assert codec.format == "<" + letters


def test_flags() -> None:
    rows = re.findall(r"^\| (\d+) \| ([a-z_]+) \| ", PAGES["frame.md"], flags=re.MULTILINE)
    assert {int(mask): name for mask, name in rows} == {flag.value: (flag.name or "").lower() for flag in FrameFlags}


def test_formats() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `(\w+)` \| ([^|]+) \|.*\| (yes|extra `\[bc\]`) \|$", PAGES["registry.md"], flags=re.MULTILINE
    )
    assert {int(number): name for number, name, _, _ in rows} == {int(form): form.word for form in PixelFormat}
    for number, _, size, here in rows:
        form = PixelFormat(int(number))
        assert (here == "yes") == (form in PAYLOAD_FORMATS), form
        assert (here != "yes") == (form in BLOCK_FORMATS), form
        if form in BYTES_PER_PIXEL:
            assert size == f"{BYTES_PER_PIXEL[form]} / pixel"
        elif form not in (PixelFormat.JPEG, PixelFormat.PNG):
            assert size == f"{frame.tight_row_pitch(form, 4)} / 4x4 block"
    named = re.findall(
        r"^\| ((?:`\w+` ?)+)\|", PAGES["registry.md"].partition("## Names in engines")[2], flags=re.MULTILINE
    )
    assert {word for cell in named for word in re.findall(r"\w+", cell)} == {form.word for form in PixelFormat}


def test_limits_of_messages_and_packets() -> None:
    limits, osc = MessageLimits(), OscLimits()
    words = f"At most {limits.max_depth} levels of maps and lists, {limits.max_nodes:,} keys, values and items."
    assert words in PAGES["engine-link.md"]
    assert (
        f"more than {limits.max_depth} levels of maps and lists, more than {limits.max_nodes:,} keys"
        in PAGES["errors.md"]
    )
    for row in (
        f"| bytes of a datagram in | {osc.max_packet_bytes:,} |",
        f"| bundles in bundles | {osc.max_bundle_depth} deep |",
        f"| messages and bundles in one datagram | {osc.max_elements:,} |",
        f"| arguments of a message | {osc.max_arguments:,} |",
        f"| arrays in arrays | {osc.max_array_depth} deep |",
    ):
        assert row in PAGES["osc.md"]


def test_limits_of_waiting_runs_and_keys() -> None:
    link = PAGES["engine-link.md"]
    modes = link.partition("## Modes\n")[2]
    for mode in (Mode.ONESHOT, Mode.LIVE):
        row = re.search(rf"^\| `{mode}` \|.* at most ([\d,]+) wait, then error 405 ", modes, flags=re.MULTILINE)
        assert row is not None
        assert int(row[1].replace(",", "")) == waiting_limit(mode)
    assert f"for at most {MAX_KEYS:,} keys a session" in link
    assert f"until {KEEP_ANSWER_S:.0f} s after the terminal answer" in link


def test_words() -> None:
    link, osc, binding = PAGES["engine-link.md"], PAGES["osc.md"], PAGES["workflow-binding.md"]
    states = set(StreamState)
    assert set(re.findall(r"\w+", osc.partition("`/texbridge/<stream>/status` | s | ")[2].partition(":")[0])) == states
    assert " ".join(StreamState).split() == link.partition("`state` is one of `")[2].partition("`")[0].split()
    listed = link.partition("`[A-Za-z0-9_-]{1,64}`, not `")[2].partition("`")[0].split()
    assert set(listed) == RESERVED_STREAMS
    listed = binding.partition("NAME: `[a-z][a-z0-9_]{0,63}`; not `")[2].partition("`")[0].split()
    assert set(listed) == set(RESERVED_PARAMETERS)
    for word in STREAM_WORDS:
        assert f"`/texbridge/<stream>/{word}`" in osc or f"`/{word}`" in osc, word
    types = link.partition("## Values\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| ([^|]+) \|", types, flags=re.MULTILINE)))) == set(
        ParameterType
    )


def test_the_binding_example_is_one() -> None:
    example = re.search(r"```toml\n(.*?)```", PAGES["workflow-binding.md"], flags=re.DOTALL)
    assert example is not None
    binding = parse_binding_file(example[1].encode())
    assert list(binding.parameters) == ["blur", "top", "offset", "prompt"]
    assert [output.name for output in binding.outputs] == ["image", "depth"]
    document = tomllib.loads(example[1])
    keys = {key for table in document["parameters"].values() for key in table}
    section = PAGES["workflow-binding.md"].partition("### [parameters.NAME]")[2].partition("### Types")[0]
    described = re.findall(r"^\| ((?:`\w+`[, or]*)+) \|", section, flags=re.MULTILINE)
    names = {word for cell in described for word in re.findall(r"`(\w+)`", cell)}
    assert keys <= names
    for name in names - {"input", "inputs"}:
        value = {"choices": '["a"]', "multiline": "true", "type": '"int"', "curve": '"log"', "out_of_range": '"reject"'}
        text = value.get(name, "1" if name in ("min", "max", "step", "default") else '"x"')
        parse_binding_file(f'[parameters.a]\ninput = "1.b"\n{name} = {text}\n'.encode())


def test_keys_of_pictures_in_the_binding() -> None:
    section = PAGES["workflow-binding.md"].partition("### Pictures")[2].partition("### [outputs.NAME]")[0]
    keys = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, flags=re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(keys)) == list(PICTURE_KEYS)
    assert f"| `fit` | `none` {' '.join(f'`{word}`' for word in Fit)} |" in section
    for word in Fill:
        assert f"`{word}`" in section
    example = re.search(r"```toml\n(.*?)```", section, flags=re.DOTALL)
    assert example is not None
    assert parse_binding_file(example[1].replace("[parameters.depth]", '[parameters.depth]\ninput = "1.a"').encode())


def test_words_of_the_binding() -> None:
    page = PAGES["workflow-binding.md"]
    assert f"| `curve` | {' '.join(f'`{word}`' for word in Curve)} |" in page
    assert f"| `kind` | {' '.join(f'`{word}`' for word in OutputKind)} |" in page
    types = page.partition("### Types\n")[2].partition("\n### ")[0]
    first = " ".join(re.findall(r"^\| ([^|]+) \|", types, flags=re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first)) == set(ParameterType)
    for word in ("mask", "alpha", "matte"):
        assert f"`{word}`" in page
        assert kind_of_name(f"my_{word}") is OutputKind.MASK
    for word in ("depth", "normals", "data", "flow", "position"):
        assert kind_of_name(word) is OutputKind.DATA
