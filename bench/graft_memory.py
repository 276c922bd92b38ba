"""Peak memory of training a graft on real models, against the estimate that `ropewalk graft-train` prints.

python bench/graft_memory.py MODEL... [--trainable increments,lora,full] [--context 512]

Each in a process of its own; rows of other models that were measured before are kept. Two steps of one window and its validation, on a CPU. The peak is that of resident memory, mapped
weights included, less what the libraries hold before the model is loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import harness
import numpy as np
import torch

from ropewalk.corpus import Corpus, CorpusConfig
from ropewalk.training import execution
from ropewalk.training.graft import memory_estimate, paired
from ropewalk.training.graft.recipe import GraftConfig, GraftRecipe, rates

TITLE = "memory of a training run of grafts"


def resident() -> tuple[int, int]:
    """Bytes of this process that are in memory: its own, and those of mapped files, such as weights."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (1024 * int(status[name].split()[0]) for name in ("RssAnon", "RssFile"))
    return own, mapped


def watch(most: list[tuple[int, int]], stop: threading.Event) -> None:
    """Keeps in `most` what was in memory when it was most; mapped weights that were copied no longer count."""
    while not stop.is_set():
        most[0] = max(most[0], resident(), key=sum)
        time.sleep(0.005)


def measure(base: str, trainable: str, context: int) -> dict[str, float | str]:
    """Estimated and measured bytes of a training run."""
    plan, _ = execution.plan_execution("cpu", compile=False)
    recipe = GraftRecipe(
        corpus=CorpusConfig(sources=[{"path": "none"}]),
        model=GraftConfig(base=base, trainable=trainable, context_length=context),
        optimizer=rates(trainable, 2),
        train={
            "steps": 2, "batch_size": 1, "device": "cpu", "compile": False, "validation_tokens": context,
            "precision": plan.precision,
        },
    )  # fmt: skip
    tokens = np.random.default_rng(0).integers(100, 10_000, 4 * context + 8).astype(np.uint32)
    info = {"bytes": {"train": 1, "validation": 1}, "digests": {"train": "a", "validation": "b"}}
    estimated = memory_estimate.estimate(recipe, compute=getattr(torch, plan.precision))
    before, stop = resident(), threading.Event()
    most = [before]
    watcher = threading.Thread(target=watch, args=(most, stop))
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        paired.train_side(recipe, Corpus(Path(folder), "a hash", tokens, tokens, info), Path(folder) / "run")
    stop.set()
    watcher.join()
    return {
        "precision": plan.precision, "estimated": estimated.total, "measured": sum(most[0]) - sum(before),
        "own": most[0][0] - before[0], "mapped": most[0][1] - before[1],
        **{name: getattr(estimated, name) for name in ("weights", "gradients", "optimizer", "activations", "logits")},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--trainable", default="increments,lora,full")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--one", action="store_true")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.models[0], given.trainable, given.context)))
        return
    path = harness.RESULTS / "graft_memory.json"
    rows = json.loads(path.read_text())["tables"][TITLE] if path.exists() else {}
    for base in given.models:
        for trainable in given.trainable.split(","):
            words = [
                sys.executable,
                __file__,
                base,
                "--trainable",
                trainable,
                "--context",
                str(given.context),
                "--one",
            ]
            found = json.loads(
                subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
            )
            name = f"{Path(base).name}, {trainable}, {found['precision']}, {given.context} tokens"
            rows[name] = {"estimated GB": found["estimated"] / 1e9, "measured GB": found["measured"] / 1e9}
            rows[name]["ratio"] = found["estimated"] / found["measured"]
            print(name, {key: round(value, 3) for key, value in rows[name].items()}, flush=True)
    harness.report("graft_memory", {"tables": {TITLE: rows}})


if __name__ == "__main__":
    main()
