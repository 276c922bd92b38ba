"""Training: one loop for every host. Windows in, loss down, checkpoints and metrics out.

A run is a folder: `recipe.json` (resolved, with version and plan), `metrics.jsonl`, `checkpoints/step-N`, and
at the end `model`. It stops cleanly on Ctrl-C, refuses to go on after a NaN or a runaway increment, and
resumes bit-exactly under the same plan: data order and learning rate are functions of the step, and no other
randomness exists.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from ropewalk import checkpoint, execution, loss
from ropewalk.corpus import Corpus, windows
from ropewalk.decoder import Decoder
from ropewalk.errors import UserError
from ropewalk.host import Output, increments_of
from ropewalk.interrupt import Interrupt
from ropewalk.lines import Line
from ropewalk.optimizer import Optimizers, schedule
from ropewalk.recipe import Recipe
from ropewalk.run import Run

RUNAWAY = 1e4  # a mean increment beyond this, in token-equivalents, is no spacing any more
MICRO_TOKENS = 8_192


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


Watcher = Callable[[Progress], None]


class Trainee(Protocol):
    """A host that can be trained: a module whose parameters named `laws.` are its increments."""

    @property
    def lines(self) -> tuple[Line, ...]: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...
    def parameters(self) -> Any: ...
    def __call__(self, tokens: torch.Tensor) -> Output: ...


@dataclass(frozen=True)
class Way:
    """How a kind of host is kept in folders, and how several processes share its training.

    save and load are as in `ropewalk.checkpoint`. Process `rank` of `ranks` reads every ranks-th window of a
    batch; `mean` averages a number over them, and `agreed` gives all of them the first one's answer.
    """

    save: Callable[..., None] = checkpoint.save
    load: Callable[..., tuple[dict[str, torch.Tensor], dict[str, Any]]] = checkpoint.load_training
    rank: int = 0
    ranks: int = 1
    mean: Callable[[float], float] = float
    agreed: Callable[[bool], bool] = bool


NATIVE = Way()


def train(
    recipe: Recipe, corpus: Corpus, folder: Path, *, resume: bool = False, watch: Watcher | None = None
) -> Path:
    """Trains (or goes on training) and returns the folder of the finished model.

    Raises UserError for a folder that holds another run, and for a run that stopped making sense;
    KeyboardInterrupt passes through after a checkpoint is written.
    """
    wishes = recipe.train
    plan, notes = execution.plan(wishes.device, wishes.precision, wishes.compile, wishes.graphs)
    with Run(folder, recipe, asdict(plan), corpus, resume=resume) as run:
        for note in notes:
            run.note(note)
        model = Decoder(recipe.model, seed=recipe.train.seed)
        run.fill_frozen(model)
        execution.apply(plan, model)
        optimizers = Optimizers(model, recipe.optimizer)
        state = State.resumed(run, model, optimizers) if resume else State()
        loop(run, recipe, corpus, model, optimizers, state, watch)
        provenance = run.provenance(step=recipe.train.steps, validation=state.validation)
        checkpoint.save(folder / "model", model, provenance)
    return folder / "model"


@dataclass
class State:
    """All that changes besides weights and optimizer state: json, restored exactly."""

    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    seconds: float = 0.0
    validation: float | None = None

    @classmethod
    def resumed(cls, run: Run, model: Any, optimizers: Optimizers, way: Way = NATIVE) -> State:
        """The state in the newest checkpoint that is whole; a fresh one if none was written yet."""
        folders = run.checkpoints()
        for folder in folders:
            try:
                moments, saved = way.load(folder, model)
                state = cls._read(saved, folder)
            except UserError as error:
                run.note(f"skipping {folder.name}: {error}")
                continue
            run.check_corpus(saved["provenance"])
            run.check_plan(saved["plan"])
            optimizers.restore(moments)
            run.forget_after(state.step)
            return state
        if folders:
            raise UserError(f"none of the checkpoints in {run.folder} is whole; start again in a new folder.")
        run.forget_after(0)
        return cls()

    @classmethod
    def _read(cls, saved: dict[str, Any], folder: Path) -> State:
        try:
            state = cls(**saved["state"])
            dict(saved["plan"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{folder / checkpoint.TRAINING} is damaged; delete this checkpoint folder."
            ) from error
        return state


def loop(
    run: Run,
    recipe: Any,
    corpus: Corpus,
    model: Trainee,
    optimizers: Optimizers,
    state: State,
    watch: Watcher | None,
    way: Way = NATIVE,
) -> None:
    """From the step in `state` to the last one: `recipe` has model.context, optimizer and train."""
    config = recipe.train
    unit = getattr(recipe.model, "symbols", "bytes")
    saved_at, saved_step = time.monotonic(), state.step
    seen = config.batch * recipe.model.context
    with Interrupt() as interrupt:
        try:
            while state.step < config.steps:
                began = time.monotonic()
                value, norm, spacing = _step(recipe, corpus, model, optimizers, state.step, way)
                _check(value, norm, spacing, state.step, run)
                state.step += 1
                state.loss_sum += value
                state.loss_count += 1
                state.seconds += time.monotonic() - began
                last = state.step == config.steps
                if state.step % config.validate_every == 0 or last:
                    state.validation = validate(model, corpus, recipe)
                    run.log(step=state.step, validation_loss=state.validation)
                if state.step % config.log_every == 0 or last:
                    mean = state.loss_sum / state.loss_count
                    bits = {"bits_per_byte": loss.bits_per_byte(mean)} if unit == "bytes" else {}
                    speed = {f"{unit}_per_second": round(state.step * seen / state.seconds, 1)}
                    read = {unit: state.step * seen}
                    run.log(step=state.step, **read, loss=mean, **bits, **speed, increments=spacing)
                    state.loss_sum, state.loss_count = 0.0, 0
                if watch is not None:
                    told = (value, state.validation, state.step * seen, state.seconds, spacing)
                    watch(Progress(state.step, config.steps, *told))
                if way.agreed(last or time.monotonic() - saved_at >= 60 * config.checkpoint_minutes):
                    _save(run, model, optimizers, state, way)
                    saved_at, saved_step = time.monotonic(), state.step
                if way.agreed(interrupt.asked and not last):
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if state.step > saved_step and not interrupt.hurried:
                _save(run, model, optimizers, state, way)
            raise


def _step(
    recipe: Any, corpus: Corpus, model: Trainee, optimizers: Optimizers, step: int, way: Way
) -> tuple[float, float, list[dict[str, Any]]]:
    """One update; returns the loss in nats per token, the gradient norm, and each line's mean and spread."""
    config, context = recipe.train, recipe.model.context
    batch = windows.batch(corpus.train, seed=config.seed, step=step, size=config.batch, context=context)
    batch = batch[way.rank :: way.ranks].to(_device(model), non_blocking=True)
    micro = config.micro or max(1, MICRO_TOKENS // context)
    model.train()
    total = 0.0
    for part in batch.split(micro):
        share = len(part) / len(batch)
        output = model(part[:, :-1])
        value = loss.nats(output.logits, part[:, 1:])
        (value * share).backward()
        total += float(value.detach()) * share
    norm = optimizers.step(schedule(step, config.steps, recipe.optimizer.warmup))
    d = increments_of(output).detach()
    mean, std = d.mean((0, 2)), d.std((0, 2))
    spacing = [
        {"line": str(line), "mean": float(mean[i]), "std": float(std[i])}
        for i, line in enumerate(model.lines)
    ]
    return way.mean(total), norm, spacing


@torch.no_grad()
def validate(model: Trainee, corpus: Corpus, recipe: Any) -> float:
    """Loss on the validation windows, nats per token; every process reads all of them."""
    model.eval()
    total = count = 0.0
    for part in windows.validation(
        corpus.validation, context=recipe.model.context, bytes=recipe.train.validation_bytes, size=16
    ):
        part = part.to(_device(model))
        total += float(loss.nats(model(part[:, :-1]).logits, part[:, 1:])) * len(part)
        count += len(part)
    return total / count


def _check(value: float, norm: float, spacing: list[dict[str, Any]], step: int, run: Run) -> None:
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
        "optimizer.increments_lr, or take the bounded law."
    )


def _device(model: Trainee) -> torch.device:
    return next(iter(model.parameters())).device


def _save(run: Run, model: Trainee, optimizers: Optimizers, state: State, way: Way) -> None:
    run.sync()
    training = (optimizers.state(), {"plan": run.plan, "state": asdict(state)})
    way.save(
        run.checkpoint_folder(state.step),
        model,
        run.provenance(step=state.step, validation=state.validation),
        training=training,
    )
    run.prune()
