"""The browser client in a headless Chromium: vectors, pixels through WebGL2, cuts, pages of other origins."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from chromium import Browser, WebServer, find_chromium
from cli_rig import LIMIT_S, Home
from npm_packages import npm_packages
from ports import ReservedPort
from vectors import PROTOCOLS, VECTORS, load

from bridge.app.pictures.card import draw_card
from bridge.client import BlockingClient

WEB = PROTOCOLS.parent / "web"
HERE = PROTOCOLS.parent / "tests" / "engines" / "browser"

# Vectors that this client can't read or write, each with the reason. Whole families: `framing` (a page has no TCP
# socket), `memory` (nor shared memory), `osc` (nor UDP), `node` (inside ComfyUI only). Errors that
# only a bridge finds, in well-formed maps that an engine sent it:
FOR_BRIDGES = {Path(vector.name).name for vector in load("message") if vector.reader == "bridge"}
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
    wanted = [name for name in names(family) if family != "message" or name not in FOR_BRIDGES]
    found = browser.call("vectors.read", family, wanted)
    assert set(found) == set(wanted)
    assert {name: problem for name, problem in found.items() if problem} == {}


def test_vectors_of_engine_messages_are_well_formed(browser, site):
    """What is left out above is left out because it is good msgpack."""
    browser.open(f"{site.origin}/page/vectors.html")
    found = browser.call("vectors.read", "message", sorted(FOR_BRIDGES))
    assert set(found.values()) == {"was not refused"}


def test_vectors_are_written(browser, site):
    browser.open(f"{site.origin}/page/vectors.html")
    found = browser.call("vectors.write", names("message"))
    assert len(found) > 20
    assert {name for name, problem in found.items() if problem} == WHOLE_FLOATS, found


# --- a live bridge ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def config(site, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "texbridge.toml"
    path.write_text(f'[link]\norigins = ["{site.origin}"]\n[limits]\nsessions = 500\nstreams = 200\n', encoding="utf-8")
    return path


@contextmanager
def serving(folder, *options):
    folder.mkdir()
    with Home(folder).serve("--embedded", *options) as running:
        yield running


@pytest.fixture(scope="module")
def bridge(config, tmp_path_factory):
    """One bridge for all tests here that don't end it; `card` is a stream of the test card."""
    folder = tmp_path_factory.mktemp("bridge") / "home"
    with serving(folder, "--config", config, "--stream", "card=test_card:latest") as running:
        yield running


@pytest.fixture
def page(browser, site):
    browser.open(f"{site.origin}/page/link.html")
    yield partial(call, browser)
    browser.call("page.close")


def call(browser, function, *arguments):
    return browser.call(f"page.{function}", *arguments)


def link_of(running):
    return f"ws://{running.addresses['link']}/link"


def pixels_of(answer, width, height, kind="u1"):
    """What was read back from the texture, [height, width, 4], row 0 at texture coordinate v = 0."""
    return np.frombuffer(base64.b64decode(answer["pixels"]), kind).reshape(height, width, 4)


def python_picture(running, stream, params=None, **subscribe):
    """The payload that the Python client gets for the same request."""
    with BlockingClient(running.addresses["tcp"]) as client:
        frames = client.subscribe(stream, **{"format": "rgba8", "origin": "bottom_left"} | subscribe)
        request = client.run(stream, params or {})
        while (frame := frames.next(timeout_s=LIMIT_S)).header.request != request.request:
            pass
        return frame


CORNERS = {"top_left": [255, 0, 0], "top_right": [0, 255, 0], "bottom_left": [0, 0, 255], "bottom_right": [255, 255, 0]}
COLORS = {name: [part / 255 for part in color] for name, color in CORNERS.items()}
PLAIN = {**COLORS, "noise": 0.0, "blur": 0.1}


def assert_corners(rows_from_the_top):
    for name, color in CORNERS.items():
        row, column = (0 if "top" in name else -1), (0 if "left" in name else -1)
        assert np.abs(rows_from_the_top[row, column, :3].astype(int) - color).max() <= 24, name
    assert (rows_from_the_top[..., 3] == 255).all()


