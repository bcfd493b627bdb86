"""P10: from an OSC datagram to the prompt at ComfyUI, beside a bare datagram and a bare POST."""

from __future__ import annotations

import http.client
import json
import socket
import time

from benchmarks.engine import Engine
from benchmarks.goals import Row, median, ms
from benchmarks.relay import prompt
from benchmarks.rig import Rig
from bridge.codec.osc import encode_osc_message


def measure_osc(rig: Rig, rounds: int) -> list[Row]:
    """Datagrams one after the other, each waited for; the source says when the prompt came."""
    host, _, port = rig.osc.rpartition(":")
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    engine = Engine(rig.tcp)
    poster = http.client.HTTPConnection("127.0.0.1", int(rig.source.first))
    sent: dict[int, float] = {}
    posted: dict[int, float] = {}
    datagrams: list[float] = []
    try:
        engine.subscribe("bench", "png")
        for _ in range(rounds):
            number, run = rig.number("jpeg512")
            packet = encode_osc_message("/texbridge/bench/run", "picture", f"#{number:06x}")
            sent[run] = time.perf_counter()
            sender.sendto(packet, (host, int(port)))
            engine.frame()
            begin = time.perf_counter()
            sender.sendto(packet, receiver.getsockname())
            receiver.recv(2048)
            datagrams.append(time.perf_counter() - begin)
            number, run = rig.number("jpeg512")
            body = json.dumps({"prompt": prompt(number), "client_id": "nobody"})
            posted[run] = time.perf_counter()
            poster.request("POST", "/prompt", body, {"Content-Type": "application/json"})
            poster.getresponse().read()
    finally:
        for closing in (sender, receiver, engine, poster):
            closing.close()
    time.sleep(0.1)  # the last POST's own prompt is noted when it runs
    stamps = rig.stamps()
    ours = [stamps[run][0] - at for run, at in sent.items() if run in stamps]
    posts = [stamps[run][0] - at for run, at in posted.items() if run in stamps]
    bare = median(datagrams) + median(posts)
    sides = f"{ms(median(ours))} against datagram {ms(median(datagrams))} + POST {ms(median(posts))}"
    samples = {"bridge_s": ours, "datagram_s": datagrams, "post_s": posts}
    return [Row("P10", "datagram -> prompt", median(ours) / bare, 2.0, sides=sides, samples=samples)]
