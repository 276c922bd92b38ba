"""A graft's training and its paired baseline: same base, same data, same steps, increments off.

A frozen base learns nothing without increments, so its baseline is the base itself, only read. The
difference is told over the same validation windows, window by window, with a 95 % interval.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ropewalk import execution, heap, loss, processes
from ropewalk.checkpoint import read_json
from ropewalk.corpus import Corpus, windows
from ropewalk.files import write_atomically
from ropewalk.hf import adapter
from ropewalk.hf.grafting import Graft
from ropewalk.host import increments_of
from ropewalk.increments import IncrementConfig
from ropewalk.optimizer import Optimizers
from ropewalk.processes import Team, gathered
from ropewalk.run import opened
from ropewalk.train import State, Watcher, Way, loop
from ropewalk.tuning import memory, trainee
from ropewalk.tuning.recipe import GraftRecipe

DONE = "side.json"


@dataclass(frozen=True)
class Side:
    """One of the two trainings: each window's loss in nats per token, and each line's mean and spread of
    d.
    """

    losses: list[float]
    spacing: list[dict[str, Any]]
    seconds: float

    @property
    def loss(self) -> float:
        return float(np.mean(self.losses))

    @staticmethod
    def read(folder: Path) -> Side:
        """What a finished training left in its folder."""
        told = read_json(folder / DONE)
        return Side(told["losses"], told["spacing"], told["seconds"])


@dataclass(frozen=True)
class Report:
    """Grafted minus baseline, nats per token; negative where increments help."""

    grafted: Side
    baseline: Side

    @property
    def difference(self) -> tuple[float, float, float]:
        """Mean of the windows' differences and the ends of its 95 % interval (normal, over windows)."""
        d = np.array(self.grafted.losses) - np.array(self.baseline.losses)
        half = 1.96 * float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else math.nan
        return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half

    def told(self) -> str:
        mean, low, high = self.difference
        return (
            f"held-out loss {self.grafted.loss:.4f} with increments, {self.baseline.loss:.4f} without "
            "(perplexity "
            f"{math.exp(self.grafted.loss):.3f} and {math.exp(self.baseline.loss):.3f}); difference "
            f"{mean:+.4f} nats "
            f"per token, 95 % interval {low:+.4f} to {high:+.4f} over {len(self.grafted.losses)} windows"
        )


def train(
    recipe: GraftRecipe, corpus: Corpus, folder: Path, *, resume: bool = False, watch: Watcher | None = None
) -> Report:
    """Trains both sides into `folder` (grafted/, baseline/) and writes report.json. `corpus` is in tokens.

    UserError as in `ropewalk.train.train`, and for hosts that cannot be grafted. Under torchrun or
    accelerate every process must call this; all get the report and the first one writes.
    """
    plan, _ = execution.plan(recipe.train.device, recipe.train.precision, compile=False)
    with processes.started(plan.device) as team:
        processes.check(team, recipe.train.batch, recipe.model.shard)
        _secure_memory(recipe, plan, team)
        off = recipe.model.increments.model_copy(update={"law": "unit"})
        sides = {
            name: _side(recipe, law, corpus, folder / name, plan, team, resume, watch)
            for name, law in (("grafted", recipe.model.increments), ("baseline", off))
        }
        report = Report(**sides)
        if team.first:
            told = {
                "difference": dict(zip(("mean", "low", "high"), report.difference, strict=True)),
                **{name: asdict(side) | {"loss": side.loss} for name, side in sides.items()},
                "recipe": recipe.model_dump(mode="json", exclude={"corpus": {"root"}}),
                "hardware": platform.processor() or platform.machine(),
                "plan": asdict(plan),
                "processes": team.ranks,
            }
            write_atomically(folder / "report.json", json.dumps(told, indent=1).encode())
    return report


