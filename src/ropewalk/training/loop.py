"""Training: one loop for every host. Windows in, loss down, checkpoints and metrics out.

A run is a folder: `recipe.json` (resolved, with version and plan), `metrics.jsonl`, `checkpoints/step-N`, and
at the end `model`. It stops cleanly on Ctrl-C, refuses to go on after a NaN or a runaway increment, and
resumes bit-exactly under the same plan: data order and learning rate are functions of the step, and no other
randomness exists. Several processes share one run (`ropewalk.training.distributed`); it goes on with any number of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from ropewalk.core import loss
from ropewalk.core.decay import ForgetGate
from ropewalk.core.encoding import Pope
from ropewalk.core.host import Output, increments_of
from ropewalk.core.rows import Row
from ropewalk.corpus import Corpus, windows
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.system.sharded_tensors import broadcast_like
from ropewalk.system.signals import DeferredInterrupt
from ropewalk.training import distributed, execution, memory_estimate
from ropewalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from ropewalk.training.optimizer import Optimizers, rate_fraction
from ropewalk.training.recipe import Recipe, micro_batch_size
from ropewalk.training.run import Follower, Run, fill_frozen, open_run

RUNAWAY = 1e4  # a mean increment beyond this, in token-equivalents, is no spacing any more


@dataclass
class Progress:
    """What a run is doing, after each step; readers (bars, boards) only look."""

    step: int
    steps: int
    loss: float
    validation: float | None
    bytes: int
    seconds: float
    increments: list[dict[str, Any]] = field(default_factory=list)


ProgressCallback = Callable[[Progress], None]


class TrainableHost(Protocol):
    """A host that can be trained: a module whose parameters named `parametrizations.` are its increments."""

    @property
    def rows(self) -> tuple[Row, ...]: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def parameters(self) -> Any: ...
    def __call__(self, tokens: torch.Tensor) -> Output: ...


@dataclass(frozen=True)
class CheckpointIO:
    """How a kind of host is kept in folders, and which processes share its training.

    save and read are as in `ropewalk.native.checkpoint`; tensors are those of a model that a checkpoint holds.
    """

    save: Callable[..., None] = checkpoint.save_decoder
    read: Callable[..., tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, Any]]] = (
        checkpoint.read_training
    )
    tensors: Callable[[Any], dict[str, torch.Tensor]] = nn.Module.state_dict
    team: ProcessGroup = SINGLE_PROCESS


NATIVE_CHECKPOINTS = CheckpointIO()


def train(
    recipe: Recipe,
    corpus: Corpus,
    folder: Path,
    *,
    resume: bool = False,
    shard: bool = False,
    watch: ProgressCallback | None = None,
) -> Path:
    """Trains (or goes on training) and returns the folder of the finished model.

    Where a launcher started several processes, each of them calls this, and only the first one's `watch` is
    told; shard: they split the model (FSDP2) instead of repeating it (DDP). Raises UserError for a folder that
    holds another run, and for a run that stopped making sense; KeyboardInterrupt passes through after a
    checkpoint is written.
    """
    wishes = recipe.train
    plan, notes = execution.plan_execution(
        wishes.device, wishes.precision, wishes.compile and not shard, wishes.cuda_graphs
    )
    with distributed.join_process_group(plan.device) as team:
        distributed.check_batch(team, wishes.batch_size, shard)
        needed = memory_estimate.estimate(recipe, ranks=team.ranks, shard=shard)
        needed.require(plan, team, "lower train.micro or model.context")
        with open_run(team, folder, recipe, asdict(plan) | {"shard": shard}, corpus, resume=resume) as run:
            for note in notes:
                run.note(note)
            model = Decoder(recipe.model, seed=wishes.seed)
            fill_frozen(model, recipe.model.increments.table)
            passes = _spread(model, plan, team, shard)
            optimizers, way = Optimizers(model, recipe.optimizer), CheckpointIO(team=team)
            state = State.resumed(run, model, optimizers, way) if resume else State()
            loop(run, recipe, corpus, passes, optimizers, state, watch if team.first else None, way)
            provenance = run.provenance(step=wishes.steps, validation=state.validation)
            checkpoint.save_decoder(folder / "model", model, provenance, write=team.first)
    return folder / "model"


def _spread(model: Decoder, plan: execution.ExecutionPlan, team: ProcessGroup, shard: bool) -> Any:
    """The model as it is called: on its device, and over the processes of the team."""
    if not shard:
        execution.apply_plan(plan, model)
        return (
            model if team.ranks == 1 else distributed.wrap_ddp_or_fsdp(model, device=plan.device, shard=False)
        )
    exact = [m for m in model.modules() if isinstance(m, ForgetGate | Pope)]  # compute with float32 weights
    distributed.wrap_ddp_or_fsdp(
        model,
        device=plan.device,
        shard=True,
        parts=model.layers,
        apart=[*model.increment_modules, *exact],
        mixed=getattr(torch, plan.precision),
        casts=False,
    )
    return execution.apply_plan(plan, model)


@dataclass
class State:
    """All that changes besides weights and optimizer state: json, restored exactly."""

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    seconds: float = 0.0
    validation: float | None = None

    @classmethod
    def resumed(
        cls, run: Run | Follower, model: Any, optimizers: Optimizers, way: CheckpointIO = NATIVE_CHECKPOINTS
    ) -> State:
        """The state in the newest checkpoint that is whole; a fresh one if none was written yet.

        The first process reads; all get the weights, the optimizer state and the state.
        """
        weights, moments, state = cls._newest(run, model, way) if isinstance(run, Run) else ({}, {}, cls())
        told = way.team.told({"state": asdict(state), "weights": bool(weights), "moments": list(moments)})
        if told["weights"]:
            with torch.no_grad():
                for name, tensor in way.tensors(model).items():
                    tensor.copy_(broadcast_like(weights.get(name), tensor))
        optimizers.restore({label: moments.get(label) for label in told["moments"]})
        return cls(**told["state"])

    @classmethod
    def _newest(cls, run: Run, model: Any, way: CheckpointIO) -> tuple[dict, dict, State]:
        folders = run.checkpoints()
        for folder in folders:
            try:
                weights, moments, saved = way.read(folder, model)
                state = cls._read(saved, folder)
            except UserError as error:
                run.note(f"skipping {folder.name}: {error}")
                continue
            run.check_corpus(saved["provenance"])
            run.check_plan(saved["plan"])
            run.forget_after(state.step)
            return weights, moments, state
        if folders:
            raise UserError(f"none of the checkpoints in {run.folder} is whole; start again in a new folder.")
        run.forget_after(0)
        return {}, {}, cls()

    @classmethod
    def _read(cls, saved: dict[str, Any], folder: Path) -> State:
        try:
            state = cls(**saved["state"])
            for told in (saved["plan"], saved["provenance"].get("corpus", {})):
                told.items()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{folder / checkpoint.TRAINING} is damaged; delete this checkpoint folder."
            ) from error
        return state


def loop(
    run: Run | Follower,
    recipe: Any,
    corpus: Corpus,
    model: TrainableHost,
    optimizers: Optimizers,
    state: State,
    watch: ProgressCallback | None,
    way: CheckpointIO = NATIVE_CHECKPOINTS,
) -> None:
    """From the step in `state` to the last one: `recipe` has model.context, optimizer and train."""
    config, team = recipe.train, way.team
    unit = getattr(recipe.model, "symbols", "bytes")
    saved_at, saved_step = time.monotonic(), state.step
    seen = config.batch_size * recipe.model.context_length
    with DeferredInterrupt() as interrupt:
        try:
            while state.step < config.steps:
                began = time.monotonic()
                value, norm, spacing = _step(recipe, corpus, model, optimizers, state.step, team)
                _check(value, norm, spacing, state.step, run)
                state.step += 1
                state.loss_sum += value
                state.loss_count += 1
                state.seconds += time.monotonic() - began
                last = state.step == config.steps
                if state.step % config.validate_every == 0 or last:
                    state.validation = validate(model, corpus, recipe, team)
                    run.log(step=state.step, validation_loss=state.validation)
                if state.step % config.log_every == 0 or last:
                    mean = state.loss_sum / state.loss_count
                    bits = {"bits_per_byte": loss.bits_per_byte(mean)} if unit == "bytes" else {}
                    speed = {f"{unit}_per_second": round(state.step * seen / max(state.seconds, 1e-9), 1)}
                    read = {unit: state.step * seen}
                    run.log(step=state.step, **read, loss=mean, **bits, **speed, increments=spacing)
                    state.loss_sum, state.loss_count = 0.0, 0
                if watch is not None:
                    told = (value, state.validation, state.step * seen, state.seconds, spacing)
                    watch(Progress(state.step, config.steps, *told))
                due = last or time.monotonic() - saved_at >= 60 * config.checkpoint_minutes
                heard = team.everyone(due, interrupt.asked)
                if heard[0][0]:
                    _save(run, model, optimizers, state, way)
                    saved_at, saved_step = time.monotonic(), state.step
                if any(asked for _, asked in heard) and not last:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if state.step > saved_step and not interrupt.hurried:
                _save(run, model, optimizers, state, way)
            raise


def _step(
    recipe: Any, corpus: Corpus, model: TrainableHost, optimizers: Optimizers, step: int, team: ProcessGroup
) -> tuple[float, float, list[dict[str, Any]]]:
    """One update; returns the loss in nats per token, the gradient norm, and each line's mean and spread."""
    config, context = recipe.train, recipe.model.context_length
    batch = windows.batch(corpus.train, seed=config.seed, step=step, size=config.batch_size, context=context)
    batch = batch[team.rank :: team.ranks].to(_device(model), non_blocking=True)
    model.train()
    total = 0.0
    parts = batch.split(micro_batch_size(recipe))
    for part in parts:
        share = len(part) / len(batch)
        with nullcontext() if part is parts[-1] else _to_itself(model):
            output = model(part[:, :-1])
            value = loss.nats(output.logits, part[:, 1:])
            (value * share).backward()
        total += float(value.detach()) * share
    norm = optimizers.step(rate_fraction(step, config.steps, recipe.optimizer.warmup))
    d = increments_of(output).detach()
    mean, std = d.mean((0, 2)), d.std((0, 2))
    spacing = [
        {"line": str(row), "mean": float(mean[i]), "std": float(std[i])} for i, row in enumerate(model.rows)
    ]
    return team.mean(total), norm, spacing


