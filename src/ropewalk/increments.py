"""Increments: how far a token advances the position, in token-equivalents.

A law reads what a layer knows about token t and emits r = d - 1, shape (B, T, G), float32, where d is the
increment and G the number of lines (1, or one per key head). r = 0 everywhere is integer RoPE, bit for bit.
With the default start every learned law emits exactly 0 before training and has a non-zero gradient.
Source of the positive and bounded laws: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?",
2026. This module knows nothing of positions, rotation or attention. A new law is one class here and one entry
in LAWS.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from ropewalk.errors import UserError

FLAT = 30.0  # exp(-30) vanishes beside 1 in float32: beyond it both bends are flat or straight


class IncrementConfig(BaseModel):
    """Which law, for which lines. `hidden` is the width of the increment network; `ceiling` the largest d."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    law: str = "bounded"
    per: Literal["layer", "shared"] = "layer"
    lines: Literal["one", "key_head"] = "one"
    gap: Literal["before", "after"] = "before"
    hidden: int = Field(default=64, ge=1)
    ceiling: float = Field(default=10.0, gt=1.0)
    start: Literal["identity", "random"] = "identity"
    table: Path | None = None

    @field_validator("law")
    @classmethod
    def _known(cls, law: str) -> str:
        if law not in LAWS:
            raise ValueError(f"unknown law '{law}': choose one of {', '.join(LAWS)}")
        return law

    @property
    def shared(self) -> bool:
        """True when all layers walk together (integer positions always do)."""
        return self.per == "shared" or self.law == "unit"


def positive(z: Tensor) -> Tensor:
    """d = softplus(z + ln(e - 1)), as d - 1: exactly 0 at z = 0, never overflowing."""
    bend = torch.log1p((1 - 1 / math.e) * torch.expm1(z.clamp(max=FLAT)))
    return torch.where(z > FLAT, z + math.log(1 - 1 / math.e), bend)


def bounded(z: Tensor, ceiling: float) -> Tensor:
    """d = ceiling * sigmoid(z - ln(ceiling - 1)), as d - 1: exactly 0 at z = 0, never overflowing."""
    e = torch.expm1(z.clamp(max=FLAT))
    return (ceiling - 1) * e / (ceiling + e)


class Unit(nn.Module):
    """Integer positions: d = 1 for every token."""

    def __init__(self, config: IncrementConfig, width: int, lines: int, vocabulary: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return torch.zeros(*tokens.shape, 1, dtype=torch.float32, device=tokens.device)


class Constant(nn.Module):
    """One learned positive number per line: a change of scale without content."""

    def __init__(self, config: IncrementConfig, width: int, lines: int, vocabulary: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(lines))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return positive(self.bias.float()).expand(*tokens.shape, -1)


class Network(nn.Module):
    """The increment network z(x): Linear, GELU, Linear; subclasses bend z into r.

    The output layer starts at zero (`start = "identity"`) or with the spread of every other weight ("random",
    the published recipe). z is float32 whatever the width of x.
    """

    normed = False

    def __init__(self, config: IncrementConfig, width: int, lines: int, vocabulary: int) -> None:
        super().__init__()
        self.identity = config.start == "identity"
        self.norm = nn.Parameter(torch.ones(width)) if self.normed else None
        self.inner = nn.Linear(width, config.hidden)
        self.outer = nn.Linear(config.hidden, lines)

    def start(self) -> None:
        """Called once the weights are drawn: makes the law emit exactly 0 if the recipe asks for it."""
        if self.identity:
            nn.init.zeros_(self.outer.weight)

    def z(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = F.rms_norm(x, x.shape[-1:], self.norm.to(x.dtype), torch.finfo(torch.float32).eps)
        h = F.gelu(F.linear(x, self.inner.weight.to(x.dtype), self.inner.bias.to(x.dtype)))
        return F.linear(h.float(), self.outer.weight.float(), self.outer.bias.float())

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        raise NotImplementedError


class Positive(Network):
    """d > 0 without a ceiling, read from the raw input: the published shared form."""

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return positive(self.z(x))


class Bounded(Network):
    """0 < d < ceiling, read from the normed input: the published per-layer form."""

    normed = True

    def __init__(self, config: IncrementConfig, width: int, lines: int, vocabulary: int) -> None:
        super().__init__(config, width, lines, vocabulary)
        self.ceiling = config.ceiling

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return bounded(self.z(x), self.ceiling)


class Signed(Network):
    """d = 1 + z, free to be negative, read from the normed input."""

    normed = True

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return self.z(x)


class Frozen(nn.Module):
    """A per-token table of r taken from a trained model: (vocabulary, lines), never trained."""

    table: Tensor

    def __init__(self, config: IncrementConfig, width: int, lines: int, vocabulary: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(vocabulary, lines))

    def fill(self, table: Tensor) -> None:
        """Takes one layer's table of r, shape (vocabulary, lines)."""
        if table.shape != self.table.shape:
            raise UserError(
                f"a frozen increment table must have shape {tuple(self.table.shape)} (vocabulary, lines) for "
                f"this model, but has {tuple(table.shape)}; take it from a model of the same shape."
            )
        self.table.copy_(table)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.table)


LAWS: dict[str, type[nn.Module]] = {
    "unit": Unit,
    "positive": Positive,
    "bounded": Bounded,
    "signed": Signed,
    "constant": Constant,
    "frozen": Frozen,
}


def build(config: IncrementConfig, *, width: int, key_heads: int, vocabulary: int) -> nn.Module:
    """One law module: (x (B, T, width), tokens (B, T)) -> r (B, T, G)."""
    lines = key_heads if config.lines == "key_head" else 1
    return LAWS[config.law](config, width, lines, vocabulary)
