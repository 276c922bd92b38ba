"""Trains a graft and its paired baseline: same base, same data, same steps, without increments.

A frozen base learns nothing without increments, so its baseline is the base itself, only measured. The two are compared
on the same validation windows, window by window, with a 95 % interval.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ropewalk.core import loss
from ropewalk.core.host import increments_of
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import Corpus, windows
from ropewalk.hf import adapter_file
from ropewalk.hf.grafting import Graft
from ropewalk.hf.opening import FULL, LORA
from ropewalk.system import allocator
from ropewalk.system.files import read_json, write_atomically
from ropewalk.system.folders import write_folder
from ropewalk.system.sharded_tensors import gather_tensors
from ropewalk.training import distributed, execution
from ropewalk.training.distributed import ProcessGroup
from ropewalk.training.graft import memory_estimate, trainable
from ropewalk.training.graft.recipe import GraftRecipe
from ropewalk.training.loop import CheckpointIO, ProgressCallback, State, loop
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.recipe import micro_batch_size, step_tokens
from ropewalk.training.run import open_run

DONE = "side.json"
GRAFTED, BASELINE = "grafted", "baseline"
SIDES = {GRAFTED: "with increments (1 of 2)", BASELINE: "baseline (2 of 2)"}


@dataclass(frozen=True)
class Side:
    """One of the two training runs: the loss of each validation window in nats per token, the mean and standard deviation of each
    row's increments, and seconds of training."""

    losses: list[float]
    spacing: list[dict[str, Any]]
    seconds: float

    @property
    def loss(self) -> float:
        return float(np.mean(self.losses))

    @staticmethod
    def read(folder: Path) -> Side:
        """The result of a finished training run."""
        saved = read_json(folder / DONE)
        return Side(saved["losses"], saved["spacing"], saved["seconds"])


