"""What somebody else wrote is shown by a terminal, and moves nothing in it."""

import json
import logging

import pytest

from bridge.cli import main
from bridge.cli.printing import PrintableFormatter, printable, say

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"


def test_what_a_terminal_acts_on_is_escaped() -> None:
    assert printable("a\x1b[2Jb\x07\x9b\r") == "a\\x1b[2Jb\\x07\\x9b\\r"
    assert printable("\u202eabc\u2066") == "\\u202eabc\\u2066"
    assert printable("\ud800") == "\\ud800"


def test_what_is_text_stays() -> None:
    text = "two\nlines\tand 日本語\u3000空 é 👩\u200d🚀"
    assert printable(text) == text


def test_log_lines() -> None:
    record = logging.LogRecord("bridge", logging.WARNING, "", 1, "node %s", (EVIL,), None)
    assert PrintableFormatter("%(message)s").format(record) == "node " + printable(EVIL)


def test_say(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"a{EVIL}")
    assert capsys.readouterr().out == "a" + printable(EVIL) + "\n"


@pytest.mark.parametrize("title", [f"{EVIL} words", f"@{EVIL}", f"@out {EVIL}"])
def test_a_workflow_from_elsewhere(title: str, tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    """Titles, texts, class names and file names are whoever's who made it."""
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": EVIL}},
        "3": {"class_type": "PrimitiveString", "inputs": {"value": EVIL}, "_meta": {"title": title}},
        "4": {"class_type": f"Text{EVIL}", "inputs": {"ckpt_name": f"{EVIL}.safetensors"}, "_meta": {"title": title}},
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.json").write_text(json.dumps(graph), encoding="utf-8")
    main(["workflows", "bind", "evil.json", "--recorded", "--into", "workflows"])
    for command in (["list"], ["show", "evil"]):
        main(["workflows", *command])
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert all(line == printable(line) for line in text.splitlines())
    assert told.out or told.err
