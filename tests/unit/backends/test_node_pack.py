"""What a node pack says of itself, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.backends.node_pack import NodePack, read_facts
from bridge.backends.transfer import Transfer, TransferMode
from bridge.errors import BackendError, ErrorCode
from bridge.types import Origin

INFO: dict[str, Any] = {
    "name": "texbridge",
    "version": "0.1.0",
    "wire": 1,
    "event": 0x54584E31,
    "input": {"formats": ["rgb8", "png"]},
    "limits": {"picture_bytes": 100, "keep_s": 120.0},
}
OBJECT_INFO = b'{"TexBridgeOutput": {}, "TexBridgeInput": {}}'
MISSING = {"class_type": "TexBridgeInput", "message": "picture 'x' is not here"}


class Http:
    """ComfyUI's routes, as far as the pack needs them."""

    def __init__(self, info: dict[str, Any] | None = None, answer: tuple[int, dict[str, Any]] | None = None) -> None:
        self.info = INFO if info is None else info
        self.answer = answer or (200, {"picture": "s/one", "keep_s": 120})
        self.sent: list[dict[str, str]] = []

    async def facts(self, route: str) -> dict[str, Any]:
        assert route == "/texbridge/info"
        return self.info

    async def send_picture(self, data: Any, query: dict[str, str], headers: dict[str, str]) -> Any:
        assert len(headers["X-TexBridge-Session"]) == 32
        self.sent.append(query)
        return self.answer


def pack(http: Http, mode: TransferMode = TransferMode.AUTO, object_info: bytes | None = OBJECT_INFO) -> NodePack:
    made = NodePack(http, Transfer(mode))  # type: ignore[arg-type]
    asyncio.run(made.learn(object_info))
    return made


@pytest.mark.parametrize(
    "change",
    [
        {"wire": 2},
        {"wire": None},
        {"event": 5},
        {"limits": 3},
        {"limits": {}},
        {"input": {}},
        {"input": {"formats": 1}},
    ],
)
def test_answers_that_are_no_pack(change: dict[str, Any]) -> None:
    assert read_facts(INFO) is not None
    assert read_facts(INFO | change) is None
    made = pack(Http(INFO | change))
    assert not made.usable
    assert "wire" in made.problem


def test_without_the_classes_nothing_is_asked() -> None:
    for object_info in (None, b"{}", b'{"TexBridgeOutput": {}}'):
        made = pack(Http(), object_info=object_info)
        assert not made.usable
        assert made.describe() is None


def test_what_it_takes() -> None:
    made = pack(Http())
    assert made.takes("png", 100)
    assert not made.takes("png", 101)
    assert not made.takes("r16", 1)
    assert made.raw_in
    assert not pack(Http(), TransferMode.PNG).usable
    jpeg = pack(Http(), TransferMode.JPEG)
    assert jpeg.usable
    assert not jpeg.raw_in


def test_a_picture_goes_once() -> None:
    http = Http()
    made = pack(http)

    async def send() -> None:
        for _ in range(3):
            ticket = await made.send(b"123", "one", "rgb8", width=1, height=1, origin=Origin.BOTTOM_LEFT)
            assert ticket == "s/one"
        await made.send(b"file", "two", "png")

    asyncio.run(send())
    assert http.sent == [
        {"name": "one", "format": "rgb8", "width": "1", "height": "1", "origin": "bottom_left"},
        {"name": "two", "format": "png"},
    ]


def test_the_oldest_picture_goes_that_no_prompt_needs() -> None:
    async def test() -> None:
        http = Http()
        nodes = NodePack(http, Transfer(TransferMode.AUTO))  # type: ignore[arg-type]
        await nodes.learn(OBJECT_INFO)

        async def send(name: str, user: int, owner: str = "camera") -> str | None:
            http.answer = 200, {"picture": f"s/{name}", "keep_s": 120}
            await nodes.send(b"x", name, "png", owner=owner, user=user)
            return http.sent[-1].get("drop")

        assert [await send(name, user) for user, name in enumerate("abcd")] == [None] * 4
        assert await send("e", 4) is None  # each of the four is in a prompt that isn't over
        assert await send("theirs", 5, "other") is None
        for user in (1, 3):
            nodes.release(user)
        assert await send("f", 6) == "b"
        assert await send("g", 7) == "d"
        assert await send("h", 8) is None
        nodes.release(0)
        assert await send("a", 9) is None  # there already: not sent, and needed again
        assert [query["name"] for query in http.sent] == ["a", "b", "c", "d", "e", "theirs", "f", "g", "h"]
        assert await send("i", 10) is None
        assert await send("b", 11) is None  # sent anew
        assert http.sent[-1]["name"] == "b"

    asyncio.run(test())


def test_pictures_are_files_for_a_while_after_one_was_refused() -> None:
    made = pack(Http(answer=(503, {"error": "no room"})))
    assert made.takes("png", 1)
    assert asyncio.run(made.send(b"x", "one", "png")) is None
    assert "no room" in made.problem
    assert not made.takes("png", 1)
    assert not made.raw_in
    assert made.usable  # pictures still come out by it


def test_a_failed_node_rests_and_comes_back_when_comfyui_is_learnt_anew() -> None:
    http = Http()
    made = pack(http)
    assert not made.failed("KSampler", "no")
    assert made.usable
    assert made.failed("TexBridgeOutput", "a bug")
    assert not made.usable
    assert "a bug" in made.problem
    asyncio.run(made.learn(OBJECT_INFO))
    assert made.usable
    assert made.problem == ""


def test_a_picture_that_is_gone_is_no_fault_of_the_pack() -> None:
    http = Http()
    made = pack(http)
    asyncio.run(made.send(b"x", "one", "png"))
    assert made.failed("TexBridgeInput", MISSING["message"])
    assert made.usable
    asyncio.run(made.send(b"x", "one", "png"))
    assert len(http.sent) == 2
    assert made.failed("TexBridgeInput", "values that are no finite numbers")
    assert not made.usable


def test_refusals() -> None:
    made = pack(Http())
    assert not made.refused(BackendError("bad", code=ErrorCode.PROMPT_REJECTED, detail=[{"class_type": "KSampler"}]))
    assert made.refused(BackendError("bad", code=ErrorCode.PROMPT_REJECTED, detail=[MISSING]))
    assert made.usable
    assert made.refused(BackendError("node TexBridgeOutput does not exist", code=ErrorCode.MISSING_NODE))
    assert not made.usable
    assert not made.refused(BackendError("node KSampler does not exist", code=ErrorCode.MISSING_NODE))
