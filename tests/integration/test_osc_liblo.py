"""Feedback as another implementation hears it: liblo's `oscdump`, where it is installed."""

import asyncio
import shutil
import socket

import pytest
from app_rig import AppRig, color, run

from bridge.codec.osc import encode_osc_message

LIMIT_S = 30.0
OSCDUMP = shutil.which("oscdump")
pytestmark = pytest.mark.skipif(OSCDUMP is None, reason="oscdump (liblo-tools) is not installed")


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


async def _ears(dump, port):
    """Wait until oscdump, which doesn't say when it listens, has printed a message: what comes before that is lost."""

    async def knock():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while True:
                sock.sendto(encode_osc_message("/knock"), ("127.0.0.1", port))
                await asyncio.sleep(0.05)

    knocking = asyncio.create_task(knock())
    try:
        async with asyncio.timeout(LIMIT_S):
            assert await dump.stdout.readline(), "oscdump ended"
    finally:
        knocking.cancel()


def test_values_norms_and_a_map_are_heard_by_liblo(tmp_path):
    async def test():
        port = _free_port()
        streams = {"main": {"workflow": "clouds", "mode": "oneshot"}}
        maps = [{"address": "/1/fader", "to": "main/strength", "in": [0, 127], "out": [0, 1], "feedback": True}]
        dump = await asyncio.create_subprocess_exec(
            str(OSCDUMP), "-L", str(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _ears(dump, port)
            async with AppRig(tmp_path, streams, osc={"reply_norm": [f"127.0.0.1:{port}"]}, map=maps) as rig:
                engine = await rig.engine()
                await engine.set(params={"strength": 0.25, "fill": color(0xFF)})
                wanted = {
                    "/texbridge/main/strength f 0.250000",
                    "/texbridge/main/strength/norm f 0.250000",
                    "/1/fader f 31.750000",
                    "/texbridge/main/fill ffff 0.000000 0.000000 1.000000 1.000000",
                    "/texbridge/main/fill/norm ffff 0.000000 0.000000 1.000000 1.000000",
                }
                heard = set()
                async with asyncio.timeout(LIMIT_S):
                    while not wanted <= heard:
                        line = (await dump.stdout.readline()).decode()
                        assert line, f"oscdump ended; heard {heard}"
                        heard.add(line.partition(" ")[2].strip())  # behind the time
        finally:
            dump.kill()
            await dump.communicate()

    run(test)
