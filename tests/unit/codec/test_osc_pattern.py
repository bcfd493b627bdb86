"""Address patterns: a table of what matches, and patterns made to be slow."""

import pytest

from bridge.codec.osc import has_pattern, match_address, match_part


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("main", "main", True),
        ("main", "main2", False),
        ("", "", True),
        ("?", "a", True),
        ("?", "", False),
        ("?", "ab", False),
        ("m?in", "main", True),
        ("*", "", True),
        ("*", "anything", True),
        ("**", "x", True),
        ("bl*", "blur", True),
        ("bl*", "able", False),
        ("*ur", "blur", True),
        ("*l*r", "blur", True),
        ("*l*x", "blur", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "abbbcbc", True),
        ("[abc]", "b", True),
        ("[abc]", "d", False),
        ("[a-c]x", "bx", True),
        ("[a-c]", "-", False),
        ("[a-]", "-", True),
        ("[-a]", "-", True),
        ("[c-a]", "b", False),
        ("[!abc]", "d", True),
        ("[!abc]", "a", False),
        ("[!a-z]", "Q", True),
        ("[a!]", "!", True),
        ("[]", "a", False),
        ("[!]", "a", True),
        ("[*?]", "*", True),
        ("{main,sky}", "sky", True),
        ("{main,sky}", "main", True),
        ("{main,sky}", "mainsky", False),
        ("{a,ab}c", "abc", True),
        ("{a,ab}bc", "abc", True),
        ("{,x}y", "y", True),
        ("{}", "", True),
        ("sky[0-9]{,_left}", "sky4_left", True),
        ("{*}", "x", False),
        ("{*}", "*", True),
        ("[a", "a", False),
        ("[a", "[a", False),
        ("{a", "{a", False),
        ("a]", "a]", False),
        ("a}", "a}", False),
        ("{a,{b}}", "b", False),
        ("k?tze", "kätze", True),
        ("?" * 256, "a" * 256, True),
        ("?" * 257, "a" * 257, False),
        ("a" * 300, "a" * 300, True),
    ],
)
def test_match_part(pattern: str, name: str, matches: bool) -> None:
    assert match_part(pattern, name) is matches


@pytest.mark.parametrize(
    ("pattern", "address", "matches"),
    [
        ("/texbridge/main/blur", "/texbridge/main/blur", True),
        ("/texbridge/*/blur", "/texbridge/main/blur", True),
        ("/texbridge/*/*", "/texbridge/main/blur", True),
        ("/*/*", "/texbridge/main/blur", False),
        ("/texbridge/*", "/texbridge/main/blur", False),
        ("/*", "/a/b", False),
        ("/tex{bridge/main,x}", "/texbridge/main", False),
        ("/a?b", "/a/b", False),
        ("/a[!x]b", "/a/b", False),
    ],
)
def test_match_address(pattern: str, address: str, matches: bool) -> None:
    assert match_address(pattern, address) is matches


def test_has_pattern() -> None:
    assert not has_pattern("/texbridge/main/blur_2-x")
    for special in "?*[]{}":
        assert has_pattern(f"/a{special}b")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 127 + "b", "a" * 64),
        ("*?" * 127 + "b", "a" * 64),
        ("{a,aa}" * 42 + "b", "a" * 64),
        ("{,a}" * 63 + "b", "a" * 64),
        ("{" + ",".join(["a"] * 120) + "}*b", "a" * 64),
        ("[" + "a-b" * 80 + "]*c", "a" * 64),
        ("*a" * 127 + "b", "a" * 256),
        ("*a*b", "a" * 60_000),
        ("*" * 60_000, "a"),
    ],
)
@pytest.mark.timeout(10)
def test_no_pattern_is_slow(pattern: str, name: str) -> None:
    for _ in range(1_000):
        assert match_part(pattern, name) is False
