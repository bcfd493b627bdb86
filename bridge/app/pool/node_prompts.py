"""What a backend's node pack changes in a prompt: outputs that send raw pixels, pictures that wait in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.backends.comfy import ComfyBackend
from bridge.codec.picture_header import PictureLimits, read_picture_header
from bridge.types import OutputKind, Picture, RawPicture
from bridge.workflow.nodes import Keep, PictureTicket, node_prompt, takes_tickets
from bridge.workflow.template import Prompt, Scalar
from bridge.workflow.workflow import BoundPrompt, Workflow

LOSSY: Final = ("jpeg", "webp")


def prompt_for(
    backend: ComfyBackend, bound: BoundPrompt, workflow: Workflow, keep: Keep | None = None, *, exact: bool = False
) -> tuple[Prompt, bool]:
    """The prompt as this backend is to get it now, and whether its outputs write files (a mute ComfyUI).

    `keep` names a picture that the pack keeps for the next prompt. `exact` takes PNG where JPEG or WebP would come: a
    sequence's frame is the same whichever backend makes it, and over whatever link it comes. Called for each attempt:
    another backend, or this one after its pack has failed, gets another prompt.
    """
    if backend.mute:
        return (node_prompt(bound, None) | _files(bound) if backend.nodes.usable else bound.with_files()), True
    if not backend.nodes.usable:
        return bound.prompt, False
    transfer = backend.nodes.transfer

    def settings(output: int) -> Mapping[str, Scalar]:
        spec = workflow.spec.outputs[output]
        form = backend.nodes.form(spec.kind, spec.bits)
        inputs: dict[str, Scalar] = {
            "format": "png" if exact and form in LOSSY else form,
            "quality": transfer.quality,
            "output": output,
            "linear": spec.kind is not OutputKind.COLOR,
        }
        if keep is not None and keep.output == output:
            inputs["keep"] = keep.name
        return inputs

    return node_prompt(bound, settings), False


def _files(bound: BoundPrompt) -> Prompt:
    files = bound.with_files()
    return {node_id: files[node_id] for node_id in bound.output_nodes}


async def send_by_nodes(
    backend: ComfyBackend,
    attempt: int,
    workflow: Workflow,
    place: tuple[int, str],
    picture: Picture | RawPicture,
    name: str,
) -> PictureTicket | None:
    """Send a picture as it is into ComfyUI's memory, for `attempt`; None where it has to go up as a file.

    `place`, a stream's parameter, is the owner; `name` comes from the content: see `NodePack.send`.
    Raw pixels go over a fast link alone.

    Raises:
        BackendError: the backend is gone, or silent.
        PictureDecodeError: the file's header can't be read.
    """
    nodes = backend.nodes
    if not nodes.takes_pictures or not takes_tickets(workflow, place[1]):
        return None
    if isinstance(picture, Picture):
        format = read_picture_header(picture.data, PictureLimits()).format
        if not nodes.takes(format, len(picture.data)):
            return None
        return await nodes.send(picture.data, name, format, owner=place, user=attempt)
    if not nodes.raw_in or not nodes.takes(picture.format.word, len(picture.data)):
        return None
    return await nodes.send(
        picture.data,
        name,
        picture.format.word,
        width=picture.width,
        height=picture.height,
        origin=picture.origin,
        owner=place,
        user=attempt,
    )
