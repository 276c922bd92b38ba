"""Long texts wrapped into panels that hold the same cells on every line. Pure numbers."""

from collections.abc import Sequence

import numpy as np


def wrap(
    left: np.ndarray, right: np.ndarray, limit: float, most: int, texts: Sequence[str]
) -> list[tuple[int, int]]:
    """Cell ranges (start, end), in order and without gaps.

    left, right (N, C): the extent of each cell on each line, its gap included. A panel is at most
    `limit` wide on every line and has at most `most` cells, except that it always has one. Where a
    blank ends in its last third the panel ends there, so that words stay whole.
    """
    count = left.shape[1]
    panels = []
    start = 0
    while start < count:
        low, high = left[:, start], right[:, start]
        end = start + 1
        while end < count and end - start < most:
            low, high = np.minimum(low, left[:, end]), np.maximum(high, right[:, end])
            if (high - low).max() > limit:
                break
            end += 1
        if end < count:
            earliest = start + max(1, (end - start) * 2 // 3)
            blanks = [place for place in range(earliest, end + 1) if texts[place - 1][-1:].isspace()]
            end = blanks[-1] if blanks else end
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
