"""Positions: the running sum of the increments, in token-equivalents.

`p = n + running_sum(r)`, shape (B, T, G), float32: n are the integer positions that the batch brings, r = d -
1. The sum runs in float64 where the device has it and is rounded once. The r of a document's first token is
left out: no gap precedes it. `gap="before"` lets the increment of token t lie between t-1 and t;
`gap="after"` lets it lie between t and t+1. This module knows neither where r comes from nor what a position
is used for. Absolute forms, p = n + offset, walk the differences of their offsets, from the first one on.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Gap = Literal["before", "after"]


def sum_dtype(device: torch.device) -> torch.dtype:
    """The dtype of running sums: float64, or float32 on devices that lack it."""
    return torch.float32 if device.type == "mps" else torch.float64


def positions_from_increments(
    r: Tensor,
    n: Tensor,
    *,
    gap: Gap = "before",
    starts: Tensor | None = None,
    offset: Tensor | None = None,
    absolute: bool = False,
) -> tuple[Tensor, Tensor]:
    """Positions of a stretch of tokens, and the sum to carry into the next stretch.

    r: (B, T, G). n: (B, T) integer positions. starts: (B, T) bool, True where a document starts; None when
    only the first token does. carry: (B, G), the sum over the stretches before this one; None at the
    beginning. absolute: r are the `differences` of offsets, so nothing is left out and nothing restarts but n.
    Returns p (B, T, G) float32 and the new carry (B, G) in the dtype of `wide`.
    """
    if absolute:
        running = ends = offsets(r, offset=offset if offset is not None else torch.zeros_like(r[:, 0]))[0]
    else:
        running, ends = offsets(r, gap=gap, starts=starts, offset=offset)
    return (n[..., None] + running).to(torch.float32), ends[:, -1]


def offsets(
    r: Tensor, *, gap: Gap = "before", starts: Tensor | None = None, offset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How far each token stands from its integer position, and what each would carry into a stretch after it.

    Both (B, T, G) in the dtype of `wide`; they are the same tensor for gap "before". Arguments as in `walk`.
    """
    s = r.to(sum_dtype(r.device))
    if gap == "before":
        s = _leave_out_first(s, starts, fresh=offset is None)
    ends = s.cumsum(1)
    running = ends if gap == "before" else ends - s
    if offset is not None:
        running = running + offset[:, None]
        ends = running if gap == "before" else ends + offset[:, None]
    if starts is not None:
        base = _at_last_start(running, starts)
        running = running - base
        ends = running if gap == "before" else ends - base
    return running, ends


def increments_from_offsets(o: Tensor, offset: Tensor | None = None) -> Tensor:
    """The r whose running sum is o (B, T, G), float32; carry: (B, G), the last offset of the stretch before."""
    before = torch.zeros_like(o[:, :1]) if offset is None else offset[:, None].to(o.dtype)
    return torch.diff(o, dim=1, prepend=before)


def document_starts(documents: Tensor) -> Tensor:
    """(B, T) bool: True at the first token of each run of equal document numbers."""
    first = torch.ones_like(documents[:, :1], dtype=torch.bool)
    return torch.cat([first, documents[:, 1:] != documents[:, :-1]], 1)


def restarted_position_ids(starts: Tensor) -> Tensor:
    """(B, T) integer positions that count from 0 again wherever a document starts."""
    t = torch.arange(starts.shape[1], device=starts.device)
    return t - torch.where(starts, t, 0).cummax(1).values


def _leave_out_first(s: Tensor, starts: Tensor | None, fresh: bool) -> Tensor:
    if starts is not None:
        return s.masked_fill(starts[..., None], 0.0)
    return torch.cat([torch.zeros_like(s[:, :1]), s[:, 1:]], 1) if fresh else s


def _at_last_start(running: Tensor, starts: Tensor) -> Tensor:
    """`running` at the latest document start at or before each token; 0 before any start."""
    t = torch.arange(starts.shape[1], device=starts.device)
    index = torch.where(starts, t, -1).cummax(1).values
    at = running.gather(1, index.clamp(min=0)[..., None].expand_as(running))
    return at * (index >= 0)[..., None]
