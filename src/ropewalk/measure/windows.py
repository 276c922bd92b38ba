"""Windows of held-out tokens for measurements: evenly spread, none overlapping."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import END, encode


def tokens_of(text: str) -> np.ndarray:
    """A text as the native models read it, with the end-of-document token before it: (T,) int64."""
    return np.array([END, *encode(text)], np.int64)


def cut(tokens: Sequence[int] | np.ndarray, length: int, count: int) -> Tensor:
    """`count` windows of `length` + 1 tokens, evenly spread over `tokens`: int64 (count, length + 1).

    Fewer when they do not fit; UserError when not even two do.
    """
    if count < 2:
        raise UserError(f"a measurement needs at least two windows, got {count}; ask for more.")
    fits = min(count, len(tokens) // (length + 1))
    if fits < 2:
        raise UserError(
            f"expected a text of at least {2 * (length + 1)} tokens, got {len(tokens)}; give a longer one."
        )
    starts = np.arange(fits) * len(tokens) // fits
    return torch.from_numpy(np.asarray(tokens)[starts[:, None] + np.arange(length + 1)].astype(np.int64))
