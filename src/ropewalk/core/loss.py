"""Loss in nats per token, and bits per byte where tokens are bytes. Knows logits, not models."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean -log P(target), nats per token: logits (B, T, V), targets (B, T); computed in float32."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def bits_per_byte(nats_per_byte: float) -> float:
    return nats_per_byte / math.log(2)


def surprisal_and_entropy(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What logits (T, V) expected of the next tokens (T,): -log P, and the entropy before each, in nats."""
    log = torch.log_softmax(logits.float(), -1)
    return -log.gather(-1, tokens[..., None]).squeeze(-1), torch.special.entr(log.exp()).sum(-1)