def one(
    recipe: GraftRecipe, corpus: Corpus, folder: Path, *, resume: bool = False, watch: Watcher | None = None
) -> Side:
    """Trains one side alone, in this process: the recipe's own increments and no baseline. Errors as in `train`."""
    plan, _ = execution.plan(recipe.train.device, recipe.train.precision, compile=False)
    _secure_memory(recipe, plan, processes.ALONE)
    return _side(recipe, recipe.model.increments, corpus, folder, plan, processes.ALONE, resume, watch)


def _secure_memory(recipe: GraftRecipe, plan: execution.Plan, team: Team) -> None:
    """Keeps what will be freed for what comes next; UserError where the training cannot fit."""
    if plan.device == "cpu":
        heap.keep_all()
    needed = memory.estimate(recipe, compute=getattr(torch, plan.precision), ranks=team.ranks)
    needed.require(plan, team, "lower micro or context, or turn checkpointing on")


def _side(
    recipe: GraftRecipe,
    law: IncrementConfig,
    corpus: Corpus,
    folder: Path,
    plan: execution.Plan,
    team: Team,
    resume: bool,
    watch: Watcher | None,
) -> Side:
    config, seed = recipe.model, recipe.train.seed
    compute = getattr(torch, plan.precision)
    own: Any = recipe.model_copy(update={"model": config.model_copy(update={"increments": law})})
    device = f"cuda:{torch.cuda.current_device()}" if plan.device == "cuda" else plan.device
    base = trainee.open_base(config, compute, seed)
    graft = Graft(base if config.shard else base.to(device), law, seed)
    if team.ranks > 1:
        trainee.spread(graft, config, plan.device, compute)
    student = trainee.Trainee(graft, compute)
    way = Way(trainee.save, trainee.read, trainee.Trainee.learned, team)
    state = State()
    with opened(team, folder, own, asdict(plan), corpus, resume=resume) as run:
        if student.learned():
            optimizers = Optimizers(student, recipe.optimizer)
            state = State.resumed(run, student, optimizers, way) if resume else state
            loop(run, own, corpus, student, optimizers, state, watch if team.first else None, way)
        provenance = run.provenance(step=state.step, validation=state.validation)
        _keep(graft, config.how, folder / "model", provenance, team.first)
        side = _measured(student, corpus, recipe, state.seconds)
        if team.first:
            write_atomically(folder / DONE, json.dumps(asdict(side)).encode())
    graft.detach()
    return side


def _keep(graft: Graft, how: str, folder: Path, provenance: dict[str, Any], write: bool) -> None:
    """increments.safetensors and ropewalk.json; beside them lora/ or base/, whatever else has learned."""
    if graft.config.law != "unit":
        adapter.save(graft, folder, write=write, **provenance)
    if how == "frozen":
        return
    foreign = ("increments.",)
    state = gathered(graft.model.state_dict(), write)
    kept = {name: t for name, t in state.items() if not any(f".{part}" in f".{name}" for part in foreign)}
    if write:
        where = folder / ("lora" if how == "lora" else "base")
        where.mkdir(parents=True, exist_ok=True)
        model: Any = graft.model
        model.save_pretrained(where, state_dict=kept)


@torch.no_grad()
def _measured(student: trainee.Trainee, corpus: Corpus, recipe: GraftRecipe, seconds: float) -> Side:
    student.eval()
    losses, d = [], []
    for part in windows.validation(
        corpus.validation, context=recipe.model.context, bytes=recipe.train.validation_bytes, size=8
    ):
        part = part.to(next(student.parameters()).device)
        output = student(part[:, :-1])
        losses += [
            float(loss.nats(row[None], seen[None]))
            for row, seen in zip(output.logits, part[:, 1:], strict=True)
        ]
        d.append(increments_of(output).transpose(0, 1).flatten(1).double().cpu())
    walked = torch.cat(d, 1)
    spacing = [
        {"line": str(line), "mean": float(row.mean()), "std": float(row.std())}
        for line, row in zip(student.lines, walked, strict=True)
    ]
    return Side(losses, spacing, seconds)
