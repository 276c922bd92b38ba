"""The memory of cached decoding: encoded keys, values, and how far each line has walked.

Positions are not stored: keys are kept as they were encoded, and one running sum per line goes on from where
the last stretch ended. This module knows nothing of models.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

GROWTH = 256


@dataclass
class KVBuffer:
    """What one layer has kept of all tokens so far, (B, S, ...), in a buffer that doubles when it is full."""

    buffer: Tensor | None = None
    length: int = 0

    def extend(self, new: Tensor) -> Tensor:
        """Adds a stretch (B, T, ...) and returns all tokens so far: a view that no later stretch changes."""
        if self.buffer is None:
            self.buffer, self.length = new, new.shape[1]  # a single stretch is not copied
            return new
        end = self.length + new.shape[1]
        if end > self.buffer.shape[1]:
            old = self.buffer[:, : self.length]
            size = max(end, 2 * self.length, GROWTH)
            self.buffer = old.new_empty(old.shape[0], size, *old.shape[2:])
            self.buffer[:, : self.length] = old
        self.buffer[:, self.length : end] = new
        self.length = end
        return self.buffer[:, :end]


@dataclass
class LayerKVCache:
    """One layer's keys (B, S, K, E) and values (B, S, K, D), and the running decay (B, S, H)."""

    keys: KVBuffer = field(default_factory=KVBuffer)
    values: KVBuffer = field(default_factory=KVBuffer)
    decayed: Tensor | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Adds a stretch and returns all keys and values so far."""
        return self.keys.extend(keys), self.values.extend(values)

    def extend_decay(self, a: Tensor) -> Tensor:
        """Adds a stretch of decays (B, T, H) and returns the running sum over all tokens so far, float32."""
        running = a.float().cumsum(1)
        if self.decayed is not None:
            running = torch.cat([self.decayed, running + self.decayed[:, -1:]], 1)
        self.decayed = running
        return running


@dataclass
class KVCache:
    """The state of a decoding batch. `documents` is -1 on padding; `carries` has one entry per walk."""

    layers: list[LayerKVCache]
    offsets: list[Tensor | None]
    n: Tensor | None = None
    documents: Tensor | None = None

    @classmethod
    def empty(cls, layers: int, walks: int) -> KVCache:
        return cls([LayerKVCache() for _ in range(layers)], [None] * walks)
