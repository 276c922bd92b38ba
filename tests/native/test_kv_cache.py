"""The KV cache by itself: what it returns, how its buffers grow, and what an empty one holds."""

from __future__ import annotations

import pytest
import torch

from ropewalk.native.kv_cache import GROWTH, KVBuffer, KVCache, LayerKVCache


def test_a_single_segment_is_not_copied() -> None:
    new = torch.randn(2, 3, 4)
    assert KVBuffer().extend(new) is new


@pytest.mark.parametrize(
    ("lengths", "room"),
    [
        ([3, 1], GROWTH),
        ([GROWTH - 1, 1], 2 * GROWTH - 2),
        ([3, GROWTH], GROWTH + 3),
        ([GROWTH, 1], 2 * GROWTH),
    ],
)
def test_segments_follow_each_other_in_a_buffer_that_doubles(lengths: list[int], room: int) -> None:
    assert GROWTH == 256
    parts, buffer = [torch.randn(2, length, 4) for length in lengths], KVBuffer()
    found = [buffer.extend(part) for part in parts][-1]
    assert torch.equal(found, torch.cat(parts, 1))
    assert buffer.buffer is not None and buffer.buffer.shape == (2, room, 4) and buffer.length == sum(lengths)


def test_a_full_buffer_is_not_left_before_it_is_full() -> None:
    buffer = KVBuffer()
    for length in (1, 1, GROWTH - 3):
        buffer.extend(torch.randn(1, length, 2))
    before = buffer.buffer
    buffer.extend(torch.randn(1, 1, 2))
    assert buffer.buffer is before and buffer.length == GROWTH
    buffer.extend(torch.randn(1, 1, 2))
    assert buffer.buffer is not before


def test_decays_are_summed_over_segments() -> None:
    layer, a = LayerKVCache(), -torch.rand(2, 6, 3)
    parts = [layer.extend_decay(a[:, :2]), layer.extend_decay(a[:, 2:5]), layer.extend_decay(a[:, 5:])]
    assert torch.allclose(parts[-1], a.cumsum(1), atol=1e-6)
    assert (
        torch.equal(parts[-1][:, :5], parts[-2])
        and layer.extend_decay(a[:, :0].bfloat16()).dtype == torch.float32
    )


def test_an_empty_cache_has_a_place_for_every_layer_and_module() -> None:
    cache = KVCache.empty(3, 2)
    assert len(cache.layers) == 3 and cache.offsets == [None, None]
    assert cache.layers[0] is not cache.layers[1] and cache.layers[0].keys.length == 0
