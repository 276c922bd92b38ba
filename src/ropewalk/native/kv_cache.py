"""The KV cache: encoded keys, values, and the running sum of each row's increments.

Positions are not stored: keys are kept as they were encoded, and one running sum per row continues from the end of the
last segment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

GROWTH = 256


@dataclass
class KVBuffer:
    """A tensor over all tokens so far, (B, S, ...), in a buffer that doubles when it is full."""

    buffer: Tensor | None = None
    length: int = 0

    def extend(self, new: Tensor) -> Tensor:
        """Appends a segment (B, T, ...) and returns all tokens so far: a view that later segments do not change."""
        if self.buffer is None:
            self.buffer, self.length = new, new.shape[1]  # a single segment is not copied
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
    """One layer's keys (B, S, K, E) and values (B, S, K, D), and the running sum of its decay (B, S, H)."""

    keys: KVBuffer = field(default_factory=KVBuffer)
    values: KVBuffer = field(default_factory=KVBuffer)
    decay: Tensor | None = None

    def extend(
        self, keys: Float[Tensor, "B T K E"], values: Float[Tensor, "B T K D"]
    ) -> tuple[Float[Tensor, "B S K E"], Float[Tensor, "B S K D"]]:
        """Appends a segment and returns all keys and values so far."""
        return self.keys.extend(keys), self.values.extend(values)

    def extend_decay(self, a: Float[Tensor, "B T H"]) -> Float[Tensor, "B S H"]:
        """Appends a segment of decays and returns their running sum over all tokens so far, float32."""
        running = a.float().cumsum(1)
        if self.decay is not None:
            running = torch.cat([self.decay, running + self.decay[:, -1:]], 1)
        self.decay = running
        return running


@dataclass
class KVCache:
    """The state of cached decoding.

    offsets: the running sum (B, G) of each increment module. next_position: (B,), the integer position of the next
    token. document_ids: (B, S) of all tokens so far, -1 on padding; None without documents.
    """

    layers: list[LayerKVCache]
    offsets: list[Tensor | None]
    next_position: Tensor | None = None
    document_ids: Tensor | None = None

    @classmethod
    def empty(cls, num_layers: int, num_increment_modules: int) -> KVCache:
        """A cache that has read nothing."""
        return cls([LayerKVCache() for _ in range(num_layers)], [None] * num_increment_modules)
