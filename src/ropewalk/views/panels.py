"""Long texts wrapped into panels that hold the same cells on every row. Numbers only."""

from collections.abc import Sequence

import numpy as np

LINE_ENDS = ("\n", "\r", "\u2028", "\u2029")


def wrap(
    left: np.ndarray,
    right: np.ndarray,
    limit: float,
    most: int,
    texts: Sequence[str],
    line_ends: bool = True,
) -> list[tuple[int, int]]:
    """Cell ranges (start, end), in order and without gaps, in time linear in the number of cells.

    left, right (N, C): the extent of each cell on each row, its gap included. A panel is at most `limit` wide on every
    row and has at most `most` cells, except that it always has one. It ends after a line end (if `line_ends`; empty lines stay with it), and where a blank ends
    in its last third there, so that words stay whole.
    """
    count = left.shape[1]
    ended = [line_ends and text[-1:] in LINE_ENDS for text in texts]
    breaks = {place + 1 for place in range(count - 1) if ended[place] and not ended[place + 1]}
    ends = np.array([*sorted(breaks), count])
    panels = []
    start, guess = 0, 64
    while start < count:
        last = min(count, start + most, int(ends[np.searchsorted(ends, start, side="right")]))
        end = start
        while end < last:  # looks at a few cells at a time, until one does not fit
            end = min(last, max(start + guess, start + 2 * (end - start)))
            low = np.minimum.accumulate(left[:, start:end], axis=1)
            high = np.maximum.accumulate(right[:, start:end], axis=1)
            over = np.flatnonzero((high - low).max(axis=0) > limit)
            if len(over):
                end = start + max(1, int(over[0]))
                break
        guess = end - start + 1
        if end < count and end not in breaks:
            earliest = start + max(1, (end - start) * 2 // 3)
            end = next((e for e in range(end, earliest - 1, -1) if texts[e - 1][-1:].isspace()), end)
        panels.append((start, end))
        start = end
    return panels


def balanced(
    left: np.ndarray, right: np.ndarray, limit: float, most: int, texts: Sequence[str]
) -> list[tuple[int, int]]:
    """Like `wrap`, with as few panels and about as much in the last one as in the others."""
    fewest = wrap(left, right, limit, most, texts)
    for share in np.linspace(0.5, 0.95, 10):
        tried = wrap(left, right, limit * share, int(np.ceil(most * share)), texts)
        if len(tried) <= len(fewest):
            return tried
    return fewest
