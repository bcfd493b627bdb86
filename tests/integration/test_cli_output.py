"""Where the output goes: into a pipe that closes, a full disk, a console that knows few characters."""

import os
import subprocess
import sys

import pytest
from cli_rig import LIMIT_S, Home, one_line

import bridge


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def run_into(home, stdout, *words, **environment):
    return subprocess.run(
        home.command(*words),
        cwd=home.work,
        env=home.environment(**environment),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("words", [("workflows", "list", "--json"), ("--help",), ("workflows", "show", "gradient")])
def test_a_reader_that_went_away(home, words):
    """`texbridge workflows list | head -1`: no traceback, no complaint at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_into(home, writing, *words)
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1 or "--help" in words  # argparse takes it as printed


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk(home):
    with open("/dev/full", "wb") as full:
        done = run_into(home, full, "workflows", "list")
    assert done.returncode == 1
    assert "No space left" in one_line(done.stderr.decode())


def test_a_console_that_knows_few_characters(home):
    """Names that it can't print come out changed, not as a traceback."""
    assert home.run("init", "größe 絵", PYTHONUTF8="0", PYTHONIOENCODING="ascii").code == 0
    assert (home.work / "größe 絵" / "texbridge.toml").is_file()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_a_name_that_is_not_unicode(home):
    done = home.run("init", b"caf\xe9")
    assert (done.code, done.err) == (0, "")
    assert os.path.isfile(os.path.join(os.fsencode(home.work), b"caf\xe9", b"texbridge.toml"))
    again = home.run("init", b"caf\xe9")
    assert again.code == 2
    assert "is there already" in one_line(again.err)


def test_version_and_help(home):
    assert home.run("--version") == (0, f"texbridge {bridge.__version__}\n", "")
    shown = home.run("--help")
    assert (shown.code, shown.err) == (0, "")
    assert "texbridge serve --embedded" in shown.out
    bare = home.run()
    assert (bare.code, bare.out, bare.err) == (2, "", shown.out)
