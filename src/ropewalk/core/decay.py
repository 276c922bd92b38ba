"""Decay: an attention bias that grows with distance, in nats.

A decay emits a(t) <= 0 per token and head, shape (B, T, H); the attention score of query t and key s gains the sum of
a over the tokens after s up to t. ALiBi emits a constant per head (arXiv 2108.12409); a forget gate emits log sigmoid
of a projection of the layer input (forgetting transformer, arXiv 2503.02130).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float


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


DECAYS: dict[str, type[Alibi] | type[ForgetGate]] = {"alibi": Alibi, "forget": ForgetGate}
