"""Increments over a host's vocabulary: every token by itself where they depend on nothing else, else in
context.

Shared increments read the embedding alone, so one pass over all tokens gives the whole table. Others are
averaged over windows of text.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from ropewalk.core.host import Host, increments_of
from ropewalk.errors import UserError


@torch.inference_mode()
def every_token(host: Host, vocabulary: int, *, batch: int = 512) -> np.ndarray:
    """(V, N) increments of each token by itself. UserError for hosts whose layers have their own."""
    if any(row.layer is not None for row in host.rows):
        raise UserError(
            "this model's layers read what came before, so a token has no increment by itself; give some "
            "text to "
            "average over."
        )
    found = []
    for first in range(0, vocabulary, batch):
        ids = torch.arange(first, min(first + batch, vocabulary))[:, None]
        found.append(increments_of(host(ids))[:, :, 0].double().cpu().numpy())
    return np.concatenate(found)


@torch.inference_mode()
def in_context(host: Host, windows: Iterable[Tensor], vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean increments (V, N) over windows (B, T) of tokens, and how often each token occurred (V,).

    The first token of a window, which no gap precedes, is left out; tokens that never occurred have 0.
    """
    sums = torch.zeros(vocabulary, len(host.rows), dtype=torch.float64)
    counts = torch.zeros(vocabulary, dtype=torch.int64)
    for ids in windows:
        d = increments_of(host(ids)).double().cpu()[:, :, 1:]
        flat = ids[:, 1:].flatten()
        counts += torch.bincount(flat, minlength=vocabulary)
        sums.index_add_(0, flat, d.transpose(1, 2).flatten(0, 1))
    return (sums / counts.clamp(min=1)[:, None]).numpy(), counts.numpy()
