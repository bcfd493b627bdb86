"""How long a ComfyUI is waited for, on a machine that is busy."""

import asyncio
import time

from app_rig import run

from bridge.app.config.config import load_config
from bridge.app.serve import Server

OFF = {door: {"listen": ""} for door in ("osc", "link", "tcp", "http")}


def test_time_in_which_the_process_had_no_turn_does_not_count():
    """Held up longer than the limit: its own embedded ComfyUI could not answer meanwhile, and is not given up."""

    async def test():
        server = Server(load_config(None, {}, {**OFF, "embedded": {"enabled": True}, "streams": {}}))
        await server.start()
        try:
            if not server.bridge.backends_up:
                asyncio.get_running_loop().call_soon(time.sleep, 2.5)
            assert await server.wait_for_comfy(2.0)
        finally:
            await server.close()

    run(test)


def test_where_nobody_listens_it_is_given_up_early():
    async def test():
        backend = [{"url": "http://127.0.0.1:9", "name": "nobody"}]
        server = Server(load_config(None, {}, {**OFF, "backend": backend, "streams": {}}))
        await server.start()
        try:
            assert not await server.wait_for_comfy(60.0, refused_s=0.2)
            assert not await server.wait_for_comfy(0.2, refused_s=None)
        finally:
            await server.close()

    run(test)
