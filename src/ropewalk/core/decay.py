"""Decay: an attention bias that grows with distance, in nats.

A decay emits a(t) <= 0 per token and head, shape (B, T, H); the logit of query t and key s gains the sum of a
over the tokens after s up to t. ALiBi emits a constant per head; a forget gate emits log sigmoid of what the
layer knows. Sources: ALiBi, arXiv 2108.12409; forgetting transformer, arXiv 2503.02130. Knows nothing of
positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Alibi(nn.Module):
    """A constant slope per head: 2^(-8 (h + 1) / H)."""

    slopes: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return -self.slopes.expand(*x.shape[:2], -1)


class ForgetGate(nn.Module):
    """log sigmoid(w x + b) per head, b = 4 at the start: every head begins by remembering 98 % per token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, heads)

    def start(self) -> None:
        nn.init.constant_(self.gate.bias, 4.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.logsigmoid(F.linear(x.float(), self.gate.weight.float(), self.gate.bias.float()))


DECAYS: dict[str, type[Alibi] | type[ForgetGate]] = {"alibi": Alibi, "forget": ForgetGate}
