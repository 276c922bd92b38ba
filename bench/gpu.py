"""A training step on a GPU: every option of the fast step, other increments, and the same shape as other people train it.

python bench/gpu.py [--rounds N]

An option that fails is listed with what it said, and the rest go on. `scripts/gpu_lease.py` runs the same options
with the checks of a rented one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import contestants
import harness
import peaks
from profile_of import costs

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import gpu_steps

BASE = "compiled, graph"
ROUNDS = 20
OTHERS: dict[str, Callable[..., contestants.Step]] = {
    "Hugging Face Llama, compiled layers": lambda batch: contestants.llama(batch, True),
    "plain decoder, complex rotary": lambda batch: contestants.plain(batch, True, False),
}


def main() -> None:
    if harness.DEVICE != "cuda":
        sys.exit("bench/gpu.py needs a GPU; on a CPU run bench/training_step.py.")
    batch = contestants.text()
    limits, work = peaks.variants()
    names = [*gpu_steps.OPTIONS, *(f"{BASE} / {other}" for other in ("rope", "shared"))]
    makers: dict[str, Callable[[], contestants.Step]] = {
        name: lambda name=name: option(name) for name in names
    }  # type: ignore[misc]
    makers |= {name: lambda make=make: make(batch) for name, make in OTHERS.items()}  # type: ignore[misc]
    runs, failed = {}, {}
    for name, make in makers.items():
        try:
            run = make()
            run()
            run()
            runs[name] = run
        except Exception as error:  # whatever the compiler or the driver says belongs into the report
            failed[name] = {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"}
            print(name, failed[name]["failed"], flush=True)
    if BASE not in runs:
        sys.exit(f"bench/gpu.py: '{BASE}' failed, so there is nothing to compare with: {failed.get(BASE)}")
    work |= dict.fromkeys(runs, contestants.operations())
    bound = dict.fromkeys(runs, peaks.BF16)
    table = harness.interleave("a step", limits | runs, base=BASE, rounds=ROUNDS, work=work, limits=bound)
    over = {
        label: table[BASE]["seconds"] / table[name]["seconds"]
        for label, name in {"integer RoPE": f"{BASE} / rope", **{name: name for name in OTHERS}}.items()
        if name in table
    }
    targets = [["the published recipe, minutes", 50_000 * table[BASE]["seconds"] / 60, "<=", 8.0]]
    targets += (
        [["per-layer over integer RoPE", over["integer RoPE"], "<=", 1.03]] if "integer RoPE" in over else []
    )
    tables = {
        "a step (per second: operations)": table | failed,
        "per-layer over": {name: {"ratio": value} for name, value in over.items()},
    }
    harness.report("gpu", {"tables": tables, "targets": targets, "profile": {BASE: costs(runs[BASE])}})


def option(name: str) -> contestants.Step:
    """One option's step, as `scripts/gpu_steps.py` describes it."""
    step: contestants.Step = gpu_steps.step_of(gpu_steps.option_of(name, False), False).replay
    return step


if __name__ == "__main__":
    main()
