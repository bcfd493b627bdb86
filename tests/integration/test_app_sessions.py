"""The limit of sessions: who reconnects in a frenzy puts nobody out who may come back."""

import asyncio

import aiohttp
from app_rig import AppRig, color, run

from bridge.codec.messages import Hello


def test_newcomers_don_t_put_out_a_session_whose_engine_was_cut(tmp_path):
    async def test():
        async with AppRig(tmp_path, limits={"sessions": 2}) as rig:
            gone = _ends(rig.server.actions.sessions)
            engine = await rig.engine()
            await engine.subscribe()
            await engine.finish(await engine.run(params={"fill": color(1)}, key="first"))
            await engine.frame()
            await engine.cut()
            await _soon(gone.acquire())
            for kind in ("tcp", "websocket", "tcp", "websocket"):  # each comes, asks nothing, and is cut
                stranger = await rig.engine(kind)
                assert not stranger.welcome.resumed
                await stranger.cut()
                await _soon(gone.acquire())
            busy = await rig.engine()  # in the place of the last stranger
            await busy.subscribe()
            refused = await rig.engine("tcp", greet=False)
            error = await refused.refused(Hello, version=1, client="one too many")
            assert (error.code, error.name, error.fatal, error.limit) == (407, "too_many_sessions", True, 2)
            assert "may come back within 30 s" in error.message
            await refused.closed()
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{rig.server.addresses.http}/healthz") as answer,
            ):
                assert (await answer.json())["doors"]["tcp"]["closed_too_many_sessions"] == 1

            back = await rig.engine(hello={"session": engine.welcome.session})
            assert back.welcome.resumed
            assert (await back.frame(held=True)).number == 1

    run(test)


def _ends(sessions):
    """A semaphore that is released each time a session loses its connection."""
    ends, disconnect = asyncio.Semaphore(0), sessions.disconnect

    def note(*arguments):
        changed = disconnect(*arguments)
        if changed:
            ends.release()
        return changed

    sessions.disconnect = note
    return ends


async def _soon(waiting):
    async with asyncio.timeout(20):
        await waiting
