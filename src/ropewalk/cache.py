"""The memory of cached decoding: encoded keys, values, and how far each line has walked.

Positions are not stored: keys are kept as they were encoded, and one running sum per line goes on from where
the last stretch ended. This module knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class LayerMemory:
    """One layer's keys (B, S, K, E) and values (B, S, K, D), and the running decay (B, S, H)."""

    keys: Tensor | None = None
    values: Tensor | None = None
    decayed: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds a stretch and returns all keys and values so far."""
        if self.keys is not None and self.values is not None:
            keys, values = torch.cat([self.keys, keys], 1), torch.cat([self.values, values], 1)
        self.keys, self.values = keys, values
        return keys, values

    def extend_decay(self, a: Tensor) -> Tensor:
        """Adds a stretch of decays (B, T, H) and returns the running sum over all tokens so far, float32."""
        running = a.float().cumsum(1)
        if self.decayed is not None:
            running = torch.cat([self.decayed, running + self.decayed[:, -1:]], 1)
        self.decayed = running
        return running


@dataclass
class Cache:
    """The state of a decoding batch. `documents` is -1 on padding; `carries` has one entry per walk."""

    layers: list[LayerMemory]
    carries: list[Tensor | None]
    n: Tensor | None = None
    documents: Tensor | None = None

    @classmethod
    def empty(cls, layers: int, walks: int) -> Cache:
        return cls([LayerMemory() for _ in range(layers)], [None] * walks)
