"""The event loop and the switch interval, on every system by fakes."""

import asyncio
import ctypes
import importlib.machinery
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest

from bridge.app import runtime
from bridge.app.runtime import RuntimeConfig, choose_loop, quick_switching, raise_priority, run_bridge


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Put fake packages in place of uvloop and winloop; by name the module, or None where there is none."""
    packages: dict[str, ModuleType | None] = {"uvloop": None, "winloop": None}
    real = runtime.importlib.util.find_spec

    def find_spec(name: str):
        if name not in packages:
            return real(name)
        return None if packages[name] is None else importlib.machinery.ModuleSpec(name, None)

    monkeypatch.setattr(runtime.importlib.util, "find_spec", find_spec)

    def install(name: str, **content) -> None:
        module = packages[name] = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)

    return install


@pytest.mark.parametrize(("platform", "name"), [("linux", "uvloop"), ("darwin", "uvloop"), ("win32", "winloop")])
def test_the_systems_own_quick_loop_is_taken(installed, platform: str, name: str) -> None:
    installed("uvloop", new_event_loop=lambda: "uvloop's")
    installed("winloop", new_event_loop=lambda: "winloop's")
    choice = choose_loop("auto", platform)
    assert choice.factory is not None
    assert choice.factory() == f"{name}'s"
    assert choice.words.startswith(name)


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_without_one_and_when_told_not_to_it_is_asyncios(installed, platform: str) -> None:
    assert choose_loop("auto", platform) == (None, "asyncio")
    installed("uvloop", new_event_loop=object)
    installed("winloop", new_event_loop=object)
    assert choose_loop("asyncio", platform) == (None, "asyncio")


def test_a_broken_one_is_told_and_left_alone(installed, caplog: pytest.LogCaptureFixture) -> None:
    installed("uvloop")  # without new_event_loop
    assert choose_loop("auto", "linux") == (None, "asyncio")
    assert "uvloop is installed and can't be used" in caplog.text


def test_switching_is_quick_inside_and_as_before_afterwards() -> None:
    before = sys.getswitchinterval()
    with quick_switching(0.25):
        assert sys.getswitchinterval() == pytest.approx(0.00025)
    assert sys.getswitchinterval() == before
    with quick_switching(0):
        assert sys.getswitchinterval() == before
    with pytest.raises(KeyError), quick_switching(1):
        raise KeyError
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_what_runs_on_it_gives_its_result(loop: str) -> None:
    async def main() -> str:
        await asyncio.sleep(0)
        return f"{sys.getswitchinterval():.4f}"

    assert run_bridge(main(), RuntimeConfig(loop=loop, switch_interval_ms=0.3)) == "0.0003"


async def nothing() -> None:
    pass


def test_a_raised_priority_is_asked_for_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda *asked_for: asked.append(asked_for), raising=False)
    monkeypatch.setattr(os, "PRIO_PROCESS", 0, raising=False)
    run_bridge(nothing(), RuntimeConfig(loop="asyncio"))
    assert asked == []
    monkeypatch.setattr(runtime, "raise_priority", partial(raise_priority, "linux"))
    run_bridge(nothing(), RuntimeConfig(loop="asyncio", priority="raised"))
    assert asked == [(0, 0, -5)]


def test_a_priority_that_the_system_refuses_is_told_and_the_bridge_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runtime, "raise_priority", refuse)
    run_bridge(nothing(), RuntimeConfig(loop="asyncio", priority="raised"))
    assert "Permission denied" in caplog.text
    assert "CAP_SYS_NICE" in caplog.text


@pytest.mark.parametrize("works", [True, False])
def test_windows_has_priority_classes(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    asked: list[tuple[object, int]] = []

    def set_class(process: object, number: int) -> int:
        asked.append((process, number))
        return int(works)

    process = SimpleNamespace(GetCurrentProcess=FakeFunction(lambda: 7), SetPriorityClass=FakeFunction(set_class))
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: process, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5, raising=False)
    if works:
        raise_priority("win32")
    else:
        with pytest.raises(OSError, match="Windows error 5"):
            raise_priority("win32")
    assert asked == [(7, 0x8000)]


class FakeFunction:
    """A function of a Windows library: it takes attributes."""

    def __init__(self, function: Callable[..., int]) -> None:
        self.function = function

    def __call__(self, *arguments: object) -> int:
        return self.function(*arguments)
