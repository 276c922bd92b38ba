"""Decay: a penalty on attention scores that grows with distance, in nats.

A decay emits a(t) <= 0 per token and head, shape (B, T, H); the attention score of query t and key s gains the sum of
a over the tokens after s up to t: c(t) - c(s), c the running sum. ALiBi emits a constant per head (arXiv 2108.12409); a forget gate emits log sigmoid
of a projection of the layer input (forgetting transformer, arXiv 2503.02130), or of a network on the embedding that all
layers share (Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ropewalk.core.attention import repeat_heads

if TYPE_CHECKING:
    from jaxtyping import Float

FEATURES_MULTIPLE = 8
UPPER_BITS = -0x10000
"""Of a float32: sign, exponent and 7 bits of the significand, which is a bfloat16."""


class Alibi(nn.Module):
    """A constant slope per head: 2^(-8 (h + 1) / H)."""

    slopes: Tensor

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.register_buffer(
            "slopes", 2.0 ** (-8.0 * torch.arange(1, num_heads + 1) / num_heads), persistent=False
        )

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T H"]:
        return -self.slopes.expand(*x.shape[:2], -1)


class ForgetGate(nn.Module):
    """log sigmoid(w x + b) per head, with b = 4 at initialization: every head keeps 98 % per token."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.gate = nn.Linear(hidden_size, num_heads)

    def after_init(self) -> None:
        nn.init.constant_(self.gate.bias, 4.0)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T H"]:
        return F.logsigmoid(F.linear(x.float(), self.gate.weight.float(), self.gate.bias.float()))


class SharedForgetGate(nn.Module):
    """log sigmoid of a network on the embedding, per head and for all layers: Linear, GELU, Linear.

    At initialization every head keeps about 99.9 % per token. The hidden layer has a quarter of the width.
    """

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden_size, hidden_size // 4)
        self.output = nn.Linear(hidden_size // 4, num_heads)

    def after_init(self) -> None:
        nn.init.constant_(self.output.bias, 6.9)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T H"]:
        h = F.gelu(F.linear(x.float(), self.hidden.weight.float(), self.hidden.bias.float()))
        return F.logsigmoid(F.linear(h, self.output.weight.float(), self.output.bias.float()))


def append_decay(
    q: Float[Tensor, "B T H E"], k: Float[Tensor, "B T K E"], running: Float[Tensor, "B T H"]
) -> tuple[Float[Tensor, "B T H F"], Float[Tensor, "B T H F"]]:
    """Queries and keys, repeated for each query head, whose dot product is q . k + c(t) - c(s): attention with decay and without a mask.

    running: c, float32. A query gains the features (c(t), 1) and a key (1, -c(s)). In 16-bit dtypes c is the sum of three
    parts, so that products, which accumulate in float32, keep its precision. F is a multiple of 8, as fast kernels need.
    """
    k = repeat_heads(k, q.shape[2])
    c = _parts(running, q.dtype)
    ones = torch.ones_like(c)
    padding = -(q.shape[-1] + 2 * c.shape[-1]) % FEATURES_MULTIPLE
    q, k = torch.cat([q, c, ones], -1), torch.cat([k, ones, -c], -1)
    return F.pad(q, (0, padding)), F.pad(k, (0, padding))


def _parts(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x (B, T, H) float32 as an exact sum of numbers of a dtype, (B, T, H, parts); only the first part carries the gradient.

    A part of a 16-bit dtype keeps the upper 16 bits of what is left. It is not made by rounding to the dtype and back, which
    compilers remove.
    """
    if dtype.itemsize >= x.dtype.itemsize:
        return x[..., None].to(dtype)
    rest = x.detach()
    parts: list[Tensor] = []
    for _ in range(3):
        parts.append((rest.view(torch.int32) & UPPER_BITS).view(torch.float32))
        rest = rest - parts[-1]
    parts[0] = x - (x.detach() - parts[0])  # the same number, with the gradient of x
    return torch.stack(parts, -1).to(dtype)


DECAYS: dict[str, type[Alibi] | type[ForgetGate]] = {"alibi": Alibi, "forget": ForgetGate}
"""The decays that each layer has for itself."""
