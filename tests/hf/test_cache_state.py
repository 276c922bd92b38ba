"""Running sums follow the keys of every cache layer through every method that changes its rows or its length."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, StaticLayer

from ropewalk.errors import UserError
from ropewalk.hf.cache_state import layer_state


def growing(batch: int = 3, length: int = 4) -> tuple[Any, torch.Tensor]:
    """A layer that has read (batch, length) tokens, and the sums that it keeps."""
    cache = DynamicCache()
    layer = layer_state(cache, 1)
    assert len(cache.layers) == 2 and layer is cache.layers[1] and layer is layer_state(cache, 1)
    keys = torch.arange(batch * 1.0).view(batch, 1, 1, 1).expand(batch, 2, length, 8)
    layer.update(keys, keys)
    sums = torch.arange(batch * length * 2.0, dtype=torch.float64).view(batch, length, 2)
    layer.keep(sums)
    return layer, sums


def rows_of(layer: Any) -> list[int]:
    """Which rows of `growing` the keys of a layer are."""
    return layer.keys[:, 0, 0, 0].int().tolist()


def static(batch: int = 3) -> tuple[Any, torch.Tensor]:
    class Cache:
        layers = [StaticLayer(max_cache_len=16)]  # noqa: RUF012

    layer = layer_state(Cache(), 0)
    layer.update(torch.zeros(batch, 2, 4, 8), torch.zeros(batch, 2, 4, 8), torch.arange(4))
    last = torch.arange(batch * 2.0, dtype=torch.float64).view(batch, 1, 2)
    layer.keep(torch.cat([last - 2, last - 1, last], 1))
    return layer, last[:, 0]


def test_a_new_layer_starts_at_nothing_and_goes_on_from_the_last_sum() -> None:
    assert layer_state(None, 0) is None
    assert layer_state(DynamicCache(), 0).offset(2) is None
    layer, sums = growing()
    assert torch.equal(layer.offset(3), sums[:, -1])
    layer.update(torch.zeros(3, 2, 1, 8), torch.zeros(3, 2, 1, 8))
    layer.keep(sums[:, :1] + 50)
    assert torch.equal(layer.offset(3), sums[:, 0] + 50) and layer.sums.shape == (3, 5, 2)


def test_sums_hold_no_graph() -> None:
    layer, sums = growing()
    layer.keep((sums[:, :1]).requires_grad_())
    assert not layer.sums.requires_grad


def test_rows_are_reordered_selected_and_repeated() -> None:
    layer, sums = growing()
    layer.reorder_cache(torch.tensor([2, 0, 0]))
    assert torch.equal(layer.offset(3), sums[[2, 0, 0], -1]) and rows_of(layer) == [2, 0, 0]
    layer.batch_select_indices(torch.tensor([1, 0]))
    assert torch.equal(layer.offset(2), sums[[0, 2], -1]) and rows_of(layer) == [0, 2]
    layer.batch_repeat_interleave(2)
    assert torch.equal(layer.offset(4), sums[[0, 0, 2, 2], -1]) and rows_of(layer) == [0, 0, 2, 2]
    layer, last = static()
    layer.reorder_cache(torch.tensor([2, 0, 0]))
    assert torch.equal(layer.offset(3), last[[2, 0, 0]])


def test_cropping_removes_the_sums_of_what_was_cropped() -> None:
    layer, sums = growing()
    layer.crop(-1)
    assert torch.equal(layer.offset(3), sums[:, 2]) and layer.sums.shape[1] == 3
    layer.crop(-3)
    assert layer.offset(3) is None
    without = layer_state(DynamicCache(), 0)
    without.update(torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8))
    without.crop(-2)
    assert without.sums is None and without.get_seq_length() == 2


def test_sums_may_come_before_their_keys() -> None:
    layer = layer_state(DynamicCache(), 0)
    sums = torch.ones(1, 4, 2, dtype=torch.float64)
    layer.keep(sums)
    layer.update(torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8))
    assert torch.equal(layer.offset(1), sums[:, -1])


@pytest.mark.parametrize("move", ["offload", "prefetch"])
def test_keys_that_the_cache_itself_moves_are_still_its_own(move: str) -> None:
    class Elsewhere(DynamicLayer):
        def offload(self) -> None:
            self.keys, self.values = self.keys + 1, self.values + 1

        prefetch = offload

    class Cache:
        layers = [Elsewhere()]  # noqa: RUF012

    layer, sums = layer_state(Cache(), 0), torch.ones(1, 4, 2, dtype=torch.float64)
    layer.update(torch.zeros(1, 2, 4, 8), torch.zeros(1, 2, 4, 8))
    layer.keep(sums)
    getattr(layer, move)()
    assert (layer.keys == 1).all() and torch.equal(layer.offset(1), sums[:, -1])


def test_a_reset_static_layer_starts_at_zero_in_place() -> None:
    layer, last = static()
    kept = layer.last
    assert torch.equal(layer.offset(3), last)
    layer.keep(torch.full((3, 1, 2), 7.0, dtype=torch.float64))
    assert layer.last is kept and (kept == 7).all() and layer.sums is None
    layer.reset()
    assert layer.last is kept and (kept == 0).all() and layer.offset(3) is kept
    assert layer.get_seq_length() == 0
    layer, _ = growing()
    layer.reset()
    assert layer.sums is layer.last is None and layer.get_seq_length() == 0


def test_sums_of_other_tokens_or_rows_are_refused() -> None:
    layer, sums = growing()
    with pytest.raises(UserError, match="holds 4 tokens but the running positions of 4"):
        layer.offset(2)
    layer.sums = sums[:, :3]
    with pytest.raises(UserError, match="holds 4 tokens but the running positions of 3"):
        layer.offset(3)
    layer.sums = None
    with pytest.raises(UserError, match="holds 4 tokens but the running positions of 0"):
        layer.offset(3)


def test_what_is_no_cache_is_refused() -> None:
    with pytest.raises(UserError, match="does not carry the running positions"):
        layer_state(((torch.zeros(1), torch.zeros(1)),), 0)
