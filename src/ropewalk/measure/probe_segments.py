"""What one forward pass of the probe reads: a segment of the text and the gaps that it measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Progress = Callable[[int, int], None]
"""progress(done, total), in gaps."""


@dataclass(frozen=True)
class Segment:
    """Tokens to read for one or more gaps: `tokens` (L,), `gaps` as (gap of the text, index in `tokens`), and `ends`, the
    index after the last position that each gap is scored on."""

    tokens: np.ndarray
    gaps: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]
