"""Readers in C++ and C#, written from the page, against the bridge's own writer, which has no regard for them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "shared_memory"
STRESS = Path(__file__).parents[1] / "shared_memory_stress.py"
LIMIT_S = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="txb") as name:
        yield Path(name)


def cpp(folder: Path) -> list[str]:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed")
    program = folder / "reader"
    subprocess.run(
        [compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", str(HERE / "reader.cpp"), "-o", str(program)],
        check=True,
    )
    return [str(program)]


def csharp(folder: Path) -> list[str]:
    compiler, runtime = shutil.which("mcs"), shutil.which("mono")
    if compiler is None or runtime is None:
        pytest.skip("mono is not installed")
    program = folder / "Reader.exe"
    references = ["-r:System.dll", "-r:System.Core.dll"]
    subprocess.run([compiler, *references, f"-out:{program}", str(HERE / "Reader.cs")], check=True)
    return [runtime, str(program)]


@pytest.mark.parametrize("build", [cpp, csharp])
def test_an_engine_reads_whole_pictures_alone(build, folder: Path) -> None:  # type: ignore[no-untyped-def]
    command = build(folder)
    with ExitStack() as stack:

        def start(*command: object) -> subprocess.Popen[str]:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
            child = subprocess.Popen([str(word) for word in command], **pipes)  # type: ignore[call-overload]
            stack.callback(child.wait)
            stack.callback(child.kill)
            for pipe in (child.stdin, child.stdout):
                stack.callback(pipe.close)
            return child

        reader = start(*command, 100)
        port = int(reader.stdout.readline())
        writer = start(sys.executable, STRESS, "writer", folder / "memory", port)
        memory = json.loads(writer.stdout.readline())
        told = "{file} {nonce} {slots} {stride}\n".format(**memory)
        seen = json.loads(reader.communicate(told, timeout=LIMIT_S)[0])
    assert seen["wrong"] == 0, seen
    assert seen["accepted"] == 100


@pytest.mark.parametrize("build", [cpp, csharp])
def test_an_engine_refuses_another_file(build, folder: Path) -> None:  # type: ignore[no-untyped-def]
    command = build(folder)
    (folder / "other").write_bytes(b"TXBS\1\0" + bytes(50_000))
    answer = subprocess.run(
        [*command, "1"], input=f"{folder / 'other'} 1 4 4096\n", capture_output=True, text=True, encoding="utf-8"
    )
    assert "error" in answer.stdout
    assert answer.returncode == 1
