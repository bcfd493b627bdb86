"""`size` and `fit` of each subscriber over real sockets: every pixel, whatever is shown, in every kind of format."""

import io

import numpy as np
import pytest
from app_rig import AppRig, node, run, write_workflow
from PIL import Image

from bridge.codec.messages import Blackout, Freeze, Subscribe
from bridge.types import Delivery, Fit, FrameFlags, Origin

BLACK, RED, BLUE = (0, 0, 0, 255), (255, 0, 0, 255), (0, 0, 255, 255)
STREAMS = {"main": {"workflow": "photo", "mode": "oneshot"}}
WIDTH, HEIGHT = 31, 16


def picture() -> np.ndarray:
    """31 x 16 pixels, each its own colour; what is cropped or framed without scaling must come as it is."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([columns * 8, rows * 15, (columns * 31 + rows * 7) % 256, np.full_like(rows, 255)], -1).astype("u1")


def halves(width: int = 64, height: int = 32) -> np.ndarray:
    """Left red, right blue."""
    pixels = np.zeros((height, width, 4), "u1")
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    return pixels


def encoded(pixels: np.ndarray) -> dict[str, bytes]:
    with io.BytesIO() as file:
        Image.fromarray(pixels[..., :3]).save(file, "PNG")
        return {"encoded": file.getvalue()}


def framed(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """In the middle of black; an odd pixel more at the right and bottom."""
    out = np.full((height, width, 4), BLACK, "u1")
    left, top = (width - pixels.shape[1]) // 2, (height - pixels.shape[0]) // 2
    out[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return out


def cropped(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    left, top = (pixels.shape[1] - width) // 2, (pixels.shape[0] - height) // 2
    return pixels[top : top + height, left : left + width]


def rgba(frame, word: str) -> np.ndarray:
    """The pixels of a frame, the uppermost row first."""
    header = frame.header
    if word in ("jpeg", "png"):
        image = Image.open(io.BytesIO(frame.data))
        assert image.size == (header.width, header.height)
        assert (header.row_pitch, header.payload_bytes) == (0, len(frame.data))
        return np.asarray(image.convert("RGBA"))
    rows = np.frombuffer(frame.data, "u1").reshape(header.height, header.width, 4)
    assert header.row_pitch == header.width * 4
    rows = rows[::-1] if frame.has(FrameFlags.BOTTOM_LEFT) else rows
    return rows[..., [2, 1, 0, 3]] if word == "bgra8" else rows


EXACT = [
    (None, (WIDTH, HEIGHT), picture()),
    (Fit.CONTAIN, (WIDTH, 33), framed(picture(), WIDTH, 33)),
    (Fit.CONTAIN, (40, HEIGHT), framed(picture(), 40, HEIGHT)),
    (Fit.COVER, (20, HEIGHT), cropped(picture(), 20, HEIGHT)),
    (Fit.COVER, (WIDTH, 7), cropped(picture(), WIDTH, 7)),
    (Fit.COVER, (1, HEIGHT), cropped(picture(), 1, HEIGHT)),
]


@pytest.mark.parametrize(("fit", "size", "want"), EXACT, ids=[f"{fit} {size}" for fit, size, _ in EXACT])
def test_what_is_not_scaled_comes_pixel_by_pixel(tmp_path, fit, size, want):
    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            forms = [("rgba8", "top_left"), ("bgra8", "bottom_left"), ("png", "top_left"), ("jpeg", "top_left")]
            engines = []
            for place, (word, origin) in enumerate(forms):
                engine = await rig.engine("websocket" if place % 2 else "tcp")
                answer = await engine.subscribe(format=word, origin=origin, size=size, fit=fit)
                assert (answer.size, answer.fit) == (size, fit or Fit.STRETCH)
                placeholder = await engine.frame(held=True)
                assert (placeholder.header.width, placeholder.header.height) == size
                engines.append(engine)
            await engines[0].finish(await engines[0].run(params={"picture": encoded(picture())}))
            for engine, (word, _) in zip(engines, forms, strict=True):
                frame = await engine.frame()
                assert (frame.header.width, frame.header.height) == size
                got = rgba(frame, word)
                if word == "jpeg":
                    assert np.abs(got.astype(int) - want).mean() < 25
                else:
                    assert (got == want).all(), (word, np.argwhere(got != want)[:3])
            # Whoever comes later gets the same, held.
            late = await rig.engine()
            await late.subscribe(size=size, fit=fit)
            assert (rgba(await late.frame(lambda frame: frame.header.number == 1, held=True), "rgba8") == want).all()

    run(test)


def test_scaled_flat_where_the_picture_is_flat(tmp_path):
    """64 x 32, left red and right blue, in 40 x 40: all fits, exact but for the column where the colours meet."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engines = {fit: await rig.engine() for fit in Fit}
            for fit, engine in engines.items():
                await engine.subscribe(size=(40, 40), fit=fit)
            first = engines[Fit.STRETCH]
            await first.finish(await first.run(params={"picture": encoded(halves())}))
            got = {fit: rgba(await engine.frame(), "rgba8") for fit, engine in engines.items()}
            for fit in Fit:
                rows = slice(10, 30) if fit is Fit.CONTAIN else slice(0, 40)
                assert (got[fit][rows, :19] == RED).all(), fit
                assert (got[fit][rows, 21:] == BLUE).all(), fit
            assert (got[Fit.CONTAIN][:10] == BLACK).all()
            assert (got[Fit.CONTAIN][30:] == BLACK).all()

    run(test)


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1, 1), (1, 1)),
        ((1, 1), (33, 7)),
        ((64, 32), (1, 1)),
        ((1, 64), (64, 1)),
        ((257, 1), (2, 511)),
        ((3, 2), (5, 5)),
    ],
)
def test_the_smallest_and_odd_ones(tmp_path, fit, source, size):
    """One colour stays that colour; where black comes beside it, it is whole rows or columns, evenly on both sides."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine, file = await rig.engine(), await rig.engine("websocket")
            await engine.subscribe(size=size, fit=fit)
            await file.subscribe(format="png", size=size, fit=fit)
            pixels = np.full((source[1], source[0], 4), RED, "u1")
            await engine.finish(await engine.run(params={"picture": encoded(pixels)}))
            got = rgba(await engine.frame(), "rgba8")
            assert got.shape == (size[1], size[0], 4)
            assert (rgba(await file.frame(), "png") == got).all()
            if fit is not Fit.CONTAIN:
                assert (got == RED).all()
                return
            scale = min(size[0] / source[0], size[1] / source[1])
            inner = tuple(min(max(1, round(side * scale)), most) for side, most in zip(source, size, strict=True))
            assert (got == framed(np.full((inner[1], inner[0], 4), RED, "u1"), *size)).all()

    run(test)


def test_the_largest(tmp_path):
    """64 million pixels, at most 16,384 a side; one row more is refused."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            engine = await rig.engine()
            await engine.subscribe(format="r8", size=(16_384, 3_906), fit=Fit.CONTAIN)
            await engine.finish(await engine.run(params={"picture": encoded(np.full((2, 2, 4), 255, "u1"))}))
            frame = await engine.frame()
            rows = np.frombuffer(frame.data, "u1").reshape(3_906, 16_384)
            left = (16_384 - 3_906) // 2
            assert (rows[:, left : left + 3_906] == 255).all()
            assert not rows[:, :left].any()
            assert not rows[:, left + 3_906 :].any()
            for size in ((16_384, 3_907), (16_385, 1), (1, 16_385), (0, 8), (8, -1), (2**40, 1)):
                refusal = await engine.refused(
                    Subscribe,
                    stream="main",
                    format="r8",
                    origin=Origin.TOP_LEFT,
                    credit=1,
                    delivery=Delivery.LATEST,
                    size=size,
                )
                assert (refusal.code, refusal.name) == (305, "bad_size")

    run(test)


