"""The layer table of ARCHITECTURE.md, held by reading every import in the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bridge

PACKAGE = Path(bridge.__file__).parent
PURE = ("codec", "workflow", "streams", "scheduler", "delivery")
IO = ("links", "backends", "embedded", "frames")
BASE = ("types", "errors")
ALLOWED: dict[str, tuple[str, ...]] = {
    "types": (),
    "errors": (),
    "whole_files": (),
    **dict.fromkeys(PURE, BASE),
    "links": (*PURE, *BASE),
    "backends": (*PURE, *BASE),
    "frames": (*PURE, *BASE),
    "embedded": (),
    "app": (*IO, *PURE, "whole_files", *BASE),
    "client": ("codec", *BASE),
    "render": ("client", "codec", "streams", "whole_files", *BASE),
    "cli": ("app", "client", "render", "embedded", "codec", "workflow", "whole_files", *BASE),
    "__main__": ("cli",),
}
IMPURE_MODULES = {"asyncio", "socket", "time", "os", "logging", "threading", "subprocess", "random", "secrets"}


def area(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Every module that a file imports at run time or for types, as absolute names."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.append(node.module)
            if node.module == "bridge":
                found[-1:] = [f"bridge.{alias.name}" for alias in node.names]
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    own = area(path)
    if own == "__init__":
        return
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "bridge":
            target = parts[1] if len(parts) > 1 else "__init__"
            if target in (own, "__version__"):
                continue
            assert target in ALLOWED[own], f"{path.name} ({own}) imports {module}; {own} may import {ALLOWED[own]}"
        elif own in PURE:
            assert parts[0] not in IMPURE_MODULES, f"{path.name} is pure and imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_readable(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 500, f"{path.name} has {lines} lines: split it by what it is about"
