"""OSC address patterns: `?`, `*`, `[abc]`, `[a-z]`, `[!a-z]` and `{one,two}`, matched part by part.

A part is what stands between two slashes; no pattern reaches over one. Matching keeps the set of all places that the
pattern may have reached as the bits of one int, so that it never goes back: each character of the pattern costs one
step, whatever stands around it. A malformed pattern (an unclosed bracket or brace, a brace
in a brace) matches nothing. Source: OSC 1.0 specification, "OSC Message Dispatching and Pattern Matching".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

MAX_PART_LENGTH: Final = 256
"""Characters of one part of a pattern, and of a name. Longer ones match nothing (without a pattern: themselves)."""

_SPECIAL: Final = frozenset("?*[]{}")

_Token: TypeAlias = "_Any | _Star | _Class | _Words"


class _Any:
    """`?`: any one character."""

    __slots__ = ()


class _Star:
    """`*`: any number of characters."""

    __slots__ = ()


class _Class:
    """`[...]`: one character of a set, or of its complement."""

    __slots__ = ("characters", "negated", "ranges")

    def __init__(self, characters: frozenset[str], ranges: tuple[tuple[str, str], ...], negated: bool) -> None:
        self.characters = characters
        self.ranges = ranges
        self.negated = negated

    def takes(self, character: str) -> bool:
        """Tell whether the class takes this character."""
        inside = character in self.characters or any(low <= character <= high for low, high in self.ranges)
        return inside is not self.negated


class _Words:
    """`{one,two}`, or plain text as its only word."""

    __slots__ = ("words",)

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words


def has_pattern(text: str) -> bool:
    """Tell whether an address or part holds any of `? * [ ] { }`, which no name may."""
    return not _SPECIAL.isdisjoint(text)


def match_address(pattern: str, address: str) -> bool:
    """Tell whether an address pattern matches an address: as many parts, and each part matches its own.

    Takes bounded time (see the module). Raises nothing.
    """
    if not has_pattern(pattern):
        return pattern == address
    pattern_parts = pattern.split("/")
    names = address.split("/")
    return len(pattern_parts) == len(names) and all(map(match_part, pattern_parts, names))


def match_part(pattern_part: str, name: str) -> bool:
    """Tell whether one part of a pattern (no slash in it) matches a name. Takes bounded time. Raises nothing."""
    if not has_pattern(pattern_part):
        return pattern_part == name
    tokens = _tokens(pattern_part)
    if tokens is None or len(name) > MAX_PART_LENGTH:
        return False
    places = _places(name)
    everywhere = (1 << (len(name) + 1)) - 1
    reached = 1  # bit n: the pattern so far may end before name[n]
    for token in tokens:
        if isinstance(token, _Words):
            after = 0
            for word in token.words:
                behind = reached
                for character in word:
                    behind = (behind & places.get(character, 0)) << 1
                after |= behind
            reached = after
        elif isinstance(token, _Star):
            reached = everywhere & -(reached & -reached)  # everything from the lowest place on
        elif isinstance(token, _Any):
            reached = (reached << 1) & everywhere
        else:
            taken = sum(mask for character, mask in places.items() if token.takes(character))
            reached = (reached & taken) << 1
        if not reached:
            return False
    return bool(reached >> len(name))


@lru_cache(maxsize=1024)
def _places(name: str) -> dict[str, int]:
    """Give where each character of a name stands: bit n for name[n]."""
    places: dict[str, int] = {}
    for place, character in enumerate(name):
        places[character] = places.get(character, 0) | 1 << place
    return places


@lru_cache(maxsize=256)
def _tokens(pattern: str) -> tuple[_Token, ...] | None:
    """Give the tokens of a pattern part, or None if it is malformed or too long."""
    if len(pattern) > MAX_PART_LENGTH:
        return None
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "?":
            tokens.append(_Any())
        elif character == "*":
            if not tokens or not isinstance(tokens[-1], _Star):
                tokens.append(_Star())
        elif character == "[":
            end = pattern.find("]", position)
            if end < 0:
                return None
            tokens.append(_character_class(pattern[position + 1 : end]))
            position = end
        elif character == "{":
            end = pattern.find("}", position)
            if end < 0 or "{" in pattern[position + 1 : end]:
                return None
            tokens.append(_Words(tuple(dict.fromkeys(pattern[position + 1 : end].split(",")))))
            position = end
        elif character in "]}":
            return None
        else:
            end = position
            while end < len(pattern) and pattern[end] not in _SPECIAL:
                end += 1
            tokens.append(_Words((pattern[position:end],)))
            position = end - 1
        position += 1
    return tuple(tokens)


def _character_class(body: str) -> _Class:
    """Give the class of what stands between brackets; `-` is itself at either end, `!` only inside."""
    negated = body.startswith("!")
    if negated:
        body = body[1:]
    characters: set[str] = set()
    ranges: list[tuple[str, str]] = []
    position = 0
    while position < len(body):
        if body[position + 1 : position + 2] == "-" and position + 2 < len(body):
            ranges.append((body[position], body[position + 2]))
            position += 3
        else:
            characters.add(body[position])
            position += 1
    return _Class(frozenset(characters), tuple(ranges), negated)
