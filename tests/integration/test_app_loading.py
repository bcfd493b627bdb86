"""A ComfyUI whose loop stands still while it reads a checkpoint: no death, nothing posted twice, the picture stays."""

import asyncio
import io

import pytest
from aiohttp import web
from app_rig import AppRig, color, run
from fault_proxy import FaultProxy
from PIL import Image
from scripted_comfy import ScriptedComfy

from bridge.app.data import data_folder
from bridge.codec.messages import Changed, Ping


def _png(level):
    file = io.BytesIO()
    Image.new("RGB", (32, 16), (level, level, level)).save(file, "PNG")
    return file.getvalue()


async def _make(comfy, item):
    """The colour of node 1, as soon as `finish_gate` is open."""
    await comfy.tell(item, "execution_start", timestamp=1)
    await comfy.tell(item, "executing", node="1", display_node="1")
    await comfy.finish_gate.wait()
    await comfy.picture(item, node="2", data=_png(item.prompt["1"]["inputs"]["color"] & 0xFF))
    await comfy.tell(item, "progress", value=0, max=1, node="2")
    await comfy.tell(item, "execution_success", timestamp=1)


@pytest.mark.parametrize("warm_up", [False, True])
def test_a_long_load_is_no_death(tmp_path, warm_up):
    async def test():
        nodes = (data_folder("workflows") / "object_info.json").read_bytes()
        async with ScriptedComfy() as comfy, FaultProxy(comfy.port) as proxy:
            comfy.script = _make
            comfy.answers["GET", "/object_info"] = lambda _: web.Response(body=nodes, content_type="application/json")
            backend = {"url": proxy.url, "name": "comfy", "ping_interval_s": 0.1, "pong_timeout_s": 0.2}
            streams = {"main": {"workflow": "solid", "mode": "latest", "size": [32, 16]}}
            async with AppRig(tmp_path, streams, comfy=False, backend=[backend], scheduler={"warm_up": warm_up}) as rig:
                await rig.until(lambda: bool(rig.bridge.backends_up), "a backend that is up")
                await asyncio.gather(*[task for task in rig.server._tasks if "object_info" in repr(task.get_coro())])
                await rig.until(lambda: not rig.bridge.requests)
                engine, osc = await rig.engine(), rig.osc()
                osc.send("/texbridge/reply", osc.port)
                await engine.open("main", "solid", "latest")
                await engine.subscribe()
                await engine.finish(await engine.run(params={"fill": color(0x111111)}))
                await engine.frame()
                posts, held = len(comfy.posts), len(engine.held)

                # Another workflow, of which nothing is known: it reads a model, and its loop stands still meanwhile.
                comfy.finish_gate.clear()
                osc.send("/texbridge/main/workflow", "saved")
                await engine.until(lambda: [c.workflow for c in engine.of(Changed) if c.workflow] == ["saved"])
                request = None if warm_up else await engine.run(params={"fill": color(0x222222)})
                await comfy.until(lambda: comfy.running is not None)
                await engine.until(lambda: "warming" in _states(engine))
                proxy.stall()
                await engine.until(lambda: _states(engine)[-2:] == ["warming", "loading"])
                await rig.until(lambda: rig.bridge.backends.get("comfy").info()["state"] == "doubted", "the doubt")
                await osc.until(lambda: osc.at("/texbridge/main/status")[-1] == ("loading",))
                newcomer = await rig.engine()
                await newcomer.subscribe()
                assert (await newcomer.frame(held=True)).number == 0x111111
                proxy.flow()
                comfy.open_gates()
                if request is None:
                    await rig.until(lambda: not rig.bridge.requests)
                else:
                    (end,) = await engine.finish(request)
                    assert (end.outcome, end.frames) == ("done", 1)
                await engine.until(lambda: _states(engine)[-1] == "ready")
                await engine.ask(Ping)
                assert len(comfy.posts) == posts + 1
                assert len(engine.held) == held
                assert "waiting_for_comfy" not in _states(engine)
                await engine.finish(await engine.run(params={"fill": color(0x333333)}))
                await engine.frame(lambda frame: frame.number == 0x333333)

    run(test)


def _states(engine):
    return [change.state for change in engine.of(Changed) if change.state]
