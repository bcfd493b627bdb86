"""`texbridge render`: a shot, frame by frame, to files that are whole and come out the same again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import Any, Final

from bridge.app.config.config import Config
from bridge.app.serve import catch_signals
from bridge.cli.any_bridge import FoundBridge, any_bridge, versions
from bridge.cli.options import add_comfy, add_config, read_config, sendable, tell_config
from bridge.cli.printing import printable, say
from bridge.cli.run import parse_param, parse_size, typed_value
from bridge.client import Client, Event
from bridge.client.faults import may_pass
from bridge.client.session import SESSION_LIVES_S
from bridge.codec.messages import Welcome
from bridge.errors import BridgeError, ConfigError, TexbridgeError
from bridge.render import asking
from bridge.render.frame_numbers import frames_text, parse_chunk, parse_frames
from bridge.render.job import Job
from bridge.render.order import Order
from bridge.render.outputs import parse_target
from bridge.render.plates import Plates
from bridge.render.progress import Progress, clock_words
from bridge.render.rendering import Rendering, Summary
from bridge.render.track_texts import merge_tracks, parse_track, read_tracks
from bridge.render.video import CODECS, PIXEL_FORMATS, VideoForm, parse_fps
from bridge.types import SeedPolicy, StreamState

DESCRIPTION = """\
Render a shot to files, frame by frame, with values that move along keys. It goes through the bridge that runs at the
configured address, if one does; else, and always with --comfy, --embedded or --workflows, through a private one.

  texbridge render shapes --frames 1001-1024 --track "bar_width=1001:8,1024:100" -o out/%04d.png
  texbridge render txt2img_turbo --frames 1001-1100 -p prompt="a lake" --seed 7 --seed-policy increment -o out/%04d.png
  texbridge render img2img_turbo --frames 1001-1100 --image picture=plates/a.%04d.png \\
      --track "denoise=1001:0.3,1048:0.8:cubic_in_out" -o out/%04d.png -o shot.mp4 --fps 24
  texbridge render depth_controlnet --frames 1001-1100 --image depth=plates/d.%04d.exr -o out/%04d.exr
  texbridge render shapes --frames 1001-1100 --tracks shot.json --resume -o out/%04d.png
  texbridge render shapes --frames 1001-1100 --tracks shot.csv --chunk 2/4 -o out/%04d.png

Frames: 1001-1100, 1001-1100x2 (every second one), 1001,1005,1010-1020. The frame's number in a file's name is %04d or
####. A track's frames are the shot's own numbers, so a part of a shot is the same as in the whole. An easing is that of
the way TO its key: step linear smoothstep cubic_in cubic_out cubic_in_out bezier(x1,y1,x2,y2); texts, choices and
switches jump.
  --tracks shot.json    {"denoise": [[1001, 0.3], [1048, 0.8, "cubic_in_out"]]}
  --tracks shot.csv     frame,denoise,denoise:easing    an empty cell says nothing
                        1001,0.3,
                        1048,0.8,cubic_in_out

Each file is written under another name first, so what has its name is whole. manifest.json beside the first files
records what was made of what. --resume keeps what is there and unchanged, and refuses where workflow, values or seed
are others; the rest is made, and the files are the ones that an unbroken render would have made.
"""

EPILOG = """\
Files: .png (8 bits, or 16 with --bits 16), .jpg, .exr (half floats, linear; needs the extra [exr]), and one .mp4, .mov
or .mkv of all frames (extra [video]). More than 8 bits come where the workflow's binding asks for them (bits = 16); a
note says where files hold no more than 8. -o NAME=FILE is for the workflow's other outputs, see
`texbridge workflows show`. docs/render.md tells more, above all for farms.

