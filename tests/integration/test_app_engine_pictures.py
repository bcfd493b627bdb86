"""Pictures from an engine over real sockets: every format and origin, the newest alone, with the values of its message.

By the node pack and as files, as to a ComfyUI without it.
"""

import asyncio
import io
import weakref
from math import inf

import numpy as np
import pytest
from app_rig import AppRig, color, node, run, solid, write_workflow
from PIL import Image as Pillow

from bridge.app.inputs import uploads
from bridge.backends.transfer import TransferMode
from bridge.backends.uploads import RING
from bridge.codec.messages import Image, Ping, Run, Set
from bridge.scheduler import policy
from bridge.streams import pictures as checks
from bridge.types import BYTES_PER_PIXEL, FORMATS_BY_WORD

PHOTO = {
    "1": node("LoadImage", "@picture:image", image="a.png"),
    "2": node("SaveImageWebsocket", "@out image", images=["1", 0]),
}
EXACT = "[parameters.picture]\nlossless = true\n"
STREAMS = {"main": {"workflow": "exact", "mode": "oneshot"}}
LIVE = {"main": {"workflow": "exact", "mode": "live"}}

# A colour and a picture, each sent back: what came in one message must come out in one set.
TWO = {
    "1": node("LoadImage", "@picture:image", image="a.png"),
    "2": solid("@fill:color"),
    "3": node("SaveImageWebsocket", "@out image", images=["1", 0]),
    "4": node("SaveImageWebsocket", "@out fill", images=["2", 0]),
}


def write_workflows(folder):
    write_workflow(folder, "exact", PHOTO, EXACT)
    write_workflow(folder, "two", TWO, EXACT)


def use_files(rig):
    """No node pack: pictures go up as files."""
    rig.bridge.backends.get("comfy").nodes.transfer.mode = TransferMode.PNG


def raw(array, word="rgba8", origin="top_left"):
    """Pixels, rows from the top, as an image parameter's value."""
    rows = array if origin == "top_left" else array[::-1]
    height, width = array.shape[:2]
    return {"width": width, "height": height, "format": word, "origin": origin, "data": rows.tobytes()}


def plain(number, width=32, height=16):
    """A picture of one colour, from which `Frame.number` reads the number back."""
    array = np.full((height, width, 4), 255, np.uint8)
    array[..., :3] = [number >> 16 & 255, number >> 8 & 255, number & 255]
    return raw(array)


async def frame_of(engine, done):
    """The first frame of a request."""
    await engine.until(lambda: any(frame.header.request == done.request for frame in engine.frames), "its frame")
    return next(frame for frame in engine.frames if frame.header.request == done.request)


async def shown(engine, number):
    """Wait until the newest frame shows this number."""
    await engine.until(lambda: bool(engine.frames) and engine.frames[-1].number == number, f"picture {number}")


COLORS = np.random.default_rng(3).integers(0, 256, (9, 7, 4), np.uint8)
GREY = COLORS[..., 0]


def form(word):
    """COLORS, or their red, in a format, and the R G B A that must come back."""
    grey = np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)])
    opaque = COLORS.copy()
    opaque[..., 3] = 255
    return {
        "rgba8": (COLORS, opaque),
        "bgra8": (COLORS[..., [2, 1, 0, 3]], opaque),
        "rgb8": (COLORS[..., :3], opaque),
        "rgba16f": ((COLORS / 255).astype("<f2"), opaque),
        "rgba32f": ((COLORS / 255).astype("<f4"), opaque),
        "r8": (GREY, grey),
        "r16": (GREY.astype("<u2") * 257, grey),
        "r16f": ((GREY / 255).astype("<f2"), grey),
        "r32f": ((GREY / 255).astype("<f4"), grey),
    }[word]


@pytest.mark.parametrize(("door", "way"), [("tcp", "files"), ("websocket", "nodes")])
def test_every_format_and_origin_comes_out_as_it_went_in(tmp_path, door, way):
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            if way == "files":
                use_files(rig)
            engine = await rig.engine(door)
            assert "image" in engine.welcome.features
            await engine.subscribe()
            for word in checks.RAW_FORMATS:
                for origin in ("top_left", "bottom_left"):
                    array, expected = form(word)
                    await engine.ask(Image, stream="main", param="picture", value=raw(array, word, origin))
                    (done,) = await engine.finish(await engine.run())
                    assert done.outcome == "done", (word, origin, done.message)
                    frame = await frame_of(engine, done)
                    # Floats that reach a graph as they are lose a little in ComfyUI, which cuts them off at the end.
                    most = 1 if way == "nodes" and word.endswith("16f") else 0
                    assert np.abs(frame.pixels.astype(int) - expected).max() <= most, (word, origin)
            assert done.timing["pictures_us"] > 0

    run(test)


