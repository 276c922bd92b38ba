"""Optimizers: AdamW for everything, or Muon for the matrices of the layers and AdamW for the rest.

The learning rate is a pure function of the step, so that a resumed run needs no scheduler state; state is
kept and restored by parameter name. Knows parameters, not models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ropewalk.errors import UserError
from ropewalk.system.sharded_tensors import broadcast_like, full_tensor, gather_tensors

KEPT = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.Muon: {"momentum_buffer"}}


class OptimizerConfig(BaseModel):
    """`lr` is AdamW's peak, `muon_lr` Muon's; `increments_lr` multiplies the peak for increment networks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    muon_lr: float = Field(default=0.02, gt=0)
    increments_lr: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: int = Field(default=500, ge=0)
    clip: float = Field(default=1.0, gt=0)


def rate_fraction(step: int, steps: int, warmup: int) -> float:
    """The fraction of the peak rate at a step counted from 0: linear warm-up, then cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Optimizers:
    """The optimizers of one run. `step(fraction)` clips the gradients and updates the weights."""

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.config = config
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        increments = {n: p for n, p in self.named.items() if n.startswith("increment_modules.")}
        muon = {
            n: p
            for n, p in self.named.items()
            if config.name == "muon" and n.startswith("layers.") and p.dim() == 2 and n.endswith("weight")
        }
        rest = {n: p for n, p in self.named.items() if n not in increments and n not in muon}
        groups = [(rest, config.lr), (increments, config.lr * config.increments_lr)]
        self.peaks: list[tuple[dict, float]] = []
        self.members: list[torch.optim.Optimizer] = []
        adamw = torch.optim.AdamW(
            [{"params": list(g.values()), "lr": lr} for g, lr in groups if g],
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
        """One update at `fraction` of every peak rate; returns the gradient norm before clipping.

        A norm that is not a finite number leaves the weights as they are.
        """
        norm = float(full_tensor(nn.utils.clip_grad_norm_(self.named.values(), self.config.clip)))
        if not math.isfinite(norm):
            return norm
        for group, peak in self.peaks:
            group["lr"] = peak * fraction
        for optimizer in self.members:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return norm

    def state(self, keep: bool = True) -> dict[str, Tensor]:
        """All state tensors, named `parameter::key`, for the processes that `keep` them; all must ask."""
        return gather_tensors({f"{name}::{key}": value for name, key, value in self._entries()}, keep)

    def _entries(self) -> Iterable[tuple[str, str, Tensor]]:
        for name, parameter in self.named.items():
            for optimizer in self.members:
                for key, value in optimizer.state.get(parameter, {}).items():
                    yield name, key, value

    def restore(self, state: Mapping[str, Tensor | None]) -> None:
        """Takes back what `state` gave, None in all processes but the first; UserError for another model's."""
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
            if any(set(own) != KEPT[type(optimizer)] for own in optimizer.state.values()):
                raise UserError(
                    "the optimizer state lacks a part, or holds one too many; go back to an older checkpoint, or "
                    "start again in a new folder."
                )
