"""What the text of a host tells: a literal address, or a name that may have several."""

from __future__ import annotations

import ipaddress
from typing import Final

NEXT_ADDRESS_AFTER_S: Final = 0.25
"""A name like `localhost` has several addresses. Windows takes two seconds to find that one of them refuses: the next
is tried meanwhile."""


def next_address_after(host: str) -> float | None:
    """Give the seconds after which a name's next address is tried; None for a literal address, which has no other.

    The race between addresses leaves a socket open if it is cancelled at the wrong moment: none without need.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return NEXT_ADDRESS_AFTER_S
    return None
