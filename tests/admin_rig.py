"""A program on the bridge's machine that asks its HTTP door, `/admin/` too."""

import json
from contextlib import asynccontextmanager

import aiohttp

JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def asking(rig, **headers):
    """`ask(method, path, body, **headers)` -> (status, JSON)."""
    port = rig.server.addresses.http.rpartition(":")[2]
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(method, path="/admin/backends", body=None, at="127.0.0.1", **more):
            data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            told = {**JSON, **more} if body is not None else more
            async with session.request(method, f"http://{at}:{port}{path}", data=data, headers=told) as answer:
                return answer.status, await answer.json()

        yield ask
