"""Training with small batches on a CPU: what a step of 1, 4 and 8 windows spends beside its passes, and runs side by side.

python bench/small_batches.py [--steps N] [--busy] [--skip-side-by-side]

The published shape, per-layer increments, one thread. A step is that of `ropewalk train`: data, passes, clipping, AdamW,
statistics. Side by side: one process per core trains a run of its own on one thread, as `ropewalk study --device cpu:2`
does, against one such process alone; that part needs idle cores.
"""

from __future__ import annotations

import contestants

import harness  # isort: skip

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from profile_of import costs

from ropewalk.core import loss
from ropewalk.corpus import Corpus
from ropewalk.training import execution, loop
from ropewalk.training.distributed import SINGLE_PROCESS
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import Recipe

WINDOWS = (1, 4, 8)
WORKER_WINDOWS = 4
WARM_UP = 5


def stepper(windows: int, compile: bool = True) -> loop.EagerSteps:
    """The steps of `ropewalk train` for a batch of `windows`, over random bytes."""
    shape = {**contestants.SHAPE, "increments": {"parametrization": "bounded", "per": "layer"}}
    recipe = Recipe.model_validate(
        {
            "corpus": {"sources": [{"builtin": "python"}]},
            "model": shape,
            "train": {"batch_size": windows, "micro_batch_size": windows},
        }
    )
    tokens = np.random.default_rng(0).integers(0, 256, 1_000_000).astype("<u2")
    corpus = Corpus(Path("nowhere"), "none", tokens, tokens[:10_000], {})
    plan, notes = execution.plan_execution("cpu", compile=compile)
    for note in notes:
        print(note)
    model = execution.apply_plan(plan, contestants.decoder(recipe.model.increments)).train()
    return loop.EagerSteps(recipe, corpus, model, Optimizers(model, recipe.optimizer), 0, SINGLE_PROCESS)


def parts(windows: int) -> dict[str, contestants.Step]:
    """A whole step, and its passes and its update alone."""
    steps = stepper(windows)
    model: contestants.Decoder = steps.model  # type: ignore[assignment]
    size = steps.recipe.model.context_length
    batch = torch.randint(0, 256, (windows, size + 1), generator=torch.Generator().manual_seed(0))
    kept = [torch.randn_like(p) * 1e-6 for p in steps.optimizers.named.values()]

    def passes() -> None:
        loss.nats(model(batch[:, :-1]).logits, batch[:, 1:]).backward()
        for parameter in steps.optimizers.named.values():
            parameter.grad = None

    def update() -> None:
        for parameter, gradient in zip(steps.optimizers.named.values(), kept, strict=True):
            parameter.grad = gradient
        steps.optimizers.step(1.0)

    name = f"{windows} window{'s' if windows > 1 else ''}"
    return {
        name: lambda: steps.advance(1) and None,
        f"{name}: passes alone": passes,
        f"{name}: update alone": update,
    }


def worker(steps: int) -> None:
    """Trains alone on one thread: warms up, says so, waits for a line, and prints the seconds that `steps` took."""
    torch.set_num_threads(1)
    own = stepper(WORKER_WINDOWS)
    for _ in range(WARM_UP):
        own.advance(1)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    for _ in range(steps):
        own.advance(1)
    print(time.perf_counter() - began, flush=True)


def side_by_side(processes: int, steps: int) -> float:
    """Steps per second of all processes together, each on one thread, started at the same moment."""
    command = [sys.executable, __file__, "--worker", "--steps", str(steps)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        for _ in range(processes)
    ]
    for process in running:
        while "ready" not in (line := process.stdout.readline()):  # type: ignore[union-attr]
            if not line:
                raise SystemExit("bench/small_batches.py: a worker ended before its first step.")
    for process in running:
        process.stdin.write("go\n")  # type: ignore[union-attr]
    return sum(steps / float(process.communicate()[0].split()[-1]) for process in running)


def main() -> None:
    parser = argparse.ArgumentParser(parents=[harness.OPTIONS])
    parser.add_argument("--steps", type=int, default=40, help="of each process, side by side")
    parser.add_argument("--skip-side-by-side", action="store_true", help="on a machine in use")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.worker:
        worker(words.steps)
        return
    harness.refuse_if_busy()
    torch.set_num_threads(1)
    runs = {name: run for windows in WINDOWS for name, run in parts(windows).items()}
    base = f"{WINDOWS[-1]} windows"
    table = harness.interleave("a step, one thread", runs, base=base, rounds=12)
    shares = {name: row["seconds"] for name, row in table.items() if ":" not in name}
    findings = [
        f"{name}: {1 - table[f'{name}: passes alone']['seconds'] / seconds:.0%} of the step is not its passes, "
        f"{table[f'{name}: update alone']['seconds'] / seconds:.0%} clipping and AdamW; "
        f"{seconds / int(name.split()[0]) * 1000:.0f} ms per window."
        for name, seconds in shares.items()
    ]
    results: dict[str, object] = {
        "tables": {"a step, one thread": table},
        "findings": findings,
        "profile": {f"{w} windows, one thread": costs(next(iter(parts(w).values()))) for w in (1, 8)},
    }
    if not words.skip_side_by_side:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        alone, together = side_by_side(1, words.steps), side_by_side(cores, words.steps)
        findings.append(
            f"{cores} one-thread runs side by side do {together:.2f} steps of {WORKER_WINDOWS} windows a second, one alone "
            f"{alone:.2f}."
        )
        results["targets"] = [[f"{cores} runs side by side over one", together / alone, ">=", 0.9 * cores]]
    print("\n".join(findings))
    harness.report("small_batches", results)


if __name__ == "__main__":
    main()
