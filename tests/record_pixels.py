"""Records what a real ComfyUI makes of small pictures, node by node, into tests/recordings/pixels.json.

    python tests/record_pixels.py http://127.0.0.1:8188

`tests/conformance/test_embedded_pixels.py` compares the embedded server's pixels with these.
"""

import asyncio
import base64
import io
import json
import sys
import uuid
from pathlib import Path

import aiohttp
import numpy as np
from PIL import Image

PATH = Path(__file__).parent / "recordings" / "pixels.json"


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(width: int, height: int, channels: int, seed: int) -> np.ndarray:
    """Ramps and edges: something for every kernel to get wrong."""
    y, x = np.mgrid[:height, :width]
    bands = [x * 4 + band * 30 + y * (3 + seed) + 80 * ((x // 9 + y // 7) % 2) for band in range(channels)]
    return (np.stack(bands, axis=-1) % 256).astype(np.uint8)


def inputs() -> dict[str, bytes]:
    """The pictures that the graphs load."""
    colors = Image.fromarray(pixels(48, 32, 3, 1))
    palette = colors.quantize(16)
    clear = colors.quantize(16)
    clear.info["transparency"] = 3
    sixteen = Image.fromarray((pixels(24, 16, 1, 5).squeeze(-1).astype(np.uint16) * 257 // 3).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.fromarray(pixels(24, 16, 3, seed)).quantize(32) for seed in (6, 7)]
    return {
        "px_a.png": encode(colors),
        "px_b.png": encode(Image.fromarray(pixels(48, 32, 3, 2))),
        "px_small.png": encode(Image.fromarray(pixels(20, 28, 3, 3))),
        "px_alpha.png": encode(Image.fromarray(pixels(48, 32, 4, 4))),
        "px_grey.png": encode(Image.fromarray(pixels(24, 16, 1, 5).squeeze(-1))),
        "px_grey_alpha.png": encode(Image.fromarray(pixels(24, 16, 2, 5))),
        "px_palette.png": encode(palette),
        "px_palette_clear.png": encode(clear, transparency=3),
        "px_16bit.png": encode(sixteen),
        "px_cmyk.jpg": encode(colors.convert("CMYK"), "JPEG", quality=95),
        "px_turned.jpg": encode(colors, "JPEG", quality=95, exif=exif),
        "px_frames.gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "px_photo.webp": encode(colors, "WEBP", lossless=True),
    }


def load(name: str) -> dict:
    return {"class_type": "LoadImage", "inputs": {"image": name}}


def node(name: str, **values: object) -> dict:
    return {"class_type": name, "inputs": {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}}


def graphs() -> dict[str, dict]:
    """Named graphs without their output: the picture is node "5", output 0."""
    a, b, small, alpha = load("px_a.png"), load("px_b.png"), load("px_small.png"), load("px_alpha.png")
    found: dict[str, dict] = {}

    def add(name: str, *nodes: dict) -> None:
        found[name] = {str(6 - len(nodes) + index): each for index, each in enumerate(nodes)}

    for method in ("nearest-exact", "bilinear", "area", "bicubic", "lanczos"):
        sizes = {
            "up": (67, 41),
            "down": (19, 13),
            "mixed": (60, 20),
            "wide": (0, 50),
            "high": (30, 0),
            "same": (48, 32),
        }
        for word, (width, height) in sizes.items():
            for crop in ("disabled", "center"):
                add(
                    f"scale {method} {word} {crop}",
                    a,
                    node("ImageScale", image=("4", 0), upscale_method=method, width=width, height=height, crop=crop),
                )
        add(f"scale by {method}", a, node("ImageScaleBy", image=("4", 0), upscale_method=method, scale_by=1.37))
    add("scale nothing", a, node("ImageScale", image=("4", 0), upscale_method="area", width=0, height=0, crop="center"))
    for radius, sigma in ((1, 1.0), (2, 0.3), (5, 0.5), (9, 2.0), (15, 10.0)):
        add(f"blur {radius} {sigma}", a, node("ImageBlur", image=("4", 0), blur_radius=radius, sigma=sigma))
        add(
            f"sharpen {radius} {sigma}",
            a,
            node("ImageSharpen", image=("4", 0), sharpen_radius=radius, sigma=sigma, alpha=0.7),
        )
    add("blur as wide as can be", a, node("ImageBlur", image=("4", 0), blur_radius=31, sigma=1.0))
    add("blur too wide", small, node("ImageBlur", image=("4", 0), blur_radius=31, sigma=1.0))
    low = node("ImageCrop", image=("3", 0), width=48, height=9, x=0, y=0)
    add("sharpen too high", a, low, node("ImageSharpen", image=("4", 0), sharpen_radius=9, sigma=1.0, alpha=1.0))
    add("sharpen 0", a, node("ImageSharpen", image=("4", 0), sharpen_radius=3, sigma=1.0, alpha=0.0))
    for mode in ("normal", "multiply", "screen", "overlay", "soft_light", "difference"):
        for factor in (0.35, 1.0):
            add(
                f"blend {mode} {factor}",
                b,
                a,
                node("ImageBlend", image1=("4", 0), image2=("3", 0), blend_factor=factor, blend_mode=mode),
            )
    for word, other in (("smaller", small), ("other way", small)):
        first, second = ("4", "3") if word == "smaller" else ("3", "4")
        add(
            f"blend {word}",
            other,
            a,
            node("ImageBlend", image1=(first, 0), image2=(second, 0), blend_factor=0.5, blend_mode="normal"),
        )
    add("invert", a, node("ImageInvert", image=("4", 0)))
    for method in ("x-axis: vertically", "y-axis: horizontally"):
        add(f"flip {method}", a, node("ImageFlip", image=("4", 0), flip_method=method))
    for rotation in ("none", "90 degrees", "180 degrees", "270 degrees"):
        add(f"rotate {rotation}", a, node("ImageRotate", image=("4", 0), rotation=rotation))
    for x, y, width, height in ((0, 0, 10, 8), (5, 7, 100, 100), (100, 100, 9, 9)):
        add(
            f"crop {x} {y} {width} {height}", a, node("ImageCrop", image=("4", 0), width=width, height=height, x=x, y=y)
        )
    add("batch", b, a, node("ImageBatch", image1=("4", 0), image2=("3", 0)))
    add("batch of other sizes", small, a, node("ImageBatch", image1=("4", 0), image2=("3", 0)))
    add("repeat", a, node("RepeatImageBatch", image=("4", 0), amount=2))
    add(
        "from batch", b, a, node("ImageBatch", image1=("3", 0), image2=("2", 0)),
        node("ImageFromBatch", image=("4", 0), batch_index=1, length=3),
    )  # fmt: skip
    for color in (0x123456, 0xFFFFFF, 0x7F8081):
        add(f"empty {color:06x}", node("EmptyImage", width=7, height=5, batch_size=1, color=color))
    _add_masks(add, a, alpha)
    _add_composites(add, a, small, alpha)
    for name in inputs():
        add(f"load {name}", load(name))
        add(f"mask of {name}", load(name), node("MaskToImage", mask=("4", 1)))
    for channel in ("alpha", "red", "green", "blue"):
        for name in ("px_a.png", "px_alpha.png", "px_grey_alpha.png"):
            loaded = {"class_type": "LoadImageMask", "inputs": {"image": name, "channel": channel}}
            add(f"load mask {channel} {name}", loaded, node("MaskToImage", mask=("4", 0)))
    return found


def _add_masks(add, a: dict, alpha: dict) -> None:  # type: ignore[no-untyped-def]
    """Graphs around masks and alpha."""
    solid = node("SolidMask", value=0.3, width=48, height=32)
    add("solid mask", solid, node("MaskToImage", mask=("4", 0)))
    add("invert mask", solid, node("InvertMask", mask=("3", 0)), node("MaskToImage", mask=("4", 0)))
    for channel in ("red", "green", "blue", "alpha"):
        add(
            f"image to mask {channel}", a, node("ImageToMask", image=("3", 0), channel=channel),
            node("MaskToImage", mask=("4", 0)),
        )  # fmt: skip
    add(
        "threshold", a, node("ImageToMask", image=("2", 0), channel="green"),
        node("ThresholdMask", mask=("3", 0), value=0.4), node("MaskToImage", mask=("4", 0)),
    )  # fmt: skip
    add("join alpha", alpha, a, node("JoinImageWithAlpha", image=("4", 0), alpha=("3", 1)))
    small = node("SolidMask", value=0.25, width=5, height=4)
    add("join a smaller alpha", small, a, node("JoinImageWithAlpha", image=("4", 0), alpha=("3", 0)))
    join = node("JoinImageWithAlpha", image=("3", 0), alpha=("2", 1))
    add("split", alpha, a, join, node("SplitImageWithAlpha", image=("4", 0)))
    four = {
        "scaled": node("ImageScale", image=("4", 0), upscale_method="bilinear", width=30, height=40, crop="disabled"),
        "lanczos": node("ImageScale", image=("4", 0), upscale_method="lanczos", width=30, height=40, crop="disabled"),
        "blurred": node("ImageBlur", image=("4", 0), blur_radius=3, sigma=1.0),
        "sharpened": node("ImageSharpen", image=("4", 0), sharpen_radius=3, sigma=1.0, alpha=0.5),
        "inverted": node("ImageInvert", image=("4", 0)),
        "turned": node("ImageRotate", image=("4", 0), rotation="90 degrees"),
        "blended with three": node(
            "ImageBlend", image1=("4", 0), image2=("3", 0), blend_factor=0.5, blend_mode="normal"
        ),
        "blended under three": node(
            "ImageBlend", image1=("3", 0), image2=("4", 0), blend_factor=0.5, blend_mode="screen"
        ),
        "batched with three": node("ImageBatch", image1=("4", 0), image2=("3", 0)),
        "batched under three": node("ImageBatch", image1=("3", 0), image2=("4", 0)),
    }
    for word, last in four.items():
        add(f"four channels {word}", alpha, a, join, last)


def _add_composites(add, a: dict, small: dict, alpha: dict) -> None:  # type: ignore[no-untyped-def]
    """A picture laid over another, in each way that the edges, sizes and masks allow."""

    def over(x: int, y: int, resize: bool = False, **more: object) -> dict:
        sides = {"destination": ("4", 0), "source": ("3", 0)} | more
        return node("ImageCompositeMasked", x=x, y=y, resize_source=resize, **sides)

    for x, y in ((0, 0), (7, 3), (40, 20), (48, 0), (0, 32), (200, 5)):
        add(f"composite {x} {y}", small, a, over(x, y))
    add("composite of a larger one", a, small, over(3, 2))
    add("composite resized", small, a, over(0, 0, True))
    add("composite resized, moved", small, a, over(9, 8, True))
    for name, mask in (("of its size", ("1", 1)), ("smaller", ("2", 0))):
        half = node("SolidMask", value=0.4, width=5, height=6)
        add(f"composite through a mask {name}", alpha, half, small, a, over(4, 5, mask=mask))
        add(f"composite resized through a mask {name}", alpha, half, small, a, over(4, 5, True, mask=mask))
    batch = node("ImageBatch", image1=("3", 0), image2=("3", 0))
    add("composite on a batch", small, a, batch, over(2, 2, source=("2", 0)))
    add("composite of a batch", a, small, batch, over(2, 2, destination=("2", 0), source=("4", 0)))
    joined = node("JoinImageWithAlpha", image=("3", 0), alpha=("2", 1))
    add("composite of three channels on four", alpha, a, joined, over(5, 5, source=("3", 0)))
    add("composite of four channels on three", alpha, a, joined, over(5, 5, destination=("3", 0), source=("4", 0)))


async def upload_inputs(session: aiohttp.ClientSession, url: str) -> None:
    for name, data in inputs().items():
        form = aiohttp.FormData()
        form.add_field("image", data, filename=name)
        form.add_field("overwrite", "true")
        async with session.post(f"{url}/upload/image", data=form) as answer:
            assert answer.status == 200, (name, answer.status)


async def run_graphs(url: str, wanted: dict[str, dict]) -> dict[str, dict]:
    """Run graphs; each gives `{"frames": [PNG, ...]}` or `{"error": [exception type, message]}`."""
    results: dict[str, dict] = {}
    client = uuid.uuid4().hex
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws?clientId={client}", max_msg_size=0) as socket,
    ):
        await upload_inputs(session, url)
        for name, graph in wanted.items():
            prompt = graph | {"6": node("SaveImageWebsocket", images=("5", 0))}
            async with session.post(f"{url}/prompt", json={"prompt": prompt, "client_id": client}) as answer:
                body = await answer.json()
                assert answer.status == 200, (name, body)
            result: dict = {"frames": []}
            async with asyncio.timeout(60):
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        result["frames"].append(message.data[8:])
                        continue
                    event = json.loads(message.data)
                    data = event["data"]
                    if event["type"] == "execution_error":
                        result = {"error": [data["exception_type"], data["exception_message"]]}
                    if event["type"] == "executing" and data["node"] is None:
                        break
            results[name] = result
    return results


def smaller(png: bytes) -> bytes:
    """The same pixels in fewer bytes."""
    with Image.open(io.BytesIO(png)) as image:
        return encode(image, optimize=True)


def main() -> int:
    results = asyncio.run(run_graphs(sys.argv[1].rstrip("/"), graphs()))
    lines = []
    for name, result in results.items():
        if "frames" in result:
            result["frames"] = [base64.b64encode(smaller(frame)).decode() for frame in result["frames"]]
        lines.append(f"{json.dumps(name)}: {json.dumps(result)}")
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")
    print(f"{len(lines)} graphs, {PATH.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