def test_black_frozen_and_faded_in_every_size(tmp_path):
    """Black is black with alpha 255 all over; what comes back has the subscriber's own size and fit."""

    async def test():
        async with AppRig(tmp_path, STREAMS) as rig:
            wants = {
                "as made": ({}, picture()),
                "contain": ({"size": (WIDTH, 33), "fit": Fit.CONTAIN}, framed(picture(), WIDTH, 33)),
                "cover": ({"size": (20, HEIGHT), "fit": Fit.COVER}, cropped(picture(), 20, HEIGHT)),
                "bottom": (
                    {"size": (40, HEIGHT), "fit": Fit.CONTAIN, "origin": "bottom_left"},
                    framed(picture(), 40, HEIGHT),
                ),
            }
            engines = {}
            for name, (options, _) in wants.items():
                engines[name] = await rig.engine()
                await engines[name].subscribe(credit=8, **options)
            first = engines["as made"]
            await first.finish(await first.run(params={"picture": encoded(picture())}))
            for engine in engines.values():
                await engine.frame()

            async def shown(number: int, black: bool) -> None:
                for name, engine in engines.items():
                    want = wants[name][1]
                    want = np.full_like(want, 0) + np.array(BLACK, "u1") if black else want

                    def is_it(frame, want=want) -> bool:
                        size = (frame.header.height, frame.header.width)
                        return frame.header.number == number and size == want.shape[:2] and same(frame, want)

                    await engine.frame(is_it, held=True)

            def same(frame, want) -> bool:
                return bool((rgba(frame, "rgba8") == want).all())

            await first.ask(Blackout, stream="main", on=True)
            await shown(0, black=True)
            forget(engines)
            await first.ask(Blackout, stream="main", on=False)
            await shown(1, black=False)
            forget(engines)
            await first.ask(Freeze, stream="main", on=True)
            late = await rig.engine()
            options, want = wants["contain"]
            await late.subscribe(**options)
            assert same(await late.frame(held=True), want)
            await first.ask(Freeze, stream="main", on=False)
            forget(engines)
            await first.ask(Blackout, stream="main", on=True, fade_s=0.2)
            await shown(0, black=True)
            for name, engine in engines.items():
                height, width = wants[name][1].shape[:2]
                sizes = {(frame.header.width, frame.header.height) for frame in engine.held}
                assert sizes == {(width, height)}, name
                for frame in engine.held:
                    pixels = rgba(frame, "rgba8")
                    assert (pixels[..., 3] == 255).all()
                    # What `contain` fills with stays black in every step.
                    assert not pixels[(wants[name][1][..., :3] == 0).all(-1)][..., :3].any()

    def forget(engines) -> None:
        for engine in engines.values():
            engine.log.clear()

    run(test)


