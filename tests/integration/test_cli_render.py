"""`texbridge render` as a process: the files, what is there after a kill, and what it says when it can't be."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest
from app_rig import node, solid
from cli_rig import LIMIT_S, Home, one_line
from held_comfy import HeldComfy
from PIL import Image
from ports import ReservedPort
from wire import Wire

from bridge.codec.light import linear_of
from bridge.render.png16 import decode_png16

LOAD_AND_SHOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}, "_meta": {"title": "@picture"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
}
MOVING = (
    *("--track", "bar_width=1001:8,1030:100:cubic_in_out", "--track", "noise=1001:0.1,1030:0.5"),
    *("--track", "bar_color=1001:#ff0000,1020:0,0,1:smoothstep", "--seed-policy", "increment", "--size", "128x96"),
)
SLOW = {"TEXBRIDGE_EMBEDDED_STEP_DELAY_MS": "80"}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(home, name="out/manifest.json"):
    return json.loads((home.work / name).read_text(encoding="utf-8"))


def events(text):
    return [json.loads(line) for line in text.splitlines()]


def made(done):
    """The frames that a render with --json has made; two that are written at the same time may end in either order."""
    assert done.code == 0, done.err
    return sorted(event["frame"] for event in events(done.out) if event["event"] == "frame")


def colour_workflow(home):
    """A workflow of one colour, which tells which values made it."""
    graph = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 0},
            "_meta": {"title": "@color @width @height"},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    return add_workflow(home, "colour", graph)


def add_workflow(home, name, graph):
    folder = home.work / "workflows" / name
    folder.mkdir(parents=True)
    (folder / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    return str(home.work / "workflows")


def test_each_frame_has_its_values(home):
    folders = colour_workflow(home)
    done = home.run(
        *("render", "colour", "--workflows", folders, "--frames", "1001-1005,1010", "-o", "out/c.%04d.png"),
        *("--track", "color=1001:0,0,0,1005:1,0,0,1010:#0000ff", "--sheet", "sheet.png"),
    )
    assert done.code == 0, done.err
    shown = [pixels(home.work / f"out/c.{frame}.png")[0, 0].tolist() for frame in (1001, 1002, 1003, 1005, 1010)]
    assert shown == [[0, 0, 0], [64, 0, 0], [128, 0, 0], [255, 0, 0], [0, 0, 255]]
    lines = done.out.splitlines()
    assert lines[0] == os.path.join("out", "c.1001.png") + " .. " + os.path.join("out", "c.1010.png")
    assert lines[-1].startswith("6 frames rendered in 0:0")
    assert "by the embedded ComfyUI" in lines[-1]
    assert "6/6 frames" in done.err
    told = manifest(home)
    assert (told["state"], told["frames"], list(told["done"])) == (
        "done",
        "1001-1005,1010",
        ["1001", "1002", "1003", "1004", "1005", "1010"],
    )
    assert told["versions"]["comfyui"]
    assert told["done"]["1003"]["values"] == {"color": [0.5, 0.0, 0.0, 1.0]}
    assert told["done"]["1003"]["seed"] is None
    with Image.open(home.work / "sheet.png") as sheet:
        assert sheet.width > 5 * 192


def test_a_killed_render_goes_on_to_the_same_files(home):
    """PNG, EXR, video, sheet and manifest: byte for byte what an unbroken render makes."""
    pytest.importorskip("OpenEXR")
    pytest.importorskip("av")
    words = (
        *("render", "shapes", "--frames", "1001-1030", *MOVING),
        *("-o", "out/%04d.png", "-o", "out/x.####.exr", "-o", "out/shot.mp4", "--sheet", "out/sheet.png"),
    )
    # However late it is killed, there is more to do.
    with HeldComfy(20) as comfy, home.start(*words, "--json", "--comfy", comfy.url) as running:
        while (event := json.loads(running.line())).get("done", 0) < 15:
            assert event["event"] in ("begin", "frame", "note"), event
        until = time.monotonic() + LIMIT_S
        while not manifest(home)["done"]:  # it is written now and then
            assert time.monotonic() < until
            time.sleep(0.05)
        running.process.kill()
        running.process.wait()
    before = files(home.work / "out")
    assert "shot.mp4" not in before
    told = json.loads(before["manifest.json"])
    assert told["state"] == "rendering"
    assert 1 <= len(told["done"]) < 30
    done = home.run(*words, "--embedded", "--resume", "--json")
    assert done.code == 0, done.err
    end = events(done.out)[-1]
    assert (end["state"], end["there"], end["rendered"]) == ("done", len(told["done"]), 30 - len(told["done"]))
    resumed = files(home.work / "out")
    other = home.work / "other"
    other.mkdir()
    whole = home.run(*words, "--embedded", folder=other)
    assert whole.code == 0, whole.err
    unbroken = files(other / "out")
    assert sorted(resumed) == sorted(unbroken)
    assert [name for name in unbroken if resumed[name] != unbroken[name]] == []
    assert len(unbroken) == 30 + 30 + 3
    for frame in told["done"]:
        assert before[f"{frame}.png"] == resumed[f"{frame}.png"]
    assert len(set(unbroken.values())) == len(unbroken)  # every frame is another picture


def test_ctrl_c_leaves_whole_files_and_a_way_to_go_on(home):
    words = ("render", "shapes", "--frames", "1-900", "--size", "128x96", "--embedded", "-o", "out/%04d.png")
    with home.start(*words, "--json", **SLOW) as running:
        while json.loads(running.line()).get("done", 0) < 5:
            pass
        done = running.stop()
    assert done.code == 1
    last = events(done.out)[-1]
    assert (last["event"], last["state"]) == ("end", "stopped")
    told = manifest(home)
    assert (told["state"], len(told["done"])) == ("stopped", last["done"])
    assert f"stopped; {last['done']} of 900 frames are there and whole: the same with --resume goes on" in done.err
    assert sorted(path.name for path in (home.work / "out").iterdir()) == [
        *sorted(f"{int(frame):04}.png" for frame in told["done"]),
        "manifest.json",
    ]
    assert all(pixels(home.work / f"out/{int(frame):04}.png").shape == (96, 128, 3) for frame in told["done"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_what_a_farm_sends(home):
    words = ("render", "shapes", "--frames", "1-900", "--size", "128x96", "--embedded", "-o", "out/%04d.png")
    with home.start(*words, "--json", **SLOW) as running:
        while json.loads(running.line()).get("done", 0) < 2:
            pass
        done = running.stop(signal.SIGTERM)
    assert done.code == 1
    assert manifest(home)["state"] == "stopped"


def test_resume_makes_what_is_missing_or_damaged(home):
    words = ("render", "shapes", "--frames", "1-6", *MOVING, "-o", "out/%02d.png", "-o", "out/%02d.jpg")
    assert home.run(*words).code == 0
    before = files(home.work / "out")
    (home.work / "out" / "02.png").unlink()
    (home.work / "out" / "03.jpg").write_bytes(before["03.jpg"][:-2] + b"no")  # as long as it was
    (home.work / "out" / "05.png").write_bytes(b"")
    done = home.run(*words, "--resume", "--json")
    assert done.code == 0, done.err
    assert made(done) == [2, 3, 5]
    assert files(home.work / "out") == before
    again = home.run(*words, "--resume")
    assert again.code == 0
    assert "6 of 6 frames are there and whole" in again.err
    assert again.out.splitlines()[-1].startswith("0 frames rendered, 6 were there")
    assert files(home.work / "out") == before


def test_resume_with_more_frames_and_another_file(home):
    assert home.run("render", "shapes", "--frames", "1-3", *MOVING, "-o", "out/%02d.png").code == 0
    longer = home.run("render", "shapes", "--frames", "1-5", *MOVING, "-o", "out/%02d.png", "--resume", "--json")
    assert made(longer) == [4, 5]
    more = home.run(
        *(
            "render",
            "shapes",
            "--frames",
            "1-5",
            *MOVING,
            "-o",
            "out/%02d.png",
            "-o",
            "j/%02d.jpg",
            "--resume",
            "--json",
        )
    )
    assert made(more) == [1, 2, 3, 4, 5]
    assert len(list((home.work / "j").iterdir())) == 5


def test_resume_refuses_another_render(home):
    base = {"--track": "bar_width=1001:8,1030:100", "--size": "128x96", "-o": "out/%02d.png"}

    def given(options):
        return ("render", "shapes", "--frames", "1001-1002", *(word for pair in options.items() for word in pair))

    assert home.run(*given(base)).code == 0
    before = files(home.work / "out")
    for option, value, words in (
        ("--seed", "8", "seed: was 0, is 8"),
        ("--track", "bar_width=1001:8,1030:99", "was [[1001, 8], [1030, 100]], is [[1001, 8], [1030, 99]]"),
        ("-p", "blur=1", "params.blur: was nothing, is 1.0"),
        ("--bits", "16", "%02d.png with bits 8, now it is 16"),
    ):
        done = home.run(*given({**base, option: value}), "--resume")
        assert done.code == 2
        assert words in one_line(done.err)
        assert "--overwrite" in done.err
        assert files(home.work / "out") == before


def test_resume_refuses_another_version_of_the_workflow(home):
    folders = colour_workflow(home)
    words = ("render", "colour", "--workflows", folders, "--frames", "1-2", "-o", "out/%02d.png")
    assert home.run(*words).code == 0
    path = home.work / "workflows" / "colour" / "workflow_api.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=2))  # another layout is the same workflow
    assert home.run(*words, "--resume").code == 0
    path.write_text(path.read_text().replace('"color": 0', '"color": 255'))
    done = home.run(*words, "--resume")
    assert done.code == 2
    assert "workflow_digest: was " in one_line(done.err)
    assert home.run(*words, "--overwrite").code == 0
    assert pixels(home.work / "out/01.png")[0, 0].tolist() == [0, 0, 255]


def test_chunks_are_the_whole(home):
    words = ("render", "shapes", "--frames", "1001-1010", *MOVING)
    for place in (1, 2, 3):
        done = home.run(*words, "-o", "out/%04d.png", "--chunk", f"{place}/3")
        assert done.code == 0, done.err
    names = sorted(path.name for path in (home.work / "out").glob("*.json"))
    assert names == ["manifest.1of3.json", "manifest.2of3.json", "manifest.3of3.json"]
    assert manifest(home, "out/manifest.2of3.json")["chunk"] == "2/3"
    (home.work / "out" / "1005.png").unlink()
    whole = home.run(*words, "-o", "out/%04d.png", "--resume", "--json")
    assert whole.code == 0, whole.err
    assert made(whole) == [1005]
    assert home.run(*words, "-o", "other/%04d.png").code == 0
    chunked, unbroken = files(home.work / "out"), files(home.work / "other")
    assert {name: chunked[name] for name in unbroken} == unbroken


def test_a_chunk_goes_on_with_what_the_whole_has(home):
    words = ("render", "shapes", "--frames", "1001-1004", *MOVING, "-o", "out/%04d.png")
    assert home.run(*words).code == 0
    done = home.run(*words, "--chunk", "1/2", "--resume", "--json")
    assert done.code == 0, done.err
    assert events(done.out)[-1]["there"] == 2


def test_more_chunks_than_frames(home):
    done = home.run("render", "shapes", "--frames", "1-2", "--chunk", "1/5", "-o", "out/%04d.png")
    assert done.code == 0, done.err
    assert "no frames in this chunk" in done.out
    assert manifest(home, "out/manifest.1of5.json")["done"] == {}


def test_pictures_frame_by_frame(home):
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    plates = home.work / "plates"
    plates.mkdir()
    shown = {}
    for frame in range(1, 8):
        shown[frame] = np.random.default_rng(frame).integers(0, 256, (24, 40, 3), np.uint8)
        Image.fromarray(shown[frame]).save(plates / f"p.{frame:04}.png")
    words = ("render", "mine", "--workflows", folders, "--image", "picture=plates/p.%04d.png", "-o", "out/%04d.png")
    done = home.run(*words, "--frames", "1-7x2")
    assert done.code == 0, done.err
    for frame in (1, 3, 5, 7):
        assert np.array_equal(pixels(home.work / f"out/{frame:04}.png"), shown[frame])
    assert manifest(home)["done"]["3"]["plates"]["picture"]["bytes"] == (plates / "p.0003.png").stat().st_size
    # One picture is another now, and one has only been copied.
    Image.fromarray(shown[1]).save(plates / "p.0003.png")
    os.utime(plates / "p.0005.png", (1, 1))
    again = home.run(*words, "--frames", "1-7x2", "--resume", "--json")
    assert again.code == 0, again.err
    assert made(again) == [3]
    assert np.array_equal(pixels(home.work / "out/0003.png"), shown[1])


def test_many_pictures_frame_by_frame(home):
    """More than the bridge takes ahead of the frames."""
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    (home.work / "plates").mkdir()
    for frame in range(1, 61):
        Image.new("RGB", (16, 16), (frame * 4, frame, 255 - frame)).save(home.work / f"plates/{frame:03}.png")
    done = home.run(
        *("render", "mine", "--workflows", folders, "--image", "picture=plates/%03d.png", "--frames", "1-60"),
        *("-o", "out/%03d.png"),
    )
    assert done.code == 0, done.err
    for frame in range(1, 61):
        assert pixels(home.work / f"out/{frame:03}.png")[3, 3].tolist() == [frame * 4, frame, 255 - frame]


def test_depth_in_exr(home):
    """A raw measure, which the binding turns to grey."""
    exr = pytest.importorskip("OpenEXR")
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    binding = "[parameters.picture]\nnear = 1\nfar = 3\ninvert = true\n"
    (home.work / "workflows" / "mine" / "binding.toml").write_text(binding, encoding="utf-8")
    (home.work / "plates").mkdir()
    for frame in (1, 2):
        depth = np.full((8, 8), frame, np.float32)
        exr.File({}, {"Z": depth, "mask": depth * 0}).write(str(home.work / f"plates/d.{frame:04}.exr"))
    done = home.run(
        *("render", "mine", "--workflows", folders, "--image", "picture=plates/d.%04d.exr", "--frames", "1-2"),
        *("-o", "out/%04d.png"),
    )
    assert done.code == 0, done.err
    assert [pixels(home.work / f"out/{frame:04}.png")[0, 0, 0] for frame in (1, 2)] == [255, 127]


def test_missing_pictures_are_told_before_anything_is_made(home):
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    (home.work / "plates").mkdir()
    Image.new("RGB", (8, 8)).save(home.work / "plates/1.png")
    done = home.run(
        *("render", "mine", "--workflows", folders, "--image", "picture=plates/%d.png", "--frames", "1-4"),
        *("-o", "out/%d.png"),
    )
    assert done.code == 2
    assert "--image picture: 3 of its pictures are missing: " in one_line(done.err)
    assert not (home.work / "out").exists()


def test_a_picture_that_is_none_stops_at_its_frame(home):
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    (home.work / "plates").mkdir()
    for frame in (1, 2, 3):
        Image.new("RGB", (8, 8), (frame, 0, 0)).save(home.work / f"plates/{frame}.tif")
    (home.work / "plates/3.tif").write_bytes(b"nothing")
    done = home.run(
        *("render", "mine", "--workflows", folders, "--image", "picture=plates/%d.tif", "--frames", "1-3"),
        *("-o", "out/%d.png", "--quiet"),
    )
    assert done.code == 1
    assert "3.tif" in one_line(done.err)
    assert "goes on" in done.err


TWO_OUTPUTS = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 0},
        "_meta": {"title": "@color"},
    },
    "2": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "x"},
        "_meta": {"title": "@out image"},
    },
    "3": {
        "class_type": "SolidMask",
        "inputs": {"width": 24, "height": 8, "value": 0.25},
        "_meta": {"title": "@amount:value"},
    },
    "4": {"class_type": "MaskToImage", "inputs": {"mask": ["3", 0]}},
    "5": {
        "class_type": "SaveImage",
        "inputs": {"images": ["4", 0], "filename_prefix": "x"},
        "_meta": {"title": "@out matte:mask"},
    },
}


def test_several_outputs(home):
    folders = add_workflow(home, "two", TWO_OUTPUTS)
    done = home.run(
        *("render", "two", "--workflows", folders, "--frames", "1-4", "--track", "color=1:0,0,0,4:1,1,1"),
        *("--track", "amount=1:0,4:0.6", "-o", "out/c.%d.png", "-o", "matte=out/m.%d.png", "-o", "matte=m.%d.jpg"),
    )
    assert done.code == 0, done.err
    for frame, color, amount in ((1, 0, 0), (2, 85, 51), (3, 170, 102), (4, 255, 153)):
        with Image.open(home.work / f"out/m.{frame}.png") as matte:
            assert (matte.mode, matte.size, matte.getpixel((3, 3))) == ("L", (24, 8), amount)
        assert pixels(home.work / f"out/c.{frame}.png")[3, 3].tolist() == [color] * 3
    assert sorted(manifest(home)["done"]["2"]["files"]) == ["../m.2.jpg", "c.2.png", "m.2.png"]
    only = home.run("render", "two", "--workflows", folders, "--frames", "1", "-o", "matte=only/%d.png")
    assert only.code == 0, only.err
    with Image.open(home.work / "only/1.png") as matte:
        assert matte.size == (24, 8)


def test_over_several_comfyuis(home):
    """Two of them, one shot: the same files as by one."""
    words = ("render", "shapes", "--frames", "1-10", *MOVING)
    with home.start("embedded", "--port", "0") as one, home.start("embedded", "--port", "0") as two:
        urls = [comfy.line().split()[3] for comfy in (one, two)]
        done = home.run(*words, "--comfy", urls[0], "--comfy", urls[1], "-o", "both/%02d.png")
        assert done.code == 0, done.err
        assert f"by {urls[0]} or {urls[1]}" in done.out
        alone = home.run(*words, "--comfy", urls[0], "-o", "one/%02d.png")
        assert alone.code == 0, alone.err
    both, single = files(home.work / "both"), files(home.work / "one")
    assert len(both) == 11
    assert both == single


def test_16_bits_say_what_is_in_them(home):
    done = home.run("render", "shapes", "--frames", "1-2", "--bits", "16", "-o", "out/%d.png")
    assert done.code == 0
    assert "the pictures came with 8 bits a channel" in done.err
    assert (home.work / "out/1.png").read_bytes()[24] == 16


def test_a_video_alone(home):
    av = pytest.importorskip("av")
    words = ("render", "shapes", "--frames", "1-12", *MOVING, "-o", "shot.mp4", "--fps", "23.976")
    done = home.run(*words)
    assert done.code == 0, done.err
    with av.open(str(home.work / "shot.mp4")) as container:
        assert len(list(container.decode(video=0))) == 12
    before = files(home.work)
    assert "shot.manifest.json" in before
    again = home.run(*words, "--resume")
    assert again.code == 0, again.err
    assert "12 of 12 frames" in again.err
    assert files(home.work) == before
    odd = home.run("render", "shapes", "--frames", "1-2", "--size", "128x96", "-o", "shot.avi")
    assert odd.code == 2
    assert ".avi is not written" in one_line(odd.err)


def test_through_the_running_bridge(home):
    folders = colour_workflow(home)
    with home.serve("--embedded", "--workflows", folders) as running:
        words = ("render", "colour", "--frames", "1-3", "--track", "color=1:0,0,0,3:1,1,1")
        tcp, http = running.addresses["tcp"], running.addresses["http"]
        done = home.run(*words, "-o", "a/%d.png", TEXBRIDGE_TCP_LISTEN=tcp, TEXBRIDGE_HTTP_LISTEN=http)
        assert done.code == 0, done.err
        assert f"by the bridge at {tcp}" in done.out
        assert "ComfyUI" in manifest(home, "a/manifest.json")["versions"]["comfyui"][0]
        named = home.run(*words, "-o", "b/%d.png", "--to", running.addresses["link"].join(("ws://", "/link")))
        assert named.code == 0, named.err
        taken = home.run(*words, "-o", "c/%d.png", "--to", tcp, "--stream", "main")
        assert taken.code in (1, 2)
        assert "main" in one_line(taken.err)
        wrong = home.run(*words[:3], "1-3", "-p", "colour=1,1,1", "-o", "c/%d.png", "--to", tcp)
        assert wrong.code == 2
        assert "nearest is 'color'" in one_line(wrong.err)
    images = [{name: data for name, data in files(home.work / folder).items() if ".png" in name} for folder in "ab"]
    assert images[0] == images[1]


def test_a_cut_is_told_and_healed(home):
    """Half a minute of silence would look like a render that hangs."""
    with home.serve("--embedded", **SLOW) as bridge, Wire(bridge.addresses["tcp"]) as wire:
        words = ("render", "shapes", "--frames", "1-12", "-o", "out/%d.png", "--json", "--to", wire.address)
        with home.start(*words) as running:
            while json.loads(running.line()).get("done", 0) < 2:
                pass
            wire.cut()
            assert running.process.wait(60) == 0, running.errors
            told = events(running.process.stdout.read().decode())
    notes = [event["text"] for event in told if event["event"] == "note"]
    assert notes[0].startswith(f"the link to the bridge at {wire.address} is cut (")
    assert notes[1] == f"the bridge at {wire.address} is there again"
    assert sorted(manifest(home)["done"], key=int) == [str(frame) for frame in range(1, 13)]


def test_a_second_render_into_the_same_folder_is_refused(home):
    """Also before the first has its first frame."""
    words = ("render", "shapes", "--frames", "1-999", "--embedded", "-o", "out/%d.png")
    with home.start(*words, "--json", TEXBRIDGE_EMBEDDED_STEP_DELAY_MS="2000") as running:
        assert json.loads(running.line())["event"] == "begin"
        assert manifest(home)["state"] == "rendering"
        second = home.run(*words)
        assert second.code == 2
        assert "there already" in one_line(second.err)
        running.process.kill()


def test_a_panic_ends_it_in_order(home):
    with home.serve("--embedded", **SLOW) as bridge:
        to = ("--to", bridge.addresses["tcp"])
        with home.start("render", "shapes", "--frames", "1-900", "-o", "out/%d.png", "--json", *to) as running:
            while json.loads(running.line()).get("done", 0) < 2:
                pass
            assert home.run("panic", *to).code == 0
            assert running.process.wait(60) == 1
            running.join()
            told = events(running.process.stdout.read().decode())[-1]
            assert "the bridge cancelled the rest" in running.errors
    assert told["state"] == manifest(home)["state"] == "failed"
    assert len(manifest(home)["done"]) == told["done"] >= 2


def test_nobody_there(home):
    with ReservedPort() as port:
        done = home.run("render", "shapes", "--frames", "1", "-o", "%d.png", "--to", f"127.0.0.1:{port}")
    assert done.code == 1
    assert f"no bridge answers at 127.0.0.1:{port}" in one_line(done.err)
    done = home.run(
        "render", "shapes", "--frames", "1", "-o", "%d.png", "--comfy", "http://127.0.0.1:1", "--timeout", "1"
    )
    assert done.code == 1
    assert "no ComfyUI answers at http://127.0.0.1:1" in one_line(done.err)


def test_a_frame_that_fails(home):
    folders = add_workflow(home, "mine", LOAD_AND_SHOW)
    done = home.run("render", "mine", "--workflows", folders, "--frames", "1004-1005", "-o", "out/%d.png", "--quiet")
    assert (done.code, done.out) == (1, "")
    assert "none.png" in one_line(done.err)
    assert "frame 1004" in done.err
    assert "0 of 2 frames are there and whole: the same with --resume goes on" in done.err
    assert manifest(home)["state"] == "failed"


def test_a_dry_run(home):
    done = home.run(
        *("render", "shapes", "--frames", "1001-1011", "--track", "bar_width=1001:10,1011:110", "--seed", "5"),
        *("--seed-policy", "increment", "-o", "out/%04d.png", "--dry-run"),
    )
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "11 frames to make: 1001-1011"
    assert "frame 1001: bar_width 10, seed 1006" in done.out
    assert "frame 1011: bar_width 110, seed 1016" in done.out
    assert not (home.work / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "depth=d.%d.png"), "has no output 'depth'; it has image"),
        (("--track", "blurr=1:0"), "nearest is 'blur'"),
        (("--track", "blur=1:0.5,9:-1"), "frame 9"),
        (("-p", "blur=1", "--track", "blur=1:0"), "blur is given by -p and by a track"),
    ],
)
def test_what_does_not_fit_the_workflow(home, options, words):
    done = home.run("render", "shapes", "--frames", "1-9", "-o", "%d.png", *options)
    assert (done.code, done.out) == (2, "")
    assert words in one_line(done.err)
    assert list(home.work.glob("*.png")) == []


def test_help_teaches(home):
    done = home.run("render", "--help")
    assert done.code == 0
    for word in ("1001-1100x2", "cubic_in_out", "--resume", "--chunk", "shot.csv", "Exit codes"):
        assert word in done.out


def test_more_than_8_bits_come_where_the_binding_asks_for_them(home):
    exr = pytest.importorskip("OpenEXR")
    side = 1024
    graph = {
        "1": solid("@fill:color", width=2, height=1),
        "2": solid("white", width=1, height=1, color=0xFFFFFF),
        "3": node("ImageCompositeMasked", "", destination=["1", 0], source=["2", 0], x=1, y=0, resize_source=False),
        "4": node("ImageScale", "", image=["3", 0], upscale_method="bilinear", width=side, height=2, crop="disabled"),
        "5": node("SaveImage", "@out image", images=["4", 0], filename_prefix="x"),
        "6": node("TexBridgeOutput", "@out depth", images=["4", 0], format="raw16f"),
    }
    folders = add_workflow(home, "ramp", graph)
    (home.work / "workflows/ramp/binding.toml").write_text('[outputs.image]\nnode = "5"\nbits = 16\n', encoding="utf-8")
    args = ("render", "ramp", "--workflows", folders, "--frames", "1-2", "--bits", "16", "-o", "out/%d.png")
    done = home.run(*args, "-o", "out/%d.exr", "-o", "depth=out/depth.%d.exr")
    assert done.code == 0, done.err
    assert "8 bits" not in done.err
    exact = np.clip((np.arange(side) + 0.5 - side / 4) / (side / 2), 0, 1)
    wide = decode_png16((home.work / "out/1.png").read_bytes())[0, :, 0]
    assert np.abs(wide / 65535 - exact).max() < 3e-4
    assert len(np.unique(wide)) > 500
    for name, wanted in (("out/2.exr", linear_of(exact)), ("out/depth.2.exr", exact)):
        with exr.File(str(home.work / name), separate_channels=True) as file:
            row = file.channels()["R"].pixels[0]
        assert np.abs(row - wanted).max() < 1e-3
        assert len(np.unique(row)) > 500
    told = manifest(home)
    assert told["done"]["1"]["bits"] == {"image": 16, "depth": 16}
    again = home.run(*args, "-o", "out/%d.exr", "-o", "depth=out/depth.%d.exr", "--resume")
    assert again.code == 0, again.err
    assert manifest(home) == told
