"""Starts `texbridge serve` with ComfyUI, and ends it with ComfyUI. Off unless somebody switches it on.

The settings are `autostart.json` beside this file, or the same JSON in TEXBRIDGE_AUTOSTART:

    {"enabled": true, "arguments": ["--stream", "sky=txt2img_turbo:latest"]}

`command` is by default `texbridge`, where it is on the path, or this Python's own. Nothing here comes from the network.
"""

import atexit
import importlib.metadata
import json
import logging
import os
import shutil
import subprocess
import sys
import threading

logger = logging.getLogger("texbridge.nodes")

FOLDER = os.path.dirname(os.path.abspath(__file__))
SETTINGS = os.path.join(FOLDER, "autostart.json")
VARIABLE = "TEXBRIDGE_AUTOSTART"
END_WITHIN_S = 12.0


class Settings:
    """What the settings say. Raises ValueError for what can't be."""

    def __init__(self, text):
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError("the settings are no JSON object")
        unknown = sorted(set(told) - {"enabled", "command", "arguments", "log"})
        if unknown:
            raise ValueError(f"unknown setting {unknown[0]!r}; there are enabled, command, arguments and log")
        self.enabled = told.get("enabled", False)
        self.command = told.get("command", [])
        self.arguments = told.get("arguments", [])
        self.log = told.get("log", os.path.join(FOLDER, "texbridge.log"))
        if not isinstance(self.enabled, bool):
            raise ValueError("enabled must be true or false")
        for name in ("command", "arguments"):
            words = getattr(self, name)
            if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
                raise ValueError(f"{name} must be a list of texts")
        if not isinstance(self.log, str) or not self.log:
            raise ValueError("log must be the path of a file")


def read_settings(environment=os.environ, path=SETTINGS):
    """The settings; None where there are none, or they are wrong, which is logged."""
    text = environment.get(VARIABLE)
    try:
        if not text:
            if not os.path.isfile(path):
                return None
            with open(path, encoding="utf-8") as file:
                text = file.read()
        return Settings(text)
    except (OSError, ValueError) as error:
        logger.warning("texbridge is not started, its settings are wrong: %s", error)
        return None


def own_url(listen, port, tls):
    """Where this ComfyUI answers on this machine: `listen` may have several addresses, or be all."""
    host = listen.split(",")[0].strip() or "127.0.0.1"
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    if ":" in host:
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"


def command_of(settings):
    """The words that start texbridge; empty where there is none."""
    if settings.command:
        return list(settings.command)
    try:
        importlib.metadata.version("texbridge")
    except importlib.metadata.PackageNotFoundError:
        found = shutil.which("texbridge")
        return [found] if found else []
    return [sys.executable, "-m", "bridge"]


class Child:
    """The bridge as a child of this process. It ends when our end of its standard input closes, however we end."""

    def __init__(self, words, log):
        self._log = open(log, "wb")  # noqa: SIM115 - the child writes to it as long as it lives
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        try:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                creationflags=flags,
                start_new_session=os.name != "nt",  # Ctrl+C is for ComfyUI, which then ends us
            )
        except OSError:
            self._log.close()
            raise
        threading.Thread(target=self._watch, name="texbridge-child", daemon=True).start()
        atexit.register(self.end)

    def _watch(self):
        code = self.process.wait()
        if code:
            logger.warning("texbridge ended with exit code %s; %s says why", code, self._log.name)

    def end(self):
        """End it: by its input first, then by force."""
        atexit.unregister(self.end)
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


def start(server, settings, url):
    """Start the bridge for this ComfyUI, once; gives the child, or None where it isn't to be or can't be started."""
    if settings is None or not settings.enabled:
        return None
    child = getattr(server, "texbridge_child", None)
    if child is not None:
        return child
    words = command_of(settings)
    if not words:
        logger.warning("texbridge is not started: it is not installed here. `pip install texbridge`, or set command")
        return None
    words += ["serve", "--comfy", url, "--until-input-ends", *settings.arguments]
    try:
        child = Child(words, settings.log)
    except OSError as error:
        logger.warning("texbridge is not started: %s", error)
        return None
    server.texbridge_child = child
    logger.info("texbridge is started for %s; its log is %s", url, settings.log)
    return child
