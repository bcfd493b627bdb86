"""How `serve` begins and ends: no ComfyUI, a taken port, and SIGTERM in the middle of everything."""

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys

import pytest
from serve_rig import DOORS, Comfy, Engine, Serve, clean_environment, polled, queue_is_empty, run

SIZE = [64, 64]
DRAINING = 601


async def command(*arguments, folder):
    """Run a command of texbridge to its end: (exit code, standard output, standard error)."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        cwd=folder,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    finally:
        process._transport.close()
    return process.returncode, out.decode(), err.decode()


@contextlib.contextmanager
def taken_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        yield taken.getsockname()[1]


def free_port():
    with taken_port() as port:
        return port


def complaint(err):
    """The last line of standard error, which is ours; there is no traceback before it."""
    lines = err.splitlines()
    assert "Traceback" not in err, err
    assert sum(line.startswith("texbridge: ") for line in lines) == 1, err
    return lines[-1]


def test_a_taken_port_or_no_comfy_is_one_clear_line(tmp_path):
    """Exit code 2, and the line names the port and the option, or the address. All at once: each takes seconds."""

    async def scenario():
        calls, words = [], []
        with contextlib.ExitStack() as stack:
            for door in ("osc", "link", "tcp", "http"):
                port = stack.enter_context(taken_port(socket.SOCK_DGRAM if door == "osc" else socket.SOCK_STREAM))
                options = [*DOORS, f"--{door}", f"127.0.0.1:{port}"]
                calls.append(command("serve", "--json", "--embedded", *options, folder=tmp_path))
                words.append((str(port), f"--{door}"))
            port = stack.enter_context(taken_port())
            calls.append(command("embedded", "--port", str(port), folder=tmp_path))
            words.append((str(port), "--port"))
            url = f"http://127.0.0.1:{free_port()}"
            calls.append(command("serve", *DOORS, "--require-comfy", "--comfy", url, folder=tmp_path))
            words.append((url, "no ComfyUI answers"))
            results = await asyncio.gather(*calls)
        for (code, out, err), expected in zip(results, words, strict=True):
            assert (code, out) == (2, ""), (expected, code, out, err)
            assert all(word in complaint(err) for word in expected), (expected, err)

    run(scenario)


def test_require_comfy_is_content_with_one():
    async def scenario():
        async with Comfy() as comfy, Serve("--require-comfy", "--comfy", comfy.url) as serve:
            assert (await serve.get("/readyz"))[0] == 200
            assert await serve.stop() == 0

    run(scenario)


async def loaded(engine, mode):
    """A stream with more to do than it can, seen by this engine."""
    await engine.hello(events=["live"])
    await engine.ask("open", stream=mode, workflow="gradient", mode=mode, size=SIZE)
    await engine.ask("subscribe", stream=mode, format="rgba8", origin="top_left", delivery="latest", credit=2)
    for seed in range(30):
        await engine.run(mode, params={"noise": 0.2, "blur": 0.2 + seed / 100}, seed=seed)


@pytest.mark.parametrize("hangs", [False, True], ids=["answering", "hung"])
def test_terminated_under_load(hangs):
    """Every request has its answer, every engine its word, ComfyUI is rid of our prompts, and the exit code is 0.

    `serve` gives itself ten seconds for all of it, and ends with another code when they don't do.
    """

    async def scenario():
        async with (
            Comfy(step_delay_ms=100) as comfy,
            Serve("--comfy", comfy.url) as serve,
            Engine("tcp", serve.tcp) as one,
            Engine("websocket", serve.link) as two,
            Engine("tcp", serve.tcp) as three,
            Engine("tcp", serve.tcp, acks=False) as idle,
        ):
            await loaded(one, "oneshot")
            await loaded(two, "latest")
            await loaded(three, "live")
            await idle.hello()
            await idle.ask("subscribe", stream="live", format="rgba8", origin="top_left", delivery="latest")
            await one.until(lambda: one.outcomes()["done"], "one done")
            if hangs:
                comfy.send(signal.SIGSTOP)
            assert await serve.stop() == 0
            for engine in (one, two, three, idle):
                end = await engine.closed()
                assert (end["code"], end["name"], end["fatal"]) == (DRAINING, "draining", True)
            for engine in (one, two, three):
                engine.assert_one_answer_each()
                assert set(engine.outcomes()) <= {"done", "superseded", "cancelled"}, engine.outcomes()
                assert all(len(answers) == 1 for answers in engine.finished.values())
            assert one.outcomes()["cancelled"] >= 2
            assert not any("Traceback" in line for line in serve.lines), list(serve.lines)
            if not hangs:
                await polled(lambda: queue_is_empty(comfy.url))  # an interrupt acts at the next node

    if hangs and sys.platform == "win32":
        pytest.skip("no SIGSTOP on this system")
    run(scenario)
