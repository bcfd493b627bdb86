"""What docs/ says, next to something that fails when it goes wrong: links, commands, ports, OSC addresses."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bridge.app.config.config import Config, parse_listen, user_config_folder
from bridge.app.doctor.orientation import ENGINES
from bridge.app.serve import make_library
from bridge.cli import COMMANDS, make_parser

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
TYPED = ("install.md", "ja/quickstart.md")
"""Pages whose every command is held to the command line."""


def commands(page: str) -> list[str]:
    """Every `texbridge ...` of a page's shell blocks, without its comment."""
    blocks = re.findall(r"^ *```(?:sh|powershell)\n(.*?)^ *```", PAGES[page], re.M | re.S)
    lines = [line.strip().partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("texbridge ")]


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (DOCS / page).parent / path if path else DOCS / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", TYPED)
def test_every_command_is_one_that_the_command_line_takes(page: str) -> None:
    typed = commands(page)
    assert len(typed) >= 4
    for line in typed:
        words = shlex.split(line)[1:]
        assert words[0] in COMMANDS, line
        make_parser(words[0]).parse_args(words)  # ends the test with SystemExit if it is bad use


@pytest.mark.parametrize("page", TYPED)
def test_options_and_commands_in_sentences_are_there(page: str) -> None:
    for line in re.findall(r"`(?:texbridge )?((?:serve|doctor|demo|workflows)(?: [^`]+)?)`", PAGES[page]):
        words = shlex.split(line)
        known = " ".join(make_parser(words[0]).format_help().split())
        assert words[0] in known
        if words[1:] and not {"C:\\show\\texbridge.toml"} & set(words):
            make_parser(words[0]).parse_args([*words, *(["x"] if words[-1] == "--comfy" else [])])


@pytest.mark.parametrize("page", TYPED)
def test_ports_are_the_defaults(page: str) -> None:
    config = Config()
    ports = [parse_listen(getattr(config, door).listen, door)[1] for door in ("osc", "link", "tcp", "http")]
    for port in ports:
        assert str(port) in PAGES[page]
    others = set(re.findall(r"\b9[45]\d\d\b", PAGES[page])) - {str(port) for port in ports}
    assert others <= {"9500"}, "9500 is the example of a controller's own port"


def test_osc_addresses_of_the_japanese_page_are_there() -> None:
    library, _ = make_library((), log_errors=False)
    spec = library.get("gradient").spec
    known = {parameter.name for parameter in spec.parameters}
    known |= {"run", "live", "seed", "status", "frame", "error"}
    page = PAGES["ja/quickstart.md"]
    found = set(re.findall(r"/texbridge/main/([a-z_]+)", page))
    assert {"noise", "top_left", "prompt", "seed", "run", "live"} <= found
    assert found <= known
    assert set(re.findall(r"/texbridge/([a-z_]+)(?![a-z_/])", page)) <= {"panic", "resume", "reply", "error"}


def test_the_configuration_folders_are_as_said() -> None:
    page = PAGES["install.md"]
    home = {"HOME": "/home/me", "USERPROFILE": "/home/me", "APPDATA": "/appdata"}
    for platform, words in (
        ("win32", "%APPDATA%\\texbridge\\texbridge.toml"),
        ("darwin", "~/Library/Application Support/texbridge/texbridge.toml"),
        ("linux", "~/.config/texbridge/texbridge.toml"),
    ):
        assert words in page
        folder = user_config_folder(home, platform).as_posix()
        expected = words.replace("\\", "/").replace("%APPDATA%", "/appdata").replace("~", "/home/me")
        assert f"{folder}/texbridge.toml" == expected


def test_what_unity_is_told_is_what_doctor_says() -> None:
    unity = next(engine for engine in ENGINES if engine.name == "Unity")
    page = PAGES["ja/quickstart.md"]
    assert f'format: "{unity.format}"' in page
    assert f'origin: "{unity.origin}"' in page


def test_nobody_is_told_that_windows_was_tried() -> None:
    assert "Windows and macOS themselves were not run" in PAGES["install.md"].replace("\n> ", " ")
    assert "Windows と macOS の実機では確認していません" in PAGES["ja/quickstart.md"]
