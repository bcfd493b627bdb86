"""A bridge with the embedded ComfyUI, for an example that is given none: it lives as long as the example does."""

import asyncio
import contextlib
import json
import sys


@contextlib.asynccontextmanager
async def own_bridge(*options):
    """`texbridge serve` on free ports, with further options; gives the address of its TCP door."""
    doors = [word for door in ("osc", "link", "tcp", "http") for word in (f"--{door}", "127.0.0.1:0")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "serve", "--embedded", "--json", *options, *doors),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = json.loads(line) if line.startswith(b"{") else {}
            if told.get("ready"):
                break
        else:
            raise SystemExit("the bridge ended before it was ready")
        yield told["tcp"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
