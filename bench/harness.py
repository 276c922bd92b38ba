"""Interleaved timing: every variant once a round, so that a drift of the machine falls on all of them alike.

Prints medians and, per variant, the median of its ratio to the base within each round, with smallest and largest.
Refuses to start on a busy machine, where wall times would say nothing; with --busy it measures the processor time of
one thread instead, which neighbours disturb far less.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

BUSY = 0.10
SHARED = "--busy" in sys.argv
clock = time.process_time if SHARED else time.perf_counter
if SHARED:
    torch.set_num_threads(1)


def machine() -> dict[str, object]:
    """Hardware and versions, to stand beside every figure."""
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "threads": torch.get_num_threads(),
        "clock": "processor time of one thread" if SHARED else "wall",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def refuse_if_busy() -> None:
    """Stops with one sentence when other processes use the processor, unless told to measure all the same."""
    if not SHARED and (share := _busy_share(1.0)) > BUSY:
        sys.exit(
            f"the machine is {share:.0%} busy with other work, so timings would mislead; "
            "stop the other work, or add --busy and quote ratios only."
        )


def interleave(
    title: str, variants: dict[str, Callable[[], object]], *, base: str, rounds: int, warm: int = 2
) -> dict[str, dict[str, float]]:
    """Runs every variant `rounds` times, in turn; prints a table and returns seconds and ratios by name."""
    for _ in range(warm):
        for run in variants.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    results = {}
    table = Table("variant", "median ms", f"ratio to {base}", "smallest", "largest", title=title)
    for name, taken in seconds.items():
        ratios = [a / b for a, b in zip(taken, seconds[base], strict=True)]
        results[name] = {
            "seconds": statistics.median(taken),
            "ratio": statistics.median(ratios),
            "smallest": min(ratios),
            "largest": max(ratios),
        }
        row = results[name]
        cells = (f"{row[key]:.3f}" for key in ("ratio", "smallest", "largest"))
        table.add_row(name, f"{1000 * row['seconds']:.1f}", *cells)
    Console(width=100).print(table)
    return results


def report(name: str, results: dict[str, object]) -> None:
    """Writes bench/results/NAME.json: the figures, the machine, the command."""
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"command": " ".join(sys.argv), **machine(), **results}, indent=1) + "\n")
    print(f"wrote {path}")


def _busy_share(seconds: float) -> float:
    def read() -> tuple[int, int]:
        counts = [int(x) for x in _lines("/proc/stat")[0].split()[1:9]]
        return sum(counts) - counts[3] - counts[4], sum(counts)

    if not Path("/proc/stat").exists():
        return 0.0
    busy, total = read()
    time.sleep(seconds)
    busy_now, total_now = read()
    return (busy_now - busy) / max(1, total_now - total)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else [""]
