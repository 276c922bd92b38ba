"""Gaps set by hand, as an edit of a host's increments.

A gap is set in chosen rows at one token; everything else in the row keeps the increment it was given. Later
layers read what the changed layer wrote, so that their increments follow, unless they are held at the
increments of the untouched pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ropewalk.core.host import Edit
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

MOST_GAPS = 200
WIDEST = 1000.0


@dataclass(frozen=True)
class Gap:
    """The increment of one token in one row, in token-equivalents."""

    row: Row
    token: int
    value: float


def read(given: Any, rows: Sequence[Row], tokens: int) -> tuple[Gap, ...]:
    """Gaps from [layer, head, token, value] lists. UserError for anything that this text and model lack."""
    wrong = UserError(
        f"Expected at most {MOST_GAPS} gaps [layer, head, token, value] of this text and model."
    )
    if not isinstance(given, list) or len(given) > MOST_GAPS:
        raise wrong
    gaps = []
    for one in given:
        if not isinstance(one, list) or len(one) != 4:
            raise wrong
        layer, head, token, value = one
        row = next((known for known in rows if (known.layer, known.head) == (layer, head)), None)
        good = (
            row is not None
            and type(token) is int
            and 0 <= token < tokens
            and type(value) in (int, float)
            and abs(value) <= WIDEST
        )
        if not good or row is None:
            raise wrong
        gaps.append(Gap(row, token, float(value)))
    return tuple(gaps)


def edit(gaps: Sequence[Gap], place: int, held: Trace | None = None) -> Edit | None:
    """The edit that sets `gaps` in a pass whose first token is at `place` of the text.

    place: negative where a prefix comes first. held: a trace of the untouched pass, whose
    increments every other place keeps. None when nothing is set.
    """
    if not gaps:
        return None

    def apply(row: Row, d: Tensor) -> Tensor:
        changed, length = d.clone(), d.shape[1]
        if held is not None:
            values = torch.tensor(held.values[held.rows.index(row)][max(place, 0) : place + length])
            changed[:, length - len(values) :] = values.to(d)
        for gap in gaps:
            if gap.row == row and 0 <= gap.token - place < length:
                changed[:, gap.token - place] = gap.value
        return changed

    return apply
