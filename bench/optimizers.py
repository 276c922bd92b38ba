"""Muon against AdamW on a small per-layer model: held-out loss and boundary AUC, at equal bytes and at equal time.

    python bench/optimizers.py --root FOLDER --out runs/optimizers [--busy]

FOLDER holds en.jsonl.zst, zh.jsonl.zst and gold/. Each optimizer's rate is the best of a few with the first seed;
more seeds follow at that rate. Equal time: AdamW takes as many more steps as its step is cheaper, by processor time.
What is trained is kept in --out and not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import harness
import numpy as np
import torch

from ropewalk.analyses import boundaries, gold, statistics
from ropewalk.core import loss
from ropewalk.corpus import prepare
from ropewalk.experiments._gold_parts import read_part
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.training import execution
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import Recipe, read_recipe

RECIPE = Path(__file__).parent.parent / "recipes" / "optimizers.toml"
RATES = {"adamw": (1.5e-3, 3e-3, 6e-3), "muon": (0.01, 0.02, 0.04)}
INCREMENTS = 1e-3  # the increments' own rate, the same for both
SEEDS = (1, 2, 3)


def recipe(name: str, rate: float, seed: int, root: Path, steps: int | None = None) -> Recipe:
    """The recipe of one run; Muon leaves embedding and norms to AdamW at 3e-3."""
    lr = rate if name == "adamw" else 3e-3
    content = {
        "optimizer.name": name,
        "optimizer.lr": lr,
        "optimizer.increments_lr_multiplier": round(INCREMENTS / lr, 3),
    }
    content |= {"train.seed": seed, "corpus.root": f'"{root}"'}
    content |= {"optimizer.muon_lr": rate} if name == "muon" else {}
    content |= {"train.steps": steps} if steps else {}
    return read_recipe(RECIPE, [f"{key}={value}" for key, value in content.items()])


def trained(asked: Recipe, folder: Path) -> Decoder:
    """The model of a run, trained now if it is not there."""
    if not (folder / "model").is_dir():
        resume = (folder / "recipe.json").is_file()
        train(asked, prepare(asked.corpus), folder, resume=resume)
    return checkpoint.load_decoder(folder / "model")


def cost(root: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Time of one step of each, interleaved."""
    batch = torch.randint(0, 256, (16, 257), generator=torch.Generator().manual_seed(0))
    steps = {}
    for name, rates in RATES.items():
        asked = recipe(name, rates[1], 1, root)
        model = Decoder(asked.model, seed=0)
        optimizers = Optimizers(model, asked.optimizer)
        plan, _ = execution.plan_execution()
        execution.apply_plan(plan, model).train()

        def step(model: Decoder = model, optimizers: Optimizers = optimizers) -> None:
            loss.nats(model(batch[:, :-1]).logits, batch[:, 1:]).backward()
            optimizers.step(1.0)

        steps[name] = step
    return harness.interleave("a step", steps, base="adamw", rounds=rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--busy", action="store_true")
    words = parser.parse_args()
    harness.refuse_if_busy()
    price = cost(words.root, words.rounds)

    def model(name: str, rate: float, seed: int, steps: int | None = None) -> Decoder:
        label = f"{name}-{rate:g}" + (f"-{steps}" if steps else "")
        return trained(recipe(name, rate, seed, words.root, steps), words.out / label / f"seed-{seed}")

    sweep = {
        name: {f"{rate:g}": float(model(name, rate, SEEDS[0]).provenance["validation"]) for rate in rates}
        for name, rates in RATES.items()
    }
    best = {name: float(min(found, key=found.__getitem__)) for name, found in sweep.items()}
    steps = round(recipe("adamw", best["adamw"], 1, words.root).train.steps * price["muon"]["ratio"])
    kinds = {name: [model(name, best[name], seed) for seed in SEEDS] for name in RATES}
    kinds["adamw, equal time"] = [model("adamw", best["adamw"], seed, steps) for seed in SEEDS]

    losses = {
        kind: {f"{seed}": float(m.provenance["validation"]) for seed, m in zip(SEEDS, models, strict=True)}
        for kind, models in kinds.items()
    }
    gold_root = words.root / "gold"
    sentences = [gold.read(gold_root / f"UD_Chinese-GSDSimp.{half}.seg.txt") for half in ("dev", "test")]
    chosen = {"reader": boundaries.CHOSEN}
    auc = {
        kind: [
            float(boundaries.boundaries([read_part(m, *sentences, with_random=False)]).find(**chosen)["auc"])
            for m in models
        ]
        for kind, models in kinds.items()
    }
    found = findings(sweep, losses, auc, steps)
    print("\n".join(found))
    content = {"tables": {"a step of the small model": price}, "findings": found}
    harness.report("optimizers", content | {"sweep": sweep, "losses": losses, "auc": auc})


def findings(
    sweep: dict[str, dict[str, float]],
    losses: dict[str, dict[str, float]],
    auc: dict[str, list[float]],
    steps: int,
) -> list[str]:
    """What was found, in sentences; differences are paired by seed, with 95 % intervals."""
    rates = "; ".join(
        f"{name} " + ", ".join(f"{rate}: {loss:.3f}" for rate, loss in found.items())
        for name, found in sweep.items()
    )
    content = [f"Held-out nats per byte of seed {SEEDS[0]} by rate: {rates}."]
    for kind in losses:
        line = f"{kind}: " + ", ".join(f"{loss:.4f}" for loss in losses[kind].values()) + " nats per byte"
        line += "; boundary AUC (GSDSimp) " + ", ".join(f"{value:.3f}" for value in auc[kind])
        if kind != "muon":
            worse = statistics.paired(
                np.array(list(losses[kind].values())) - np.array(list(losses["muon"].values()))
            )
            apart = statistics.paired(np.array(auc[kind]) - np.array(auc["muon"]))
            line += f". Minus Muon: {worse.value:+.3f} [{worse.low:+.3f}, {worse.high:+.3f}] nats, "
            line += f"{apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}] AUC"
        content.append(line + f" ({steps} steps)." if "time" in kind else line + ".")
    return content


if __name__ == "__main__":
    main()
