"""Rotary encoding at real-valued positions in one GPU kernel, which also returns the gradient of the positions.

Untested on hardware: compared with the plain formula in Triton's interpreter only, and off unless a plan asks for it
(`ropewalk.training.execution.plan_execution(fused_rotary=True)`). Cosines and sines are never stored. The backward turns the gradient
back, and needs no inputs but the outputs: along a turned pair (a, b) the angle's gradient is a db - b da. Importing
this module needs Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _turn(x, p, f, out, times, H: tl.constexpr, E: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    """One token: all its heads, pairs (i, i + E), into `out`."""
    token = tl.program_id(0).to(tl.int64)
    head, pair = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = (head < H)[:, None] & (pair < E)[None, :]
    place = token * H * 2 * E + head[:, None] * 2 * E + pair[None, :]
    row = tl.load(p + token * (H // times) + head // times, head < H, 0.0)
    angle = row[:, None] * tl.load(f + pair, pair < E, 0.0)[None, :]
    cos, sin = tl.cos(angle), tl.sin(angle)
    a = tl.load(x + place, inside, 0.0).to(tl.float32)
    b = tl.load(x + place + E, inside, 0.0).to(tl.float32)
    tl.store(out + place, (a * cos - b * sin).to(out.dtype.element_ty), inside)
    tl.store(out + place + E, (a * sin + b * cos).to(out.dtype.element_ty), inside)


@triton.jit
def _turn_back(  # type: ignore[no-untyped-def]
    g, y, p, f, dx, dp, times, H: tl.constexpr, E: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """One token's gradients: of its vectors, and of the position that each of its heads read."""
    token = tl.program_id(0).to(tl.int64)
    head, pair = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    inside = (head < H)[:, None] & (pair < E)[None, :]
    place = token * H * 2 * E + head[:, None] * 2 * E + pair[None, :]
    row = tl.load(p + token * (H // times) + head // times, head < H, 0.0)
    frequency = tl.load(f + pair, pair < E, 0.0)[None, :]
    angle = row[:, None] * frequency
    cos, sin = tl.cos(angle), tl.sin(angle)
    da = tl.load(g + place, inside, 0.0).to(tl.float32)
    db = tl.load(g + place + E, inside, 0.0).to(tl.float32)
    a = tl.load(y + place, inside, 0.0).to(tl.float32)
    b = tl.load(y + place + E, inside, 0.0).to(tl.float32)
    tl.store(dx + place, (da * cos + db * sin).to(dx.dtype.element_ty), inside)
    tl.store(dx + place + E, (db * cos - da * sin).to(dx.dtype.element_ty), inside)
    tl.store(dp + token * H + head, tl.sum((a * db - b * da) * frequency, 1), head < H)


def _sizes(x: Tensor, p: Tensor) -> tuple[int, int, int, int, int]:
    """How many heads read a line; heads, pairs, and both rounded up to powers of two."""
    heads, pairs = x.shape[2], x.shape[3] // 2
    whole = triton.next_power_of_2
    return heads // p.shape[2], heads, pairs, whole(heads), whole(pairs)


@torch.library.custom_op("ropewalk::rotary", mutates_args=())
def _rotary(x: Tensor, p: Tensor, frequencies: Tensor) -> Tensor:
    out = torch.empty_like(x)
    _turn[(x.shape[0] * x.shape[1],)](x, p, frequencies, out, *_sizes(x, p))
    return out


@torch.library.custom_op("ropewalk::rotary_backward", mutates_args=())
def _rotary_backward(grad: Tensor, y: Tensor, p: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    dx, dp = torch.empty_like(y), p.new_empty(y.shape[:3])
    _turn_back[(y.shape[0] * y.shape[1],)](grad, y, p, frequencies, dx, dp, *_sizes(y, p))
    return dx, dp


@_rotary.register_fake
def _shape(x: Tensor, p: Tensor, frequencies: Tensor) -> Tensor:
    return torch.empty_like(x)


@_rotary_backward.register_fake
def _shapes(grad: Tensor, y: Tensor, p: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(y), p.new_empty(y.shape[:3])


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(output, *inputs[1:])


def _gradient(ctx, grad: Tensor):  # type: ignore[no-untyped-def]
    y, p, frequencies = ctx.saved_tensors
    dx, dp = _rotary_backward(grad.contiguous(), y, p, frequencies)
    return dx, dp.unflatten(2, (p.shape[2], -1)).sum(-1), None


_rotary.register_autograd(_gradient, setup_context=_save)


def rotary(x: Tensor, p: Tensor, frequencies: Tensor) -> Tensor:
    """Turns the pairs (i, i + D/2) of x (B, T, H, D) by p (B, T, G) x frequencies (D/2,), p float32, G a divisor of H."""
    return _rotary(x.contiguous(), p.contiguous(), frequencies)
