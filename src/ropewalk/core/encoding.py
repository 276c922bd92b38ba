"""Encoding: a real-valued position becomes a rotation of queries and keys.

Channels are paired in halves: channel i turns together with channel i + D/2 (the convention of Hugging Face's
Llama), and a pair (a, b) becomes (a cos - b sin, a sin + b cos). Angles are float32 radians, angle = position
* frequency. Cosines are never cached, because positions are data. Sources: RoPE, arXiv 2104.09864; PoPE, arXiv
2509.10534.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Band = Literal["all", "fast", "slow"]


class Encoding(nn.Module):
    """The frequencies of an encoding, theta^(-c/D) for every `step`-th channel c, and the angles of positions.

    band: the frequencies that turn with the positions; the others turn with the integer positions.
    """

    step: int
    frequencies: Tensor

    def __init__(self, head_size: int, num_kv_heads: int, theta: float, band: Band = "all") -> None:
        super().__init__()
        self.band = band
        self.register_buffer("frequencies", _frequencies(head_size, self.step, theta), persistent=False)

    def angles(
        self, p: Float[Tensor, "B T G"], position_ids: Int[Tensor, "#B T"] | None = None
    ) -> tuple[Float[Tensor, "B T G F"], Float[Tensor, "B T G F"]]:
        """Cosines and sines of positions, one per frequency, float32. position_ids: the integer positions, for a band."""
        p = p.float()[..., None]
        if self.band != "all":
            if position_ids is None:
                raise ValueError("expected the integer positions, which half of the frequencies keep")
            still = position_ids[:, :, None, None].to(p.dtype)
            fast = torch.arange(len(self.frequencies), device=p.device) < len(self.frequencies) / 2
            p = torch.where(fast if self.band == "fast" else ~fast, p, still)
        angle = p * self.frequencies
        return angle.cos(), angle.sin()


class Rope(Encoding):
    """Rotary encoding: D/2 frequencies theta^(-2i/D), no parameters."""

    step = 2

    def forward(
        self,
        q: Float[Tensor, "B T H D"],
        k: Float[Tensor, "B T K D"],
        cos: Float[Tensor, "B T G ..."],
        sin: Float[Tensor, "B T G ..."],
        scale: float = 1.0,
    ) -> tuple[Float[Tensor, "B T H D"], Float[Tensor, "B T K D"]]:
        """Rotates queries, times `scale`, and keys; shapes and dtypes stay the same."""
        rotate_both = _Rotation.apply if torch.is_grad_enabled() else _rotated
        rotated: tuple[Tensor, Tensor] = rotate_both(q, k, cos, sin, scale)
        return rotated


class Pope(Encoding):
    """Polar encoding: every channel is a magnitude, softplus of its value, with its own frequency theta^(-c/D).

    Keys add a learned phase per head and channel, kept within [-2 pi, 0]. Outputs have 2 D channels: the
    score of a query at position m and a key at n is the sum over channels of the magnitudes' product times
    cos((n - m) f + phase).
    """

    step = 1

    def __init__(self, head_size: int, num_kv_heads: int, theta: float, band: Band = "all") -> None:
        super().__init__(head_size, num_kv_heads, theta, band)
        self.phase_bias = nn.Parameter(torch.zeros(num_kv_heads, head_size))

    def forward(
        self,
        q: Float[Tensor, "B T H D"],
        k: Float[Tensor, "B T K D"],
        cos: Float[Tensor, "B T G D"],
        sin: Float[Tensor, "B T G D"],
        scale: float = 1.0,
    ) -> tuple[Float[Tensor, "B T H E"], Float[Tensor, "B T K E"]]:
        """Encodes queries, times `scale`, and keys into E = 2 D channels."""
        phase = self.phase_bias.clamp(-2 * torch.pi, 0.0)
        shifted = rotate(torch.cat([cos, sin], -1), phase.cos(), phase.sin())
        return _polar(q, *_per_head(q, scale * cos, scale * sin)), _polar(k, *shifted.chunk(2, -1))


ENCODINGS: dict[str, type[Rope] | type[Pope]] = {"rope": Rope, "pope": Pope}


def _frequencies(head_size: int, step: int, theta: float) -> Tensor:
    """theta^(-c/D) for every `step`-th channel c, computed on the CPU: on the meta device, where a model file is
    checked, arange would load torch's compiler, which takes longer than everything else."""
    exponent = torch.arange(0, head_size, step, dtype=torch.float64, device="cpu") / head_size
    return (theta**-exponent).float().to(torch.get_default_device())


class _Rotation(torch.autograd.Function):
    """Rotates queries and keys and stores them head by head, the layout that attention reads.

    The gradient of an angle is a g_b - b g_a, summed over the pairs (a, b) that it rotates. Rotated pairs give the same
    value as the original ones, and attention has saved the rotated ones already.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        q, k = _rotated(q, k, cos, sin, scale)
        ctx.save_for_backward(q, k, cos, sin)
        ctx.scale = scale
        return q, k

    @staticmethod
    def backward(ctx: Any, gq: Tensor, gk: Tensor) -> tuple[Tensor | None, ...]:
        q, k, cos, sin = ctx.saved_tensors
        gcos = gsin = None
        if ctx.needs_input_grad[2]:
            angle = _angle_gradient(q, gq, cos.shape[2]) + _angle_gradient(k, gk, cos.shape[2])
            gcos, gsin = -sin * angle, cos * angle
        back = rotate(gq, *_per_head(q, ctx.scale * cos, -ctx.scale * sin))
        return back, rotate(gk, cos, -sin), gcos, gsin, None


def _rotated(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return _by_heads(q, *_per_head(q, scale * cos, scale * sin)), _by_heads(k, cos, sin)


def rotate(
    x: Float[Tensor, "*x D"], cos: Float[Tensor, "*#c P"], sin: Float[Tensor, "*#c P"]
) -> Float[Tensor, "*r D"]:
    """Rotates the pairs of x (..., D) by angles given as cos and sin (..., D/2), in float32."""
    a, b = x.float().chunk(2, -1)
    return torch.cat([(a * cos - b * sin).to(x.dtype), (a * sin + b * cos).to(x.dtype)], -1)


def _by_heads(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`rotate` of x (B, T, H, D), stored in memory as (B, H, T, D)."""
    rotated = rotate(x.transpose(1, 2), cos.transpose(1, 2), sin.transpose(1, 2))
    return rotated.contiguous().transpose(1, 2)


def _angle_gradient(x: Tensor, g: Tensor, rows: int) -> Tensor:
    """The gradient of the angles of x (B, T, H, D) given that of x, summed per row: (B, T, G, D/2)."""
    (a, b), (ga, gb) = x.float().chunk(2, -1), g.float().chunk(2, -1)
    return (a * gb - b * ga).unflatten(2, (rows, -1)).sum(3)


def _polar(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    magnitude = F.softplus(x.float())
    return torch.cat([magnitude * cos, magnitude * sin], -1).to(x.dtype)


def _per_head(q: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Repeats the rows of key/value heads for the query heads of their group."""
    groups = cos.shape[2]
    if groups == 1 or groups == q.shape[2]:
        return cos, sin
    times = q.shape[2] // groups
    return cos.repeat_interleave(times, 2), sin.repeat_interleave(times, 2)
