"""`/metrics` of a whole bridge over HTTP, read by a strict reader of Prometheus' format."""

import asyncio
import time

import aiohttp
from app_rig import AppRig, color, run
from prometheus_text import read_page

from bridge.codec.messages import Unsubscribe

TOKEN = "token-0123456789abcdef"


async def page_of(rig, **headers):
    """Give status, content type, and the page's text."""
    url = f"http://{rig.server.addresses.http}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


def by(samples, name, **labels):
    """Give one sample."""
    return samples[f"texbridge_{name}"][tuple(sorted(labels.items()))]


def test_what_happened_is_counted(tmp_path):
    async def test():
        async with AppRig(tmp_path, link={"token": TOKEN}) as rig:
            engine = await rig.engine(hello={"token": TOKEN})
            await engine.subscribe()
            request = await engine.run(params={"fill": color(7)})
            await engine.finish(request)
            while (await engine.frame()).header.number != 1:
                pass
            rig.osc().send("/texbridge/panic")
            await rig.until(lambda: rig.server.actions.panicked, "panic")
            status, kind, text = await page_of(rig)
            assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
            samples, _ = read_page(text)
            assert (by(samples, "panic"), by(samples, "ready")) == (1, 0)
            assert by(samples, "sessions") == 1
            assert by(samples, "requests_finished_total", outcome="done") == 1
            assert by(samples, "requests_finished_total", outcome="failed") == 0
            assert by(samples, "stream_state", stream="main", state="paused") == 1
            assert by(samples, "stream_state", stream="main", state="ready") == 0
            assert by(samples, "viewers", stream="main", format="rgba8") == 1
            assert by(samples, "sets_sent_total", stream="main", format="rgba8") == 1
            assert by(samples, "backend_up", backend="comfy") == 1
            assert by(samples, "backend_state", backend="comfy", state="up") == 1
            assert by(samples, "door_events_total", door="osc", event="packets") == 1
            assert by(samples, "sets_total", result="released") == 1
            for secret in (TOKEN, engine.welcome.session):
                assert secret not in text

            # Who left is counted on, and a stream that is closed takes its samples along.
            await engine.ask(Unsubscribe, stream="main")
            samples, _ = read_page((await page_of(rig))[2])
            assert by(samples, "sets_sent_total", stream="main", format="rgba8") == 1
            rig.bridge.viewers.remove_stream(rig.server.actions.streams.find("main").number)
            samples, _ = read_page((await page_of(rig))[2])
            assert "texbridge_sets_sent_total" not in samples

    run(test)


def test_a_blocked_event_loop_is_seen(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            lag = rig.server._http_hub.lag
            seen, note = asyncio.Event(), lag.note

            def note_and_tell(lag_s, now):
                note(lag_s, now)
                if lag_s >= 0.4:
                    seen.set()

            lag.note = note_and_tell
            asyncio.get_running_loop().call_soon(time.sleep, 0.5)  # what must never happen
            await seen.wait()
            samples, _ = read_page((await page_of(rig))[2])
            assert by(samples, "loop_lag_most_seconds") >= 0.4
            buckets = samples["texbridge_loop_lag_seconds_bucket"]
            assert buckets[("le", "+Inf"),] > buckets[("le", "0.25"),]

    run(test)


def test_hosts_and_pages_of_others_are_refused(tmp_path):
    async def test():
        async with AppRig(tmp_path) as rig:
            assert (await page_of(rig, Host="evil.example"))[0] == 403
            assert (await page_of(rig, Origin="http://evil.example"))[0] == 403

    run(test)
