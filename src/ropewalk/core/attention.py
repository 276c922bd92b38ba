"""Attention: encoded queries and keys decide how the values of earlier tokens mix.

It receives vectors that already carry their positions, queries that are scaled, and knows nothing of positions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.core.kernels.causal_attention import causal_attention


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None = None,
    training: bool = False,
) -> Tensor:
    """Causal mixing of values.

    q (B, T, H, E), k (B, S, K, E), v (B, S, K, D), S >= T: the queries are the last T tokens. bias: None, or
    (B or 1, H or 1, T, S) added to the scores, which then must hide the future itself (see `mask`).
    Returns (B, T, H, D).
    """
    if bias is None and 1 < q.shape[1] < k.shape[1]:
        bias = attention_bias(q.new_zeros(1, k.shape[1]), q.shape[1])
    repeat = q.shape[2] // k.shape[2]
    if repeat > 1:
        k, v = k.repeat_interleave(repeat, 2), v.repeat_interleave(repeat, 2)
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if training and bias is None and q.device.type == "cpu":
        out = causal_attention(q.contiguous(), k.contiguous(), v.contiguous())
    else:
        causal = bias is None and q.shape[2] > 1
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if bias is None else bias.to(q.dtype), is_causal=causal, scale=1.0
        )
    return out.transpose(1, 2)


def attention_weights(q: Tensor, k: Tensor, *, bias: Tensor | None = None) -> Tensor:
    """The attention weights (B, H, T, S) of `mix`, computed openly in float32; arguments as in `mix`."""
    repeat = q.shape[2] // k.shape[2]
    k = k.repeat_interleave(repeat, 2)
    scores = torch.einsum("bthe,bshe->bhts", q.float(), k.float())
    if bias is None:
        tokens = scores.shape[-1]
        bias = torch.full((tokens, tokens), -math.inf, device=q.device).triu(1)[-scores.shape[-2] :]
    return (scores + bias).softmax(-1)


def attention_bias(documents: Tensor, queries: int, decayed: Tensor | None = None) -> Tensor:
    """The additive bias of documents and decay.

    documents (B, S): tokens see only earlier tokens of the same number. decayed (B, S, H): the running sum of
    a decay, or None. Returns (B, H or 1, queries, S), float32, -inf where a token may not look.
    """
    s = torch.arange(documents.shape[1], device=documents.device)
    later = s[None, :] > s[-queries:, None]
    other = documents[:, -queries:, None] != documents[:, None, :]
    bias = torch.zeros(other.shape, device=documents.device).masked_fill(later | other, -math.inf)[:, None]
    if decayed is None:
        return bias
    running = decayed.transpose(1, 2)
    return bias + (running[:, :, -queries:, None] - running[:, :, None, :])
