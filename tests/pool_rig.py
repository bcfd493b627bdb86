"""Embedded ComfyUIs that say that they have other nodes and files than they have: pools of unlike machines.

`unlike(monkeypatch)` before any server starts; then `unlike.say(server, change)` with a function of the `object_info`.
"""

import json

import pytest
from aiohttp import web

from bridge.embedded.routes import Routes


class Unlike:
    """What servers say that they have, by their file stores."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._changes = {}
        whole, one = Routes.get_object_info, Routes.get_object_info_of

        def changed(routes, answer):
            change = self._changes.get(id(routes._files))
            return answer if change is None else web.json_response(change(json.loads(answer.body)))

        async def get_object_info(routes, request):
            return changed(routes, await whole(routes, request))

        async def get_object_info_of(routes, request):
            answer = await whole(routes, request)
            name = request.match_info["name"]
            told = json.loads(changed(routes, answer).body)
            return web.json_response({name: told[name]} if name in told else {})

        assert one is not None
        monkeypatch.setattr(Routes, "get_object_info", get_object_info)
        monkeypatch.setattr(Routes, "get_object_info_of", get_object_info_of)

    def say(self, server, change=None):
        """Have a running server say `change(object_info)`; without it, what it has."""
        self._changes[id(server._files)] = change


def without(*names):
    """All but these node classes."""
    return lambda info: {name: entry for name, entry in info.items() if name not in names}


def with_files(node, name, *files):
    """With these choices for an input."""

    def change(info):
        entry = json.loads(json.dumps(info))
        entry[node]["input"]["required"][name][0] = list(files)
        return entry

    return change


def prompts_run(server):
    """How many prompts an embedded server has run."""
    return len(server._history._entries)
