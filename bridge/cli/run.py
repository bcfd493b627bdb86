"""`texbridge run`: one picture through the bridge."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.app.config.config import Config
from bridge.cli.any_bridge import any_bridge
from bridge.cli.options import add_comfy, add_config, read_config, sendable, tell_config
from bridge.client import Client, Frame
from bridge.client.pictures import picture_value
from bridge.codec.messages import Finished
from bridge.errors import BackendError, ConfigError, ErrorCode, TexbridgeError
from bridge.types import Outcome, StreamState

DESCRIPTION = """\
Make one picture and save it. It goes through the bridge that runs at the configured address, if one does; else, and
always with --comfy or --workflows, through a private one: on --comfy, on a ComfyUI found on this machine, or on the
embedded one if that knows every node.

  texbridge run gradient -p top_left=#ff8800 -p noise=0 -o out.png
  texbridge run shapes --size 768x512 --seed 7 -o shapes.png
  texbridge run shapes --aspect 16:9 --megapixels 1 -o wide.png
  texbridge run camera_blend --image camera=photo.jpg -o blend.png
  texbridge run txt2img_turbo -p prompt="a red fox" --comfy http://127.0.0.1:8188 -o fox.png

Values: numbers as they are, colours as #rrggbb or 0.2,0.4,1, vectors as 3,4, switches as true or false, pictures as
the name of a file: PNG, JPEG, WebP, or an array of pixels or depth that numpy saved as .npy. `texbridge workflows show
NAME` tells a workflow's parameters.
"""

SUFFIXES: Final = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
SWITCHES: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
MAX_TIMEOUT_S: Final = 86_400.0
MAX_SIDE: Final = 65_535


def add_parser(commands: Any, purpose: str) -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser(
        "run",
        help=purpose,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workflow", metavar="WORKFLOW", help="`texbridge workflows list` shows them")
    parser.add_argument("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="may be given again")
    parser.add_argument(
        "--image", metavar="NAME=FILE", action="append", default=[], help="a picture parameter; may be given again"
    )
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="where to: .png or .jpg")
    parser.add_argument("--seed", type=int, metavar="N", help="0 to 2^64-1; by default the workflow's own")
    parser.add_argument("--size", metavar="WxH", help="pixels; by default the workflow's own")
    parser.add_argument("--aspect", metavar="W:H", help="instead of --size: the nearest size that the workflow makes")
    parser.add_argument(
        "--megapixels", type=float, metavar="N", help="instead of --size, beside --aspect or alone; 1 is 1024x1024"
    )
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="seconds to wait, 300 by default")
    add_config(parser)
    add_comfy(parser)
    parser.set_defaults(action=run)


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be made, and where. `params` are texts as they were typed; `images` are said to be pictures."""

    workflow: str
    params: dict[str, str]
    images: tuple[str, ...]
    seed: int | None
    size: tuple[int, int] | None
    aspect: str | None
    megapixels: float | None
    out: Path
    timeout_s: float


def run(options: argparse.Namespace) -> int:
    """Make the picture; exit 1 if it can't be made."""
    from bridge.cli import set_up_logging

    set_up_logging("error")
    if options.seed is not None and not 0 <= options.seed < 2**64:
        raise ConfigError(f"--seed {options.seed} is not 0 to 2^64-1")
    if not 0 < options.timeout <= MAX_TIMEOUT_S:
        raise ConfigError(f"--timeout {options.timeout:g} is not over 0 and at most {MAX_TIMEOUT_S:,.0f} seconds")
    if options.size is not None and (options.aspect is not None or options.megapixels is not None):
        raise ConfigError("--size says it all: leave it out, or --aspect and --megapixels")
    images = [parse_param(text, "--image") for text in options.image]
    picture = Picture(
        sendable(options.workflow),
        dict([*map(parse_param, options.param), *images]),
        tuple(name for name, _ in images),
        options.seed,
        None if options.size is None else parse_size(options.size),
        options.aspect,
        options.megapixels,
        parse_out(options.out),
        options.timeout,
    )
    config, path = read_config(options, {})
    tell_config(path)
    return asyncio.run(_run(picture, config, private=bool(options.comfy or options.workflows)))


async def _run(picture: Picture, config: Config, *, private: bool) -> int:
    async with any_bridge(
        picture.workflow, config, "texbridge run", private=private, timeout_s=picture.timeout_s, log_errors=False
    ) as found:
        return await _make(picture, found.client, found.where)


