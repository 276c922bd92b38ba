"""Increments: how far a token advances the position, in token-equivalents.

A parametrization reads what a layer knows about token t and emits r = d - 1, shape (B, T, G), float32, where d is the
increment and G the number of lines (1, or one per key head). r = 0 everywhere is integer RoPE, bit for bit.
With the default start every learned parametrization emits exactly 0 before training and has a non-zero gradient.
Laws of the class Absolute place tokens without a running sum: their offset from the integer position is
turned into increments by `ropewalk.core.positions`.
Source of the positive and bounded parametrizations: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?",
2026. This module knows nothing of positions, rotation or attention. A new parametrization is one class here and one entry
in LAWS.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.kernels.linear import linear
from ropewalk.errors import UserError

FLAT = 30.0  # exp(-30) vanishes beside 1 in float32: beyond it both bends are flat or straight

GELU_SPREAD = 0.587  # the standard deviation of gelu(u) for a standard normal u


def positive(z: Tensor) -> Tensor:
    """d = softplus(z + ln(e - 1)), as d - 1: exactly 0 at z = 0, never overflowing."""
    bend = torch.log1p((1 - 1 / math.e) * torch.expm1(z.clamp(max=FLAT)))
    return torch.where(z > FLAT, z + math.log(1 - 1 / math.e), bend)


def bounded(z: Tensor, ceiling: float) -> Tensor:
    """d = ceiling * sigmoid(z - ln(ceiling - 1)), as d - 1: exactly 0 at z = 0, never overflowing."""
    e = torch.expm1(z.clamp(max=FLAT))
    return (ceiling - 1) * e / (ceiling + e)


class Integer(nn.Module):
    """Integer positions: d = 1 for every token."""

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return torch.zeros(*tokens.shape, 1, dtype=torch.float32, device=tokens.device)


class Constant(nn.Module):
    """One learned positive number per line: a change of scale without content."""

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(rows))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return positive(self.bias.float()).expand(*tokens.shape, -1)


class Network(nn.Module):
    """The increment network z(x): Linear, GELU, Linear; subclasses bend z into r.

    The output layer starts at zero (`start = "identity"`) or with the spread of every other weight ("random",
    the published recipe). z is float32 whatever the width of x.
    """

    normed = False

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__()
        self.identity = config.init == "identity"
        self.norm = nn.Parameter(torch.ones(width)) if self.normed else None
        self.inner = nn.Linear(width, config.hidden_size)
        self.outer = nn.Linear(config.hidden_size, rows)

    def start(self) -> None:
        """Called once the weights are drawn: makes the parametrization emit exactly 0 if the recipe asks for it."""
        if self.identity:
            nn.init.zeros_(self.outer.weight)

    def z(self, x: Tensor) -> Tensor:
        weight = self.inner.weight if self.norm is None else self.inner.weight * self.norm
        h = linear(x, weight.to(x.dtype))
        if self.norm is not None:  # RMSNorm's division, moved behind the product, where a row is shorter
            square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square()
            h = h * (square / x.shape[-1] + torch.finfo(torch.float32).eps).rsqrt().to(x.dtype)
        h = F.gelu(h + self.inner.bias.to(x.dtype))
        return F.linear(h.float(), self.outer.weight.float(), self.outer.bias.float())

    def bend(self, z: Tensor) -> Tensor:
        """r = d - 1, or what an absolute form makes its offset of, from z."""
        return z

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return self.bend(self.z(x))


class Positive(Network):
    """d > 0 without a ceiling, read from the raw input: the published shared form."""

    def bend(self, z: Tensor) -> Tensor:
        return positive(z)


class Bounded(Network):
    """0 < d < ceiling, read from the normed input: the published per-layer form."""

    normed = True

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__(config, width, rows, vocabulary)
        self.ceiling = config.max_increment

    def bend(self, z: Tensor) -> Tensor:
        return bounded(z, self.ceiling)


class Signed(Network):
    """d = 1 + z, free to be negative, read from the normed input."""

    normed = True


class Random(Network):
    """A network that is never trained, of d > 0 with mean 1 and a given spread: content without learning.

    d = exp(s z - s^2 / 2) with z of about unit variance over tokens, s^2 = ln(1 + spread^2).
    """

    normed = True

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__(config, width, rows, vocabulary)
        self.s = math.sqrt(math.log1p(config.std**2))
        self.requires_grad_(False)

    def start(self) -> None:
        with torch.no_grad():
            for weight, spread in ((self.inner.weight, 1.0), (self.outer.weight, GELU_SPREAD)):
                weight.div_(weight.std() * math.sqrt(weight.shape[1]) * spread)

    def bend(self, z: Tensor) -> Tensor:
        return torch.expm1((self.s * z).clamp(max=FLAT) - self.s**2 / 2)


class Absolute(Network):
    """A position for each token by itself, no running sum: p = n + offset, read from the normed input.

    The free form: the offset is z, in token-equivalents, wherever that leads. Source: RePo, arXiv 2512.14391.
    """

    normed = True

    def offset(self, z: Tensor, n: Tensor) -> Tensor:
        """p - n (B, T, G) from z (B, T, G) and the integer positions n (B, T)."""
        return z


class Coordinate(Absolute):
    """A bounded place within `reach` L: p = L sigmoid(z + logit(n / L)), tokens from L on stay at n.

    z = 0 is integer RoPE, exactly: p - n = n (L - n) e / (L + n e), e = expm1(z). Source of the form: DaRoPE,
    2026, there for the slow frequencies only.
    """

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__(config, width, rows, vocabulary)
        self.reach = config.max_position

    def offset(self, z: Tensor, n: Tensor) -> Tensor:
        m = n[..., None].clamp(max=self.reach - 1).to(z.dtype)
        e = torch.expm1(z.clamp(max=FLAT)) * (n < self.reach)[..., None]
        return m * (self.reach - m) * e / (self.reach + m * e)


class Frozen(nn.Module):
    """A per-token table of r taken from a trained model: (vocabulary, lines), never trained."""

    table: Tensor

    def __init__(self, config: IncrementConfig, width: int, rows: int, vocabulary: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(vocabulary, rows))

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


MODULES: dict[str, type[nn.Module]] = {
    "integer": Integer,
    "positive": Positive,
    "bounded": Bounded,
    "signed": Signed,
    "constant": Constant,
    "frozen": Frozen,
    "random": Random,
    "free": Absolute,
    "coordinate": Coordinate,
}


def build_increments(config: IncrementConfig, *, width: int, num_kv_heads: int, vocabulary: int) -> nn.Module:
    """One parametrization module: (x (B, T, width), tokens (B, T)) -> r (B, T, G)."""
    rows = num_kv_heads if config.per_head else 1
    return MODULES[config.parametrization](config, width, rows, vocabulary)
