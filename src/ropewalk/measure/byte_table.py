"""The increment of every single byte, for the rows that see no context: the shared one and layer 0."""

from __future__ import annotations

import numpy as np
import torch

from ropewalk.core.host import Host, increments_of
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import VOCAB_SIZE


def context_free(host: Host) -> tuple[tuple[Row, ...], np.ndarray]:
    """The rows without context, and their increment of each byte: (rows, VOCAB_SIZE), token-equivalents.

    Each byte is read alone: these rows depend on the embedding and nothing else.
    """
    rows = [i for i, row in enumerate(host.rows) if row.layer in (None, 0)]
    if not rows:
        raise UserError("this model has no row in its first layer; only such a row is free of context.")
    with torch.inference_mode():
        found = increments_of(host(torch.arange(VOCAB_SIZE)[:, None]))[:, rows, 0]
    return tuple(host.rows[i] for i in rows), found.T.numpy(force=True).astype(np.float64)
