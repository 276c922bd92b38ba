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

from ropewalk.core import loss
from ropewalk.core.host import increments_of
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import Corpus, windows
from ropewalk.hf import adapter
from ropewalk.hf.grafting import Graft
from ropewalk.system import allocator
from ropewalk.system.files import read_json, write_atomically
from ropewalk.system.sharded_tensors import gather_tensors
from ropewalk.training import distributed, execution
from ropewalk.training.distributed import ProcessGroup
from ropewalk.training.graft import memory_estimate, trainable
from ropewalk.training.graft.recipe import GraftRecipe
from ropewalk.training.loop import CheckpointIO, ProgressCallback, State, loop
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.run import open_run

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
    recipe: GraftRecipe,
    corpus: Corpus,
    folder: Path,
    *,
    resume: bool = False,
    watch: ProgressCallback | None = None,
) -> Report:
    """Trains both sides into `folder` (grafted/, baseline/) and writes report.json. `corpus` is in tokens.

    UserError as in `ropewalk.training.loop.train`, and for hosts that cannot be grafted. Under torchrun or
    accelerate every process must call this; all get the report and the first one writes.
    """
    plan, _ = execution.plan_execution(recipe.train.device, recipe.train.precision, compile=False)
    with distributed.join_process_group(plan.device) as team:
        distributed.check_batch(team, recipe.train.batch_size, recipe.model.shard)
        _secure_memory(recipe, plan, team)
        off = recipe.model.increments.model_copy(update={"parametrization": "integer"})
        sides = {
            name: _side(recipe, parametrization, corpus, folder / name, plan, team, resume, watch)
            for name, parametrization in (("grafted", recipe.model.increments), ("baseline", off))
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
    recipe: GraftRecipe,
    corpus: Corpus,
    folder: Path,
    *,
    resume: bool = False,
    watch: ProgressCallback | None = None,
) -> Side:
    """Trains one side alone, in this process: the recipe's own increments and no baseline. Errors as in `train`."""
    plan, _ = execution.plan_execution(recipe.train.device, recipe.train.precision, compile=False)
    _secure_memory(recipe, plan, distributed.SINGLE_PROCESS)
    return _side(
        recipe, recipe.model.increments, corpus, folder, plan, distributed.SINGLE_PROCESS, resume, watch
    )


def _secure_memory(recipe: GraftRecipe, plan: execution.ExecutionPlan, team: ProcessGroup) -> None:
    """Keeps what will be freed for what comes next; UserError where the training cannot fit."""
    if plan.device == "cpu":
        allocator.keep_all_freed_memory()
    needed = memory_estimate.estimate(recipe, compute=getattr(torch, plan.precision), ranks=team.ranks)
    needed.require(plan, team, "lower micro or context, or turn checkpointing on")


def _side(
    recipe: GraftRecipe,
    parametrization: IncrementConfig,
    corpus: Corpus,
    folder: Path,
    plan: execution.ExecutionPlan,
    team: ProcessGroup,
    resume: bool,
    watch: ProgressCallback | None,
) -> Side:
    config, seed = recipe.model, recipe.train.seed
    compute = getattr(torch, plan.precision)
    own: Any = recipe.model_copy(update={"model": config.model_copy(update={"increments": parametrization})})
    device = f"cuda:{torch.cuda.current_device()}" if plan.device == "cuda" else plan.device
    base = trainable.open_base(config, compute, seed)
    graft = Graft(base if config.shard else base.to(device), parametrization, seed)
    if team.ranks > 1:
        trainable.spread(graft, config, plan.device, compute)
    student = trainable.Trainee(graft, compute)
    way = CheckpointIO(trainable.save, trainable.read, trainable.Trainee.learned, team)
    state = State()
    with open_run(team, folder, own, asdict(plan), corpus, resume=resume) as run:
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
    if graft.config.parametrization != "integer":
        adapter.save(graft, folder, write=write, **provenance)
    if how == "frozen":
        return
    foreign = ("increments.",)
    state = gather_tensors(graft.model.state_dict(), write)
    kept = {name: t for name, t in state.items() if not any(f".{part}" in f".{name}" for part in foreign)}
    if write:
        where = folder / ("lora" if how == "lora" else "base")
        where.mkdir(parents=True, exist_ok=True)
        model: Any = graft.model
        model.save_pretrained(where, state_dict=kept)


@torch.no_grad()
def _measured(student: trainable.Trainee, corpus: Corpus, recipe: GraftRecipe, seconds: float) -> Side:
    student.eval()
    losses, d = [], []
    for part in windows.validation(
        corpus.validation, context=recipe.model.context_length, bytes=recipe.train.validation_bytes, size=8
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
        for line, row in zip(student.rows, walked, strict=True)
    ]
    return Side(losses, spacing, seconds)
