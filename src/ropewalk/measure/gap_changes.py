"""Finite changes of single gaps: what a gap made wider or narrower does to the loss and to the predictions behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Edit, Host
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.probe import ProbePlan
from ropewalk.tokens.tokenized_text import TokenizedText

FACTORS = (0.0, 0.5, 2.0, 4.0)


@dataclass(frozen=True)
class GapChange:
    """loss_change: nats per token over the window; divergence: mean Kullback-Leibler divergence in nats of the next-token
    distributions from the untouched ones. factor: of the gap's increment. row None: all rows at once."""

    token: int
    row: Row | None
    factor: float
    loss_change: float
    divergence: float


@torch.no_grad()
def scale_gaps(
    host: Host,
    plan: ProbePlan,
    tokens: TokenizedText,
    gaps: Sequence[int],
    *,
    factors: Sequence[float] = FACTORS,
    each_row: bool = False,
) -> list[GapChange]:
    """Multiplies the increments of single gaps, in all rows at once and, with each_row, in each alone.

    gaps: tokens with `plan.past` tokens before them and `plan.window` after. UserError for others.
    """
    count = len(tokens.ids)
    if outside := sorted(gap for gap in gaps if not plan.past <= gap < count - plan.window):
        raise UserError(
            f"token {outside[0]} is not among the measured gaps, {plan.past} to {count - plan.window - 1}; choose those."
        )
    groups: list[Row | None] = [None, *(host.rows if each_row and len(host.rows) > 1 else ())]
    prefix = np.array(tokens.prefix, np.int64)
    index = len(prefix) + plan.past
    found = []
    for first in range(0, len(gaps), plan.batch):
        some = gaps[first : first + plan.batch]
        parts = [np.concatenate([prefix, tokens.ids[t - plan.past : t + plan.window + 1]]) for t in some]
        batch = torch.from_numpy(np.stack(parts))
        plain = _log_probabilities(host, batch, None, index, plan.window)
        labels = batch[:, index + 1 : index + 1 + plan.window].to(plain.device)[..., None]
        for row in groups:
            for factor in factors:
                edit = _scaled(row, index - int(host.gap == "after"), factor)
                changed = _log_probabilities(host, batch, edit, index, plan.window)
                loss = (plain - changed).gather(-1, labels).squeeze(-1).mean(-1)
                divergence = (plain.exp() * (plain - changed)).sum(-1).mean(-1)
                numbers = zip(some, loss.tolist(), divergence.tolist(), strict=True)
                found += [GapChange(token, row, factor, *pair) for token, *pair in numbers]
    return found


def change_cost(
    plan: ProbePlan, gaps: int, rows: int, factors: int = len(FACTORS), *, each_row: bool = False
) -> str:
    """What `scale_gaps` will read, in one line."""
    passes = 1 + factors * (1 + (rows if each_row and rows > 1 else 0))
    return f"{gaps} gaps changed {passes - 1} times: {gaps * plan.length * passes:,} tokens forward"


def _log_probabilities(host: Host, tokens: Tensor, edit: Edit | None, gap: int, window: int) -> Tensor:
    """(B, W, V) float32: of the tokens after each of those from the gap's token on."""
    logits = host(tokens[:, :-1], edit=edit).logits
    return torch.log_softmax(logits[:, gap : gap + window].float(), -1)


def _scaled(chosen: Row | None, gap: int, factor: float) -> Edit:
    def edit(row: Row, d: Tensor) -> Tensor:
        if chosen is not None and row != chosen:
            return d
        times = torch.ones_like(d)
        times[:, gap] = factor
        return d * times

    return edit
