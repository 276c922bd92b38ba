"""Increments: how far a token advances the position, in token-equivalents.

A parametrization reads the input of a layer at token t and emits r = d - 1, shape (B, T, G), float32, where d is the
increment and G the number of rows (1, or one per key/value head). r = 0 everywhere is integer RoPE, bit for bit. With
`init="identity"` every learned parametrization emits exactly 0 before training and has a non-zero gradient.
Subclasses of Absolute emit positions without a running sum; `ropewalk.core.positions` turns their offsets from the
integer positions into increments. A new parametrization is one class here, one entry in MODULES, and one in
`ropewalk.core.increment_config.PARAMETRIZATIONS`.
Source of "positive" and "bounded": Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.kernels.linear import linear
from ropewalk.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SATURATION = (
    30.0  # exp(-30) is below float32's resolution at 1: beyond it both activations are flat or linear
)

GELU_STD = 0.587  # the standard deviation of gelu(u) for a standard normal u


def positive(z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
    """d = softplus(z + ln(e - 1)), as d - 1: exactly 0 at z = 0, never overflowing."""
    softplus = torch.log1p((1 - 1 / math.e) * torch.expm1(z.clamp(max=SATURATION)))
    return torch.where(z > SATURATION, z + math.log(1 - 1 / math.e), softplus)


def bounded(z: Float[Tensor, "*z"], maximum: float) -> Float[Tensor, "*z"]:
    """d = maximum * sigmoid(z - ln(maximum - 1)), as d - 1: exactly 0 at z = 0, never overflowing."""
    e = torch.expm1(z.clamp(max=SATURATION))
    return (maximum - 1) * e / (maximum + e)


class Integer(nn.Module):
    """Integer positions: d = 1 for every token."""

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "B T C"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T G"]:
        return torch.zeros(*tokens.shape, 1, dtype=torch.float32, device=tokens.device)


class Constant(nn.Module):
    """One learned positive number per row: a change of scale without content."""

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(num_rows))

    def forward(self, x: Float[Tensor, "B T C"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T G"]:
        return positive(self.bias.float()).expand(*tokens.shape, -1)


class Network(nn.Module):
    """The increment network z(x): Linear, GELU, Linear; subclasses map z to r with their `activation`.

    The output layer starts at zero (`init="identity"`) or with the standard deviation of every other weight
    (`init="random"`, the published recipe). z is float32 whatever the dtype of x. normed: the input passes RMSNorm first.
    """

    normed = False

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__()
        self.identity = config.init == "identity"
        self.norm = nn.Parameter(torch.ones(hidden_size)) if self.normed else None
        self.hidden = nn.Linear(hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, num_rows)

    def after_init(self) -> None:
        """Called once the weights are drawn: makes the network emit exactly 0 where `init="identity"`."""
        if self.identity:
            nn.init.zeros_(self.output.weight)

    def z(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T G"]:
        """The output of the network before its activation."""
        weight = self.hidden.weight if self.norm is None else self.hidden.weight * self.norm
        h = linear(x, weight.to(x.dtype))
        if self.norm is not None:  # RMSNorm divides after the product, where vectors are shorter
            square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square()
            h = h * (square / x.shape[-1] + torch.finfo(torch.float32).eps).rsqrt().to(x.dtype)
        h = F.gelu(h + self.hidden.bias.to(x.dtype))
        return F.linear(h.float(), self.output.weight.float(), self.output.bias.float())

    def activation(self, z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
        """r = d - 1 from z; for subclasses of Absolute, the input of `offset`."""
        return z

    def forward(self, x: Float[Tensor, "B T C"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T G"]:
        return self.activation(self.z(x))


class Positive(Network):
    """d > 0 without a maximum, read from the raw input: published with one shared row."""

    def activation(self, z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
        return positive(z)


class Bounded(Network):
    """0 < d < max_increment, read from the normalized input: published with one row per layer."""

    normed = True

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__(config, hidden_size, num_rows, vocab_size)
        self.max_increment = config.max_increment

    def activation(self, z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
        return bounded(z, self.max_increment)


class Signed(Network):
    """d = 1 + z, which may be negative, read from the normalized input."""

    normed = True


class Random(Network):
    """A network that is never trained, d > 0 with mean 1 and a given standard deviation: content without learning.

    d = exp(s z - s^2 / 2) with z of about unit variance over tokens, s^2 = ln(1 + std^2).
    """

    normed = True

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__(config, hidden_size, num_rows, vocab_size)
        self.s = math.sqrt(math.log1p(config.std**2))
        self.requires_grad_(False)

    def after_init(self) -> None:
        with torch.no_grad():
            for weight, std in ((self.hidden.weight, 1.0), (self.output.weight, GELU_STD)):
                weight.div_(weight.std() * math.sqrt(weight.shape[1]) * std)

    def activation(self, z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
        return torch.expm1((self.s * z).clamp(max=SATURATION) - self.s**2 / 2)


class Absolute(Network):
    """A position for each token without a running sum: p = position_id + offset, read from the normalized input.

    In this class, "free", the offset is z itself, in token-equivalents. Source: RePo, arXiv 2512.14391.
    """

    normed = True

    def offset(self, z: Float[Tensor, "B T G"], position_ids: Int[Tensor, "#B T"]) -> Float[Tensor, "B T G"]:
        """p - position_ids from z."""
        return z


class Coordinate(Absolute):
    """A position bounded by L = `max_position`: p = L sigmoid(z + logit(n / L)); tokens from n = L on keep p = n.

    z = 0 is integer RoPE exactly: p - n = n (L - n) e / (L + n e), e = expm1(z). Source: DaRoPE ("RoPE is dead, long
    live RoPE", 2026), which uses it for the slow frequencies only.
    """

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__(config, hidden_size, num_rows, vocab_size)
        self.max_position = config.max_position

    def offset(self, z: Float[Tensor, "B T G"], position_ids: Int[Tensor, "#B T"]) -> Float[Tensor, "B T G"]:
        n, limit = position_ids, self.max_position
        m = n[..., None].clamp(max=limit - 1).to(z.dtype)
        e = torch.expm1(z.clamp(max=SATURATION)) * (n < limit)[..., None]
        return m * (limit - m) * e / (limit + m * e)


class Table(nn.Module):
    """One learned number per token and row, 0 < d < max_increment: what a byte is, without its context.

    It starts at d = 1 for every token, or around it (`init="random"`).
    """

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__()
        self.identity, self.max_increment = config.init == "identity", config.max_increment
        self.weight = nn.Parameter(torch.zeros(vocab_size, num_rows))

    def after_init(self) -> None:
        if self.identity:
            nn.init.zeros_(self.weight)

    def forward(self, x: Float[Tensor, "B T C"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T G"]:
        return bounded(F.embedding(tokens, self.weight.float()), self.max_increment)


class Frozen(nn.Module):
    """A table of r for each token, (V, G), taken from a trained model and never trained."""

    table: Tensor

    def __init__(self, config: IncrementConfig, hidden_size: int, num_rows: int, vocab_size: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(vocab_size, num_rows))

    def fill(self, table: Float[Tensor, "V G"]) -> None:
        """Copies one layer's table of r. UserError for a table of another shape."""
        if table.shape != self.table.shape:
            raise UserError(
                f"a frozen increment table must have shape {tuple(self.table.shape)} (vocab_size, rows) for "
                f"this model, but has {tuple(table.shape)}; take it from a model of the same shape."
            )
        self.table.copy_(table)

    def forward(self, x: Float[Tensor, "B T C"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T G"]:
        return F.embedding(tokens, self.table)


MODULES: dict[str, type[nn.Module]] = {
    "integer": Integer,
    "positive": Positive,
    "bounded": Bounded,
    "signed": Signed,
    "constant": Constant,
    "table": Table,
    "frozen": Frozen,
    "random": Random,
    "free": Absolute,
    "coordinate": Coordinate,
}


def build_increments(
    config: IncrementConfig, *, hidden_size: int, num_kv_heads: int, vocab_size: int
) -> nn.Module:
    """One increment module: (x (B, T, hidden_size), tokens (B, T)) -> r (B, T, G)."""
    num_rows = num_kv_heads if config.per_head else 1
    return MODULES[config.parametrization](config, hidden_size, num_rows, vocab_size)
