"""The event loop and the switch interval, on every system by fakes."""

import asyncio
import importlib.machinery
import sys
from types import ModuleType

import pytest

from bridge.app import runtime
from bridge.app.runtime import RuntimeConfig, choose_loop, quick_switching, run_bridge


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