def test_without_a_word_in_the_binding_colors_go_as_a_fine_jpeg(tmp_path):
    rows, columns = np.mgrid[0:64, 0:96]
    smooth = np.stack([rows * 3, columns * 2, rows + columns, np.full_like(rows, 255)], -1).astype(np.uint8)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "photo", "mode": "oneshot"}}) as rig:
            use_files(rig)
            engine = await rig.engine()
            await engine.subscribe()
            (done,) = await engine.finish(await engine.run(params={"picture": raw(smooth, origin="bottom_left")}))
            frame = await frame_of(engine, done)
            assert 0 < np.abs(frame.pixels.astype(int) - smooth).mean() < 2

    run(test)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({**plain(1), "data": b"1234"}, 109),
        ({**plain(1), "format": "rgba"}, 306),
        ({**plain(1), "origin": "middle"}, 303),
        ({**plain(1), "width": 0}, 305),
        ({**plain(1), "height": float("nan")}, 308),
        ({"width": 1}, 301),
        ({"encoded": b"GIF89a"}, 109),
        ({"slot": 0, "seq": 2}, 411),
    ],
)
def test_a_picture_that_is_wrong_is_refused_and_changes_nothing(tmp_path, value, code):
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            await engine.ask(Image, stream="main", param="picture", value=plain(7))
            held = rig.bridge.streams.find("main").values.snapshot()
            for kind, fields in (
                (Image, {"param": "picture", "value": value}),
                (Set, {"params": {"picture": value}}),
                (Run, {"params": {"picture": value}}),
            ):
                refusal = await engine.refused(kind, stream="main", **fields)
                assert (refusal.code, refusal.field) == (code, "picture"), refusal.message
            assert rig.bridge.streams.find("main").values.snapshot() is held
            assert (await engine.refused(Image, stream="main", param="none", value=plain(1))).code == 204

    run(test)


@pytest.mark.parametrize("door", ["tcp", "websocket"])
def test_a_fast_camera_never_has_more_than_one_picture_waiting(tmp_path, monkeypatch, door):
    """A second of a 60 fps camera of 1080p comes as fast as the socket takes it, while one prompt runs."""
    write_workflows(tmp_path)
    # A prompt that waits for long is posted anew with the newest: on a slow machine that would be now and then.
    monkeypatch.setattr(policy, "refresh_at", lambda **_: inf)

    async def test():
        async with AppRig(tmp_path, LIVE) as rig:
            use_files(rig)
            values = rig.bridge.streams.find("main").values
            references = []
            check = values.check

            def remembering(*arguments, **options):
                checked = check(*arguments, **options)
                references.extend(weakref.ref(value) for value in checked.values())
                return checked

            values.check = remembering
            engine = await rig.engine(door)
            rig.gate.shut()
            await engine.subscribe(size=(32, 16))
            engine.send(Image(stream="main", param="picture", value=plain(0, 1920, 1080)))
            await rig.begun(1)
            most = 0
            for number in range(1, 61):
                picture = plain(number, 1920, 1080)
                engine.send(Image(stream="main", param="picture", value=picture))
                if not number % 10:
                    await engine.ask(Ping)
                    most = max(most, sum(reference() is not None for reference in references))
            # One that is the newest, one in a prompt that waits, one in a prompt that runs.
            assert most <= 3
            assert len(references) == 61
            assert rig.bridge.pictures.made_ready <= rig.gate.begun + 1
            rig.gate.open()
            await shown(engine, 60)
            assert sum(reference() is not None for reference in references) <= 3

    run(test)


@pytest.mark.parametrize("way", ["files", "nodes"])
def test_a_camera_leaves_few_files_and_every_frame_is_its_own_picture(tmp_path, way):
    """Each set shows the picture and the colour of one message, whatever came while its picture went up."""
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "two", "mode": "live"}}) as rig:
            if way == "files":
                use_files(rig)
            engine = await rig.engine()
            await engine.set(params={"picture": plain(1), "fill": color(1)})
            await engine.subscribe()
            number = 1
            while len({frame.header.number for frame in engine.frames}) < 25:
                number += 1
                await engine.set(params={"picture": plain(number), "fill": color(number)})
            await shown(engine, number)
            sets = {}
            for frame in engine.frames:
                sets.setdefault(frame.header.number, []).append(frame.number)
            assert all(len(set(pair)) == 1 for pair in sets.values()), sets
            names = {key for key in rig.comfy._files._files if key.folder == "input"} if way == "files" else set()
            assert len(names) <= RING + 2
            if way == "files":
                assert names

    run(test)


