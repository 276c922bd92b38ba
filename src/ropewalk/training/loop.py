"""The training loop, for native models and grafts.

A run is a folder: `recipe.json` (resolved, with version and plan), `metrics.jsonl`, `checkpoints/step-N`, and at the end
`model`. It stops cleanly on Ctrl-C, stops with an error after a NaN or a runaway increment, and resumes bit-exactly under
the same plan: data order and learning rate are functions of the step, and there is no other randomness. Several
processes may share one run (`ropewalk.training.distributed`); it resumes with any number of them.
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
from ropewalk.core.host import Output, increments_of
from ropewalk.core.rows import Row
from ropewalk.corpus import Corpus, windows
from ropewalk.errors import UserError
from ropewalk.system.sharded_tensors import broadcast_like
from ropewalk.system.signals import DeferredInterrupt
from ropewalk.training import distributed
from ropewalk.training.corpus_tokens import tokens_per_byte
from ropewalk.training.distributed import SINGLE_PROCESS, ProcessGroup
from ropewalk.training.optimizer import Optimizers, TrainableModule, rate_fraction
from ropewalk.training.recipe import micro_batch_size, step_tokens
from ropewalk.training.run import Follower, Run

RUNAWAY = 1e4  # a mean increment beyond this, in token-equivalents, stops the run


@dataclass
class Progress:
    """The state of a run after a step, for progress bars and TensorBoard. tokens: read so far. name: which of several runs."""

    step: int
    steps: int
    loss: float
    validation: float | None
    tokens: int
    seconds: float
    increments: list[dict[str, Any]] = field(default_factory=list)
    name: str = ""


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True)
class StepResult:
    """A step: loss in nats per token, gradient norm before clipping, mean and standard deviation of each row in its last
    micro-batch."""

    loss: float
    norm: float
    increments: list[dict[str, Any]]


class Stepper(Protocol):
    """How a run advances: `EagerSteps` here, or `ropewalk.training.fast_step.FastStep`."""

    def advance(self, count: int) -> list[StepResult]:
        """Does between 1 and `count` of the next steps."""
        ...

    def validate(self) -> float:
        """Loss on the validation windows, nats per token."""
        ...


class TrainableHost(TrainableModule, Protocol):
    """A host that can be trained."""

    @property
    def rows(self) -> tuple[Row, ...]: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def parameters(self) -> Any: ...
    def __call__(self, tokens: torch.Tensor) -> Output: ...


@dataclass(frozen=True)
class CheckpointIO:
    """How a kind of host writes and reads checkpoints, and the processes that share its training.

    save and read: as `save_decoder` and `read_training` in `ropewalk.native.checkpoint`. tensors: those of a model that
    its checkpoints contain.
    """

    save: Callable[..., None]
    read: Callable[..., tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, Any]]]
    tensors: Callable[[Any], dict[str, torch.Tensor]] = nn.Module.state_dict
    group: ProcessGroup = SINGLE_PROCESS


@dataclass
class State:
    """Everything that changes besides weights and optimizer state; JSON, restored exactly."""

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    seconds: float = 0.0
    validation: float | None = None

    @classmethod
    def resumed(
        cls, run: Run | Follower, model: Any, optimizers: Optimizers, checkpoints: CheckpointIO
    ) -> State:
        """The state in the newest checkpoint that is whole; a fresh one if none was written yet.

        The first process reads; all get the weights, the optimizer state and the state.
        """
        weights, moments, state = (
            cls._newest(run, model, checkpoints) if isinstance(run, Run) else ({}, {}, cls())
        )
        shared = checkpoints.group.broadcast(
            {"state": asdict(state), "weights": bool(weights), "moments": list(moments)}
        )
        if shared["weights"]:
            with torch.no_grad():
                for name, tensor in checkpoints.tensors(model).items():
                    tensor.copy_(broadcast_like(weights.get(name), tensor))
        optimizers.restore({label: moments.get(label) for label in shared["moments"]})
        return cls(**shared["state"])

    @classmethod
    def _newest(cls, run: Run, model: Any, checkpoints: CheckpointIO) -> tuple[dict, dict, State]:
        folders = run.checkpoints()
        for folder in folders:
            try:
                weights, moments, saved = checkpoints.read(folder, model)
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
            for entry in (saved["plan"], saved["provenance"].get("corpus", {})):
                entry.items()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{folder} is damaged (its training state is incomplete); delete this checkpoint folder."
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
    checkpoints: CheckpointIO,
    stepper: Stepper | None = None,
) -> None:
    """Trains from the step in `state` to the last one. recipe: a `Recipe` or a `GraftRecipe`. stepper: None for eager steps."""
    config, group = recipe.train, checkpoints.group
    stepper = stepper or EagerSteps(recipe, corpus, model, optimizers, state.step, group)
    per_byte = 1.0 if recipe.token_unit == "bytes" else tokens_per_byte(corpus)
    saved_at, saved_step = time.monotonic(), state.step
    with DeferredInterrupt() as interrupt:
        try:
            while state.step < config.steps:
                began = time.monotonic()
                results = stepper.advance(_until_next_entry(config, state.step))
                seconds = (time.monotonic() - began) / len(results)
                for result in results:
                    _check(result, state.step, run)
                    _record(run, recipe, state, result, seconds, stepper, watch, per_byte)
                last = state.step == config.steps
                due = last or time.monotonic() - saved_at >= 60 * config.checkpoint_minutes
                requests = group.everyone(due, interrupt.asked)
                if requests[0][0]:
                    _save(run, model, optimizers, state, checkpoints)
                    saved_at, saved_step = time.monotonic(), state.step
                if any(asked for _, asked in requests) and not last:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if state.step > saved_step and not interrupt.hurried:
                _save(run, model, optimizers, state, checkpoints)
            raise


def _until_next_entry(config: Any, step: int) -> int:
    """The number of steps until something must be logged or validated, or the run ends."""
    return min(
        config.steps - step, *(every - step % every for every in (config.log_every, config.validate_every))
    )


def _record(
    run: Run | Follower,
    recipe: Any,
    state: State,
    result: StepResult,
    seconds: float,
    stepper: Stepper,
    watch: ProgressCallback | None,
    per_byte: float,
) -> None:
    """Counts one step in `state`, and validates, logs and reports where that is due. per_byte: tokens in a byte of the
    held-out text."""
    config, unit, seen = recipe.train, recipe.token_unit, step_tokens(recipe)
    state.step += 1
    state.loss_sum += result.loss
    state.loss_count += 1
    state.seconds += seconds
    last = state.step == config.steps
    if state.step % config.validate_every == 0 or last:
        state.validation = stepper.validate()
        held_out = loss.bits_per_byte(state.validation * per_byte)
        run.log(step=state.step, validation_loss=state.validation, validation_bits_per_byte=held_out)
    if state.step % config.log_every == 0 or last:
        mean = state.loss_sum / state.loss_count
        bits = {"bits_per_byte": loss.bits_per_byte(mean)} if unit == "bytes" else {}
        speed = {f"{unit}_per_second": round(state.step * seen / max(state.seconds, 1e-9), 1)}
        read = {unit: state.step * seen}
        run.log(step=state.step, **read, loss=mean, **bits, **speed, increments=result.increments)
        state.loss_sum, state.loss_count = 0.0, 0
    if watch is not None:
        progress = (result.loss, state.validation, state.step * seen, state.seconds, result.increments)
        watch(Progress(state.step, config.steps, *progress))


class EagerSteps:
    """Steps whose results the CPU reads one by one: any model, any optimizer, several processes."""

    def __init__(
        self,
        recipe: Any,
        corpus: Corpus,
        model: TrainableHost,
        optimizers: Optimizers,
        step: int,
        group: ProcessGroup,
    ) -> None:
        self.recipe, self.corpus, self.model = recipe, corpus, model
        self.optimizers, self.step, self.group = optimizers, step, group

    def advance(self, count: int) -> list[StepResult]:
        """The next step."""
        result = _step(self.recipe, self.corpus, self.model, self.optimizers, self.step, self.group)
        self.step += 1
        return [result]

    def validate(self) -> float:
        return validate(self.model, self.corpus, self.recipe, self.group)


def _step(
    recipe: Any, corpus: Corpus, model: TrainableHost, optimizers: Optimizers, step: int, group: ProcessGroup
) -> StepResult:
    """One update."""
    config, context = recipe.train, recipe.model.context_length
    batch = windows.batch(corpus.train, seed=config.seed, step=step, size=config.batch_size, context=context)
    batch = batch[group.rank :: group.ranks].to(_device(model), non_blocking=True)
    model.train()
    total = 0.0
    parts = batch.split(micro_batch_size(recipe))
    for part in parts:
        share = len(part) / len(batch)
        with nullcontext() if part is parts[-1] else _without_sync(model):
            output = model(part[:, :-1])
            value = loss.nats(output.logits, part[:, 1:])
            (value * share).backward()
        total += float(value.detach()) * share
    norm = optimizers.step(rate_fraction(recipe.optimizer, step, config.steps))
    d = increments_of(output).detach()
    mean, std = d.mean((0, 2)), d.std((0, 2))
    spacing = [
        {"row": str(row), "mean": float(mean[i]), "std": float(std[i])} for i, row in enumerate(model.rows)
    ]
    return StepResult(group.mean(total), norm, spacing)


def _without_sync(model: Any) -> AbstractContextManager:
    """Skips the gradient exchange of a backward pass that others of the same step will follow."""
    return model.no_sync() if isinstance(model, distributed.Replica) else nullcontext()


@torch.no_grad()
def validate(
    model: TrainableHost, corpus: Corpus, recipe: Any, group: ProcessGroup = SINGLE_PROCESS
) -> float:
    """Loss on the validation windows, nats per token; each process reads its share of them."""
    model.eval()
    total = count = 0.0
    size = min(16, micro_batch_size(recipe)) * group.ranks
    for part in windows.validation(
        corpus.validation,
        context=recipe.model.context_length,
        limit=recipe.train.validation_tokens,
        size=size,
    ):
        own = part[group.rank :: group.ranks]
        seen = (own if len(own) else part[:1]).to(
            _device(model)
        )  # ranks without windows still run forward, so that collectives match
        total += float(loss.nats(model(seen[:, :-1]).logits, seen[:, 1:])) * len(own)
        count += len(part)
    return group.mean(total) * group.ranks / count


def _check(result: StepResult, step: int, run: Run | Follower) -> None:
    value, norm = result.loss, result.norm
    wild = next((s for s in result.increments if not abs(s["mean"]) < RUNAWAY), None)
    if wild is not None:
        what = f"the increments of {wild['row']} ran away (mean {wild['mean']:.3g})"
    elif not math.isfinite(value):
        what = f"the loss became {value}"
    elif not math.isfinite(norm):
        what = f"the gradient became {norm}"
    else:
        return
    newest = next((c.name for c in run.checkpoints()), "none yet")
    raise UserError(
        f"stopped at step {step + 1}: {what}; the last good checkpoint is {newest}. Lower optimizer.lr or "
        "optimizer.increments_lr_multiplier, or use the bounded parametrization."
    )


def _device(model: TrainableHost) -> torch.device:
    return next(iter(model.parameters())).device


def _save(
    run: Run | Follower, model: Any, optimizers: Optimizers, state: State, checkpoints: CheckpointIO
) -> None:
    run.sync()
    training = (optimizers.state(keep=checkpoints.group.first), {"plan": run.plan, "state": asdict(state)})
    checkpoints.save(
        run.checkpoint_folder(state.step),
        model.module if isinstance(model, distributed.Replica) else model,
        run.provenance(step=state.step, validation=state.validation),
        training=training,
        write=checkpoints.group.first,
    )
    run.prune()
