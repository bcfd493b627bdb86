"""texbridge in TouchDesigner: a thread that reads frames, and values from parameters. Standard library and numpy alone.

Python 3.9 and newer (TouchDesigner 2022 has 3.9, 2023 and later 3.11). The wire is in `protocols/`.
"""

from __future__ import annotations

from typing import Any

from texbridge_td.link import Frame, Link

__all__ = ["Frame", "Link", "close_all", "link_for"]

_links: dict[Any, Link] = {}


def link_for(key: Any, **settings: Any) -> Link:
    """Give the link of an operator, begun at the first call; other settings begin it anew.

    It is kept here, in a module, and not in a callbacks DAT: a DAT that is edited forgets its globals, and its thread
    would go on alone. `key` is the operator's `id`; settings are those of `Link`.
    """
    link = _links.get(key)
    if link is None or link.settings != settings:
        if link is not None:
            link.close(wait=False)  # a cook must not wait for a socket
        link = _links[key] = Link(**settings)
        link.start()
    return link


def close(key: Any) -> None:
    """End the link of one operator; fine without one."""
    link = _links.pop(key, None)
    if link is not None:
        link.close()


def close_all() -> None:
    """End every link; for `onExit` of an Execute DAT."""
    for key in list(_links):
        close(key)
