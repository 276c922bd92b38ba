"""Loss in nats per token, and bits per byte where tokens are bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

LOGITS_AT_ONCE = 1 << 24
"""Logits that are copied to float32 at a time: 64 MB."""
LARGE_VOCABULARY = 4096
"""From this many tokens on, logits are what fills the memory."""


def nats(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean -log P(target) in nats per token, computed in float32; of large vocabularies a piece of the tokens at a time."""
    flat, wanted = logits.flatten(0, 1), targets.flatten()
    if flat.numel() <= LOGITS_AT_ONCE or flat.shape[-1] < LARGE_VOCABULARY:
        return F.cross_entropy(flat.float(), wanted)
    loss: Tensor = PiecewiseNats.apply(flat, wanted)
    return loss


class PiecewiseNats(torch.autograd.Function):
    """`nats` of logits (N, V), whose gradient is made along with it, in the dtype of the logits.

    Memory: the gradient, and one piece in float32. It can be differentiated once.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean -log P of targets (N,) in nats; keeps the gradient of logits (N, V) where one is wanted."""
        count, size = len(targets), max(1, LOGITS_AT_ONCE // logits.shape[-1])
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        total = torch.zeros((), dtype=torch.float32, device=logits.device)
        for first in range(0, count, size):
            part = slice(first, first + size)
            log, own = logits[part].float().log_softmax(-1), targets[part, None]
            total -= log.gather(-1, own).sum()
            if gradient is not None:
                log.exp_().scatter_add_(-1, own, log.new_full(own.shape, -1.0))
                gradient[part] = log.div_(count)
        ctx.gradient = gradient
        return total / count

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, None]:
        """The kept gradient, times that of the loss."""
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            raise RuntimeError("the loss of a large vocabulary can be differentiated once; compute it again.")
        return gradient.mul_(above[0]), None


def bits_per_byte(nats_per_byte: float) -> float:
    """Nats per byte as bits per byte."""
    return nats_per_byte / math.log(2)


def surprisal_and_entropy(
    logits: Float[Tensor, "T V"], tokens: Int[Tensor, " T"]
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """The surprisal -log P of each next token under logits (T, V), and the entropy of each prediction, in nats."""
    log = torch.log_softmax(logits.float(), -1)
    return -log.gather(-1, tokens[..., None]).squeeze(-1), torch.special.entr(log.exp()).sum(-1)
