"""What people install: the wheel, built from a clean copy, in a clean environment, used outside the checkout.

Needs the network (the build backend and the dependencies, from pip's cache where it has them).
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from cli_rig import REPOSITORY, Home, one_line

import bridge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT_S = 300
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "__pycache__", ".*_cache", ".hypothesis", "dist", "build", "demo-out"
)
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
SUFFIX = ".exe" if os.name == "nt" else ""


def command(*words, **options):
    """Run a command to its end; its output is shown if it fails."""
    done = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=LIMIT_S,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("wheel")


@pytest.fixture(scope="module")
def python(place):
    """The interpreter of a clean environment, without any package but pip."""
    folder = place / "environment"
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    return folder / SCRIPTS / f"python{SUFFIX}"


@pytest.fixture(scope="module")
def checkout(place):
    """A clean copy: building must not leave anything in the real one."""
    return Path(shutil.copytree(REPOSITORY, place / "checkout", ignore=LEFT_OUT))


@pytest.fixture(scope="module")
def wheel(place, python, checkout):
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    command(*pip, "wheel", "--no-deps", "--wheel-dir", place / "dist", checkout)
    (found,) = (place / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(python, wheel):
    """The same interpreter, with the wheel and its dependencies."""
    command(python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile", wheel)
    return python


@pytest.fixture
def home(tmp_path):
    """Nothing of the checkout is on the path here."""
    return Home(tmp_path, checkout=None)


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        scripts = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    for name in ("gradient", "shapes", "txt2img_turbo", "txt2img_lcm", "img2img_turbo", "depth_controlnet"):
        for file in ("workflow_api.json", "binding.toml", "README.md"):
            assert f"bridge/_data/workflows/{name}/{file}" in names
    folders = ("workflows", "protocols", "comfyui_nodes")
    shipped = {path for folder in folders for path in (REPOSITORY / folder).rglob("*")}
    for path in shipped:
        if path.is_file() and "__pycache__" not in path.parts:
            assert f"bridge/_data/{path.relative_to(REPOSITORY).as_posix()}" in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"bridge", f"texbridge-{bridge.__version__}.dist-info"}
    for name in names:
        parts = name.split("/")
        assert not {"tests", "__pycache__"} & set(parts)
        assert not parts[-1].startswith(("test_", "conftest"))
    assert f"Version: {bridge.__version__}\n" in metadata
    assert "License-Expression: MIT" in metadata
    assert "texbridge = bridge.cli:main" in scripts


def test_the_source_distribution_holds_all_that_is_needed(place, python, checkout, wheel):
    """It builds, tests and lints as a checkout does, and gives the same wheel."""
    tool = place / "tool"
    command(python, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--target", tool, "build")
    build = (python, "-m", "build", "--sdist", "--outdir", place / "source", checkout)
    command(*build, env={**os.environ, "PYTHONPATH": str(tool)})
    (archive,) = (place / "source").glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
        top = source.getnames()[0].partition("/")[0]
        source.extractall(place / "source", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "dev.py", "Makefile", "CONTRIBUTING.md"):
        assert name in names
    for folder in ("bridge", "protocols", "tests", "workflows", "comfyui_nodes"):
        assert any(name.startswith(f"{folder}/") for name in names)
    assert not [name for name in names if name.endswith(".pyc") or name.startswith((".git/", ".venv"))]
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    command(*pip, "wheel", "--no-deps", "--wheel-dir", place / "again", place / "source" / top)
    (again,) = (place / "again").glob("*.whl")
    with zipfile.ZipFile(again) as second, zipfile.ZipFile(wheel) as first:
        assert sorted(second.namelist()) == sorted(first.namelist())


def test_the_command_outside_the_checkout(installed, home):
    """`texbridge demo` as a person types it, and `python -m bridge`."""
    texbridge = installed.with_name(f"texbridge{SUFFIX}")
    told = command(texbridge, "demo", "--seconds", "2", "--json", cwd=home.work, env=home.environment())
    report = json.loads(one_line(told))
    assert report["ok"] is True
    assert report["frames"] > 0
    told = command(installed, "-m", "bridge", "--version", cwd=home.work, env=home.environment())
    assert told == f"texbridge {bridge.__version__}\n"


def test_workflows_and_protocols_are_found_in_the_package(installed, home):
    where = "import bridge, bridge.app.data as d; print(bridge.__file__); print(d.data_folder('protocols'))"
    told = command(installed, "-c", where, cwd=home.work, env=home.environment()).splitlines()
    package = Path(told[0]).parent
    assert REPOSITORY not in package.parents
    assert Path(told[1]) == package / "_data" / "protocols"
    listed = json.loads(
        command(installed, "-m", "bridge", "workflows", "list", "--json", cwd=home.work, env=home.environment())
    )
    assert {"gradient", "txt2img_turbo"} <= {row["name"] for row in listed}
    made = Home.run(Home(home.work, python=installed, checkout=None), "init", "show")
    assert made.code == 0, made.err


@pytest.fixture(scope="module")
def uvx(place, python):
    """uv's own runner, from PyPI, in a folder of its own."""
    tool = place / "uv"
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--target", tool, "uv"],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    runner = tool / "bin" / f"uvx{SUFFIX}"
    if done.returncode != 0 or not runner.exists():
        pytest.skip("uv can't be had from PyPI for this system")
    return runner


@pytest.mark.parametrize("source", ["wheel", "checkout"])
def test_uvx(source, uvx, home, request):
    """`uvx --from . texbridge demo`, what the README tells people on Windows and macOS."""
    path = request.getfixturevalue(source)
    environment = home.environment(
        UV_CACHE_DIR=str(uvx.parents[2] / "uv-cache"),
        UV_PYTHON=sys.executable,
        UV_PYTHON_DOWNLOADS="never",
        UV_SYSTEM_CERTS="true",  # as pip does, for a network whose proxy has a certificate of its own
        UV_NATIVE_TLS="true",  # what older versions call it
    )
    words = ("--from", path, "texbridge", "demo", "--seconds", "2", "--json")
    if source == "checkout":
        words = ("--from", ".", *words[2:-1], "--json", "--out", home.work / "shown")
    folder = path if source == "checkout" else home.work
    report = json.loads(command(uvx, *words, cwd=folder, env=environment).splitlines()[-1])
    assert report["ok"] is True
    assert report["frames"] > 0
    assert (home.work / ("shown" if source == "checkout" else "demo-out") / "contact_sheet.png").is_file()
