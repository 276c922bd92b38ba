"""Running sums of increments inside the model's own key/value cache.

A cache layer becomes an instance of a subclass of its own class that also holds the running sums, so that whatever
the model does with its keys (reordering beams, cropping rejected tokens, repeating or selecting rows, copying, pickling)
happens to the sums as well. Sums are float64 where the device has it. A layer that holds keys without their sums, sums
of other tokens, or keys that were put there or rewound by anything but the cache's own methods is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import CausalLMOutputWithPast

from ropewalk.errors import UserError

CACHE_NAME = "cache" if "cache" in CausalLMOutputWithPast.__dataclass_fields__ else "past_key_values"
"""What transformers calls a cache, as an argument of a pass and in its output: since 5.24 "cache"."""


def layer_state(cache: Any, index: int) -> Any:
    """The cache layer at an index as one that holds running sums; None without a cache."""
    if cache is None:
        return None
    if not hasattr(cache, "layers"):
        raise UserError(
            f"{type(cache).__name__} does not carry the running positions of increments; pass a transformers cache such as "
            "DynamicCache, or use_cache=False."
        )
    make = getattr(cache, "layer_class_to_replicate", None)
    while make is not None and len(cache.layers) <= index:
        cache.layers.append(make())
    layer = cache.layers[index]
    if not getattr(layer, "holds_offsets", False):
        kind: Any = type(layer)
        layer.__class__ = _with_offsets(kind)
    return layer


def _restore(kind: Any) -> Any:
    made = _with_offsets(kind)
    return made.__new__(made)


def _state(layer: Any) -> tuple[Any, int | None, int]:
    """What a layer holds: its keys, how often they were written to where torch counts that, and how many tokens they are."""
    keys = layer.keys
    version = keys._version if isinstance(keys, Tensor) and not keys.is_inference() else None
    return keys, version, int(layer.get_seq_length()) if layer.is_initialized else 0


@functools.cache
def _with_offsets(kind: Any) -> Any:
    """A subclass of a cache layer's class whose running sums follow its keys.

    Growing caches keep the sums of all tokens, (B, T, G), so that they can be cropped; static ones keep the last, (B, G),
    and write it in place.
    """

    base: Any = kind

    class WithOffsets(base):
        _layer_type = None  # keeps the subclass out of transformers' table of layer types
        holds_offsets = True
        sums: Tensor | None = None
        last: Tensor | None = None

        seen: Any = None
        """The keys that the cache's own methods left, as an object and its version, and how many tokens they are."""

        def offset(self, batch: int) -> Tensor | None:
            """(B, G): the sum to continue from, None at the beginning. UserError where it does not fit the keys."""
            if self.seen is not None and not torch.compiler.is_compiling() and not self._is_as_seen():
                raise UserError(
                    "the keys of this cache were changed outside its own methods, so the running positions no longer belong to "
                    "them; use its methods (reorder_cache, batch_select_indices, crop, reset), or read the tokens again."
                )
            if self.last is not None:
                return self.last
            held = int(self.get_seq_length()) if self.is_initialized else 0
            known = 0 if self.sums is None else self.sums.shape[1]
            if held != known or (self.sums is not None and known and self.sums.shape[0] != batch):
                raise UserError(
                    f"this cache holds {held} tokens but the running positions of {known} (it was rebuilt, or changed outside "
                    "its own methods); pass the cache that the model returned, or read the tokens again without one."
                )
            return None if self.sums is None or not known else self.sums[:, -1]

        def keep(self, ends: Tensor) -> None:
            """Adds the sums (B, T, G) of the tokens just read."""
            ends = ends.detach()
            if self.is_compileable:
                if self.last is None:
                    self.last = ends[:, -1].clone()
                else:
                    self.last.copy_(ends[:, -1])
            else:
                self.sums = ends if self.sums is None else torch.cat([self.sums, ends], 1)
            self._remember()

        def _is_as_seen(self) -> bool:
            (keys, *state), (own, *own_state) = self.seen, _state(self)
            return keys is own and state == own_state

        def _remember(self) -> None:
            self.seen = None if torch.compiler.is_compiling() else _state(self)

        def update(self, *args: Any, **kwargs: Any) -> Any:
            found = super().update(*args, **kwargs)
            self._remember()
            return found

        def offload(self) -> None:
            super().offload()
            self._remember()

        def prefetch(self) -> None:
            super().prefetch()
            self._remember()

        def _change_rows(self, change: Callable[[Tensor], Tensor]) -> None:
            self.sums = None if self.sums is None else change(self.sums)
            self.last = None if self.last is None else change(self.last)
            self._remember()

        def reorder_cache(self, beam_idx: Tensor) -> None:
            super().reorder_cache(beam_idx)
            self._change_rows(lambda rows: rows.index_select(0, beam_idx.to(rows.device)))

        def batch_repeat_interleave(self, repeats: int) -> None:
            super().batch_repeat_interleave(repeats)
            self._change_rows(lambda rows: rows.repeat_interleave(repeats, 0))

        def batch_select_indices(self, indices: Tensor) -> None:
            super().batch_select_indices(indices)
            self._change_rows(lambda rows: rows[indices])

        def crop(self, *args: Any, **kwargs: Any) -> None:
            before = self.get_seq_length()
            super().crop(*args, **kwargs)
            removed = int(before - self.get_seq_length())
            if self.sums is not None and removed:
                self.sums = self.sums[:, : self.sums.shape[1] - removed]
            self._remember()

        def reset(self) -> None:
            super().reset()
            self.sums = None
            if self.last is not None:
                self.last.zero_()
            self._remember()

        def __reduce_ex__(self, protocol: Any) -> Any:
            return (
                _restore,
                (kind,),
                self.__dict__ | {"seen": None},
            )  # a copy's keys have a version of their own

    WithOffsets.__name__ = WithOffsets.__qualname__ = f"{kind.__name__}WithOffsets"
    return WithOffsets
