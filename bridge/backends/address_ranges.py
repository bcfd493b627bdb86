"""Several ComfyUIs written as one: `http://127.0.0.1:8188-8191`, `gpu1:8188, gpu2:8188`, `gpu1:8188,8190`.

One ComfyUI runs on one GPU, so a machine with four of them has four ports in a row. What is written is taken apart
into single addresses, which `address` then reads as ever.
"""

from __future__ import annotations

import re
from typing import Final

from bridge.backends.address import parse_address
from bridge.errors import ConfigError

MAX_ADDRESSES: Final = 64
"""As many ComfyUIs as a bridge takes."""

_AROUND: Final = " \t\r\n\"'`<>“”‘’«»"
_SCHEMES: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]+)*")
_AUTHORITY: Final = re.compile(r"[^/\\?#]*")
_RANGE: Final = re.compile(r"(?s)(.*):\s*(\d+)\s*[-–]\s*(\d+)\s*")
_PORTS: Final = re.compile(r"\s*(\d+)(?:\s*[-–]\s*(\d+))?[/\s]*")


def expand_addresses(text: str) -> list[str]:
    """Give the single addresses in `text`, in its order: commas between them, `FIRST-LAST` for a range of ports.

    What follows a comma may be ports alone, of the host before it: `gpu:8188,8190-8191`. A comma behind a `?`, or in a
    password, is part of its address; `%2C` is one anywhere. An address without range is given as it was written.

    Raises:
        ConfigError: a range that runs backwards, has a port outside 1..65535 or no brackets around an IPv6 address;
            more than `MAX_ADDRESSES`, or one twice. The message shows nothing that stood before an @ or after a ?.
    """
    found: list[str] = []
    for part in _parts(text.strip(_AROUND)):
        ports = _PORTS.fullmatch(part)
        if ports is not None and found:
            head, tail = _split(found[-1])
            host = re.sub(r":\d+$", "", head)
            found += [f"{host}:{port}{tail}" for port in _ports(ports[1], ports[2] or ports[1], _shown(host))]
        else:
            found += _expanded(part.strip(_AROUND))
        if len(found) > MAX_ADDRESSES:
            raise ConfigError(f"over {MAX_ADDRESSES} ComfyUI addresses, the limit; name fewer")
    seen: set[str] = set()
    for address in found if len(found) > 1 else ():
        base = parse_address(address).http
        if base in seen:
            raise ConfigError(f"ComfyUI address {base} is named twice")
        seen.add(base)
    return found


def _parts(text: str) -> list[str]:
    """What stands between the commas that part addresses, empty ones left out."""
    parts: list[str] = []
    for part in text.split(","):
        if parts and _goes_on(parts[-1], part):
            parts[-1] += f",{part}"
        elif part.strip(_AROUND):
            parts.append(part)
    return parts


def _goes_on(before: str, part: str) -> bool:
    """Whether a comma belongs to the address before it."""
    if _end_of(_SCHEMES, part.strip(_AROUND)):
        return False
    if "?" in before or "#" in before:
        return True
    authority = _split(before)[0]
    named = "@" in part[: _end_of(_AUTHORITY, part)]
    return named and "@" not in authority and ":" in authority and re.search(r":\s*\d+\s*$", authority) is None


def _split(address: str) -> tuple[str, str]:
    """Scheme and host with its port, and what follows."""
    text = address.strip(_AROUND)
    end = _end_of(_AUTHORITY, text, _end_of(_SCHEMES, text))
    return text[:end], text[end:]


def _end_of(pattern: re.Pattern[str], text: str, begin: int = 0) -> int:
    """Where that which `pattern` matches at `begin` ends; it may be nothing."""
    match = pattern.match(text, begin)
    return begin if match is None else match.end()


def _expanded(address: str) -> list[str]:
    head, tail = _split(address)
    begin = _end_of(_SCHEMES, head)
    ranged = _RANGE.fullmatch(head, begin)
    if ranged is None:
        return [address]
    host = ranged[1].rpartition("@")[2]
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ConfigError(
            f"ComfyUI address {_shown(address)!r}: write an IPv6 host in brackets, http://[::1]:8188-8191"
        )
    if not host:
        raise ConfigError(f"ComfyUI address {_shown(address)!r}: a host is missing, e.g. http://127.0.0.1:8188-8191")
    before = f"{head[:begin]}{ranged[1]}"
    return [f"{before}:{port}{tail}" for port in _ports(ranged[2], ranged[3], _shown(address))]


def _ports(first: str, last: str, shown: str) -> range:
    for port in (first, last):
        if len(port) > 5 or not 1 <= int(port) <= 65535:
            raise ConfigError(f"ComfyUI address {shown!r}: port {port[:20]} is not 1..65535")
    begin, end = int(first), int(last)
    if begin > end:
        raise ConfigError(f"ComfyUI address {shown!r}: ports {begin}-{end} run backwards; write {end}-{begin}")
    if end - begin >= MAX_ADDRESSES:
        raise ConfigError(
            f"ComfyUI address {shown!r}: {begin}-{end} are {end - begin + 1:,} ports, over the limit of"
            f" {MAX_ADDRESSES} ComfyUIs"
        )
    return range(begin, end + 1)


def _shown(address: str) -> str:
    """What may be shown: nothing before an @, nothing after ? or #."""
    return _split(address)[0].rpartition("@")[2][:200]
