"""dev.py: the one list of commands, on any system and on a fresh machine."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "dev.py"


@pytest.fixture
def dev(tmp_path, monkeypatch):
    """dev.py as a module whose checkout is an empty folder."""
    spec = importlib.util.spec_from_file_location("dev_under_test", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "python")
    monkeypatch.setattr(module, "STAMP", tmp_path / ".venv" / "stamp")
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    return module


def ran(*words):
    return subprocess.run(
        [sys.executable, str(SOURCE), *words], capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def test_without_arguments_it_helps():
    bare = ran()
    assert (bare.returncode, bare.stderr) == (0, "")
    assert ran("--help").stdout == bare.stdout
    unknown = ran("nothing")
    assert (unknown.returncode, unknown.stdout) == (2, bare.stdout)


def test_help_the_makefile_and_the_commands_agree(dev):
    told = re.findall(r"python3 dev\.py (\w+)", dev.__doc__)
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^(.*):\n\t", makefile, re.M)[1].split()
    assert sorted(told) == sorted(dev.COMMANDS) == sorted(targets)
    assert sorted(re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()) == sorted(targets)


def test_it_needs_the_standard_library_alone_and_no_one_system():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules <= set(sys.stdlib_module_names)
    assert not modules & {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios"}
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"fork", "execv", "execvp", "getuid", "geteuid", "killpg", "setsid", "chmod", "symlink"}
    commands = [
        node
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "run"
        for node in call.args
    ]
    words = {node.value for node in commands if isinstance(node, ast.Constant)}
    assert not words & {"python", "python3", "sh", "bash", "make", "rm"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("SKIPPED [3] tests/e2e/test_x.py:12: needs COMFYUI_URL\n", (3, "needs COMFYUI_URL")),
        ("SKIPPED [1] tests\\e2e\\test_x.py:12: Windows: no signals\n", (1, "Windows: no signals")),
        ("SKIPPED [1] tests/e2e/test_x.py: no line\n", (1, "no line")),
        ("tests/e2e/test_x.py SKIPPED [ 3%]", None),
        ("=== 3 skipped ===", None),
    ],
)
def test_read_skip(dev, line, found):
    assert dev.read_skip(line) == found


def test_last_line(dev):
    assert dev.last_line({}, []) == "check: ok, 0 skipped"
    assert dev.last_line({"b": 1, "a": 2}, []) == "check: ok, 3 skipped: 2 x a; 1 x b"
    told = "check: ok, 1 skipped: 1 x a; passed only alone: test_x.py::test_y[1 - 2], test_z.py"
    assert dev.last_line({"a": 1}, ["test_x.py::test_y[1 - 2]", "test_z.py"]) == told


def check(dev, monkeypatch, tmp_path, tests: str, *options: str) -> int:
    """Run `check` over a file of tests, with real pytest."""
    (tmp_path / "test_small.py").write_text(tests, encoding="utf-8")
    monkeypatch.setattr(dev, "PYTHON", sys.executable)
    for step in ("command_lint", "command_types", "ensure_venv", "install_debian_packages"):
        monkeypatch.setattr(dev, step, lambda *_: 0)
    return dev.command_check(["-ra", "-c", str(tmp_path / "pyproject.toml"), *options])


@pytest.mark.parametrize(("passes", "code"), [(True, 0), (False, 1)])
def test_check_counts_what_was_skipped(dev, monkeypatch, capfd, tmp_path, passes, code):
    tests = (
        "import pytest\n"
        f"def test_one(): assert {passes}\n"
        "@pytest.mark.parametrize('n', range(2))\n"
        "def test_two(n): pytest.skip('no moon')\n"
        "@pytest.mark.skipif(True, reason='needs: a reason')\n"
        "def test_three(): pass\n"
    )
    assert check(dev, monkeypatch, tmp_path, tests) == code
    last = capfd.readouterr().out.splitlines()[-1]
    if passes:
        assert last == "check: ok, 3 skipped: 1 x needs: a reason; 2 x no moon"
    else:
        assert last == "check: FAILED (pytest exit code 1)"


# `moody` fails in the first run and passes in the second, `once` the other way round: it must not run again.
MOODY = """
import pathlib, pytest

