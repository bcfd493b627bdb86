"""A running bridge that OSC programs talk to, and the bridge's own monitor, which tells what became of each message."""

import contextlib
import json
import subprocess
from contextlib import ExitStack

from bridge.client import BlockingClient

LIMIT_S = 60.0


class Show:
    """A bridge with the stream `show` (shapes) and `main` (gradient); `heard(n)` are the next messages it took."""

    def __init__(self, running, monitor):
        self._monitor = monitor
        self.addresses = running.addresses
        self.host, _, port = running.addresses["osc"].rpartition(":")
        self.port = int(port)
        self.client = BlockingClient(running.addresses["tcp"])

    def heard(self, count=1):
        """The next messages, as `texbridge osc monitor --json` tells of them."""
        found = []
        while len(found) < count:
            line = self._monitor.line()
            assert line, self._monitor.errors
            if line.strip() and "address" in (entry := json.loads(line)):
                found.append(entry)
        return found

    def value(self, parameter, stream="show"):
        """The value that a parameter has now."""
        return self.values(stream)[parameter]

    def values(self, stream="show"):
        described = self.client.describe(stream)
        values = {parameter.name: parameter.value for parameter in described.parameters}
        return values | {"seed": described.seed}


@contextlib.contextmanager
def show(home, *options):
    """Run a bridge and its monitor; gives a Show."""
    streams = ("--stream", "show=shapes:oneshot", "--stream", "main=gradient:oneshot")
    with ExitStack() as stack:
        running = stack.enter_context(home.serve("--embedded", *streams, *options))
        monitor = stack.enter_context(home.start("osc", "monitor", "--json", "--http", running.addresses["http"]))
        assert json.loads(monitor.line())["listening"]
        made = Show(running, monitor)
        stack.callback(made.client.close)
        yield made


@contextlib.contextmanager
def process(*command, **options):
    """A program with text pipes, killed at the end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen([str(word) for word in command], **pipes | options) as child:
        try:
            yield child
        finally:
            child.kill()


def lines_until(stream, wanted):
    """Read lines until one of them is `wanted` (a condition); gives them all."""
    lines = []
    for line in stream:
        lines.append(line.rstrip("\r\n"))
        if wanted(lines[-1]):
            return lines
    raise AssertionError(f"ended before that: {lines[-20:]}")
