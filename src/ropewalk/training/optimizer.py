"""Optimizers: AdamW for everything, or Muon for the matrices of the layers and AdamW for the rest.

The learning rate is a pure function of the step, so a resumed run needs no scheduler state; optimizer state is saved and
restored by parameter name. The host says which parameters make increments (`increment_parameters`) and which are matrices
that Muon can train (`matrix_parameters`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor, nn

from ropewalk.errors import UserError
from ropewalk.system.sharded_tensors import broadcast_like, full_tensor, gather_tensors

BETAS = (0.9, 0.999)
STATE_KEYS = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.Muon: {"momentum_buffer"}}


class OptimizerConfig(BaseModel):
    """`lr` is AdamW's peak, `muon_lr` Muon's; `increments_lr_multiplier` multiplies the peak for increment networks.

    betas: AdamW's (None: 0.9 and 0.999). beta2_half_life: instead of the second beta, the tokens after which the second
    moment has forgotten half, whatever the batch size. schedule: "cosine", or "wsd" (warm-up, stable, decay), which stays
    at the peak until the last `decay_steps` and then falls to zero linearly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    muon_lr: float = Field(default=0.02, gt=0)
    increments_lr_multiplier: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=500, ge=0)
    clip: float = Field(default=1.0, gt=0)
    betas: tuple[float, float] | None = None
    beta2_half_life: float | None = Field(default=None, gt=0)
    schedule: Literal["cosine", "wsd"] = "cosine"
    decay_steps: int = Field(default=0, ge=0)

    @field_validator("betas")
    @classmethod
    def _below_one(cls, betas: tuple[float, float] | None) -> tuple[float, float] | None:
        if betas is not None and not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas {betas} must be at least 0 and less than 1")
        return betas

    @model_validator(mode="after")
    def _consistent(self) -> OptimizerConfig:
        if self.betas is not None and self.beta2_half_life is not None:
            raise ValueError("give betas or beta2_half_life, not both: a half-life sets the second beta")
        if self.decay_steps and self.schedule != "wsd":
            raise ValueError('decay_steps belong to schedule = "wsd"; a cosine falls from the warm-up on')
        return self

    def adamw_betas(self, step_tokens: int | None) -> tuple[float, float]:
        """AdamW's betas where a step reads `step_tokens` tokens."""
        if self.beta2_half_life is None:
            return self.betas or BETAS
        if step_tokens is None:
            raise ValueError("a half-life needs the number of tokens that a step reads")
        return BETAS[0], 0.5 ** (step_tokens / self.beta2_half_life)


def rate_fraction(config: OptimizerConfig, step: int, steps: int) -> float:
    """The fraction of the peak learning rate at a step counted from 0: linear warm-up, then the schedule's decay."""
    warmup = config.warmup
    rising = (step + 1) / warmup if step < warmup else 1.0
    if config.schedule == "wsd":
        return min(rising, max(0, steps - step) / config.decay_steps) if config.decay_steps else rising
    if step < warmup:
        return rising
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class TrainableModule(Protocol):
    """A module that names the parameters which get a learning rate or an optimizer of their own."""

    @property
    def increment_parameters(self) -> set[str]: ...
    @property
    def matrix_parameters(self) -> set[str]: ...
    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]: ...


class Optimizers:
    """The optimizers of one run. `step(fraction)` clips the gradients and updates the weights.

    step_tokens: how many tokens a step reads; a config with a half-life needs it.
    """

    def __init__(
        self, model: TrainableModule, config: OptimizerConfig, step_tokens: int | None = None
    ) -> None:
        self.config = config
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        own_rate, matrices = model.increment_parameters, model.matrix_parameters
        increments = {n: p for n, p in self.named.items() if n in own_rate}
        muon = {n: p for n, p in self.named.items() if config.name == "muon" and n in matrices}
        rest = {n: p for n, p in self.named.items() if n not in increments and n not in muon}
        groups = [(rest, config.lr), (increments, config.lr * config.increments_lr_multiplier)]
        self.peaks: list[tuple[dict, float]] = []
        self.members: list[torch.optim.Optimizer] = []
        adamw = torch.optim.AdamW(
            [{"params": list(g.values()), "lr": lr} for g, lr in groups if g],
            betas=config.adamw_betas(step_tokens),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._add(adamw)
        if muon:
            self._add(torch.optim.Muon(muon.values(), lr=config.muon_lr, weight_decay=config.weight_decay))

    def _add(self, optimizer: torch.optim.Optimizer) -> None:
        self.members.append(optimizer)
        self.peaks += [(group, group["lr"]) for group in optimizer.param_groups]

    def step(self, fraction: float) -> float:
        """One update at `fraction` of every peak learning rate; returns the gradient norm before clipping.

        A norm that is not a finite number leaves the weights as they are.
        """
        learning = [p for p in self.named.values() if p.grad is not None]
        total = nn.utils.get_total_norm([p.grad for p in learning if p.grad is not None])
        norm = float(full_tensor(total))
        if not math.isfinite(norm):
            return norm
        if norm + 1e-6 > self.config.clip:  # else they would all be multiplied by 1
            nn.utils.clip_grads_with_norm_(learning, self.config.clip, total)
        for group, peak in self.peaks:
            group["lr"] = peak * fraction
        for optimizer in self.members:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self, keep: bool = True) -> dict[str, Tensor]:
        """All state tensors, named `parameter::key`, on the processes with `keep`; all processes must call it."""
        return gather_tensors({f"{name}::{key}": value for name, key, value in self._entries()}, keep)

    def _entries(self) -> Iterable[tuple[str, str, Tensor]]:
        for name, parameter in self.named.items():
            for optimizer in self.members:
                for key, value in optimizer.state.get(parameter, {}).items():
                    yield name, key, value

    def restore(self, state: Mapping[str, Tensor | None]) -> None:
        """Restores what `state` returned (None on all processes but the first). UserError for another model's state."""
        for label, value in state.items():
            name, _, key = label.partition("::")
            like: Tensor | None = self.named.get(name)
            if like is not None and key == "step":
                like = torch.zeros((), device=like.device)
            if like is None or (value is not None and value.shape != like.shape):
                raise UserError(
                    f"the optimizer state '{label}' fits no weight of this model; resume with the recipe "
                    "that the run was started with."
                )
            parameter = self.named[name]
            for optimizer in self.members:
                if any(parameter is p for group in optimizer.param_groups for p in group["params"]):
                    optimizer.state[parameter][key] = broadcast_like(value, like)
        for optimizer in self.members:
            if any(set(own) != STATE_KEYS[type(optimizer)] for own in optimizer.state.values()):
                raise UserError(
                    "the optimizer state lacks a part, or holds one too many; go back to an older checkpoint, or "
                    "start again in a new folder."
                )