@dataclass(frozen=True)
class Report:
    """Grafted minus baseline; negative where increments help. tokens_per_byte: of the validation text."""

    grafted: Side
    baseline: Side
    tokens_per_byte: float = 1.0

    @property
    def difference(self) -> tuple[float, float, float]:
        """Mean of the windows' differences in nats per token, and its 95 % interval (normal, over windows)."""
        d = np.array(self.grafted.losses) - np.array(self.baseline.losses)
        half = 1.96 * float(d.std(ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else math.nan
        return float(d.mean()), float(d.mean()) - half, float(d.mean()) + half

    def summary(self) -> str:
        """Both losses and their difference, in one line."""
        mean, low, high = self.difference
        per_byte = "" if self.tokens_per_byte == 1 else f" ({mean * self.tokens_per_byte:+.5f} nats per byte)"
        return (
            f"held-out loss {self.grafted.loss:.4f} with increments, {self.baseline.loss:.4f} without (perplexity "
            f"{math.exp(self.grafted.loss):.3f} and {math.exp(self.baseline.loss):.3f}); difference {mean:+.4f} nats per "
            f"token, 95 % interval {low:+.4f} to {high:+.4f} over {len(self.grafted.losses)} windows{per_byte}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values with their units; None where a number is undefined."""
        mean, low, high = (None if math.isnan(value) else value for value in self.difference)
        density = self.tokens_per_byte
        return {
            "units": {
                "loss": "nats per token",
                "difference": "nats per token",
                "spacing": "token-equivalents",
            },
            "tokens_per_byte": density,
            "difference": {"mean": mean, "low": low, "high": high},
            "difference_per_byte": None if mean is None else mean * density,
            **{
                name: asdict(side) | {"loss": side.loss, "loss_per_byte": side.loss * density}
                for name, side in ((GRAFTED, self.grafted), (BASELINE, self.baseline))
            },
        }


def train(
    recipe: GraftRecipe,
    corpus: Corpus,
    folder: str | Path,
    *,
    resume: bool = False,
    watch: ProgressCallback | None = None,
) -> Report:
    """Trains both sides into `folder` (grafted/, baseline/) and writes report.json. `corpus` is in tokens.

    A side that is finished is not trained again with resume. UserError as in
    `ropewalk.training.native_training.train`, and for hosts that cannot be grafted. Under torchrun or accelerate every
    process must call this; all get the report and the first one writes.
    """
    folder = Path(folder)
    plan, _ = execution.plan_execution(recipe.train.device, recipe.train.precision, compile=False)
    with distributed.join_process_group(plan.device) as group:
        distributed.check_batch(group, recipe.train.batch_size, recipe.model.shard)
        _require_memory(recipe, plan, group)
        baseline = recipe.model.increments.model_copy(update={"parametrization": "integer"})
        sides = {
            name: _train_side(
                recipe, increments, corpus, folder / name, plan, group, resume, _named(watch, SIDES[name])
            )
            for name, increments in ((GRAFTED, recipe.model.increments), (BASELINE, baseline))
        }
        size = corpus.info["bytes"]["validation"]
        report = Report(sides[GRAFTED], sides[BASELINE], len(corpus.validation) / size if size else 1.0)
        if group.first:
            described = report.to_json() | {
                "recipe": recipe.model_dump(mode="json", exclude={"corpus": {"root"}}),
                "hardware": platform.processor() or platform.machine(),
                "plan": asdict(plan),
                "processes": group.ranks,
            }
            write_atomically(
                folder / "report.json", json.dumps(described, indent=1, allow_nan=False).encode()
            )
    return report


def _named(watch: ProgressCallback | None, name: str) -> ProgressCallback | None:
    """A watcher that knows which of the two training runs it sees."""
    if watch is None:
        return None
    return lambda progress: watch(replace(progress, name=name))


def train_side(
    recipe: GraftRecipe,
    corpus: Corpus,
    folder: str | Path,
    *,
    resume: bool = False,
    watch: ProgressCallback | None = None,
) -> Side:
    """Trains one side alone, in this process: the recipe's own increments and no baseline. Errors as in `train`."""
    folder = Path(folder)
    plan, _ = execution.plan_execution(recipe.train.device, recipe.train.precision, compile=False)
    _require_memory(recipe, plan, distributed.SINGLE_PROCESS)
    return _train_side(
        recipe, recipe.model.increments, corpus, folder, plan, distributed.SINGLE_PROCESS, resume, watch
    )


def _require_memory(recipe: GraftRecipe, plan: execution.ExecutionPlan, group: ProcessGroup) -> None:
    """Keeps freed memory for what comes next; UserError where the training cannot fit."""
    if plan.device == "cpu":
        allocator.keep_all_freed_memory()
    needed = memory_estimate.estimate(recipe, compute=getattr(torch, plan.precision), ranks=group.ranks)
    needed.require(plan, group, "lower micro_batch_size or context_length, or turn checkpointing on")


def _train_side(
    recipe: GraftRecipe,
    increments: IncrementConfig,
    corpus: Corpus,
    folder: Path,
    plan: execution.ExecutionPlan,
    group: ProcessGroup,
    resume: bool,
    watch: ProgressCallback | None,
) -> Side:
    config, seed = recipe.model, recipe.train.seed
    compute = getattr(torch, plan.precision)
    own: Any = recipe.model_copy(update={"model": config.model_copy(update={"increments": increments})})
    described = own.model_dump(mode="json", exclude={"corpus": {"root"}})
    if resume and (folder / DONE).is_file() and read_json(folder / DONE).get("recipe") == described:
        return Side.read(folder)
    device = f"cuda:{torch.cuda.current_device()}" if plan.device == "cuda" else plan.device
    base = trainable.open_base(config, compute, seed)
    graft = Graft(base if config.shard else base.to(device), increments, seed)
    if group.ranks > 1:
        trainable.parallelize(graft, config, plan.device, compute)
    trainee = trainable.Trainee(graft, compute, trainable.prefix_of(config))
    checkpoints = CheckpointIO(trainable.save, trainable.read, trainable.Trainee.learned, group)
    state = State()
    with open_run(group, folder, own, asdict(plan), corpus, resume=resume) as run:
        if trainee.learned():
            optimizers = Optimizers(trainee, recipe.optimizer, step_tokens(recipe))
            state = State.resumed(run, trainee, optimizers, checkpoints) if resume else state
            loop(run, own, corpus, trainee, optimizers, state, watch if group.first else None, checkpoints)
        provenance = run.provenance(step=state.step, validation=state.validation)
        _save_model(graft, own, folder / "model", provenance, group.first)
        side = _measure(trainee, corpus, recipe, state.seconds)
        if group.first:
            write_atomically(folder / DONE, json.dumps(asdict(side) | {"recipe": described}).encode())
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    graft.detach()
    return side


def _save_model(
    graft: Graft, recipe: GraftRecipe, folder: Path, provenance: dict[str, Any], write: bool
) -> None:
    """Writes increments.safetensors and ropewalk.json, and in lora/ or base/ what else has learned: all or nothing."""
    part = {"increments": None, "lora": LORA, "full": FULL}[recipe.model.trainable]
    state = {} if part is None else gather_tensors(graft.model.state_dict(), write)
    kept = {name: t for name, t in state.items() if ".increments." not in f".{name}"}
    model: Any = graft.model

    def learned(temporary: Path) -> None:
        if part is not None:
            model.save_pretrained(temporary / part, state_dict=kept)
        if part == FULL:
            _copy_tokenizer(recipe.model.base, temporary / part)

    if graft.config.parametrization != "integer":
        adapter_file.save(
            graft, folder, write=write, source=recipe.model.base, requires=part, more=learned, **provenance
        )
    elif part is not None and write:
        write_folder(folder, learned)


def _copy_tokenizer(base: str, folder: Path) -> None:
    """Puts the base's tokenizer next to its trained weights."""
    tokenizer: Any = trainable.tokenizer_of(base)
    if hasattr(tokenizer, "tokenizer"):
        tokenizer.tokenizer.save_pretrained(folder)


@torch.no_grad()
def _measure(trainee: trainable.Trainee, corpus: Corpus, recipe: GraftRecipe, seconds: float) -> Side:
    """The loss of every validation window, and the increments on them."""
    trainee.eval()
    losses, d = [], []
    size = min(8, micro_batch_size(recipe))
    for part in windows.validation(
        corpus.validation,
        context=recipe.model.context_length,
        limit=recipe.train.validation_tokens,
        size=size,
    ):
        part = part.to(next(trainee.parameters()).device)
        output = trainee(part[:, :-1])
        losses += [
            float(loss.nats(row[None], targets[None]))
            for row, targets in zip(output.logits, part[:, 1:], strict=True)
        ]
        d.append(increments_of(output).transpose(0, 1).flatten(1).double().cpu())
    increments = torch.cat(d, 1)
    spacing = [
        {"row": str(row), "mean": float(values.mean()), "std": float(values.std())}
        for row, values in zip(trainee.rows, increments, strict=True)
    ]
    return Side(losses, spacing, seconds)