def test_a_newer_picture_that_comes_during_the_upload_is_the_next_prompts(tmp_path, monkeypatch):
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "two", "mode": "live"}}) as rig:
            use_files(rig)
            backend = rig.bridge.backends.get("comfy")
            engine = await rig.engine()
            began, go_on = asyncio.Event(), asyncio.Event()
            store = backend.store_picture

            async def slow(*arguments):
                began.set()
                await go_on.wait()
                return await store(*arguments)

            monkeypatch.setattr(backend, "store_picture", slow)
            await engine.set(params={"picture": plain(1), "fill": color(1)})
            await engine.subscribe()
            await began.wait()
            await engine.set(params={"picture": plain(2), "fill": color(2)})
            await engine.set(params={"picture": plain(3), "fill": color(3)})
            go_on.set()
            await shown(engine, 3)
            numbers = [frame.number for frame in engine.frames]
            assert numbers in ([1, 1, 3], [1, 1, 3, 3]), "taken is taken; then the newest, and none between"
            assert rig.bridge.pictures.made_ready == 2

    run(test)


def test_the_same_picture_is_not_brought_twice(tmp_path):
    """A mask that stays while other values move, and the same pixels sent again."""
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "two", "mode": "oneshot"}}) as rig:
            use_files(rig)
            engine = await rig.engine()
            await engine.subscribe()
            for number in range(1, 5):
                params = {"fill": color(number), "picture": plain(9)}
                await engine.finish(await engine.run(params=params))
            assert (rig.bridge.pictures.made_ready, rig.bridge.pictures.brought) == (1, 1)

    run(test)


def test_what_pictures_take_is_part_of_the_lead(tmp_path):
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, {**STREAMS, "plain": {"workflow": "solid", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            for number in range(3):
                await engine.finish(await engine.run(params={"picture": plain(number)}), await engine.run("plain"))
            estimates = rig.bridge.scheduler._ledger.backends["comfy"].estimates
            streams = rig.bridge.streams
            taken = estimates.preparation(streams.find("main").number)
            assert taken > 0
            assert estimates.preparation(streams.find("plain").number) == 0
            leads = [estimates.lead("key", streams.find(name).number) for name in ("main", "plain")]
            assert leads[0] - leads[1] == pytest.approx(taken)

    run(test)


def test_a_file_that_somebody_deleted_is_brought_again(tmp_path):
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            use_files(rig)
            engine = await rig.engine()
            await engine.subscribe()
            (done,) = await engine.finish(await engine.run(params={"picture": plain(5)}))
            assert done.outcome == "done"
            rig.comfy._files.clear()
            answers = await engine.finish(await engine.run())
            if answers[0].outcome != "done":
                answers = await engine.finish(await engine.run())
            assert answers[0].outcome == "done"
            assert (await frame_of(engine, answers[0])).number == 5

    run(test)


def test_raw_pictures_of_waiting_runs_count_in_memory(tmp_path):
    write_workflows(tmp_path)

    async def test():
        async with AppRig(tmp_path, STREAMS, limits={"request_memory_mb": 1}) as rig:
            engine = await rig.engine()
            rig.gate.shut()
            big = [plain(number, 512, 256) for number in range(3)]  # half a MiB each
            requests = [await engine.run(params={"picture": picture}) for picture in big[:2]]
            assert rig.bridge.retained.bytes == 1 << 20
            assert (await engine.refused(Run, stream="main", params={"picture": big[2]})).code == 405
            rig.gate.open()
            await engine.finish(*requests)
            assert rig.bridge.retained.bytes <= 1 << 19, "the stream's own may count"

    run(test)


def test_depth_color_and_mask_of_one_workflow(tmp_path):
    """Several pictures of one prompt, each by its own rule."""
    graph = {
        "1": node("LoadImage", "@photo:image", image="a.png"),
        "2": node("LoadImage", "@depth:image", image="a.png"),
        "3": node("LoadImageMask", "@mask:image", image="a.png", channel="red"),
        "4": node("MaskToImage", "", mask=["3", 0]),
        "5": node("SaveImageWebsocket", "@out image", images=["1", 0]),
        "6": node("SaveImageWebsocket", "@out depth", images=["2", 0]),
        "7": node("SaveImageWebsocket", "@out mask", images=["4", 0]),
    }
    binding = """
    [parameters.photo]
    lossless = true
    mirror_x = true
    [parameters.depth]
    near = 500
    far = 2500
    invert = true
    fill = "nearest"
    [parameters.mask]
    rotate = 180
    """
    write_workflow(tmp_path, "three", graph, binding)
    depth = np.array([[500, 0, 2500], [0, 0, 0]], "<u2")
    mask = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    photo = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "three", "mode": "oneshot"}}) as rig:
            for way in ("nodes", "files"):
                if way == "files":
                    use_files(rig)
                engine = await rig.engine()
                await engine.subscribe()
                params = {
                    "photo": raw(photo),
                    "depth": raw(depth, "r16", "bottom_left"),
                    "mask": raw(mask, "r8"),
                }
                (done,) = await engine.finish(await engine.run(params=params))
                assert done.outcome == "done", done.message
                await frame_of(engine, done)
                await engine.until(lambda engine=engine: len(engine.frames) >= 3)
                made = {frame.header.output: frame.pixels for frame in engine.frames}
                assert (made[0][..., :3] == photo[:, ::-1, :3]).all(), way
                assert made[1][..., 0].tolist() == [[255, 255, 0], [255, 255, 0]], way
                assert made[2][..., 0].tolist() == [[6, 5, 4], [3, 2, 1]], way
                await engine.close()

    run(test)


