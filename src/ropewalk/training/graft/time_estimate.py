"""Estimates how long a graft's training takes, before anything is loaded: from shapes and the speed of a matrix product."""

from __future__ import annotations

import time
from typing import Any

import torch

from ropewalk.training.execution import ExecutionPlan
from ropewalk.training.graft.memory_estimate import base_shape
from ropewalk.training.graft.recipe import GraftRecipe
from ropewalk.training.recipe import step_tokens

SIZE, SECONDS = 768, 0.15
"""Of the matrix product that is timed, and for how long."""
SHARE = 0.4
"""Of its speed that a training run reaches."""
UNITS = ((86_400, "days"), (3600, "hours"), (60, "minutes"))
PASSES = {"increments": 4, "lora": 4, "full": 6}
"""Floating-point operations of a step for each token and weight: a forward pass has 2, gradients of activations 2, of weights 2."""


def seconds(recipe: GraftRecipe, plan: ExecutionPlan) -> float:
    """Of both training runs in one process; a baseline whose base is frozen is not trained."""
    weights, _, text = base_shape(recipe)
    heads = (
        2 * recipe.model.context_length * int(text.hidden_size) * int(text.num_hidden_layers)
    )  # attention's own
    work = PASSES[recipe.model.trainable] * (weights + heads) * step_tokens(recipe) * recipe.train.steps
    runs = 1 if recipe.model.trainable == "increments" else 2
    return runs * work * (4 / 3 if recipe.model.checkpointing else 1) / (SHARE * _speed(plan))


def describe(recipe: GraftRecipe, plan: ExecutionPlan) -> str:
    """The estimate in one line."""
    found = seconds(recipe, plan)
    tokens = step_tokens(recipe) * recipe.train.steps
    if found < 60:
        return f"{tokens:,} tokens in each training run; about a minute in all"
    size, unit = next(part for part in UNITS if found >= 2 * part[0] or part == UNITS[-1])
    return f"{tokens:,} tokens in each training run; about {found / size:.0f} {unit} in all, give or take a factor of two"


def _speed(plan: ExecutionPlan) -> float:
    """Floating-point operations a second of a matrix product on this device."""
    dtype: Any = getattr(torch, plan.precision)
    a = torch.ones(SIZE, SIZE, dtype=dtype, device=plan.device)
    (a @ a).sum().item()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        (a @ a).sum().item()
        count += 1
    return count * 2 * SIZE**3 / (time.perf_counter() - began)