@pytest.mark.parametrize("parts", [None, 4096])
@pytest.mark.parametrize("origin", ["bottom_left", "top_left"])
@pytest.mark.parametrize("format", ["rgba8", "rgb8", "rgba32f", "png"])
def test_every_pixel_is_in_the_texture(page, bridge, format, origin, parts):
    stream = f"p_{format}_{origin}_{parts}"
    assert page("connect", link_of(bridge), {"max_message_bytes": parts})["resumed"] is False
    page("open", stream, "gradient", "oneshot", {"size": [72, 40]})
    assert page("subscribe", stream, {"format": format, "origin": origin})["format"] == format
    answer = page("picture", stream, PLAIN)
    assert (answer["width"], answer["height"], answer["outcome"]) == (72, 40, "done")
    assert answer["anew"] is True
    found = pixels_of(answer, 72, 40, "<f4" if format == "rgba32f" else "u1")
    seen = np.rint(found * 255).astype("u1") if format == "rgba32f" else found
    upwards = origin == "bottom_left" and format != "png"
    assert_corners(seen[::-1] if upwards else seen)
    frame = python_picture(bridge, stream, origin="bottom_left" if upwards else "top_left", format="rgba8")
    assert seen.tobytes() == bytes(frame.data)


@pytest.mark.parametrize(("workflow", "side"), [("test_card", 512), ("shapes", None)])
def test_pictures_of_other_workflows(page, bridge, workflow, side):
    page("connect", link_of(bridge), {})
    page("open", workflow, workflow, "oneshot", {})
    page("subscribe", workflow, {})
    answer = page("picture", workflow, {})
    found = pixels_of(answer, answer["width"], answer["height"])
    assert found.tobytes() == bytes(python_picture(bridge, workflow).data)
    if side:
        assert (found[::-1, :, :3] == draw_card()).all()


def test_200_pictures_each_exact(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "many", "gradient", "oneshot", {"size": [32, 16]})
    page("subscribe", "many", {})
    many = [{**PLAIN, "top_left": [step / 200, 1 - step / 200, 0.5]} for step in range(200)]
    found = page("digests", "many", many)
    assert len(set(found)) == 200
    assert page("missed") == 0
    with BlockingClient(bridge.addresses["tcp"]) as client:
        frames = client.subscribe("many", format="rgba8", origin="bottom_left")
        for params, digest in zip(many, found, strict=True):
            request = client.run("many", params)
            while (frame := frames.next(timeout_s=LIMIT_S)).header.request != request.request:
                pass
            assert hashlib.sha256(bytes(frame.data)).hexdigest() == digest


