"""What a step spends its time on, by torch's profiler."""

from __future__ import annotations

from collections.abc import Callable

from harness import DEVICE
from torch.profiler import ProfilerActivity, profile


def costs(run: Callable[[], object], most: int = 8) -> dict[str, float]:
    """The largest costs of one run, as shares of all time that operators took by themselves."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if DEVICE == "cuda" else [])]
    with profile(activities=activities) as seen:
        run()
    taken: dict[str, float] = {}
    for event in seen.key_averages():
        own = event.self_device_time_total if DEVICE == "cuda" else event.self_cpu_time_total
        name = "compiled elementwise work" if "CompiledFxGraph" in event.key else event.key[:60]
        taken[name] = taken.get(name, 0.0) + own
    total = sum(taken.values())
    ordered = sorted(taken.items(), key=lambda item: -item[1])[:most]
    return {name: own / total for name, own in ordered}
