"""Loss in nats per token, and bits per byte where tokens are bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

LOGITS_AT_ONCE = 1 << 24
"""Logits that are copied to float32 at a time: 64 MB."""


def nats(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean -log P(target) in nats per token, computed in float32; without gradients a piece of the tokens at a time."""
    flat, wanted = logits.flatten(0, 1), targets.flatten()
    if (torch.is_grad_enabled() and logits.requires_grad) or flat.numel() <= LOGITS_AT_ONCE:
        return F.cross_entropy(flat.float(), wanted)
    size = max(1, LOGITS_AT_ONCE // flat.shape[-1])
    parts = zip(flat.split(size), wanted.split(size), strict=True)
    return torch.stack(
        [F.cross_entropy(some.float(), own, reduction="sum") for some, own in parts]
    ).sum() / len(wanted)


def bits_per_byte(nats_per_byte: float) -> float:
    """Nats per byte as bits per byte."""
    return nats_per_byte / math.log(2)


def surprisal_and_entropy(
    logits: Float[Tensor, "T V"], tokens: Int[Tensor, " T"]
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """The surprisal -log P of each next token under logits (T, V), and the entropy of each prediction, in nats."""
    log = torch.log_softmax(logits.float(), -1)
    return -log.gather(-1, tokens[..., None]).squeeze(-1), torch.special.entr(log.exp()).sum(-1)
