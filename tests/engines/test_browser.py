"""The browser client in a headless Chromium: vectors, pixels through WebGL2, cuts, pages of other origins."""

from __future__ import annotations

import pytest
from chromium import Browser, WebServer, find_chromium
from vectors import PROTOCOLS, VECTORS

WEB = PROTOCOLS.parent / "web"
HERE = PROTOCOLS.parent / "tests" / "engines" / "browser"

# Vectors that this client can't read or write, each with the reason. Whole families: `framing` (a page has no TCP
# socket), `memory` (nor shared memory), `osc` (nor UDP), `node` (inside ComfyUI only).
FIELDS_OF_ENGINE_MESSAGES = {
    # errors that only a bridge finds, in well-formed maps that an engine sent it
    *("bool_as_int", "bridge_op_from_engine", "empty_map", "fraction_as_int", "missing_field", "negative_id", "no_op"),
    *("op_not_text", "required_nil", "seed_too_large", "unknown_mode", "unknown_op", "unknown_origin"),
    *("wrong_type_bool", "wrong_type_map", "wrong_type_text"),
}
WHOLE_FLOATS = {"open_full"}  # JavaScript has one type of number: 1.0 is written as the int 1, which the link takes


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip("chromium not found: apt-get install --no-install-recommends chromium")
    with Browser(program, tmp_path_factory.mktemp("chromium")) as made:
        yield made


@pytest.fixture(scope="module")
def site():
    with WebServer({"/web/": WEB, "/page/": HERE, "/vectors/": VECTORS}) as server:
        yield server


def names(family):
    return sorted(path.stem for path in (VECTORS / family).glob("*.hex"))


@pytest.mark.parametrize("family", ["frame", "part", "message"])
def test_vectors_are_read(browser, site, family):
    browser.open(f"{site.origin}/page/vectors.html")
    wanted = [name for name in names(family) if family != "message" or name not in FIELDS_OF_ENGINE_MESSAGES]
    found = browser.call("vectors.read", family, wanted)
    assert set(found) == set(wanted)
    assert {name: problem for name, problem in found.items() if problem} == {}


def test_vectors_of_engine_messages_are_well_formed(browser, site):
    """What is left out above is left out because it is good msgpack."""
    browser.open(f"{site.origin}/page/vectors.html")
    found = browser.call("vectors.read", "message", sorted(FIELDS_OF_ENGINE_MESSAGES))
    assert set(found.values()) == {"was not refused"}


def test_vectors_are_written(browser, site):
    browser.open(f"{site.origin}/page/vectors.html")
    found = browser.call("vectors.write", names("message"))
    assert len(found) > 20
    assert {name for name, problem in found.items() if problem} == WHOLE_FLOATS, found
