"""A night without anybody: ComfyUI late at the start, gone at midnight, back at one. The processes are real ones."""

import asyncio
import json

from app_engine import OscSocket
from ports import ReservedPort
from serve_rig import Comfy, Engine, Serve, run

CONFIG = """
[streams.main]
workflow = "gradient"
mode = "live"
size = [64, 64]
max_fps = 20
"""


def test_nobody_touches_anything():
    async def scenario():
        with ReservedPort() as port:
            await night(port)

    async def night(port):
        async with (
            Comfy(port=port, started=False) as comfy,
            Serve("--comfy", comfy.url, config=CONFIG) as serve,
            Engine("tcp", serve.tcp) as engine,
        ):
            fader = OscSocket(serve.osc)

            async def play():
                step = 0
                while True:
                    step += 1
                    fader.send("/texbridge/main/noise/norm", step % 50 / 50)
                    await asyncio.sleep(0.03)  # a hand on a fader

            fader.send("/texbridge/reply", fader.port)
            playing = asyncio.create_task(play())
            try:
                await engine.hello()
                opened = await engine.ask("open", stream="main", workflow="gradient", mode="live")
                number = opened["number"]
                await engine.ask(
                    "subscribe", stream="main", format="rgba8", origin="top_left", delivery="latest", credit=2
                )
                await engine.until(lambda: engine.frames.get(number), "the placeholder")
                assert [(frame.held, frame.number) for frame in engine.frames[number]] == [(True, 0)]
                status, body = await serve.get("/readyz")
                assert (status, json.loads(body)["streams"]) == (503, {"main": "waiting_for_comfy"})

                await comfy.start()
                await engine.until(lambda: len(engine.new_frames(number)) >= 5, "pictures")
                for night in range(2):
                    await comfy.kill()
                    await engine.until(lambda: _states(engine)[-1] == "waiting_for_comfy", "the loss", 30)
                    async with Engine("websocket", serve.link) as newcomer:
                        await newcomer.hello()
                        await newcomer.ask(
                            "subscribe", stream="main", format="rgba8", origin="top_left", delivery="latest"
                        )
                        frame = (await newcomer.until(lambda: newcomer.frames.get(number), "the held picture"))[0]
                    # The last one may have waited for an ack when the state was told.
                    await engine.until(lambda f=frame: engine.new_frames(number)[-1].number == f.number, "the last one")
                    assert (frame.held, frame.payload) == (True, engine.new_frames(number)[-1].payload)
                    seen = len(engine.new_frames(number))
                    assert (await serve.get("/readyz"))[0] == 503
                    assert (await serve.health())["status"] == "ok"
                    await comfy.start()
                    await engine.until(
                        lambda seen=seen: len(engine.new_frames(number)) >= seen + 5, "pictures without any act", 60
                    )
                    numbers = [frame.number for frame in engine.new_frames(number)]
                    assert numbers == sorted(set(numbers)), f"backwards in night {night}"
                await engine.until(lambda: _states(engine)[-1] == "ready", "ready")
                assert (await serve.get("/readyz"))[0] == 200
                words = [state for state in _states(engine) if state not in ("warming", "loading")]
                assert words == ["ready", "waiting_for_comfy"] * 2 + ["ready"]
                await fader.until(lambda: fader.at("/texbridge/main/status")[-1:] == [("ready",)])
                told = [state for (state,) in fader.at("/texbridge/main/status") if state not in ("warming", "loading")]
                assert told == [
                    "waiting_for_comfy",
                    "ready",
                    "waiting_for_comfy",
                    "ready",
                    "waiting_for_comfy",
                    "ready",
                ]
            finally:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
                fader.close()

    run(scenario)


def _states(engine):
    return [state for _, state in engine.states]
