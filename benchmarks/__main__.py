"""`python -m benchmarks`: measure the goals, print them, write JSON and plots."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.binding import measure_binding, measure_gap
from benchmarks.blocks import measure_blocks
from benchmarks.fanout import measure_fanout, measure_memory
from benchmarks.goals import GOALS, LONG, Row, load_average, machine
from benchmarks.growth import measure_growth
from benchmarks.osc import measure_osc
from benchmarks.pool import measure_pool
from benchmarks.relay import measure_overhead, measure_raw, measure_relay
from benchmarks.rig import Rig
from benchmarks.shared_memory import measure_last_hop
from benchmarks.stall import measure_stall
from benchmarks.whole import measure_whole

DESCRIPTION = """\
Measure where the time goes. Every goal is a ratio of two things measured in this run, one after the other in turns,
medians; absolute times belong to this machine. D is the decoder alone, N the relay without decoding, R one MiB over a
blocking TCP socket. Nothing is judged but the goals themselves, and the exit code is 0 whether they hold or not.

  python dev.py bench
  python dev.py bench --quick --only P1,P11
  python dev.py bench --json bench-out/report.json --plots bench-out
"""


def parse_goals(text: str, *, long: bool = False) -> list[str]:
    """`P1,P5` as a list; for an empty text all, the long ones only if `long`. Exits with a word for an unknown one."""
    known = {goal.upper(): goal for goal in GOALS}
    named = [known.get(word.strip().upper(), word.strip()) for word in text.split(",") if word.strip()]
    wanted = named or [goal for goal in GOALS if long or goal not in LONG]
    for word in wanted:
        if word not in GOALS:
            raise SystemExit(f"--only {word}: choose of {', '.join(GOALS)}")
    return wanted


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="bench", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds: to see that it works")
    parser.add_argument("--only", default="", metavar="P1,P5", help="these goals alone")
    parser.add_argument("--json", metavar="FILE", help="write what was measured, with every sample")
    parser.add_argument(
        "--brief", action="store_true", help="how the samples are spread in that file, not each of them"
    )
    parser.add_argument("--plots", metavar="DIR", help="draw plots there (needs the extra [bench])")
    parser.add_argument("--long", action="store_true", help="P12 as well, which takes ten minutes")
    options = parser.parse_args(arguments)
    wanted = parse_goals(options.only, long=options.long)
    print(machine())
    load = load_average()
    print(f"load average at the beginning: {load}")
    rows: list[Row] = []

    def take(goals: set[str], measure: Callable[[], list[Row]]) -> None:
        if goals & set(wanted):
            for row in measure():
                if row.goal in wanted:
                    rows.append(row)
                    print(row.line(), flush=True)

    quick = options.quick
    take({"P2"}, lambda: measure_last_hop(30 if quick else 400))
    take({"P5"}, lambda: measure_stall(2.0 if quick else 15.0))
    take({"P11"}, lambda: measure_blocks(5 if quick else 50))
    take({"P9b"}, lambda: measure_binding(5.0 if quick else 20.0))
    take({"P13"}, lambda: measure_growth(2.0 if quick else 6.0))
    take({"P13"}, lambda: measure_pool(1.0 if quick else 10.0))
    take({"P3", "P14"}, lambda: measure_whole(5 if quick else 40))
    if {"P1", "P2", "P3", "P4", "P6", "P7", "P8", "P9", "P10", "P12"} & set(wanted):
        rig = Rig()
        try:
            print("decoders: " + ", ".join(f"{kind} {words}" for kind, words in rig.decoders().items()))
            take({"P1"}, lambda: measure_relay(rig, 5 if quick else 60))
            take({"P2"}, lambda: measure_raw(rig, 10 if quick else 150))
            example, polling = "P3" in wanted, "P4" in wanted
            take({"P3", "P4"}, lambda: measure_overhead(rig, 5 if quick else 40, example=example, polling=polling))
            take({"P9"}, lambda: measure_gap(rig, 20 if quick else 200))
            take({"P10"}, lambda: measure_osc(rig, 20 if quick else 300))
            take(
                {"P6", "P7", "P8"},
                lambda: measure_fanout(
                    rig, 1.0 if quick else 6.0, many="P6" in wanted, rest={"P7", "P8"} & set(wanted) != set()
                ),
            )
            take({"P12"}, lambda: measure_memory(rig, 8.0 if quick else 600.0))
        finally:
            rig.close()
    missed = sum(not row.holds for row in rows)
    print(f"load average at the end: {load_average()}")
    print(f"{len(rows) - missed} of {len(rows)} hold")
    if options.json:
        path = Path(options.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "machine": machine(),
            "load": {"begin": load, "end": load_average()},
            "quick": quick,
            "goals": GOALS,
            "rows": [row.as_map(samples=not options.brief) for row in rows],
        }
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        from benchmarks.plots import draw_plots

        for drawn in draw_plots(rows, Path(options.plots)):
            print(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
