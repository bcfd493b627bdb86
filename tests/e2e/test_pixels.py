"""OSC or msgpack in, texture bytes out, against a real ComfyUI: compared byte for byte with a tap and Pillow.

Between the bridge and ComfyUI stands a proxy in a process of its own, which keeps what ComfyUI sends; another process
decodes that with Pillow. The engine here knows the wire by its bytes alone, the OSC sender is liblo's `oscsend`.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from restart_scenarios import CORNERS, plain, shows
from serve_rig import BOTTOM_LEFT, Child, Engine, Serve, run

HERE = Path(__file__).parent
FORMATS = {"rgba8": (1, 4), "bgra8": (2, 4), "rgb8": (3, 3)}
FORMS = [(pixel_format, origin) for pixel_format in FORMATS for origin in ("top_left", "bottom_left")]


def node(class_type, title="", **inputs):
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


CORNER = node("EmptyImage", "Ground @ground:color @width @height", width=200, height=120, batch_size=1, color=0x102030)
BAR = node("EmptyImage", "Bar @bar:color", width=40, height=30, batch_size=1, color=0xFF8000)
PLACED = node("ImageCompositeMasked", destination=["1", 0], source=["2", 0], x=20, y=10, resize_source=False)
NOISY = node("ImageAddNoise", "Grain @seed @grain:strength", image=["3", 0], seed=3, strength=0.1)
WORKFLOWS = {
    # As people save it: ends in SaveImage, and the bridge puts a WebSocket output there.
    "saved": {
        "1": CORNER,
        "2": BAR,
        "3": PLACED,
        "4": NOISY,
        "5": node("SaveImage", "Save", images=["4", 0], filename_prefix="texbridge-e2e"),
    },
    # Four channels.
    "cutout": {
        "1": CORNER,
        "2": BAR,
        "3": PLACED,
        "4": NOISY,
        "5": node("SolidMask", value=0.3, width=200, height=120),
        "6": node("JoinImageWithAlpha", image=["4", 0], alpha=["5", 0]),
        "7": node("SaveImageWebsocket", "@out picture", images=["6", 0]),
    },
    # Two sets a run.
    "twice": {
        "1": CORNER,
        "2": BAR,
        "3": PLACED,
        "4": NOISY,
        "5": node("ImageBatch", image1=["3", 0], image2=["4", 0]),
        "6": node("SaveImageWebsocket", "@out picture", images=["5", 0]),
    },
}
RUNS = {
    "gradient": [
        {},
        {"top_left": [1.0, 0.0, 0.25], "bottom_right": "#00ff80", "noise": 0.3, "blur": 0.9},
        {"top_right": [0.1, 0.2, 0.3, 1.0], "noise": 0.0},
    ],
    "shapes": [
        {},
        {"bar": [40, 20], "block": [60, 70], "bar_color": [1, 0, 0], "mirror_x": 0.0, "scaling": "nearest-exact"},
        {"blur": 1.0, "noise": 0.4, "blend": "multiply", "fill": True},
    ],
    "saved": [{}, {"bar": "#ffffff", "grain": 0.5}],
    "cutout": [{}, {"ground": "#ff00ff"}],
    "twice": [{}, {"grain": 0.6}],
}


@contextlib.asynccontextmanager
async def tapped(url, tmp_path, *options):
    """(serve, tap folder): the bridge on ComfyUI through the tap, with the workflows above."""
    for name, graph in WORKFLOWS.items():
        folder = tmp_path / "workflows" / name
        folder.mkdir(parents=True)
        (folder / "workflow_api.json").write_text(json.dumps(graph))
    folder = tmp_path / "tapped"
    folder.mkdir()
    async with Child(sys.executable, str(HERE / "tap_proxy.py"), url, str(folder)) as tap:
        at = (await tap.start("tapping at")).split()[-1]
        # A warm-up's picture goes over the tap too, and to nobody. Pillow reads PNG: where the node pack is, not its.
        config = f'[scheduler]\nwarm_up = false\n[[backend]]\nurl = "{at}"\ntransfer = "png"\n'
        async with Serve("--workflows", str(tmp_path / "workflows"), *options, config=config) as serve:
            yield serve, folder
        assert tap.process.returncode is None, list(tap.lines)


async def decoded(folder, tmp_path):
    """What another process makes of the tap: a list of {name, width, height, mode, ...}, and the folder of bytes."""
    out = tmp_path / "decoded"
    out.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "decode_pictures.py"), str(folder), str(out), stderr=subprocess.PIPE
    )
    _, words = await process.communicate()
    process._transport.close()
    assert process.returncode == 0, words.decode()
    return json.loads((out / "index.json").read_text()), out


def compare(frame, facts, out, pixel_format, origin):
    """One frame is exactly what Pillow makes of the tapped picture, and its header says so."""
    number, pixel_bytes = FORMATS[pixel_format]
    assert (frame.width, frame.height, frame.format) == (facts["width"], facts["height"], number)
    assert (frame.row_pitch, frame.mips) == (facts["width"] * pixel_bytes, 1)
    assert bool(frame.flags & BOTTOM_LEFT) is (origin == "bottom_left")
    wanted = (out / f"{facts['name']}.{pixel_format}.{origin}").read_bytes()
    assert frame.payload == wanted, f"picture {facts['name']} as {pixel_format} {origin}"


def in_order(frames, pictures, out, pixel_format, origin):
    """Each frame is one of the tapped pictures, later than the frame before, and the last is the last."""
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    names = [facts["name"] for facts in pictures]
    place = -1
    for frame in frames:
        later = (names.index(name) for name in names[place + 1 :] if _is(frame, out, name, pixel_format, origin))
        place = next(later, None)
        assert place is not None, f"frame {frame.number} is none of the pictures that were still to come"
        compare(frame, pictures[place], out, pixel_format, origin)
    assert place == len(pictures) - 1


def _is(frame, out, name, pixel_format, origin):
    return frame.payload == (out / f"{name}.{pixel_format}.{origin}").read_bytes()


async def look(engine, stream, pixel_format, origin, **fields):
    answer = await engine.ask(
        "subscribe", stream=stream, format=pixel_format, origin=origin, delivery="latest", credit=8, **fields
    )
    assert answer["op"] == "subscribed", answer
    return answer["number"]


@pytest.mark.parametrize("kind", ["tcp", "websocket"])
def test_msgpack_in_pixels_out(comfyui_url, tmp_path, kind):
    """Each workflow, in each form, over each link: every byte of every frame."""

    async def scenario():
        async with tapped(comfyui_url, tmp_path) as (serve, folder), contextlib.AsyncExitStack() as stack:
            address = serve.tcp if kind == "tcp" else serve.link
            engines = [await stack.enter_async_context(Engine(kind, address)) for _ in FORMS]
            for engine in engines:
                await engine.hello()
            expected, numbers = [], {}
            for workflow, runs in RUNS.items():
                opened = await engines[0].ask("open", stream=workflow, workflow=workflow, mode="oneshot")
                assert opened["op"] == "opened", opened
                number = numbers[workflow] = opened["number"]
                for engine, form in zip(engines, FORMS, strict=True):
                    await look(engine, workflow, *form)
                for turn, params in enumerate(runs):
                    request = await engines[0].run(workflow, params=params, seed=turn)
                    await engines[0].until(lambda r=request: engines[0].outcome(r), "the answer")
                    told = engines[0].finished[request][0]
                    assert (told["outcome"], told["seed"]) == ("done", turn), told
                    sets = 2 if workflow == "twice" else 1
                    assert told["frames"] == sets
                    expected += [(workflow, request, index) for index in range(sets)]
                wanted = sum(1 for entry in expected if entry[0] == workflow)
                for engine in engines:
                    await engine.until(
                        lambda e=engine, n=number, w=wanted: len(e.new_frames(n)) >= w, f"{wanted} frames"
                    )
            index, out = await decoded(folder, tmp_path)
            assert len(index) == len(expected)
            assert {facts["event"] for facts in index} == {4}
            assert [facts["mode"] for facts, (workflow, *_) in zip(index, expected, strict=True)] == [
                "RGBA" if workflow == "cutout" else "RGB" for workflow, *_ in expected
            ]
            compared = 0
            for engine, form in zip(engines, FORMS, strict=True):
                came = [frame for number in numbers.values() for frame in engine.new_frames(number)]
                assert [(f.stream, f.request, f.index) for f in came] == [
                    (numbers[workflow], request, place) for workflow, request, place in expected
                ]
                for frame, facts in zip(came, index, strict=True):
                    compare(frame, facts, out, *form)
                    compared += 1
            assert compared == len(FORMS) * len(expected)
            print(f"{kind}: {len(expected)} pictures tapped, {compared} frames equal byte for byte")

    run(scenario)


COLOURS = [
    (("fff", "1.0", "0.5", "0.0"), (255, 128, 0)),
    (("iii", "16", "200", "90"), (16, 200, 90)),
    (("ddd", "0.0", "1.0", "1.0"), (0, 255, 255)),
    (("s", "#4080c0"), (64, 128, 192)),
    (("ffff", "0.2", "0.4", "0.6", "1.0"), (51, 102, 153)),
]


@pytest.mark.skipif(shutil.which("oscsend") is None, reason="oscsend is not installed (Debian: liblo-tools)")
def test_oscsend_in_pixels_out(comfyui_url, tmp_path):
    """liblo's oscsend alone moves a live stream and runs an asked one; frames over TCP and WebSocket."""

    async def scenario():
        async with (
            tapped(comfyui_url, tmp_path, "--stream", "asked=gradient:oneshot") as (serve, folder),
            Engine("tcp", serve.tcp) as one,
            Engine("websocket", serve.link) as two,
        ):
            host, _, port = serve.osc.rpartition(":")

            async def oscsend(address, *arguments):
                process = await asyncio.create_subprocess_exec("oscsend", host, port, address, *arguments)
                assert await process.wait() == 0
                process._transport.close()

            for engine in (one, two):
                await engine.hello()
            forms = {one: ("rgba8", "top_left"), two: ("bgra8", "bottom_left")}

            # Asked for: one frame for each run, each the colour that was sent.
            asked = await look(one, "asked", *forms[one])
            await look(two, "asked", *forms[two])
            await oscsend("/texbridge/asked/noise", "f", "0")
            await oscsend("/texbridge/asked/size", "ii", "64", "48")
            for count, (arguments, colour) in enumerate(COLOURS, 1):
                await oscsend("/texbridge/asked/*_left", *arguments)
                await oscsend("/texbridge/asked/*_right", *arguments)
                await oscsend("/texbridge/asked/run", *(() if count % 2 else ("i", "1")))
                for engine in (one, two):
                    await engine.until(lambda e=engine, c=count: len(e.new_frames(asked)) >= c, f"frame {count}")
                frame = one.new_frames(asked)[-1]
                assert (frame.number, frame.width, frame.height) == (count, 64, 48)
                assert shows(frame, *colour), (arguments, frame.payload[:4].hex())
            index, out = await decoded(folder, tmp_path)
            assert len(index) == len(COLOURS)
            for engine, form in forms.items():
                assert len(engine.new_frames(asked)) == len(index)
                for frame, facts in zip(engine.new_frames(asked), index, strict=True):
                    compare(frame, facts, out, *form)

            # Live: it moves by itself with what is sent; a viewer may skip pictures, never go back.
            live = await look(one, "main", *forms[one])
            await look(two, "main", *forms[two])
            for turn in range(16):
                before = len(one.new_frames(live))
                await oscsend(f"/texbridge/main/{CORNERS[turn % 4]}", "fff", str(turn / 16), "0.5", "0.1")
                await one.until(lambda b=before: len(one.new_frames(live)) > b, "another picture")
            await oscsend("/texbridge/main/noise", "f", "0")
            for corner in CORNERS:
                await oscsend(f"/texbridge/main/{corner}", "s", "#0a6ec8")
            await one.until(lambda: one.new_frames(live) and shows(one.new_frames(live)[-1], 10, 110, 200), "the end")
            last = one.new_frames(live)[-1].number
            await two.until(lambda: two.new_frames(live)[-1].number >= last, "the last frame")
            index, out = await decoded(folder, tmp_path)
            pictures = index[len(COLOURS) :]
            for engine, form in forms.items():
                in_order(engine.new_frames(live), pictures, out, *form)
            counts = {kind: len(engine.new_frames(live)) for kind, engine in (("tcp", one), ("websocket", two))}
            print(f"oscsend: {len(COLOURS)} runs, {len(pictures)} live pictures tapped, live frames compared: {counts}")

    run(scenario)


def test_msgpack_moves_a_live_stream(comfyui_url, tmp_path):
    """The same by `set` over TCP: the last values sent are the last frame shown."""

    async def scenario():
        async with tapped(comfyui_url, tmp_path) as (serve, folder), Engine("tcp", serve.tcp) as engine:
            await engine.hello()
            number = await look(engine, "main", "rgb8", "bottom_left")
            for turn in range(200):
                await engine.tell("set", stream="main", params={"blur": 0.1 + turn % 90 / 100, "noise": 0.2})
            await engine.ask("set", stream="main", params=plain(200, 100, 50))
            await engine.until(
                lambda: engine.new_frames(number) and _is_plain(engine.new_frames(number)[-1], (200, 100, 50)),
                "the last values",
            )
            index, out = await decoded(folder, tmp_path)
            in_order(engine.new_frames(number), index, out, "rgb8", "bottom_left")

    run(scenario)


def _is_plain(frame, colour):
    return all(
        max(frame.payload[place::3]) <= wanted + 1 and min(frame.payload[place::3]) >= wanted - 1
        for place, wanted in enumerate(colour)
    )
