"""Encoding: a real-valued position becomes a rotation of queries and keys.

Channels are paired in halves: channel i turns together with channel i + D/2 (the convention of Hugging Face's
Llama), and a pair (a, b) becomes (a cos - b sin, a sin + b cos). Angles are float32 radians, angle = position
* frequency. There is no cache of cosines: positions are data. This module does not know where positions come
from. Sources: RoPE, arXiv 2104.09864; PoPE, arXiv 2509.10534.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Rope(nn.Module):
    """Rotary encoding: D/2 frequencies theta^(-2i/D), no parameters.

    `fused` rotates by the GPU kernel in `ropewalk.core.kernels.triton_rotary`, which takes the positions themselves.
    """

    frequencies: Tensor
    fused = False

    def __init__(self, head_size: int, num_kv_heads: int, theta: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", _frequencies(head_size, 2, theta), persistent=False)

    def angles(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, T, G) -> cosines and sines (B, T, G, D/2), float32; the positions twice for the kernel."""
        if self.fused:
            return p, p
        angle = p.float()[..., None] * self.frequencies
        return angle.cos(), angle.sin()

    def forward(
        self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Queries (B, T, H, D), times `scale`, and keys (B, T, K, D), turned; same shapes and dtypes."""
        if self.fused:
            from ropewalk.core.kernels.triton_rotary import (
                rotary,  # needs Triton, which GPU builds of torch bring
            )

            return rotary(q, cos, self.frequencies) * scale, rotary(k, cos, self.frequencies)
        turn = _Turn.apply if torch.is_grad_enabled() else _turned
        turned: tuple[Tensor, Tensor] = turn(q, k, cos, sin, scale)
        return turned


class Pope(nn.Module):
    """Polar encoding: every channel is a magnitude, softplus of its value, with its own frequency
    theta^(-c/D).

    Keys add a learned phase per head and channel, kept within [-2 pi, 0]. Outputs have 2 D channels: the
    score of a query at position m and a key at n is the sum over channels of the magnitudes' product times
    cos((n - m) f + phase).
    """

    frequencies: Tensor

    def __init__(self, head_size: int, num_kv_heads: int, theta: float) -> None:
        super().__init__()
        self.register_buffer("frequencies", _frequencies(head_size, 1, theta), persistent=False)
        self.phase_bias = nn.Parameter(torch.zeros(num_kv_heads, head_size))

    def angles(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (B, T, G) -> cosines and sines (B, T, G, D), float32."""
        angle = p.float()[..., None] * self.frequencies
        return angle.cos(), angle.sin()

    def forward(
        self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Queries (B, T, H, D) -> (B, T, H, 2D), times `scale`; keys (B, T, K, D) -> (B, T, K, 2D)."""
        phase = self.phase_bias.clamp(-2 * torch.pi, 0.0)
        turned = rotate(torch.cat([cos, sin], -1), phase.cos(), phase.sin())
        return _polar(q, *_per_head(q, scale * cos, scale * sin)), _polar(k, *turned.chunk(2, -1))


ENCODINGS: dict[str, type[Rope] | type[Pope]] = {"rope": Rope, "pope": Pope}


def _frequencies(head_size: int, step: int, theta: float) -> Tensor:
    """theta^(-c/D) for every `step`-th channel c. Counted on the CPU: on the meta device, where a model file is
    checked, arange would load torch's compiler, which takes longer than all the rest."""
    exponent = torch.arange(0, head_size, step, dtype=torch.float64, device="cpu") / head_size
    return (theta**-exponent).float().to(torch.get_default_device())


class _Turn(torch.autograd.Function):
    """Rotates queries and keys and lays them out head by head, as attention reads them.

    Cosines and sines are taken to be of one angle, so that only their change along the circle has a gradient: each
    pair (a, b) gives its line a g_b - b g_a. Turned pairs tell it as well as those before the turn, and attention has
    kept the turned ones.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        q, k = _turned(q, k, cos, sin, scale)
        ctx.save_for_backward(q, k, cos, sin)
        ctx.scale = scale
        return q, k

    @staticmethod
    def backward(ctx: Any, gq: Tensor, gk: Tensor) -> tuple[Tensor | None, ...]:
        q, k, cos, sin = ctx.saved_tensors
        gcos = gsin = None
        if ctx.needs_input_grad[2]:
            along = _along(q, gq, cos.shape[2]) + _along(k, gk, cos.shape[2])
            gcos, gsin = -sin * along, cos * along
        back = rotate(gq, *_per_head(q, ctx.scale * cos, -ctx.scale * sin))
        return back, rotate(gk, cos, -sin), gcos, gsin, None


def _turned(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return _by_heads(q, *_per_head(q, scale * cos, scale * sin)), _by_heads(k, cos, sin)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turns the pairs of x (..., D) by angles given as cos and sin (..., D/2); computed in float32."""
    a, b = x.float().chunk(2, -1)
    return torch.cat([(a * cos - b * sin).to(x.dtype), (a * sin + b * cos).to(x.dtype)], -1)


def _by_heads(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`rotate` of x (B, T, H, D), laid out in memory as (B, H, T, D)."""
    turned = rotate(x.transpose(1, 2), cos.transpose(1, 2), sin.transpose(1, 2))
    return turned.contiguous().transpose(1, 2)


def _along(x: Tensor, g: Tensor, rows: int) -> Tensor:
    """What a small turn of the pairs of x (B, T, H, D) gains with the gradient g, summed per line: (B, T, G, D/2)."""
    (a, b), (ga, gb) = x.float().chunk(2, -1), g.float().chunk(2, -1)
    return (a * gb - b * ga).unflatten(2, (rows, -1)).sum(3)


def _polar(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    magnitude = F.softplus(x.float())
    return torch.cat([magnitude * cos, magnitude * sin], -1).to(x.dtype)


def _per_head(q: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Repeats the lines of key heads for the query heads that read them."""
    groups = cos.shape[2]
    if groups == 1 or groups == q.shape[2]:
        return cos, sin
    times = q.shape[2] // groups
    return cos.repeat_interleave(times, 2), sin.repeat_interleave(times, 2)
