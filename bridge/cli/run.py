"""`texbridge run`: one picture through the bridge."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from bridge.app.config import Config, parse_listen
from bridge.app.serve import Server, find_comfy, make_library
from bridge.cli.options import add_comfy, add_config, read_config
from bridge.client import Client
from bridge.embedded import NODE_TYPES
from bridge.errors import BackendError, ConfigError, ErrorCode, TexbridgeError
from bridge.types import Outcome

DESCRIPTION = """\
Make one picture and save it. It goes through the running bridge if there is one at the configured address; else
through a private one, on --comfy, on a ComfyUI found on this machine, or on the embedded one if that knows every node.

  texbridge run gradient -p top_left=#ff8800 -p noise=0 -o out.png
  texbridge run shapes --size 768x512 --seed 7 -o shapes.png
  texbridge run txt2img_turbo -p prompt="a red fox" --comfy http://127.0.0.1:8188 -o fox.png
"""


def add_parser(commands: Any) -> None:
    """Add `run` to the command line."""
    parser = commands.add_parser(
        "run",
        help="make one picture and save it",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workflow", metavar="WORKFLOW", help="`texbridge workflows list` shows them")
    parser.add_argument("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="may be given again")
    parser.add_argument("-o", "--out", metavar="FILE", required=True, help="where to: .png or .jpg")
    parser.add_argument("--seed", type=int, metavar="N", help="0 to 2^64-1; by default the workflow's own")
    parser.add_argument("--size", metavar="WxH", help="pixels; by default the workflow's own")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="seconds to wait, 300 by default")
    add_config(parser)
    add_comfy(parser)
    parser.set_defaults(action=run)


def run(options: argparse.Namespace) -> int:
    """Make the picture; exit 1 if it can't be made."""
    from bridge.cli import set_up_logging

    set_up_logging("warning")
    out = Path(options.out)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"-o {out} must end in .png, .jpg or .jpeg")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist")
    if options.seed is not None and not 0 <= options.seed < 2**64:
        raise ConfigError(f"--seed {options.seed} is not 0 to 2^64-1")
    config, _ = read_config(options, {})
    library, _ = make_library(config.workflows.folders)
    try:
        spec = library.get(options.workflow).spec
    except TexbridgeError as error:
        raise ConfigError(error.message) from error
    params = dict(parse_param(text) for text in options.param)
    size = None if options.size is None else parse_size(options.size)
    known = {parameter.name: parameter.type.value for parameter in spec.parameters}
    typed = {name: typed_value(text, known.get(name)) for name, text in params.items()}
    request = Picture(options.workflow, typed, options.seed, size, out, options.timeout)
    return asyncio.run(_run(request, config, bool(options.comfy)))


class Picture:
    """What is to be made, and where it goes."""

    def __init__(
        self,
        workflow: str,
        params: dict[str, Any],
        seed: int | None,
        size: tuple[int, int] | None,
        out: Path,
        timeout_s: float,
    ) -> None:
        self.workflow = workflow
        self.params = params
        self.seed = seed
        self.size = size
        self.out = out
        self.timeout_s = timeout_s


async def _run(picture: Picture, config: Config, private: bool) -> int:
    if not private and config.tcp.listen and (client := await _running_bridge(config)) is not None:
        async with client:
            return await _make(picture, client)
    overrides = await _choose_backend(picture.workflow, config)
    server = Server(overrides)
    await server.start()
    try:
        assert server.addresses.tcp is not None
        token = config.link.token or None
        async with await Client.connect(server.addresses.tcp, client="texbridge run", token=token) as client:
            return await _make(picture, client)
    finally:
        await server.close()


async def _running_bridge(config: Config) -> Client | None:
    """Give a connection to the bridge at the configured address, None if none listens there."""
    host, port = parse_listen(config.tcp.listen, "tcp.listen")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 1.0)
    except (OSError, TimeoutError):
        return None
    writer.close()
    return await Client.connect(config.tcp.listen, client="texbridge run", token=config.link.token or None)