def _to_itself(model: Any) -> AbstractContextManager:
    """While a backward pass runs whose gradients need no mean yet, because more of them are to come."""
    return model.no_sync() if isinstance(model, distributed.Replica) else nullcontext()


@torch.no_grad()
def validate(model: TrainableHost, corpus: Corpus, recipe: Any, team: ProcessGroup = SINGLE_PROCESS) -> float:
    """Loss on the validation windows, nats per token; each process of the team reads its share of them."""
    model.eval()
    total = count = 0.0
    size = 16 * team.ranks
    for part in windows.validation(
        corpus.validation, context=recipe.model.context_length, bytes=recipe.train.validation_bytes, size=size
    ):
        own = part[team.rank :: team.ranks]
        seen = (own if len(own) else part[:1]).to(_device(model))  # who has none keeps the others company
        total += float(loss.nats(model(seen[:, :-1]).logits, seen[:, 1:])) * len(own)
        count += len(part)
    return team.mean(total) * team.ranks / count


def _check(value: float, norm: float, spacing: list[dict[str, Any]], step: int, run: Run | Follower) -> None:
    wild = next((s for s in spacing if not abs(s["mean"]) < RUNAWAY), None)
    if wild is not None:
        what = f"the increments of {wild['line']} ran away (mean {wild['mean']:.3g})"
    elif not math.isfinite(value):
        what = f"the loss became {value}"
    elif not math.isfinite(norm):
        what = f"the gradient became {norm}"
    else:
        return
    kept = next((c.name for c in run.checkpoints()), "none yet")
    raise UserError(
        f"stopped at step {step + 1}: {what}; the last good checkpoint is {kept}. Lower optimizer.lr or "
        "optimizer.increments_lr, or take the bounded parametrization."
    )


def _device(model: TrainableHost) -> torch.device:
    return next(iter(model.parameters())).device


def _save(run: Run | Follower, model: Any, optimizers: Optimizers, state: State, way: CheckpointIO) -> None:
    run.sync()
    training = (optimizers.state(keep=way.team.first), {"plan": run.plan, "state": asdict(state)})
    way.save(
        run.checkpoint_folder(state.step),
        model.module if isinstance(model, distributed.Replica) else model,
        run.provenance(step=state.step, validation=state.validation),
        training=training,
        write=way.team.first,
    )
    run.prune()