@pytest.mark.parametrize("n", ["1 - 2", *range(1, COUNT)])
def test_moody(n):
    mark = pathlib.Path(__file__).with_name(f"moody{n}")
    has_run = mark.exists()
    mark.touch()
    assert has_run, "not - yet"

def test_once():
    pathlib.Path(__file__).with_name("once").touch(exist_ok=False)
"""


@pytest.mark.parametrize("count", [2, 4])
def test_a_few_failures_are_tried_once_more_alone_and_named(dev, monkeypatch, capfd, tmp_path, count):
    code = check(dev, monkeypatch, tmp_path, MOODY.replace("COUNT", str(count)))
    last = capfd.readouterr().out.splitlines()[-1]
    if count <= dev.MOST_TRIED_AGAIN:
        names = "test_small.py::test_moody[1 - 2], test_small.py::test_moody[1]"
        assert (code, last) == (0, f"check: ok, 0 skipped; passed only alone: {names}")
    else:
        assert (code, last) == (1, "check: FAILED (pytest exit code 1)")


@pytest.mark.parametrize("options", [("-n0", "-x"), ("-n0", "--maxfail=1")])
def test_a_run_that_broke_off_is_not_good_because_its_last_test_is(dev, monkeypatch, capfd, tmp_path, options):
    assert check(dev, monkeypatch, tmp_path, MOODY.replace("COUNT", "1"), *options) == 1
    assert capfd.readouterr().out.splitlines()[-1] == "check: FAILED (pytest exit code 1)"


def test_what_skips_at_the_second_try_has_not_passed(dev, monkeypatch, capfd, tmp_path):
    tests = MOODY.replace("COUNT", "1").replace("    mark.touch()", "    has_run and pytest.skip('x'); mark.touch()")
    assert check(dev, monkeypatch, tmp_path, tests) == 1
    assert capfd.readouterr().out.splitlines()[-1] == "check: FAILED (pytest exit code 1)"


class FakeVenv:
    """Stands for venv and pip, which need the network: makes the folder, and writes down what was asked for."""

    def __init__(self, dev, monkeypatch, pip_code=0):
        self.dev = dev
        self.made = 0
        self.installed = []
        self.pip_code = pip_code
        monkeypatch.setattr(dev.venv, "create", self.create)
        monkeypatch.setattr(dev, "run", self.run)

    def create(self, path, **_):
        self.made += 1
        Path(path).mkdir(parents=True, exist_ok=True)
        self.dev.PYTHON.write_text("", encoding="utf-8")

    def run(self, *command, check=True):
        self.installed.append(command[-1])
        return self.pip_code


def test_the_venv_is_made_once_and_again_when_it_must(dev, monkeypatch, tmp_path):
    fake = FakeVenv(dev, monkeypatch)
    dev.ensure_venv("")
    dev.ensure_venv("")
    assert (fake.made, fake.installed) == (1, ["."])
    dev.ensure_venv("dev")
    dev.ensure_venv("dev")
    dev.ensure_venv("")
    assert (fake.made, fake.installed) == (1, [".", ".[dev]"])
    (tmp_path / "pyproject.toml").write_text("[project]\nname='x'\n", encoding="utf-8")
    dev.ensure_venv("")
    assert (fake.made, fake.installed) == (1, [".", ".[dev]", "."])
    dev.PYTHON.unlink()
    dev.ensure_venv("")
    assert fake.made == 2


def test_a_copied_checkout_installs_again(dev, monkeypatch, tmp_path):
    fake = FakeVenv(dev, monkeypatch)
    dev.ensure_venv("")
    monkeypatch.setattr(dev, "ROOT", tmp_path / "copy")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "pyproject.toml").write_bytes((tmp_path / "pyproject.toml").read_bytes())
    dev.ensure_venv("")
    assert fake.installed == [".", "."]


def test_pip_fails_and_may_try_again(dev, monkeypatch):
    fake = FakeVenv(dev, monkeypatch, pip_code=1)
    with pytest.raises(SystemExit, match="pip could not install"):
        dev.ensure_venv("dev")
    fake.pip_code = 0
    dev.ensure_venv("dev")
    assert fake.installed == [".[dev]", ".[dev]"]


def test_half_a_venv_is_taken_away(dev, monkeypatch):
    """Debian without python3-venv makes the folder and then fails: the next try must begin anew."""

    def create(path, **_):
        Path(path).mkdir()
        (Path(path) / "python").write_text("", encoding="utf-8")
        raise subprocess.CalledProcessError(1, ["ensurepip"])

    monkeypatch.setattr(dev.venv, "create", create)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        dev.ensure_venv("")
    assert not dev.VENV.exists()


def test_an_old_python_is_told(dev, monkeypatch):
    monkeypatch.setattr(dev.sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer"):
        dev.ensure_venv("")


def test_clean_takes_away_what_was_made_and_nothing_else(dev, tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / "demo-out").mkdir()
    (tmp_path / "bridge" / "__pycache__").mkdir(parents=True)
    assert dev.command_clean([]) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bridge", "pyproject.toml"]


class FakeApt:
    """Stands for dpkg-query and apt-get: knows what is installed, and fails so often before it installs."""

    def __init__(self, dev, monkeypatch, *, installed=(), failures=0, root=True, there=True, unknown=""):
        self.installed = set(installed)
        self.unknown = unknown
        self.failures = failures
        self.steps = []
        monkeypatch.setattr(dev, "DEBIAN_PACKAGES", ("mono-mcs", "mono-runtime"))
        monkeypatch.setattr(dev.shutil, "which", lambda name: f"/usr/bin/{name}" if there else None)
        monkeypatch.setattr(dev.os, "geteuid", lambda: 0 if root else 1000, raising=False)
        monkeypatch.setattr(dev.subprocess, "run", self.run)

    def run(self, command, **options):
        if command[0].endswith("dpkg-query"):
            lines = [f"{'installed' if name in self.installed else 'not-installed'} {name}" for name in command[3:]]
            return subprocess.CompletedProcess(command, 1, stdout="\n".join(lines))
        assert options["timeout"]
        self.steps.append(command[1])
        if command[1] == "install":
            if self.failures or self.unknown in command:
                self.failures = max(0, self.failures - 1)
                return subprocess.CompletedProcess(command, 100, stdout="E: Unable to locate package")
            self.installed |= {word for word in command[2:] if not word.startswith("-")}
        return subprocess.CompletedProcess(command, 0, stdout="")


def test_debian_packages_are_installed_once(dev, monkeypatch, capsys):
    fake = FakeApt(dev, monkeypatch, installed=["mono-runtime"])
    dev.install_debian_packages()
    dev.install_debian_packages()
    assert fake.steps == ["install"]
    assert fake.installed == {"mono-mcs", "mono-runtime"}
    assert capsys.readouterr().out == "dev.py: installing mono-mcs (once) ...\n"


def test_old_package_lists_are_fetched(dev, monkeypatch):
    fake = FakeApt(dev, monkeypatch, failures=1)
    dev.install_debian_packages()
    assert fake.steps == ["install", "update", "install"]


def test_packages_in_vain_are_told(dev, monkeypatch, capsys):
    fake = FakeApt(dev, monkeypatch, failures=9)
    dev.install_debian_packages()
    assert fake.steps == ["install", "update", *["install"] * 3]
    told = capsys.readouterr().out
    assert "could not install mono-mcs mono-runtime; their tests will skip" in told
    assert "Unable to locate package" in told


def test_a_package_that_is_not_there_costs_no_other(dev, monkeypatch, capsys):
    fake = FakeApt(dev, monkeypatch, unknown="mono-mcs")
    dev.install_debian_packages()
    assert fake.installed == {"mono-runtime"}
    assert "could not install mono-mcs; their tests will skip" in capsys.readouterr().out


def test_a_program_from_elsewhere_needs_no_package(dev, monkeypatch):
    fake = FakeApt(dev, monkeypatch, installed=["mono-mcs"])
    monkeypatch.setattr(dev, "PROGRAMS", {"mono-runtime": "mono"})
    dev.install_debian_packages()
    assert fake.steps == []


def test_packages_need_debian_and_root(dev, monkeypatch, capsys):
    assert FakeApt(dev, monkeypatch, there=False).steps == []
    dev.install_debian_packages()
    assert capsys.readouterr().out == ""
    fake = FakeApt(dev, monkeypatch, root=False)
    dev.install_debian_packages()
    assert fake.steps == []
    assert "as root: apt-get install -y -q --no-install-recommends mono-mcs mono-runtime" in capsys.readouterr().out
