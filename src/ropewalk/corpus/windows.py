"""Windows of tokens: random ones to train on, evenly spaced ones to validate on.

Both are pure functions of their arguments: a training run that resumes at step s sees what it would have seen,
with no random state to save, and two models with the same seed see the same data. Windows run across
documents.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ropewalk.errors import UserError


def batch(tokens: np.ndarray, *, seed: int, step: int, size: int, context: int) -> torch.Tensor:
    """`size` random windows of `context` + 1 tokens, int64 (size, context + 1); starts are uniform."""
    starts = batch_starts(tokens, seed=seed, step=step, size=size, context=context)
    return _gather(tokens, starts.numpy(), context)


def batch_starts(tokens: np.ndarray, *, seed: int, step: int, size: int, context: int) -> torch.Tensor:
    """Where the windows of `batch` start, int64 (size,)."""
    _check(tokens, context)
    digest = hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.randint(0, len(tokens) - context, (size,), generator=generator)


def validation(
    tokens: np.ndarray, *, context: int, limit: int | None, size: int = 64
) -> Iterator[torch.Tensor]:
    """Evenly spaced windows that do not overlap, int64 (n, context + 1), n <= `size`.

    limit: predict about so many tokens, rounded up to whole windows (None: as many as fit).
    """
    starts = validation_starts(tokens, context=context, limit=limit)
    for first in range(0, len(starts), size):
        yield _gather(tokens, starts[first : first + size], context)


def validation_starts(tokens: np.ndarray, *, context: int, limit: int | None) -> np.ndarray:
    """Where the windows of `validation` start, int64 (windows,)."""
    _check(tokens, context)
    count = len(tokens) // (context + 1)
    if limit is not None:
        count = min(count, max(1, -(-limit // context)))
    return np.arange(count, dtype=np.int64) * len(tokens) // count


def _check(tokens: np.ndarray, context: int) -> None:
    if len(tokens) < context + 1:
        raise UserError(
            f"a window needs context + 1 = {context + 1} tokens and this split has {len(tokens)}; "
            "lower the context or add documents."
        )


def _whole(tokens: np.ndarray) -> None:
    """UserError for a mapped file that became shorter: reading beyond its end would end the process."""
    mapped: Any = getattr(tokens, "_mmap", None)
    if mapped is not None and mapped.size() < tokens.nbytes:
        raise UserError(
            f"{tokens.filename}: the file became shorter while it was in use; delete its folder and prepare the "  # type: ignore[attr-defined]
            "corpus again, then continue with --resume."
        )


def _gather(tokens: np.ndarray, starts: np.ndarray, context: int) -> torch.Tensor:
    _whole(tokens)
    return torch.from_numpy(tokens[starts[:, None] + np.arange(context + 1)].astype(np.int64))