async def _make(picture: Picture, client: Client, where: str) -> int:
    """Open a stream of its own, run it once, and save what comes."""
    began = time.perf_counter()
    described = await client.describe(workflow=picture.workflow)
    kinds = {parameter.name: str(parameter.type) for parameter in described.parameters}
    for name in picture.images:
        if name in kinds and kinds[name] != "image":
            takers = ", ".join(known for known, kind in kinds.items() if kind == "image")
            raise ConfigError(
                f"--image {name}: that is {kinds[name]}, set by -p; {picture.workflow} takes pictures in "
                f"{takers or 'none of its parameters'}"
            )
    params = {name: typed_value(text, kinds.get(name)) for name, text in picture.params.items()}
    stream = f"run_{time.time_ns():x}"
    await client.open(
        stream,
        picture.workflow,
        mode="oneshot",
        size=picture.size,
        aspect=picture.aspect,
        megapixels=picture.megapixels,
    )
    try:
        if (await client.describe(stream)).state == StreamState.WAITING_FOR_COMFY:
            print(f"{where} waits for its ComfyUI; `texbridge backends list` there says why ...", file=sys.stderr)
        async with asyncio.timeout(picture.timeout_s):
            done, frame = await _one_frame(picture, params, client, stream)
    except TimeoutError:
        raise BackendError(
            f"no picture within {picture.timeout_s:g} s; give it longer with --timeout",
            code=ErrorCode.BACKEND_UNAVAILABLE,
        ) from None
    finally:
        with contextlib.suppress(TexbridgeError, OSError):
            await client.close_stream(stream)
    try:
        picture.out.write_bytes(frame.data)
    except OSError as error:
        raise ConfigError(f"can't write {picture.out}: {error}") from error
    header = frame.header
    print(
        f"{picture.out}: {header.width}x{header.height}, seed {done.seed}, "
        f"{(time.perf_counter() - began) * 1000:.0f} ms (ComfyUI {header.comfy_us / 1000:.0f} ms), by {where}"
    )
    return 0


async def _one_frame(picture: Picture, params: dict[str, Any], client: Client, stream: str) -> tuple[Finished, Frame]:
    frames = await client.subscribe(stream, format=SUFFIXES[picture.out.suffix.lower()])
    request = await client.run(stream, params, seed=picture.seed)
    done = await request.finished()
    if done.outcome is not Outcome.DONE or not done.number:
        raise BackendError(f"no picture: {done.message or done.outcome.value}", code=ErrorCode.NO_IMAGE)
    while True:
        frame = await anext(frames)
        if not frame.held and frame.header.request == request.request:
            return done, frame


def parse_out(text: str) -> Path:
    """Give the file that the picture goes to.

    Raises:
        ConfigError: another suffix, no such folder, a folder of that name, or no right to write.
    """
    out = Path(text)
    if not text or out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"-o {text!r} must end in {', '.join(SUFFIXES)}")
    if out.is_dir():
        raise ConfigError(f"-o {out} is a folder; name a file")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise ConfigError(f"-o {out} can't be written to")
    return out


def parse_param(text: str, option: str = "-p") -> tuple[str, str]:
    """Read NAME=VALUE.

    Raises:
        ConfigError: there is no `=` or no name, or it is a control that has an option of its own.
    """
    name, equals, value = sendable(text).partition("=")
    if not equals or not name:
        raise ConfigError(f"{option} {text!r} must be NAME={'VALUE' if option == '-p' else 'FILE'}")
    if name in ("seed", "size"):
        raise ConfigError(f"{option} {text!r}: every workflow has its {name} by --{name}")
    return name, value


def parse_size(text: str) -> tuple[int, int]:
    """Read WxH.

    Raises:
        ConfigError: it isn't that, or a side is not 1 to 65,535.
    """
    width, _, height = text.lower().partition("x")
    sides = [int(side) if side.isdecimal() and len(side) < 9 else 0 for side in (width, height)]
    if not all(0 < side <= MAX_SIDE for side in sides):
        shape = text.split(":")
        if len(shape) == 2 and all(part.strip().isdecimal() for part in shape):
            raise ConfigError(f"--size {text!r} is a shape: say --aspect {text}, with --megapixels for how large")
        raise ConfigError(f"--size {text!r} must be WIDTHxHEIGHT in pixels, e.g. 768x512")
    return sides[0], sides[1]


def read_picture(path: Path) -> bytes | NDArray[Any]:
    """Give a picture's file as it is, or the array that numpy saved in an .npy file.

    Raises:
        ConfigError: an .npy file that is none, or holds Python objects. OSError: it can't be read.
    """
    if path.suffix.lower() != ".npy":
        return path.read_bytes()
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ConfigError(f"can't read the array {path}: {error}") from error
    return array


def typed_value(text: str, kind: str | None) -> Any:
    """Give a parameter's text as the value that its type wants; what doesn't fit is left to the bridge to refuse.

    Raises:
        ConfigError: a picture's file can't be read.
    """
    try:
        match kind:
            case "int" | "seed":
                number = int(text)
                return number if -(2**63) <= number < 2**64 else text
            case "float":
                return float(text)
            case "bool":
                return SWITCHES.get(text.lower(), text)
            case "color" if not text.startswith("#"):
                return [float(part) for part in text.split(",")]
            case "vec2" | "vec3" | "vec4":
                return [float(part) for part in text.split(",")]
            case "image":
                return picture_value(read_picture(Path(text)))
    except ValueError:
        return text
    except OSError as error:
        raise ConfigError(f"can't read the picture {text}: {error}") from error
    return text
