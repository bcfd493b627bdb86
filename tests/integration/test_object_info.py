"""`fetch_object_info` and `workflows check --comfy` at a hosted ComfyUI."""

import asyncio

import pytest
from cli_rig import Home
from hosted_proxy import HostedProxy, certificate

from bridge.app.pool.headers import trust
from bridge.app.pool.object_info import fetch_object_info
from bridge.embedded import EmbeddedServer
from bridge.errors import BackendError

KEY = "key-0123456789abcdef"


def test_keys_go_to_this_host_alone_and_pages_are_explained():
    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port, query=("token", KEY)) as proxy:
            assert (await fetch_object_info(f"{proxy.url}/?token={KEY}")).get("EmptyImage") is not None
            with pytest.raises(BackendError, match=r"\(401\) by the page 'Sign in - Acme GPU'"):
                await fetch_object_info(proxy.url)
            async with HostedProxy(comfy.port) as other:
                proxy.page = 307, {"Location": f"{other.url}/object_info"}, b""
                with pytest.raises(BackendError, match="use that address") as caught:
                    await fetch_object_info(f"{proxy.url}/?token={KEY}", {"X-Key": KEY})
                assert KEY not in caught.value.message
                assert not other.requests

    asyncio.run(test())


def test_check_with_a_header_and_a_certificate(tmp_path):
    pem, home = certificate(tmp_path), Home(tmp_path)

    async def test():
        async with EmbeddedServer() as comfy, HostedProxy(comfy.port, pem, header=("X-Key", KEY)) as proxy:
            words = ["workflows", "check", "gradient", "--comfy", f"{proxy.url}/?a={KEY}", "--comfy-ca-file", pem[0]]
            words += ["--comfy-header", "X-Key: env:GPU_KEY"]
            done = await asyncio.to_thread(home.run, *words, GPU_KEY=KEY)
            info = await fetch_object_info(proxy.url, {"X-Key": KEY}, trust(file=str(pem[0])))
            assert info.get("EmptyImage") is not None
            return done, proxy.url

    done, url = asyncio.run(test())
    assert done.code == 0, done
    assert f"checked against {url}\n" in done.out
    assert KEY not in done.out + done.err
