"""What a graft keeps in the host's cache: how far each line has walked, beside the keys it belongs to.

A cache layer becomes an instance of a subclass of its own class that also holds the running sums, so that
whatever the host does with its keys (reordering beams, cropping rejected tokens, repeating or choosing
rows) happens to the sums as well. Sums are float64 where the device has it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def layer_state(cache: Any, slot: int) -> Any:
    """The cache layer of a slot as one that carries; None without a cache."""
    if cache is None:
        return None
    make = getattr(cache, "layer_class_to_replicate", None)
    while make is not None and len(cache.layers) <= slot:
        cache.layers.append(make())
    layer = cache.layers[slot]
    kind: Any = type(layer)
    if not getattr(layer, "carries", False):
        layer.__class__ = _carrying(kind)
    return layer


@functools.cache
def _carrying(kind: Any) -> Any:
    """A subclass of a cache layer's class whose rows of sums follow its rows of keys.

    Growing caches keep the sums of all tokens, (B, T, G), so that they can be cropped; static ones keep the
    last, (B, G), and write it in place.
    """

    base: Any = kind

    class Carrying(base):
        _layer_type = None  # keeps the subclass out of transformers' table of layer types
        offsets = True
        sums: Tensor | None = None
        last: Tensor | None = None

        def carried(self) -> Tensor | None:
            """(B, G): the sum to go on from, None at the beginning."""
            if self.last is not None:
                return self.last
            return None if self.sums is None or not self.sums.shape[1] else self.sums[:, -1]

        def keep(self, ends: Tensor) -> None:
            """Takes the sums (B, T, G) of the tokens just read."""
            ends = ends.detach()
            if self.is_compileable:
                if self.last is None:
                    self.last = ends[:, -1].clone()
                else:
                    self.last.copy_(ends[:, -1])
            else:
                self.sums = ends if self.sums is None else torch.cat([self.sums, ends], 1)

        def _rows(self, change: Callable[[Tensor], Tensor]) -> None:
            self.sums = None if self.sums is None else change(self.sums)
            self.last = None if self.last is None else change(self.last)

        def reorder_cache(self, beam_idx: Tensor) -> None:
            super().reorder_cache(beam_idx)
            self._rows(lambda rows: rows.index_select(0, beam_idx.to(rows.device)))

        def batch_repeat_interleave(self, repeats: int) -> None:
            super().batch_repeat_interleave(repeats)
            self._rows(lambda rows: rows.repeat_interleave(repeats, 0))

        def batch_select_indices(self, indices: Tensor) -> None:
            super().batch_select_indices(indices)
            self._rows(lambda rows: rows[indices])

        def crop(self, *args: Any, **kwargs: Any) -> None:
            before = self.get_seq_length()
            super().crop(*args, **kwargs)
            gone = int(before - self.get_seq_length())
            if self.sums is not None and gone:
                self.sums = self.sums[:, : self.sums.shape[1] - gone]

        def reset(self) -> None:
            super().reset()
            self.sums = None
            if self.last is not None:
                self.last.zero_()

    Carrying.__name__ = Carrying.__qualname__ = f"Carrying{kind.__name__}"
    return Carrying