def test_a_placeholder_of_ones_own_is_fitted_too(tmp_path):
    async def test():
        (tmp_path / "still.png").write_bytes(encoded(picture())["encoded"])
        streams = {"main": {**STREAMS["main"], "placeholder": str(tmp_path / "still.png")}}
        async with AppRig(tmp_path, streams) as rig:
            for fit, size, want in EXACT:
                engine = await rig.engine()
                await engine.subscribe(size=size, fit=fit)
                assert (rgba(await engine.frame(held=True), "rgba8") == want).all(), (fit, size)

    run(test)


def test_outputs_of_their_own_sizes_come_in_the_size_asked_for(tmp_path):
    async def test():
        graph = {
            "1": node("EmptyImage", "", width=64, height=32, batch_size=1, color=0xFF0000),
            "2": node("EmptyImage", "", width=32, height=64, batch_size=1, color=0x0000FF),
            "3": node("SaveImageWebsocket", "@out image", images=["1", 0]),
            "4": node("SaveImageWebsocket", "@out depth", images=["2", 0]),
        }
        write_workflow(tmp_path, "two", graph)
        async with AppRig(tmp_path, {"main": {"workflow": "two", "mode": "oneshot"}}) as rig:
            engine = await rig.engine()
            await engine.subscribe(size=(32, 32), fit=Fit.CONTAIN)
            await engine.finish(await engine.run())
            image = await engine.frame(lambda frame: frame.header.output == 0)
            depth = await engine.frame(lambda frame: frame.header.output == 1)
            assert (rgba(image, "rgba8") == framed(halves(32, 16) * 0 + np.array(RED, "u1"), 32, 32)).all()
            assert (rgba(depth, "rgba8") == framed(np.full((32, 16, 4), BLUE, "u1"), 32, 32)).all()
            assert depth.has(FrameFlags.LINEAR)

    run(test)
