"""The command line as a person runs it: a process of its own, in an empty folder, with an empty home."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

LIMIT_S = 60.0
REPOSITORY = Path(__file__).parents[1]
FREE = "127.0.0.1:0"
DOORS = ("osc", "link", "tcp", "http")
FREE_DOORS = tuple(word for door in DOORS for word in (f"--{door}", FREE))


class Done(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Home:
    """An empty home and an empty folder to work in; commands run there see nothing of this machine's own settings."""

    def __init__(self, folder, python=sys.executable, checkout=REPOSITORY):
        self.home = folder / "home"
        self.work = folder / "work"
        self.user_config = self.home / "config" / "texbridge" / "texbridge.toml"
        if sys.platform == "darwin":
            self.user_config = self.home / "Library" / "Application Support" / "texbridge" / "texbridge.toml"
        self.python = python
        self.checkout = checkout
        self.home.mkdir()
        self.work.mkdir()

    def environment(self, **more):
        """Ours, with another home, without what would configure a bridge, and without a ComfyUI to be found.

        A value of None takes the variable away.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEXBRIDGE_", "COMFYUI_"))}
        kept.pop("PYTHONPATH", None)
        config = str(self.home / "config")
        kept |= {"HOME": str(self.home), "USERPROFILE": str(self.home), "APPDATA": config, "XDG_CONFIG_HOME": config}
        kept |= {"TEXBRIDGE_SEARCH_PLACES": "[]", "TEXBRIDGE_TCP_LISTEN": FREE, "PYTHONUTF8": "1"}
        if self.checkout is not None:
            kept["PYTHONPATH"] = str(self.checkout)
        kept |= more
        return {name: value for name, value in kept.items() if value is not None}

    def command(self, *words):
        return [str(self.python), "-m", "bridge", *map(os.fspath, words)]

    def run(self, *words, folder=None, limit_s=LIMIT_S, **environment):
        """Run `texbridge WORDS` to its end."""
        done = subprocess.run(
            self.command(*words),
            cwd=folder or self.work,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
        return Done(done.returncode, _text(done.stdout), _text(done.stderr))

    @contextlib.contextmanager
    def start(self, *words, folder=None, **environment):
        """Run `texbridge WORDS` in the background; gives a Running, which is killed at the end if it still runs."""
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
        with subprocess.Popen(
            self.command(*words),
            cwd=folder or self.work,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        ) as process:
            running = Running(process)
            try:
                yield running
            finally:
                process.kill()
                running.join()

    @contextlib.contextmanager
    def serve(self, *options, **environment):
        """Run `texbridge serve --json` on free ports; gives a Running with `addresses`."""
        with self.start("serve", "--json", *FREE_DOORS, *options, **environment) as running:
            line = running.line()
            assert line, running.errors
            running.addresses = json.loads(line)
            yield running


class Running:
    """A command that goes on until it is stopped. Its standard error is read all the time."""

    def __init__(self, process):
        self.process = process
        self.addresses = {}
        self._errors = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def _read_errors(self):
        for line in self.process.stderr:
            with self._changed:
                self._errors += _text(line)
                self._changed.notify_all()

    def line(self):
        """The next line of its standard output; empty when there is no more."""
        return _text(self.process.stdout.readline())

    @property
    def errors(self):
        """What it has written to standard error until now."""
        with self._changed:
            return self._errors

    def wait_for_error(self, words):
        """Wait until it has written these words to standard error."""
        with self._changed:
            assert self._changed.wait_for(lambda: words in self._errors, LIMIT_S), self._errors

    def stop(self, number=None):
        """Send a signal, Ctrl+C by default (Ctrl+Break on Windows), and give a Done with the rest of its output."""
        if number is None:
            number = signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT
        self.process.send_signal(number)
        self.process.wait(LIMIT_S)
        rest = _text(self.process.stdout.read())
        self.join()
        return Done(self.process.returncode, rest, self.errors)

    def join(self):
        """Wait until all of standard error is read: the process has ended."""
        self._reader.join(LIMIT_S)


def _text(data):
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


def one_line(text):
    """Assert that a message is one line and no traceback; gives it."""
    assert "Traceback" not in text, text
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]
