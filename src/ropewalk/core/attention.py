"""Attention: scores of encoded queries and keys mix the values of earlier tokens.

Queries and keys are already encoded at their positions, and queries are already scaled by D^-0.5.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.core.kernels.causal_attention import causal_attention

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def attend(
    q: Float[Tensor, "B T H E"],
    k: Float[Tensor, "B S K E"],
    v: Float[Tensor, "B S K D"],
    *,
    bias: Float[Tensor, "#B #H T S"] | None = None,
    training: bool = False,
) -> Float[Tensor, "B T H D"]:
    """Causal attention. The queries belong to the last T of S tokens.

    bias: added to the scores, and must then mask the future itself (see `attention_bias`). training: use the kernel
    with a hand-written backward pass where there is one.
    """
    if bias is None and 1 < q.shape[1] < k.shape[1]:
        bias = attention_bias(torch.zeros(1, k.shape[1], dtype=torch.long, device=q.device), q.shape[1])
    k, v = repeat_heads(k, q.shape[2]), repeat_heads(v, q.shape[2])
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if training and bias is None and q.device.type == "cpu":
        out = causal_attention(q.contiguous(), k.contiguous(), v.contiguous())
    else:
        causal, size = bias is None and q.shape[2] > 1, v.shape[-1]
        if q.device.type == "cuda" and size < q.shape[-1]:  # fused kernels need values as wide as keys
            v = F.pad(v, (0, q.shape[-1] - size))
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if bias is None else bias.to(q.dtype), is_causal=causal, scale=1.0
        )[..., :size]
    return out.transpose(1, 2)


def repeat_heads(x: Float[Tensor, "B S K D"], num_heads: int) -> Float[Tensor, "B S H D"]:
    """Keys or values, one for each query head."""
    return x if x.shape[2] == num_heads else x.repeat_interleave(num_heads // x.shape[2], 2)


def attention_weights(
    q: Float[Tensor, "B T H E"],
    k: Float[Tensor, "B S K E"],
    *,
    bias: Float[Tensor, "#B #H T S"] | None = None,
) -> Float[Tensor, "B H T S"]:
    """The attention weights of `attend`, computed explicitly in float32; arguments as there."""
    k = repeat_heads(k, q.shape[2])
    scores = torch.einsum("bthe,bshe->bhts", q.float(), k.float())
    if bias is None:
        tokens = scores.shape[-1]
        bias = torch.full((tokens, tokens), -math.inf, device=q.device).triu(1)[-scores.shape[-2] :]
    return (scores + bias).softmax(-1)


def attention_bias(
    document_ids: Int[Tensor, "#B S"], num_queries: int, decay: Float[Tensor, "B S H"] | None = None
) -> Float[Tensor, "#B #H T S"]:
    """The additive bias of a document mask and a decay, float32, -inf where a token must not attend.

    document_ids: tokens attend only to earlier tokens with the same id. decay: its running sum over the tokens.
    """
    s = torch.arange(document_ids.shape[1], device=document_ids.device)
    future = s[None, :] > s[-num_queries:, None]
    other = document_ids[:, -num_queries:, None] != document_ids[:, None, :]
    bias = torch.zeros(other.shape, device=document_ids.device).masked_fill(future | other, -math.inf)[
        :, None
    ]
    if decay is None:
        return bias
    running = decay.transpose(1, 2)
    return bias + (running[:, :, -num_queries:, None] - running[:, :, None, :])
