"""What Windows and macOS don't have stands nowhere, or in the one place that has a way without it.

Windows itself is not at hand in these tests: this reads every module, and fakes elsewhere play its part.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import signal
import threading
from pathlib import Path

import pytest

import bridge
from bridge.app.serve import catch_signals

PACKAGE = Path(bridge.__file__).parent
REPOSITORY = PACKAGE.parent
FILES = [path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts]
FILES += [path for path in (REPOSITORY / "dev.py",) if path.is_file()]

UNIX_MODULES = {"fcntl", "grp", "pwd", "posix", "pty", "resource", "syslog", "termios", "tty", "uvloop"}
ALLOWED_MODULES = {
    "links/memory_folder.py": {"fcntl"},  # on Windows it locks with msvcrt
    "app/pool/restart_output.py": {"fcntl"},  # Windows' programs print where they were
}
UNIX_CALLS = {
    "add_signal_handler": {"app/serve.py"},
    "remove_signal_handler": {"app/serve.py"},
    "add_reader": set(),
    "add_writer": set(),
    "fork": set(),
    "forkpty": set(),
    "getuid": set(),
    "geteuid": set(),
    "kill": set(),
    "killpg": set(),
    "mkfifo": set(),
    "setsid": set(),
    "symlink": set(),
    "symlink_to": set(),
    "sched_setaffinity": set(),
    "create_unix_server": set(),
    "create_unix_connection": set(),
}
UNIX_SIGNALS = {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGALRM", "SIGSTOP", "SIGCONT"}


def where(path: Path) -> str:
    return path.relative_to(PACKAGE if PACKAGE in path.parents else REPOSITORY).as_posix()


def trees() -> list[tuple[str, ast.Module]]:
    # In CPython 3.11 a collection in the middle of ast.parse that runs Python code ends it with a SystemError.
    gc.collect()
    return [(where(path), ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(FILES)]


def test_no_module_of_one_system_alone_is_imported() -> None:
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules = {(node.module or "").partition(".")[0]}
            else:
                continue
            assert not modules & UNIX_MODULES - ALLOWED_MODULES.get(name, set()), f"{name} line {node.lineno}"


def test_no_call_of_one_system_alone() -> None:
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in UNIX_CALLS:
                if node.attr in {"kill", "symlink"} and not (
                    isinstance(node.value, ast.Name) and node.value.id == "os"
                ):
                    continue  # a process's or a path's own
                assert name in UNIX_CALLS[node.attr], f"{name} line {node.lineno}: {node.attr}"
            if isinstance(node, ast.Attribute) and node.attr in UNIX_SIGNALS:
                raise AssertionError(f"{name} line {node.lineno}: {node.attr}")


def test_every_text_file_is_opened_as_utf_8() -> None:
    """The default of Windows is the code page of the country: cp1252, cp932 ..."""
    for name, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if called not in {"open", "read_text", "write_text"} or _is_os_open(function):
                continue
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            words += [k.value.value for k in node.keywords if k.arg == "mode" and isinstance(k.value, ast.Constant)]
            binary = any(isinstance(word, str) and "b" in word and len(word) <= 3 for word in words)
            named = any(keyword.arg == "encoding" for keyword in node.keywords)
            utf_8 = "utf-8" in words or "utf8" in words
            pillow = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "Image"
            own = isinstance(function, ast.Attribute) and called == "open" and not _is_path(function.value)
            assert binary or named or utf_8 or pillow or own or name == "dev.py", f"{name} line {node.lineno}: {called}"


def _is_os_open(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "os"


def _is_path(value: ast.expr) -> bool:
    return isinstance(value, ast.BinOp) or getattr(value, "id", "") in {"path", "file", "out", "sheet", "Path"}


# --- signals ---------------------------------------------------------------------------------------------------


class WindowsLoop(asyncio.SelectorEventLoop):
    """A loop that can't handle signals, as those of Windows."""

    def add_signal_handler(self, *_: object) -> None:
        raise NotImplementedError

    def remove_signal_handler(self, *_: object) -> bool:
        raise NotImplementedError


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal to play Windows' Ctrl+Break")
def test_without_signal_handlers_of_the_loop_plain_ones_stop_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows: SIGINT by Ctrl+C, SIGBREAK by Ctrl+Break and when a console window is closed."""
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    loop = WindowsLoop()

    async def main() -> None:
        for number in before:
            stopped = asyncio.Event()
            undo = catch_signals(loop, stopped.set)
            try:
                signal.raise_signal(number)
                await asyncio.wait_for(stopped.wait(), 20)
            finally:
                undo()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_signal_that_comes_in_another_threads_time_wakes_the_loop() -> None:
    """The handler runs between two instructions of the main thread: it may only hand over."""
    loop = WindowsLoop()
    woken: list[int] = []

    async def main() -> None:
        stopped = asyncio.Event()
        undo = catch_signals(loop, lambda: (woken.append(threading.get_ident()), stopped.set()))
        try:
            threading.Timer(0.01, signal.raise_signal, (signal.SIGINT,)).start()
            await asyncio.wait_for(stopped.wait(), 20)
        finally:
            undo()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert woken == [threading.get_ident()]