async def _choose_backend(workflow: str, config: Config) -> Config:
    """Give the configuration of a private bridge, on whatever ComfyUI can run this workflow.

    Raises:
        BackendError: none can.
    """
    import msgspec

    free = "127.0.0.1:0"
    private = msgspec.structs.replace(
        config,
        osc=msgspec.structs.replace(config.osc, listen=""),
        link=msgspec.structs.replace(config.link, listen=""),
        http=msgspec.structs.replace(config.http, listen=""),
        tcp=msgspec.structs.replace(config.tcp, listen=free),
        streams={},
    )
    if config.backend:
        return private
    if (url := await find_comfy()) is not None:
        from bridge.app.config import BackendConfig

        return msgspec.structs.replace(private, backend=(BackendConfig(url=url),))
    needed = make_library(config.workflows.folders)[0].get(workflow).required_class_types
    missing = sorted(set(needed) - set(NODE_TYPES))
    if missing:
        raise BackendError(
            f"no ComfyUI is running here, and the embedded one has no {', '.join(missing)}; "
            "start ComfyUI, or name one with --comfy URL",
            code=ErrorCode.BACKEND_UNAVAILABLE,
        )
    return msgspec.structs.replace(private, embedded=msgspec.structs.replace(config.embedded, enabled=True))


async def _make(picture: Picture, client: Client) -> int:
    """Open a stream of its own, run it once, and save what comes."""
    began = time.perf_counter()
    stream = f"run_{time.time_ns():x}"[:64]
    await client.open(stream, picture.workflow, mode="oneshot", size=picture.size)
    image_format = "png" if picture.out.suffix.lower() == ".png" else "jpeg"
    frames = await client.subscribe(stream, format=image_format)
    request = await client.run(stream, picture.params, seed=picture.seed)
    try:
        async with asyncio.timeout(picture.timeout_s):
            done = await request.finished()
            if done.outcome is not Outcome.DONE or not done.number:
                raise BackendError(f"no picture: {done.message or done.outcome.value}", code=ErrorCode.NO_IMAGE)
            while True:
                frame = await anext(frames)
                if not frame.held and frame.header.request == request.request:
                    break
    except TimeoutError:
        raise BackendError(
            f"no picture within {picture.timeout_s:g} s; give it longer with --timeout",
            code=ErrorCode.BACKEND_UNAVAILABLE,
        ) from None
    data = bytes(frame.data)
    await client.close_stream(stream)
    picture.out.write_bytes(data)
    header = frame.header
    print(
        f"{picture.out}: {header.width}x{header.height}, seed {done.seed}, "
        f"{(time.perf_counter() - began) * 1000:.0f} ms (ComfyUI {header.comfy_us / 1000:.0f} ms)"
    )
    return 0


def parse_param(text: str) -> tuple[str, str]:
    """Read NAME=VALUE.

    Raises:
        ConfigError: there is no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"-p {text!r} must be NAME=VALUE")
    return name, value


def parse_size(text: str) -> tuple[int, int]:
    """Read WxH.

    Raises:
        ConfigError: it isn't that.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size {text!r} must be WIDTHxHEIGHT, e.g. 768x512")
    return int(width), int(height)


def typed_value(text: str, kind: str | None) -> Any:
    """Give a parameter's text as the value that its type wants; what doesn't fit is left to the bridge to refuse."""
    try:
        match kind:
            case "int" | "seed":
                return int(text)
            case "float":
                return float(text)
            case "bool":
                return {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}.get(
                    text.lower(), text
                )
            case "color" if not text.startswith("#"):
                return [float(part) for part in text.split(",")]
            case "vec2" | "vec3" | "vec4":
                return [float(part) for part in text.split(",")]
            case "image":
                return {"encoded": Path(text).read_bytes()}
    except ValueError:
        return text
    except OSError as error:
        raise ConfigError(f"can't read the picture {text}: {error}") from error
    return text
