"""`texbridge run` as a process: where the picture is made, what is in the file, and what it says when it can't be."""

import json
import socket
import threading

import numpy as np
import pytest
from cli_rig import Home, one_line
from PIL import Image

LOAD_AND_SHOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}, "_meta": {"title": "@picture"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}
CORNERS = ("top_left=#ff8800", "top_right=1,0.53333,0", "bottom_left=#FF8800", "bottom_right=#ff8800ff")
ONE_COLOR = tuple(word for value in ("noise=0", *CORNERS) for word in ("-p", value))


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def add_workflow(home, name, graph):
    folder = home.work / "workflows" / name
    folder.mkdir(parents=True)
    (folder / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    return str(home.work / "workflows")


def test_on_the_embedded_comfyui(home):
    done = home.run("run", "gradient", *ONE_COLOR, "--size", "192x128", "--seed", "7", "-o", "out.png")
    assert (done.code, done.err) == (0, "")
    assert one_line(done.out).startswith("out.png: 192x128, seed 7, ")
    assert "by the embedded ComfyUI" in done.out
    made = pixels(home.work / "out.png")
    assert made.shape == (128, 192, 3)
    assert np.abs(made - (255, 136, 0)).max() <= 1


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["--aspect", "16:9", "--megapixels", "0.05"], "304x168"),
        (["--aspect", "2/1"], "728x360"),
        (["--megapixels", "0.0625"], "256x256"),
    ],
)
def test_by_aspect_and_megapixels(home, words, size):
    done = home.run("run", "gradient", *ONE_COLOR, *words, "-o", "out.png")
    assert (done.code, done.err) == (0, "")
    assert one_line(done.out).startswith(f"out.png: {size}, ")


def test_a_wrong_shape(home):
    done = home.run("run", "gradient", "--aspect", "wide", "-o", "out.png")
    assert done.code == 2
    assert "aspect: 'wide' is not width to height" in one_line(done.err)
    done = home.run("run", "gradient", "--size", "64x64", "--megapixels", "1", "-o", "out.png")
    assert done.code == 2
    assert "--size says it all" in one_line(done.err)


def test_as_a_jpeg(home):
    done = home.run("run", "gradient", *ONE_COLOR, "-o", "out.JPG")
    assert (done.code, done.err) == (0, "")
    with Image.open(home.work / "out.JPG") as picture:
        assert picture.format == "JPEG"
    assert np.abs(pixels(home.work / "out.JPG") - (255, 136, 0)).max() <= 4


def test_through_the_running_bridge(home):
    """The workflow is known to that bridge alone, which shows who made the picture. Values are still read by type."""
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8))
    picture.save(home.work / "in.png")
    with home.serve("--embedded", "--workflows", folders) as running:
        tcp = running.addresses["tcp"]
        done = home.run("run", "mine", "-p", "picture=in.png", "-o", "out.png", TEXBRIDGE_TCP_LISTEN=tcp)
        assert (done.code, done.err) == (0, "")
        assert one_line(done.out).startswith("out.png: 40x24, seed ")
        assert f"by the bridge at {tcp}" in done.out
        assert np.array_equal(pixels(home.work / "out.png"), np.asarray(picture))
        wrong = home.run("run", "mine", "-p", "pictur=in.png", "-o", "out.png", TEXBRIDGE_TCP_LISTEN=tcp)
        assert wrong.code == 2
        assert "no parameter 'pictur'; nearest is 'picture'" in one_line(wrong.err)
        assert running.stop().code == 0


def test_the_token_of_the_configuration(home):
    config = home.work / "texbridge.toml"
    with home.serve("--embedded", TEXBRIDGE_LINK_TOKEN="a token of some length") as running:
        tcp = running.addresses["tcp"]
        refused = home.run("run", "gradient", "-o", "out.png", TEXBRIDGE_TCP_LISTEN=tcp)
        assert refused.code == 1
        assert "token" in one_line(refused.err)
        config.write_text('[link]\ntoken = "a token of some length"\n', encoding="utf-8")
        done = home.run("run", "gradient", "-o", "out.png", TEXBRIDGE_TCP_LISTEN=tcp)
        assert done.code == 0, done.err
        assert one_line(done.err) == f"configuration: {config}"