Exit codes: 0 all frames are there, 1 some are not, 2 bad use or configuration: nothing was rendered.
"""

MAX_TIMEOUT_S: Final = 86_400.0
PRIORITY: Final = 4
PICTURE_BYTES: Final = 256 * 1024 * 1024
"""A private bridge takes pictures that no engine would send: 4K of floats has 33 MB."""


def add_parser(commands: Any, purpose: str) -> None:
    """Add `render` to the command line."""
    parser = commands.add_parser(
        "render",
        help=purpose,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workflow", metavar="WORKFLOW", help="`texbridge workflows list` shows them")
    shot = parser.add_argument_group("the shot")
    shot.add_argument("--frames", metavar="FRAMES", required=True, help="e.g. 1001-1100, 1001-1100x2 or 1001,1005")
    shot.add_argument("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="the same in all frames")
    shot.add_argument(
        "--track", metavar="NAME=KEYS", action="append", default=[], help="FRAME:VALUE[:EASING],...; may be given again"
    )
    shot.add_argument("--tracks", metavar="FILE", action="append", default=[], help="tracks in a .json or .csv file")
    shot.add_argument(
        "--image",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="pictures that go in: with %%04d one for each frame, else one for all; .png .jpg .webp .tif .npy .exr; "
        "FILE.exr[CHANNEL] names a channel",
    )
    shot.add_argument("--seed", type=int, metavar="N", help="0 to 2^64-1; by default the workflow's own")
    shot.add_argument(
        "--seed-policy",
        choices=[policy.value for policy in SeedPolicy],
        default=SeedPolicy.FIXED.value,
        help="fixed (the default): the same for all; increment: seed + the frame's number; random: another one for "
        "each frame, the same again each time",
    )
    shot.add_argument("--size", metavar="WxH", help="pixels; by default the workflow's own")
    shot.add_argument("--aspect", metavar="W:H", help="instead of --size: the nearest size that the workflow makes")
    shot.add_argument("--megapixels", type=float, metavar="N", help="instead of --size, beside --aspect or alone")
    files = parser.add_argument_group("the files")
    files.add_argument(
        "-o", "--out", metavar="[OUTPUT=]FILE", action="append", required=True, help="where to; may be given again"
    )
    files.add_argument("--bits", type=int, choices=(8, 16), default=8, help="of PNG, a channel; 8 by default")
    files.add_argument("--alpha", action="store_true", help="keep transparency, in PNG and EXR")
    files.add_argument("--quality", type=int, default=95, metavar="N", help="of JPEG, 1 to 100; 95 by default")
    files.add_argument("--fps", default="24", metavar="N", help="of a video: 24 by default, 23.976, 30000/1001 ...")
    files.add_argument("--codec", choices=list(CODECS), help="of a video: h264 by default, prores for .mov")
    files.add_argument("--pixel-format", choices=PIXEL_FORMATS, help="of a video: yuv420p, prores has its own")
    files.add_argument("--crf", type=int, default=16, metavar="N", help="of h264: 0 to 51, smaller is better; 16")
    files.add_argument("--sheet", metavar="FILE", help="a contact sheet of up to 24 frames, .png or .jpg")
    files.add_argument("--manifest", metavar="FILE", help="by default manifest.json beside the first files")
    going = parser.add_argument_group("going on, farms")
    going.add_argument("--resume", action="store_true", help="keep the frames that are there and whole")
    going.add_argument("--overwrite", action="store_true", help="render all anew, over what is there")
    going.add_argument(
        "--chunk",
        metavar="I/N",
        help="the I-th of N parts of the frames, with a manifest of its own; the same without --chunk and with "
        "--resume makes the whole of them",
    )
    going.add_argument("--dry-run", action="store_true", help="check everything, tell what would be made, make nothing")
    where = parser.add_argument_group("where")
    where.add_argument("--to", metavar="ADDRESS", help="the bridge's engine link, HOST:PORT or ws://HOST:PORT/link")
    where.add_argument("--embedded", action="store_true", help="a private bridge on the small ComfyUI inside")
    where.add_argument("--stream", metavar="NAME", help="what to call the stream, for people who watch")
    where.add_argument(
        "--priority", type=int, default=PRIORITY, metavar="N", help=f"0 to 9; {PRIORITY} by default, engines ask for 5"
    )
    where.add_argument("--timeout", type=float, default=600.0, metavar="S", help="seconds to wait for each frame, 600")
    add_comfy(parser)
    add_config(parser)
    told = parser.add_argument_group("what is told")
    told.add_argument("--json", action="store_true", help="a line of JSON for each frame, and one at the end")
    told.add_argument("--quiet", action="store_true", help="nothing but errors")
    parser.set_defaults(action=render)


def render(options: argparse.Namespace) -> int:
    """Render; exit 1 if frames are missing at the end."""
    from bridge.cli import set_up_logging

    set_up_logging("error")
    order = read_order(options)
    if not 0 < options.timeout <= MAX_TIMEOUT_S:
        raise ConfigError(f"--timeout {options.timeout:g} is not over 0 and at most {MAX_TIMEOUT_S:,.0f} seconds")
    if not 0 <= options.priority <= 9:
        raise ConfigError(f"--priority {options.priority} is not 0 to 9")
    if options.to and (options.embedded or options.comfy or options.workflows):
        raise ConfigError("--to names a bridge that runs; --embedded, --comfy and --workflows are for a private one")
    if options.embedded and options.comfy:
        raise ConfigError("--embedded and --comfy: one of them")
    order.check()
    overrides: dict[str, Any] = {"embedded": {"enabled": True}, "backend": []} if options.embedded else {}
    config, path = read_config(options, overrides)
    if not options.quiet:
        tell_config(path)
    progress = Progress(sys.stderr, quiet=options.quiet, events=_print_line if options.json else None)
    return asyncio.run(_Render(options, order, config, progress).run())


def read_order(options: argparse.Namespace) -> Order:
    """Give what is asked for, out of the options.

    Raises:
        ConfigError: one of them isn't what it should be.
    """
    if options.seed is not None and not 0 <= options.seed < 2**64:
        raise ConfigError(f"--seed {options.seed} is not 0 to 2^64-1")
    if options.size is not None and (options.aspect is not None or options.megapixels is not None):
        raise ConfigError("--size says it all: leave it out, or --aspect and --megapixels")
    if not 1 <= options.quality <= 100:
        raise ConfigError(f"--quality {options.quality} is not 1 to 100")
    if not 0 <= options.crf <= 51:
        raise ConfigError(f"--crf {options.crf} is not 0 to 51")
    sheet = None if options.sheet is None else Path(options.sheet)
    if sheet is not None and sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigError(f"--sheet {sheet} must end in .png or .jpg")
    targets = tuple(parse_target(sendable(text)) for text in options.out)
    codec = options.codec or ("prores" if any(target.pattern.suffix == ".mov" for target in targets) else "h264")
    tracks = [parse_track(sendable(text)) for text in options.track]
    for name in options.tracks:
        tracks += read_tracks(Path(name)).items()
    return Order(
        workflow=sendable(options.workflow),
        frames=parse_frames(options.frames),
        targets=targets,
        constants=dict(map(parse_param, options.param)),
        tracks=merge_tracks(tracks),
        plates=tuple(Plates(sendable(text)) for text in options.image),
        seed=options.seed,
        seed_policy=SeedPolicy(options.seed_policy),
        size=None if options.size is None else parse_size(options.size),
        aspect=options.aspect,
        megapixels=options.megapixels,
        bits=options.bits,
        alpha=options.alpha,
        quality=options.quality,
        video=VideoForm(parse_fps(options.fps), codec, options.pixel_format, options.crf),
        chunk=None if options.chunk is None else parse_chunk(options.chunk),
        manifest=None if options.manifest is None else Path(options.manifest),
        sheet=sheet,
        resume=options.resume,
        overwrite=options.overwrite,
    )


class _Render:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, order: Order, config: Config, progress: Progress) -> None:
        self.options = options
        self.order = order
        self.config = config
        self.progress = progress
        self.rendering: Rendering | None = None
        self.where = ""
        self._is_cut = False
        self._is_stopped = False

    async def run(self) -> int:
        """Give the exit code. A first Ctrl+C or SIGTERM ends it in order, a second one at once."""
        options = self.options
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            self._is_stopped = True
            undo()
            task.cancel()

        undo = catch_signals(asyncio.get_running_loop(), stop)
        try:
            async with any_bridge(
                self.order.workflow,
                self.config,
                "texbridge render",
                private=bool(options.comfy or options.workflows or options.embedded),
                to=options.to or "",
                timeout_s=options.timeout,
                least_message_bytes=PICTURE_BYTES,
                log_errors=False,
                on_event=self._link_changed,
            ) as found:
                self.where = found.where
                await self._make(found)
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
            self._tell_end()
            print(f"texbridge: stopped{self._how_to_go_on()}", file=sys.stderr)
            return 1
        except TexbridgeError as error:
            if self.rendering is None:
                raise
            self._tell_end(error=error.message)
            print(f"texbridge: {printable(error)}{self._how_to_go_on(' once that is mended')}", file=sys.stderr)
            return 1
        except OSError as error:
            if self.rendering is None:
                raise
            self._tell_end(error=str(error))
            words = printable(error) or type(error).__name__
            print(f"texbridge: {words}{self._how_to_go_on(' once that is mended')}", file=sys.stderr)
            return 1
        finally:
            undo()
        self._tell_end()
        return 0

    # --- the shot ------------------------------------------------------------------------------------------

    async def _make(self, found: FoundBridge) -> None:
        order, client, options = self.order, found.client, self.options
        if "sequence" not in client.welcome.features:
            raise BridgeError(f"{found.where} makes no sequences: {client.welcome.server} is too old for `render`")
        described = await client.describe(workflow=order.workflow)
        stream = sendable(options.stream) if options.stream else f"render_{time.time_ns():x}"
        opened = await client.open(
            stream,
            order.workflow,
            mode="oneshot",
            size=order.size,
            aspect=order.aspect,
            megapixels=order.megapixels,
        )
        if not opened.created:  # its values are somebody's
            await client.close_stream(stream)
            raise ConfigError(f"--stream {stream}: there is such a stream already; give another name")
        try:
            told = await client.describe(stream)
            facts = await versions(found, self.config)
            job = Job(order, described, typed=typed_value, size=opened.size, seed=told.seed or 0, versions=facts)
            await asyncio.to_thread(job.find_what_is_there)
            if options.dry_run:
                self._tell_plan(job)
                return
            if told.state == StreamState.WAITING_FOR_COMFY:
                self.progress.say(f"{found.where} waits for its ComfyUI; `texbridge backends list` there says why ...")
            await self._render(job, client, stream)
        finally:
            with contextlib.suppress(TexbridgeError, OSError):
                await client.close_stream(stream)

    async def _render(self, job: Job, client: Client, stream: str) -> None:
        there = len(self.order.own_frames) - len(job.todo)
        rendering = Rendering(job, self.progress, timeout_s=self.options.timeout)
        job.claim()  # no moment in which it could be broken off before `run` keeps the manifest
        self.progress.begin(len(self.order.own_frames), there, manifest=str(job.manifest.path), hash=job.manifest.hash)
        for note in job.notes:
            self.progress.say(note)
        if there:
            self.progress.say(f"{there} of {len(self.order.own_frames)} frames are there and whole")
        self.rendering = rendering
        await rendering.run(lambda: asking.sets(client, stream, job, priority=self.options.priority))
        if rendering.summary.only_8_bits:
            self.progress.say(
                "the pictures came with 8 bits a channel: files with room for more hold no more than that; bits = 16 "
                "in the binding's [outputs.NAME] asks texbridge's nodes for more (docs/render.md, More than 8 bits)"
            )

    # --- what is told --------------------------------------------------------------------------------------

    def _link_changed(self, event: Event) -> None:
        where = self.where or "the bridge"
        if isinstance(event, Exception) and may_pass(event):
            self._is_cut = True
            words = f"the link to {where} is cut ({printable(event)}); it is waited for, {SESSION_LIVES_S:g} s ..."
            self.progress.say(words)
        elif isinstance(event, Welcome) and self._is_cut:
            self._is_cut = False
            self.progress.say(f"{where} is there again")

    def _tell_plan(self, job: Job) -> None:
        frames = job.todo
        lines = [
            f"{len(frames)} frames to make: {frames_text(frames) or 'none'}"
            + (f"; {len(job.manifest.done)} are there and whole" if job.manifest.done else ""),
            *(f"  {output.output} -> {output.pattern}" for output in job.files),
            *(f"  {video.output} -> {video.path}" for video in job.videos),
            f"  manifest {job.manifest.path}, hash {job.manifest.hash[:12]}",
        ]
        for frame in dict.fromkeys((*frames[:1], *frames[-1:])):
            values = {**job.shot.values(frame), "seed": job.shot.frame_seed(frame)}
            lines.append(f"  frame {frame}: " + ", ".join(f"{name} {_shown(value)}" for name, value in values.items()))
        lines += [f"  {note}" for note in job.notes]
        for line in lines:
            say(line)

    def _tell_end(self, error: str | None = None) -> None:
        rendering = self.rendering
        if rendering is None:
            return
        summary, manifest = rendering.summary, rendering.job.manifest
        done = len(manifest.done)
        facts = {
            "state": summary.state,
            "frames": summary.frames,
            "done": done,
            "rendered": summary.rendered,
            "there": summary.there,
            "seconds": round(summary.seconds, 3),
            "manifest": str(manifest.path),
            "hash": manifest.hash,
            "sheet": None if summary.sheet is None else str(summary.sheet),
            "only_8_bits": summary.only_8_bits,
            "error": error,
        }
        self.progress.end(**facts)
        if summary.state == "done" and not self.options.json and not self.options.quiet:
            for line in _summary_lines(rendering.job, summary, self.where):
                say(line)

    def _how_to_go_on(self, when: str = "") -> str:
        if self.rendering is None:
            return ""
        done, frames = len(self.rendering.job.manifest.done), self.rendering.summary.frames
        return f"; {done} of {frames} frames are there and whole: the same with --resume goes on{when}"


def _summary_lines(job: Job, summary: Summary, where: str) -> list[str]:
    frames = job.order.own_frames
    lines = []
    for output in job.files:
        names = [str(output.pattern.path(frame)) for frame in dict.fromkeys((frames[0], frames[-1]))] if frames else []
        lines.append(" .. ".join(names) or f"{output.pattern}: no frames in this chunk")
    lines += [str(video.path) for video in job.videos]
    if summary.sheet is not None:
        lines.append(str(summary.sheet))
    size = "" if summary.size is None else f", {summary.size[0]}x{summary.size[1]}"
    pace = ""
    if summary.rendered:
        pace = f" in {clock_words(summary.seconds)} ({summary.rendered / max(summary.seconds, 1e-9):.1f} frames/s)"
    there = f", {summary.there} were there" if summary.there else ""
    lines.append(f"{summary.rendered} frames rendered{pace}{there}{size}, by {where}; {job.manifest.path}")
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    return str(value)


def _print_line(line: str) -> None:
    print(printable(line), flush=True)
