"""Positions: the running sum of the increments, in token-equivalents.

p = position_ids + running_sum(r), shape (B, T, G), float32, with r = d - 1. The sum is computed in float64 where the
device has it, and rounded once. The r of a document's first token is left out: there is no gap before it.
gap="before": the increment of token t is the gap between t-1 and t; gap="after": between t and t+1. Absolute
parametrizations, p = position_ids + offset, sum the differences of their offsets, including the first one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Gap = Literal["before", "after"]


def sum_dtype(device: torch.device) -> torch.dtype:
    """The dtype of running sums: float64, or float32 on devices that lack it."""
    return torch.float32 if device.type == "mps" else torch.float64


def positions_from_increments(
    r: Float[Tensor, "B T G"],
    position_ids: Int[Tensor, "#B T"],
    *,
    gap: Gap = "before",
    starts: Bool[Tensor, "B T"] | None = None,
    initial_sum: Float[Tensor, "B G"] | None = None,
    absolute: bool = False,
) -> tuple[Float[Tensor, "B T G"], Float[Tensor, "B G"]]:
    """Positions of a segment of tokens, and the running sum at its end.

    starts: (B, T), True where a document starts; None when only the first token does. initial_sum: the running sum at
    the end of the segment before this one; None at the beginning. absolute: r comes from `increments_from_offsets`, so
    the first one counts and documents restart position_ids only. Returns p in float32 and the sum in `sum_dtype`.
    """
    if absolute:
        zero = torch.zeros_like(r[:, 0])  # with an initial sum, the first r counts too
        running = ends = offsets(r, initial_sum=zero if initial_sum is None else initial_sum)[0]
    else:
        running, ends = offsets(r, gap=gap, starts=starts, initial_sum=initial_sum)
    return (position_ids[..., None] + running).to(torch.float32), ends[:, -1]


def offsets(
    r: Float[Tensor, "B T G"],
    *,
    gap: Gap = "before",
    starts: Bool[Tensor, "B T"] | None = None,
    initial_sum: Float[Tensor, "B G"] | None = None,
) -> tuple[Float[Tensor, "B T G"], Float[Tensor, "B T G"]]:
    """The offset of each token from its integer position, and the running sum after each token.

    Both are in `sum_dtype`, and the same tensor for gap "before". Arguments as in `positions_from_increments`.
    """
    s = r.to(sum_dtype(r.device))
    if gap == "before":
        s = _leave_out_first(s, starts, fresh=initial_sum is None)
    ends = s.cumsum(1)
    running = ends if gap == "before" else ends - s
    if initial_sum is not None:
        running = running + initial_sum[:, None]
        ends = running if gap == "before" else ends + initial_sum[:, None]
    if starts is not None:
        base = _at_last_start(running, starts)
        running = running - base
        ends = running if gap == "before" else ends - base
    return running, ends


def increments_from_offsets(
    offset: Float[Tensor, "B T G"], previous: Float[Tensor, "B G"] | None = None
) -> Float[Tensor, "B T G"]:
    """The r whose running sum is `offset`. previous: the last offset of the segment before; None at the beginning."""
    before = torch.zeros_like(offset[:, :1]) if previous is None else previous[:, None].to(offset.dtype)
    return torch.diff(offset, dim=1, prepend=before)


def document_starts(document_ids: Int[Tensor, "B T"]) -> Bool[Tensor, "B T"]:
    """True at the first token of each run of equal document ids."""
    first = torch.ones_like(document_ids[:, :1], dtype=torch.bool)
    return torch.cat([first, document_ids[:, 1:] != document_ids[:, :-1]], 1)


def restarted_position_ids(starts: Bool[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Integer positions that restart at 0 wherever a document starts."""
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