@pytest.mark.parametrize("way", ["files", "nodes"])
def test_alpha_reaches_the_graph_that_uses_it(tmp_path, way):
    graph = {
        "1": node("LoadImage", "@photo:image", image="a.png"),
        "2": node("MaskToImage", "", mask=["1", 1]),
        "3": node("SaveImageWebsocket", "@out image", images=["2", 0]),
    }
    write_workflow(tmp_path, "cut", graph)

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "cut", "mode": "oneshot"}}) as rig:
            if way == "files":
                use_files(rig)
            engine = await rig.engine()
            await engine.subscribe()
            (done,) = await engine.finish(await engine.run(params={"photo": raw(COLORS, "bgra8", "bottom_left")}))
            assert done.outcome == "done", done.message
            frame = await frame_of(engine, done)
            # LoadImage's mask is what is not there.
            assert np.abs(frame.pixels[..., 0] - (255.0 - COLORS[..., 3])).max() <= 1, "ComfyUI cuts floats off"

    run(test)


@pytest.mark.parametrize("way", ["files", "nodes"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16", "P"])
def test_encoded_pictures_fit_too(tmp_path, way, mode):
    write_workflow(tmp_path, "fitted", {**PHOTO, "3": solid()}, EXACT + 'fit = "cover"\n')

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "fitted", "mode": "oneshot"}}) as rig:
            if way == "files":
                use_files(rig)
            engine = await rig.engine()
            await engine.subscribe()
            with io.BytesIO() as file:
                grey = {"L": 7, "LA": (7, 255), "I;16": 7 * 257}.get(mode)
                picture = Pillow.new("RGB" if mode == "P" or grey is None else mode, (50, 60), grey or (7, 8, 9))
                picture = picture.convert(mode) if mode == "RGBA" else picture.quantize(2) if mode == "P" else picture
                picture.save(file, "PNG")
                value = {"encoded": file.getvalue()}
            (done,) = await engine.finish(await engine.run(params={"picture": value}))
            assert done.outcome == "done", done.message
            frame = await frame_of(engine, done)
            assert (frame.header.width, frame.header.height) == (32, 16), "the stream's size"
            assert frame.number == (0x070809 if grey is None else 0x070707)

    run(test)


def test_a_file_that_cannot_be_decoded_fails_its_run_at_once(tmp_path, monkeypatch):
    """Its header was right when it was set; trying again would not help."""
    write_workflow(tmp_path, "turned", PHOTO, "[parameters.picture]\nrotate = 90\n")

    async def test():
        async with AppRig(tmp_path, {"main": {"workflow": "turned", "mode": "oneshot"}}) as rig:
            use_files(rig)
            engine = await rig.engine()
            with io.BytesIO() as file:
                Pillow.new("RGB", (50, 60), (7, 8, 9)).save(file, "PNG")
                data = bytearray(file.getvalue())
            data[data.index(b"IDAT") + 6] ^= 0xFF
            broken = {"encoded": bytes(data)}
            tries = []
            make = uploads.picture_file
            monkeypatch.setattr(
                uploads, "picture_file", lambda *arguments, far: tries.append(1) or make(*arguments, far=far)
            )
            (done,) = await engine.finish(await engine.run(params={"picture": broken}))
            assert (done.outcome, done.code, len(tries)) == ("failed", 109, 1)
            (done,) = await engine.finish(await engine.run(params={"picture": plain(3)}))
            assert done.outcome == "done"

    run(test)


def test_a_bridge_writes_over_its_own_files_alone(monkeypatch):
    """The same word after each start; another one where other doors, another machine or no fixed door is."""
    from bridge.app.config.config import load_config

    def tag(**doors):
        return uploads.upload_tag(load_config(None, {}, {name: {"listen": listen} for name, listen in doors.items()}))

    assert tag() == tag()
    assert tag(tcp="127.0.0.1:9999") != tag()
    closed = {"osc": "", "link": "", "http": "", "tcp": "127.0.0.1:0"}
    assert tag(**closed) != tag(**closed)
    before = tag()
    monkeypatch.setattr(uploads.socket, "gethostname", lambda: "elsewhere")
    assert tag() != before
    assert BYTES_PER_PIXEL.keys() == {FORMATS_BY_WORD[word] for word in checks.RAW_FORMATS}
