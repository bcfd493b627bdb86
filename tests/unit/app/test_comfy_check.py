"""What doctor says of a ComfyUI and of the workflows that it is to run."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.app.config.config import BackendConfig
from bridge.app.data import data_folder
from bridge.app.doctor.comfy_check import Comfy, ask_comfy, comfy_checks, device_words, workflow_checks
from bridge.app.doctor.verdicts import Verdict
from bridge.app.serve import make_library
from bridge.backends.node_pack import PackFacts
from bridge.embedded import EmbeddedServer
from bridge.errors import ConfigError
from bridge.workflow.object_info import ObjectInfo

OK, WARN, BAD = Verdict.OK, Verdict.WARN, Verdict.BAD
INFO = ObjectInfo.from_json((data_folder("workflows") / "object_info.json").read_bytes())
STATS: dict[str, Any] = {
    "system": {"comfyui_version": "0.3.64"},
    "devices": [{"name": "cuda:0 NVIDIA", "type": "cuda", "vram_total": 24 << 30, "vram_free": 20 << 30}],
}


def test_version_and_devices() -> None:
    checks = comfy_checks(Comfy("http://x", "", STATS, INFO), named=True)
    assert [check.verdict for check in checks] == [OK, OK, OK]
    assert checks[0].found == "http://x: ComfyUI 0.3.64 on cuda:0 NVIDIA (20.0 of 24.0 GiB free)"


def test_an_old_one_is_told_to_be_updated() -> None:
    check, *_ = comfy_checks(Comfy("http://x", "", {"system": {"comfyui_version": "0.2.9"}}, INFO), named=True)
    assert check.verdict is WARN
    assert "update" in check.advice


@pytest.mark.parametrize("stats", [{}, {"system": None, "devices": None}, {"system": [], "devices": [1, {}]}])
def test_odd_answers_are_no_fault(stats: dict[str, Any]) -> None:
    assert comfy_checks(Comfy("http://x", "", stats, INFO), named=True)[0].verdict is OK


def test_without_the_websocket_output_nothing_comes_back() -> None:
    checks = comfy_checks(Comfy("http://x", "", STATS, ObjectInfo({})), named=True)
    assert checks[1].verdict is BAD
    assert "--disable-all-custom-nodes" in checks[1].advice


FACTS = PackFacts("0.1.0", frozenset({"rgb8"}), 1 << 20, 120.0)


@pytest.mark.parametrize(
    ("facts", "transfer", "verdict", "words"),
    [
        (FACTS, "auto", OK, "raw, or as JPEG where the link is slow"),
        (FACTS, "webp", OK, "as webp"),
        (FACTS, "png", OK, "as PNG, since transfer says so"),
        (None, "auto", OK, "aren't there"),
        (None, "raw", WARN, "aren't there"),  # somebody wants them
    ],
)
def test_the_node_pack(facts: PackFacts | None, transfer: str, verdict: Verdict, words: str) -> None:
    check = comfy_checks(Comfy("http://x", "", STATS, INFO, facts, transfer), named=True)[-1]
    assert (check.topic, check.verdict) == ("comfyui nodes", verdict)
    assert words in check.found
    assert ("texbridge nodes install" in check.advice) is (facts is None)


@pytest.mark.parametrize(("named", "verdict"), [(True, BAD), (False, WARN)])
def test_one_that_does_not_answer(named: bool, verdict: Verdict) -> None:
    (check,) = comfy_checks(Comfy("http://x", "nobody answers at http://x"), named=named)
    assert check.verdict is verdict
    assert "start ComfyUI" in check.advice


def test_devices_without_memory() -> None:
    assert device_words({"name": "cpu", "vram_total": 0, "vram_free": 0}) == "cpu"
    assert device_words({"type": "mps"}) == "mps"


def test_workflows_against_a_comfyui(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "workflow_api.json").write_text("{", encoding="utf-8")
    with caplog.at_level(logging.CRITICAL):
        library, _ = make_library((str(tmp_path),), log_errors=False)
    comfy = Comfy("http://x", "", STATS, INFO)
    checks = {check.topic: check for check in workflow_checks(library, ("gradient", "txt2img_turbo", "nowhere"), comfy)}
    assert "gradient" in checks["workflows"].found
    assert checks["workflows"].verdict is OK
    assert checks["workflow txt2img_turbo"].verdict is BAD  # a stream uses it, and this ComfyUI has no model
    assert "put sd_turbo.safetensors into models/checkpoints" in checks["workflow txt2img_turbo"].advice
    assert checks["workflow img2img_turbo"].verdict is WARN  # nobody uses it
    assert checks["workflow nowhere"].verdict is BAD
    assert checks["workflow broken"].verdict is WARN
    assert "can't be used" in checks["workflow broken"].found


def test_workflows_without_a_comfyui() -> None:
    library, _ = make_library((), log_errors=False)
    (check,) = workflow_checks(library, ["gradient"], None)
    assert check.verdict is OK
    assert check.found.endswith(" load")


# --- asked over real sockets -----------------------------------------------------------------------------------


def test_the_embedded_one_is_asked() -> None:
    async def main() -> Comfy:
        async with EmbeddedServer() as server:
            return await ask_comfy(BackendConfig(url=server.url))

    comfy = asyncio.run(main())
    assert comfy.problem == ""
    assert comfy.object_info is not None
    assert comfy.object_info.get("SaveImageWebsocket") is not None
    assert comfy.nodes is not None
    assert "rgba16f" in comfy.nodes.input_formats


def test_headers_are_sent_and_a_page_is_explained() -> None:
    seen: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text="<html><title>Your tunnel</title></html>", content_type="text/html")

    async def main() -> Comfy:
        app = web.Application()
        app.router.add_get("/{any:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return await ask_comfy(BackendConfig(url=url, headers={"Authorization": "Bearer xyz"}))
        finally:
            await runner.cleanup()

    comfy = asyncio.run(main())
    assert comfy.problem
    assert "xyz" not in comfy.problem
    assert seen[0] == "Bearer xyz"


def test_nobody_there_and_a_bad_address() -> None:
    comfy = asyncio.run(ask_comfy(BackendConfig(url="http://127.0.0.1:9")))
    assert "127.0.0.1:9" in comfy.problem
    with pytest.raises(ConfigError):
        asyncio.run(ask_comfy(BackendConfig(url="ftp://x")))


@pytest.mark.parametrize(
    ("has_nodes", "transfer", "words"),
    [(False, "auto", "8 come"), (True, "jpeg", "'jpeg' brings 8"), (True, "auto", ""), (True, "raw", "")],
)
def test_outputs_that_get_fewer_bits_than_they_ask_for(
    tmp_path: Path, has_nodes: bool, transfer: str, words: str
) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    graph = (
        '{"1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},'
        '"2": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["1", 0]}}}'
    )
    (folder / "workflow_api.json").write_text(graph, encoding="utf-8")
    (folder / "binding.toml").write_text('[outputs.depth]\nnode = "2"\nbits = 16\n', encoding="utf-8")
    library, _ = make_library([tmp_path])
    one = next(iter(INFO.nodes.values()))
    info = ObjectInfo({**INFO.nodes, "TexBridgeOutput": one}) if has_nodes else INFO
    comfy = Comfy("http://x", "", STATS, info, FACTS if has_nodes else None, transfer)
    told = {check.topic: check for check in workflow_checks(library, ["wide"], comfy)}
    assert ("workflow wide" in told) is bool(words)
    if words:
        assert told["workflow wide"].verdict is WARN
        assert words in told["workflow wide"].found