@pytest.mark.parametrize("origin", ["bottom_left", "top_left"])
@pytest.mark.parametrize("format", ["rgba8", "r8", "rgba16f", "r32f", "bc1", "bc3", "bc7", "jpeg"])
def test_the_view_draws_every_format_the_right_way_up(page, bridge, format, origin):
    page("connect", link_of(bridge), {})
    extensions = page("extensions")
    needed = {"bc1": "WEBGL_compressed_texture_s3tc", "bc3": "WEBGL_compressed_texture_s3tc"}
    needed["bc7"] = "EXT_texture_compression_bptc"
    if needed.get(format, extensions[0]) not in extensions:
        pytest.skip(f"this browser's GPU has no {format}")
    if format.startswith("bc"):
        pytest.importorskip("etcpak", reason="etcpak is not installed")
    stream = f"view_{format}_{origin}"
    page("open", stream, "gradient", "oneshot", {"size": [64, 32]})
    page("subscribe", stream, {"format": format, "origin": origin})
    answer = page("drawn", stream, PLAIN)
    found = pixels_of(answer, 64, 32)[::-1]
    wanted = python_picture(bridge, stream, PLAIN, origin="top_left").pixels
    if format in ("r8", "r32f"):
        wanted = np.repeat(np.rint(wanted[..., :3] @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
    worst = {"rgba8": 0, "r8": 1, "rgba16f": 1, "r32f": 1}.get(format, 24)
    assert np.abs(found[..., :3].astype(int) - wanted[..., :3]).max() <= worst


def test_what_webgl_has_no_texture_for_is_refused_with_words(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "bgra", "gradient", "oneshot", {"size": [64, 32]})
    page("subscribe", "bgra", {"format": "bgra8"})
    with pytest.raises(AssertionError, match="WebGL2 has no texture for bgra8 here: subscribe with rgba8"):
        page("drawn", "bgra", PLAIN)


def test_mip_levels(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "mips", "gradient", "oneshot", {"size": [64, 16]})
    page("subscribe", "mips", {"mips": True})
    answer = page("picture", "mips", PLAIN)
    assert answer["mips"] == 7
    levels = [base64.b64decode(page("mip", level)) for level in range(7)]
    frame = python_picture(bridge, "mips", mips=True)
    assert b"".join(levels) == bytes(frame.data)


def test_the_texture_is_made_anew_only_when_it_must(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "anew", "gradient", "oneshot", {"size": [64, 16]})
    page("subscribe", "anew", {})
    assert [page("picture", "anew", {"noise": noise})["anew"] for noise in (0.1, 0.2)] == [True, False]
    page("open", "anew", "gradient", "oneshot", {"size": [64, 32]})
    assert [page("picture", "anew", {"noise": noise})["anew"] for noise in (0.1, 0.2)] == [True, False]


def test_the_newcomers_picture(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "held", "gradient", "oneshot", {"size": [64, 16]})
    page("subscribe", "held", {})
    made = page("picture", "held", PLAIN)
    page("subscribe", "held", {})
    held = page("held")
    assert held == {"held": True, "number": made["number"], "pixels": made["pixels"]}


def test_a_picture_from_the_page(page, bridge):
    """An ImageData goes in; a tint of nothing gives it back: grey, and the upper left pixel red."""
    page("connect", link_of(bridge), {})
    page("open", "camera", "camera_blend", "oneshot", {"size": [64, 32]})
    page("subscribe", "camera", {})
    assert page("image", "camera", "camera", 64, 32, [10, 120, 200, 255])["op"] == "ok"
    answer = page("picture", "camera", {"amount": 0.0, "noise": 0.0, "blur": 0.1})
    found = pixels_of(answer, 64, 32)[::-1]
    assert np.abs(found[16, 32, :3].astype(int) - [10, 120, 200]).max() <= 4  # it went up as a JPEG
    assert found[0, 0, 0] > 100 > found[1:, 1:, 0].max()


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_page_of_another_origin_is_not_let_in(browser, page, bridge):
    with WebServer({"/web/": WEB, "/page/": HERE}) as elsewhere:
        browser.open(f"{elsewhere.origin}/page/link.html")
        answer = page("connect", link_of(bridge), {"retry": False})
        assert answer["name"] == "link_lost"
        assert f'add "{elsewhere.origin}" to `origins` of [link]' in answer["message"]


def test_a_wrong_token_is_final(page, config, tmp_path):
    config_of_token = tmp_path / "token.toml"
    config_of_token.write_text(
        config.read_text(encoding="utf-8").replace("[limits]", 'token = "right"\n[limits]'), encoding="utf-8"
    )
    with serving(tmp_path / "home", "--config", config_of_token) as running:
        answer = page("connect", link_of(running), {"token": "wrong"})
        assert (answer["name"], answer["code"]) == ("bad_token", 401)
        assert page("states")[-1] == "closed"
        assert page("connect", link_of(running), {"token": "right"})["resumed"] is False


def test_what_the_bridge_refuses_has_its_words(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "wrong", "gradient", "oneshot", {"size": [64, 16]})
    answer = page("runFails", "wrong", {"noise": 9})
    assert (answer["name"], answer["code"]) == ("out_of_range", 302)
    assert "9" in answer["message"]


def test_a_cut_costs_no_session_and_no_request(page, bridge):
    page("connect", link_of(bridge), {})
    page("open", "cuts", "gradient", "oneshot", {"size": [64, 16]})
    page("subscribe", "cuts", {})
    before = page("picture", "cuts", PLAIN)
    assert page("cut")["resumed"] is True
    assert page("runAndCut", "cuts", {"noise": 0.3})["outcome"] == "done"
    assert page("runAndLose", "cuts", {"noise": 0.2}) == {"outcome": "done", "same": True}
    after = page("picture", "cuts", PLAIN)
    assert after["pixels"] == before["pixels"]
    assert after["number"] == before["number"] + 3


def test_the_bridge_is_killed_and_started_again(page, config, tmp_path):
    with ExitStack() as stack:
        doors = [f"--{door}=127.0.0.1:{stack.enter_context(ReservedPort())}" for door in ("link", "tcp")]
        options = ("--config", config, "--step-delay-ms", "60000", *doors)
        running = stack.enter_context(serving(tmp_path / "first", *options))
        boot = page("connect", link_of(running), {})["boot"]
        page("open", "sky", "gradient", "oneshot", {"size": [64, 16], "params": COLORS})
        page("subscribe", "sky", {})
        page("set", "sky", {"noise": 0.0, "blur": 0.1})
        page("slow", "sky", {})
        page("expectWelcome")
        running.process.kill()
        running.process.wait()
        running = stack.enter_context(serving(tmp_path / "second", "--config", config, *doors))
        again = page("welcomed")
        assert again["resumed"] is False
        assert again["boot"] != boot
        assert page("slowOutcome")["name"] == "link_lost"
        answer = page("picture", "sky", {})  # opened, subscribed and set anew by itself
        assert_corners(pixels_of(answer, 64, 16)[::-1])
        assert answer["pixels"].encode() == base64.b64encode(bytes(python_picture(running, "sky").data))


# --- the examples -----------------------------------------------------------------------------------------------------


def shown(browser, url):
    """A screenshot once the page shows a set; the page's own word for it is on its body."""
    browser.open(url)
    browser.evaluate(
        """new Promise((resolve) => {
             const look = () => (Number(document.body.dataset.number) > 0
               ? requestAnimationFrame(() => requestAnimationFrame(resolve)) : requestAnimationFrame(look));
             look();
           })"""
    )
    return browser.screenshot()


def made_card(bridge):
    with BlockingClient(bridge.addresses["tcp"]) as client:
        assert client.run("card").finished(LIMIT_S).outcome == "done"


def test_the_readme_s_page(browser, site, bridge, tmp_path):
    """The first block of web/README.md, as it stands but for the port."""
    text = (WEB / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```html\n(.*?)^```", text, re.M | re.S)
    block = block.replace("ws://127.0.0.1:9401/link", link_of(bridge)).replace("./texbridge.js", "/web/texbridge.js")
    (tmp_path / "readme.html").write_text(f"<!doctype html><meta charset=utf-8>{block}", encoding="utf-8")
    site.folders["/readme/"] = tmp_path
    browser.open(f"{site.origin}/readme/readme.html")
    size = """new Promise((resolve) => {
      const look = () => { const canvas = document.querySelector("canvas");
        if (canvas.width === 512) resolve([canvas.width, canvas.height]); else requestAnimationFrame(look); };
      look(); })"""
    assert browser.evaluate(size) == [512, 512]
    assert browser.story() == ""


def test_the_plain_example_shows_the_card(browser, site, bridge):
    made_card(bridge)
    shot = shown(browser, f"{site.origin}/web/examples/plain.html?bridge={quote(link_of(bridge))}&stream=card")
    assert (shot[:512, :512] == draw_card()).all()


def test_the_three_example_shows_the_card(browser, site, bridge):
    folder = npm_packages("three@0.180.0")
    made_card(bridge)
    site.folders["/web/examples/node_modules/"] = folder
    shot = shown(browser, f"{site.origin}/web/examples/three.html?bridge={quote(link_of(bridge))}&stream=card")
    assert np.abs(shot[:512, :512].astype(int) - draw_card()).max() <= 2  # decoded from sRGB, and encoded again


def test_types():
    """The JSDoc types hold, as TypeScript checks them."""
    node = shutil.which("node")
    folder = npm_packages("typescript@5.9.3")
    options = ["--checkJs", "--allowJs", "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"]
    command = [node, folder / "typescript" / "bin" / "tsc", *options, "--lib", "es2023,dom,dom.iterable"]
    done = subprocess.run(
        [*command, WEB / "texbridge.js"], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout
