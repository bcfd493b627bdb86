"""Plots of what was measured: latency by path, fan-out, memory over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import Row


def draw_plots(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw what the rows have samples for; give the files.

    Raises:
        SystemExit: matplotlib isn't installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("plots need matplotlib: pip install texbridge[bench]") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    paths = {f"{row.case} {name.removesuffix('_s')}": samples for row in rows if row.goal in ("P1", "P2", "P3", "P4")
             for name, samples in row.samples.items() if samples}  # fmt: skip
    if paths:
        drawn.append(_distributions(pyplot, paths, "Latency by path", folder / "latency.png"))
    fanout = {f"{row.case.removesuffix(', p50')}: {name.removesuffix('_s')}": samples
              for row in rows if row.goal in ("P6", "P8")
              for name, samples in row.samples.items() if samples}  # fmt: skip
    if fanout:
        drawn.append(_distributions(pyplot, fanout, "Fan-out: sent by ComfyUI -> at the viewer", folder / "fanout.png"))
    for row in rows:
        if row.goal == "P12":
            figure, axes = pyplot.subplots(figsize=(8, 4))
            axes.plot(row.samples["at_s"], [size / (1 << 20) for size in row.samples["bytes"]])
            axes.set(
                xlabel="seconds",
                ylabel="MiB",
                title=f"The bridge's {row.case}, a viewer coming and one going each second",
            )
            axes.set_ylim(bottom=0)
            drawn.append(_saved(pyplot, figure, folder / "memory.png"))
    return drawn


def _distributions(pyplot: Any, paths: dict[str, list[float]], title: str, file: Path) -> Path:
    """A line per path: the share of frames (across) that took at most so long (up)."""
    figure, axes = pyplot.subplots(figsize=(10, 6))
    for name, samples in paths.items():
        ordered = sorted(samples)
        shares = [(place + 1) / len(ordered) for place in range(len(ordered))]
        axes.plot(shares, [sample * 1000 for sample in ordered], label=name)
    axes.set(xlabel="share of frames", ylabel="milliseconds", title=title, yscale="log")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    return _saved(pyplot, figure, file)


def _saved(pyplot: Any, figure: Any, file: Path) -> Path:
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)
    return file
