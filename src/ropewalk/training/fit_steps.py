"""The number of steps that fit into a given time: the rate is measured first, then the schedule is a pure function of the step.

The measurement trains a model of the same recipe for a few steps and discards it, so the run itself starts from its seed.
A run that resumes reads the number from its recipe.json and measures nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ropewalk.errors import UserError
from ropewalk.training.loop import Stepper
from ropewalk.training.recipe import Recipe

SHARE = 0.05  # of the time, spent on measuring
WARM_UP = 3  # steps that compile and allocate
RESERVE = 0.03  # of the time, for checkpoints, metrics and a rate that varies


@dataclass(frozen=True)
class Rate:
    """Seconds of one step, and of one validation."""

    step: float
    validation: float


def steps_that_fit(rate: Rate, seconds: float, validate_every: int) -> int:
    """The steps that `seconds` hold, with a validation every `validate_every` steps and one at the end; at least 1."""
    left = seconds * (1 - RESERVE) - rate.validation
    return max(1, int(left / (rate.step + rate.validation / validate_every)))


def measure_rate(stepper: Stepper, seconds: float, device: str, most: int) -> Rate:
    """The rate of a stepper, found within about `seconds` or `most` steps after its warm-up."""
    for _ in range(WARM_UP):
        stepper.advance(1)
    stepper.validate()
    validation = _timed(stepper.validate, device)
    began, done = time.monotonic(), 0
    while done < most and (done < 3 or time.monotonic() - began < seconds):
        done += len(stepper.advance(min(10, most - done)))
    _wait(device)
    return Rate((time.monotonic() - began) / done, validation)


def with_fitting_steps(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool,
    began: float,
    device: str,
    make: Callable[[Recipe], Stepper],
) -> Recipe:
    """The recipe with `train.steps` set to what fits into `train.minutes`, counted from `began`; never more than it has.

    make: builds a stepper with a model of its own for a recipe. Resumed runs keep the number that they began with.
    """
    train = recipe.train
    if train.minutes is None or train.steps <= 2 * WARM_UP:
        return recipe
    steps = _recorded(folder) if resume else None
    if steps is None:
        total = 60 * train.minutes
        probe = recipe.model_copy(
            update={"train": train.model_copy(update={"log_every": max(10, train.log_every)})}
        )
        rate = measure_rate(make(probe), SHARE * total, device, most=train.steps - WARM_UP)
        left = total - (time.monotonic() - began)
        if left < rate.step:
            raise UserError(
                f"train.minutes {train.minutes:g} is too short for one step; measuring the rate took "
                f"{total - left:.0f} seconds. Give more minutes, or train.steps instead."
            )
        steps = min(train.steps, steps_that_fit(rate, left, train.validate_every))
    return recipe.model_copy(update={"train": train.model_copy(update={"steps": steps})})


def _recorded(folder: Path) -> int | None:
    """The number of steps in a run's recipe.json; None where there is no readable one."""
    try:
        return int(
            json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["recipe"]["train"]["steps"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _timed(call: Callable[[], object], device: str) -> float:
    _wait(device)
    began = time.monotonic()
    call()
    _wait(device)
    return time.monotonic() - began


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
