"""Rows folded into sparklines: one mark for each part of the text, its height the widest gap there."""

import numpy as np

from ropewalk.traces.trace import Trace

MANY_ROWS, MANY_TOKENS = 8, 300
"""Above either, a trace is shown folded, or as a heat map."""
MARKS = "▁▂▃▄▅▆▇█"
BEYOND = "▲"


def is_large(trace: Trace) -> bool:
    """Whether a trace has too many rows or tokens to write every row in full."""
    return len(trace.rows) > MANY_ROWS or len(trace.tokens) > MANY_TOKENS


def most_varied(gaps: np.ndarray, count: int) -> list[int]:
    """The rows of gaps (N, C) with the largest standard deviations, in the order of the trace."""
    std = np.array([np.nanstd(row) if np.isfinite(row).any() else 0 for row in gaps])
    return sorted(np.argsort(-std, kind="stable")[:count].tolist())


def sparkline(gaps: np.ndarray, columns: int, darkest: float) -> list[tuple[str, float]]:
    """Marks for one row's gaps (C,) in at most `columns` parts, each with its share of the scale from 1 to `darkest`.

    A part without a number is a blank; one beyond the scale is ▲.
    """
    edges = np.linspace(0, len(gaps), min(columns, len(gaps)) + 1).astype(int)
    known = np.where(np.isfinite(gaps), gaps, -np.inf)
    widest = np.maximum.reduceat(known, edges[:-1])
    shares = (widest - 1) / (darkest - 1)
    return [_mark(float(share)) for share in shares]


def _mark(share: float) -> tuple[str, float]:
    if share == -np.inf:
        return " ", 0.0
    if share > 1.001:
        return BEYOND, 1.0
    share = min(max(share, 0.0), 1.0)
    return MARKS[min(int(share * len(MARKS)), len(MARKS) - 1)], share
