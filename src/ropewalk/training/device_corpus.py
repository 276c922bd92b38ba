"""A corpus that stays on the device, so that a training step copies nothing to it.

Tokens are the corpus's uint16, two bytes each, stored as int16 because indexing supports that dtype on every device.
The starts of all windows of a run are drawn before it begins, by the same generators that `ropewalk.corpus.windows`
uses, so the order of the data is the same bit for bit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ropewalk.corpus import windows
from ropewalk.errors import UserError


class DeviceTokens:
    """Tokens of one split on a device, and windows of `context` + 1 of them.

    tokens: (N,) uint16. UserError for tokens that do not fit on the device.
    """

    def __init__(self, tokens: np.ndarray, context: int, device: torch.device) -> None:
        signed = torch.from_numpy(np.ascontiguousarray(tokens).astype("<u2", copy=True).view("<i2"))
        try:
            self.tokens = signed.to(device)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"the corpus ({2 * len(tokens) / 1e9:.1f} GB) does not fit into the device's memory; use "
                "train.cuda_graphs = false, which reads it from disk."
            ) from error
        self.within = torch.arange(context + 1, device=device)

    def windows(self, starts: Tensor) -> Tensor:
        """The windows that start at `starts` (B,), on the device: int64 (B, context + 1)."""
        return self.tokens[starts[:, None] + self.within].long() & 0xFFFF


def start_table(tokens: np.ndarray, *, seed: int, first: int, steps: int, size: int, context: int) -> Tensor:
    """The starts of the training windows of steps `first` to `steps` - 1, int64 (steps - first, size), on the CPU."""
    table = torch.empty(max(0, steps - first), size, dtype=torch.int64)
    for row, step in enumerate(range(first, steps)):
        table[row] = windows.batch_starts(tokens, seed=seed, step=step, size=size, context=context)
    return table