def test_comfy_named_and_comfy_found(home):
    """Both are another process here; --comfy comes before a running bridge, which would refuse the first."""
    with home.start("embedded", "--port", "0") as comfy:
        url = comfy.line().split()[3]
        with socket.create_server(("127.0.0.1", 0)) as silent:
            tcp = f"127.0.0.1:{silent.getsockname()[1]}"
            named = home.run("run", "shapes", "--comfy", url, "-o", "named.png", TEXBRIDGE_TCP_LISTEN=tcp)
        assert (named.code, named.err) == (0, "")
        assert f"by {url}" in named.out
        found = home.run("run", "shapes", "-o", "found.png", TEXBRIDGE_SEARCH_PLACES=json.dumps([url]))
        assert (found.code, found.err) == (0, "")
        assert f"by {url}" in found.out
    assert np.array_equal(pixels(home.work / "named.png"), pixels(home.work / "found.png"))


def test_a_workflow_that_the_embedded_one_cannot_run(home):
    done = home.run("run", "txt2img_turbo", "-o", "out.png")
    assert (done.code, done.out) == (1, "")
    line = one_line(done.err)
    assert "no ComfyUI is running here" in line
    assert "CheckpointLoaderSimple" in line
    assert "--comfy URL" in line
    assert not (home.work / "out.png").exists()


def test_nobody_at_comfy(home):
    done = home.run("run", "gradient", "--comfy", "http://127.0.0.1:1", "--timeout", "1", "-o", "out.png")
    assert (done.code, done.out) == (1, "")
    assert "no ComfyUI answers at http://127.0.0.1:1" in one_line(done.err)


def test_a_prompt_that_fails(home):
    """The picture of an image parameter is missing: ComfyUI refuses, and its words come through."""
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    done = home.run("run", "mine", "--workflows", folders, "-o", "out.png")
    assert (done.code, done.out) == (1, "")
    assert "none.png" in one_line(done.err)


def test_not_in_time(home):
    config = home.work / "texbridge.toml"
    config.write_text("[embedded]\nenabled = true\nstep_delay_ms = 60000\n", encoding="utf-8")
    done = home.run("run", "gradient", "--timeout", "3", "-o", "out.png")
    assert (done.code, done.out) == (1, "")
    assert "no picture within 3 s; give it longer with --timeout" in done.err


def test_something_else_listens_at_the_address(home):
    """A web server for instance."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            for _ in range(2):  # the look whether somebody is there, and the hello
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        tcp = f"127.0.0.1:{listener.getsockname()[1]}"
        done = home.run("run", "gradient", "-o", "out.png", TEXBRIDGE_TCP_LISTEN=tcp)
        thread.join()
    assert (done.code, done.out) == (1, "")
    line = one_line(done.err)
    assert f"something listens at {tcp}, but not as a bridge does" in line
    assert "--comfy URL" in line


def test_pictures_by_name(home):
    """A file, and depth as numpy saves it, which the binding turns to grey."""
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    binding = "[parameters.picture]\nnear = 1\nfar = 3\ninvert = true\n"
    (home.work / "workflows" / "mine" / "binding.toml").write_text(binding, encoding="utf-8")
    np.save(home.work / "depth.npy", np.array([[1, 2], [3, 9]], np.float32))
    picture = np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8)
    Image.fromarray(picture).save(home.work / "in.png")
    options = ("-o", "out.png", "--workflows", folders)
    done = home.run("run", "mine", "--image", "picture=in.png", *options)
    assert (done.code, done.err) == (0, "")
    assert (pixels(home.work / "out.png") == picture).all()
    done = home.run("run", "mine", "--image", "picture=depth.npy", *options)
    assert (done.code, done.err) == (0, "")
    assert pixels(home.work / "out.png")[..., 0].tolist() == [[255, 127], [0, 0]]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("camera", "--image 'camera' must be NAME=FILE"),
        ("camera=none.png", "can't read the picture none.png"),
        ("amount=in.png", "--image amount: that is float, set by -p; camera_blend takes pictures in camera"),
        ("camera=bad.npy", "can't read the array bad.npy"),
        ("size=in.png", "by --size"),
    ],
)
def test_pictures_that_are_none(home, image, words):
    (home.work / "bad.npy").write_bytes(b"nothing")
    done = home.run("run", "camera_blend", "--image", image, "-o", "out.png")
    assert done.code == 2
    assert words in done.err
