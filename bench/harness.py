"""Interleaved timing: every variant once a round, so that a drift of the machine falls on all of them alike.

Prints medians and, per variant, the median of its ratio to the base within each round, with smallest and largest.
Refuses to start on a busy machine, where wall times would say nothing; with --busy it measures the processor time of
one thread instead, which neighbors disturb far less.
"""

# ruff: noqa: E402
from __future__ import annotations

from ropewalk.system.thread_waiting import limit_spinning  # isort: skip

limit_spinning()  # before torch is imported

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

BUSY = 0.10
RESULTS = Path(__file__).parent / "results"
OPTIONS = argparse.ArgumentParser(add_help=False)
OPTIONS.add_argument("--busy", action="store_true", help="measure processor time, on a machine in use")
OPTIONS.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU where there is one")
OPTIONS.add_argument("--rounds", type=int, help="instead of each benchmark's own number of rounds")
GIVEN, _ = OPTIONS.parse_known_args()
SHARED = GIVEN.busy
DEVICE = GIVEN.device or ("cuda" if torch.cuda.is_available() else "cpu")
Row = dict[str, float]
if SHARED:
    torch.set_num_threads(1)


def clock() -> float:
    """Seconds of this process and its dead children, or of the wall; a GPU has then done all it was asked."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    if not SHARED:
        return time.perf_counter()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def machine() -> dict[str, object]:
    """Hardware and versions, to stand beside every figure."""
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    graphics = {"gpu": torch.cuda.get_device_name()} if DEVICE == "cuda" else {}
    return graphics | {
        "cpu": model or platform.processor(),
        "threads": torch.get_num_threads(),
        "clock": "processor time of one thread" if SHARED else "wall",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def refuse_if_busy() -> None:
    """Stops with one sentence when other processes use the processor, unless --force is given."""
    if not SHARED and (share := _busy_share(1.0)) > BUSY:
        sys.exit(
            f"the machine is {share:.0%} busy with other work, so timings would mislead; "
            "stop the other work, or add --busy and quote ratios only."
        )


def interleave(
    title: str,
    variants: Mapping[str, Callable[[], object]],
    *,
    base: str,
    rounds: int,
    warm: int = 2,
    work: Mapping[str, float] | None = None,
    limits: Mapping[str, str] | None = None,
) -> dict[str, Row]:
    """Runs every variant `rounds` times, in turn; prints a table and returns seconds and ratios by name.

    work: floating-point operations or bytes of a call, by variant. limits: by variant, the one that measures the
    machine's peak; the share of it is the median over rounds as well.
    """
    for _ in range(warm):
        for run in variants.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(GIVEN.rounds or rounds):
        for name, run in variants.items():
            began = clock()
            run()
            seconds[name].append(clock() - began)
    results = {}
    table = Table("variant", "median ms", f"ratio to {base}", "smallest", "largest", "of peak", title=title)
    for name, taken in seconds.items():
        ratios = [a / b for a, b in zip(taken, seconds[base], strict=True)]
        row = results[name] = {
            "seconds": statistics.median(taken),
            "ratio": statistics.median(ratios),
            "smallest": min(ratios),
            "largest": max(ratios),
        }
        if work and name in work:
            row["per_second"] = work[name] / row["seconds"]
        if work and limits and (peak := limits.get(name)):
            rate = work[name] / work[peak]
            row["of_peak"] = statistics.median(
                rate * b / a for a, b in zip(taken, seconds[peak], strict=True)
            )
        cells = (
            f"{row[key]:.3f}" if key in row else "" for key in ("ratio", "smallest", "largest", "of_peak")
        )
        table.add_row(name, f"{1000 * row['seconds']:.1f}", *cells)
    Console(width=110).print(table)
    return results


def report(name: str, results: dict[str, object]) -> None:
    """Writes bench/results/NAME.json (NAME-cuda.json on a GPU): the figures, the machine, the command."""
    path = RESULTS / f"{name}{'-cuda' if DEVICE == 'cuda' else ''}.json"
    path.parent.mkdir(exist_ok=True)
    content = ("FOLDER" if word.startswith("/") else word for word in sys.argv[1:])
    command = " ".join(["python", f"bench/{name}.py", *content])
    path.write_text(json.dumps({"command": command, **machine(), **rounded(results)}, indent=1) + "\n")
    print(f"wrote {path.relative_to(RESULTS.parent.parent)}", flush=True)


def rounded(value):  # type: ignore[no-untyped-def]
    """Every number of a nested result with five digits: more would be noise."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


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
