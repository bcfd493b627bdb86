"""The benchmarks run and tell; what they find is this machine's business."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

LIMIT_S = 60.0
REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.pool import Pool  # noqa: E402 - the folder above comes first


def bench(tmp_path: Path, *arguments: str) -> dict:
    file = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(file), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text("utf-8"))
    assert report["machine"] in done.stdout
    for row in report["rows"]:
        assert row["case"] in done.stdout
    return report


def test_the_loop_s_stall(tmp_path: Path) -> None:
    report = bench(tmp_path, "--only", "P5")
    assert {row["goal"] for row in report["rows"]} == {"P5"}
    assert all(row["samples"]["late_s"] for row in report["rows"])


def test_raw_pixels_and_the_last_hop_by_shared_memory(tmp_path: Path) -> None:
    report = bench(tmp_path, "--only", "P2")
    relay = {f"raw{side}, {way}" for side in (512, 1024) for way in ("TCP", "shared memory")}
    assert {row["case"] for row in report["rows"]} == {"last hop, engine", "last hop, client"} | relay
    assert all(all(row["samples"].values()) for row in report["rows"])


def test_a_pool_makes_all_that_it_is_asked_for() -> None:
    """P13's pool, small and quick: what it counts, not how long that took."""
    pool = Pool(3, prompt_ms=20)

    def backends() -> list[dict]:
        with urllib.request.urlopen(f"http://{pool.http}/healthz", timeout=30) as answer:
            return json.load(answer)["backends"]

    try:
        until = time.monotonic() + LIMIT_S
        while [backend["state"] for backend in backends()] != ["up"] * 3:  # the bridge is ready with one of them
            assert time.monotonic() < until, backends()
        asked = 0
        # Who is slow gets less, and on a busy machine one of them may be that all the time.
        while not asked or not all(backend["counts"]["pictures"] for backend in backends()):
            assert time.monotonic() < until, backends()
            assert pool.make(18) > 0
            asked += 18
        assert 0 < pool.frames <= asked
        # Warm-ups make pictures as well, one at each.
        assert asked <= sum(backend["counts"]["pictures"] for backend in backends()) <= asked + 3
    finally:
        pool.close()


@pytest.mark.slow
def test_a_slow_reader_by_every_way(tmp_path: Path) -> None:
    report = bench(tmp_path, "--only", "P8")
    assert {row["case"] for row in report["rows"]} == {
        f"age at a slow reader, {way}" for way in ("TCP", "WebSocket", "memory")
    }
    assert all(row["samples"]["age_s"] for row in report["rows"])


@pytest.mark.slow
def test_the_relay_beside_its_floors(tmp_path: Path) -> None:
    report = bench(tmp_path, "--only", "P1")
    assert {row["case"] for row in report["rows"]} == {"png512", "jpeg512", "png1024", "jpeg1024"}
    assert all(row["found"] > 0 for row in report["rows"])


def test_a_goal_that_is_not_measured_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "P99"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "--only P99: choose of P1, P2" in done.stderr
