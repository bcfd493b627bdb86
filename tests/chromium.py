"""A headless Chromium, driven over its DevTools socket, and a web server for the pages that it opens.

Nothing from npm is needed: the protocol is JSON over a WebSocket, and the tests use five of its methods.
"""

import base64
import itertools
import json
import shutil
import subprocess
import threading
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from PIL import Image
from websockets.sync.client import connect

LIMIT_S = 90.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--force-color-profile=srgb",  # screenshots hold the numbers that were drawn
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--window-size=900,700",
)


def find_chromium():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A Chromium with one page. Made in a `with`; `folder` is an empty one for its profile."""

    def __init__(self, program, folder):
        self._command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._folder = Path(folder)
        self._numbers = itertools.count(1)
        self._stack = ExitStack()
        self.events = []

    def __enter__(self):
        with ExitStack() as stack:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            process = stack.enter_context(subprocess.Popen(self._command, **pipes))
            stack.callback(process.kill)
            told = []
            for line in process.stderr:
                told.append(line.decode("utf-8", "replace"))
                if "DevTools listening on " in told[-1]:
                    break
            else:
                raise AssertionError("Chromium ended: " + "".join(told[-20:]))
            drain = threading.Thread(target=process.stderr.read, daemon=True)
            drain.start()
            stack.callback(drain.join, LIMIT_S)
            stack.callback(process.kill)
            address = told[-1].split("DevTools listening on ")[1].strip()
            # A busy machine starts it slowly: the handshake has the same limit as all else, and nobody pings.
            patient = {"open_timeout": LIMIT_S, "ping_interval": None}
            self._socket = stack.enter_context(connect(address, max_size=None, compression=None, proxy=None, **patient))
            self._session = None
            target = self._first_page()
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._call("Runtime.enable")
            self._call("Page.enable")
            self._call("Page.setLifecycleEventsEnabled", enabled=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _first_page(self):
        """The number of its page, which may be made only after the DevTools listen."""
        self._call("Target.setDiscoverTargets", discover=True)
        while True:
            for event in self.events:
                if event.get("method") == "Target.targetCreated" and event["params"]["targetInfo"]["type"] == "page":
                    return event["params"]["targetInfo"]["targetId"]
            self.events.append(json.loads(self._socket.recv(LIMIT_S)))

    def _call(self, method, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(LIMIT_S))
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def open(self, url):
        """Open a page, and wait until it is loaded, its modules too: this one, not about:blank before it."""
        self.events.clear()
        loader = self._call("Page.navigate", url=url)["loaderId"]

        def is_loaded(event):
            told = event.get("params", {})
            return event.get("method") == "Page.lifecycleEvent" and (told["name"], told["loaderId"]) == ("load", loader)

        while not any(map(is_loaded, self.events)):
            self.events.append(json.loads(self._socket.recv(LIMIT_S)))

    def evaluate(self, expression):
        """The value of an expression on the page; of a promise, what it becomes. AssertionError for what it throws."""
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            raise AssertionError(thrown.get("exception", {}).get("description", thrown["text"]) + self.story())
        return answer["result"].get("value")

    def call(self, function, *arguments):
        """Call a function of the page with JSON values."""
        return self.evaluate(f"{function}({', '.join(map(json.dumps, arguments))})")

    def screenshot(self):
        """What the page shows, [height, width, 3] uint8."""
        data = base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(BytesIO(data)).convert("RGB"))

    def story(self):
        """What the page wrote to its console, and what it threw."""
        lines = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.consoleAPICalled":
                lines.append(" ".join(str(part.get("value", part.get("description"))) for part in params["args"]))
            elif event.get("method") == "Runtime.exceptionThrown":
                lines.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
        return "".join(f"\n  page: {line}" for line in lines[-20:])


class _Pages(SimpleHTTPRequestHandler):
    def __init__(self, folders, *arguments):
        self._folders = folders
        super().__init__(*arguments)

    def translate_path(self, path):
        path = unquote(urlsplit(path).path)
        for prefix in sorted(filter(path.startswith, self._folders), key=len, reverse=True):
            folder = self._folders[prefix]
            found = (folder / path[len(prefix) :]).resolve()
            if found.is_relative_to(folder.resolve()):
                return str(found)
        return "/nowhere/at/all"

    def guess_type(self, path):
        return "text/javascript" if str(path).endswith(".js") else super().guess_type(path)

    def log_message(self, *_):
        pass


class WebServer:
    """Serves folders, given as {"/prefix/": Path}, on a free port of this machine; `origin` is what pages come from."""

    def __init__(self, folders):
        self.folders = folders
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, folders))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
