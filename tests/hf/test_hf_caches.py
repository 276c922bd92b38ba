"""Caches carry the running positions, or are refused: never a wrong continuation."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from families import host, perturb, tokens
from transformers import DynamicCache, StaticCache

from ropewalk.errors import UserError
from ropewalk.hf import graft, hooks


@pytest.fixture(params=["layer", "shared"])
def model(request: pytest.FixtureRequest) -> Any:
    made = host("llama")
    perturb(graft(made, per=request.param))
    return made


@torch.no_grad()
def prefix(model: Any, ids: torch.Tensor) -> Any:
    return model(ids[:, :8], use_cache=True).past_key_values


@torch.no_grad()
def continued(model: Any, ids: torch.Tensor, cache: Any, first: int = 8) -> torch.Tensor:
    return model(ids[:, first:], past_key_values=cache).logits


def test_copies_and_serialized_caches_continue(model: Any) -> None:
    ids = tokens(1, 14)
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits[:, 8:]
    cache = prefix(model, ids)
    buffer = io.BytesIO()
    torch.save(cache, buffer)
    buffer.seek(0)
    for other in (copy.deepcopy(cache), torch.load(buffer, weights_only=False)):
        assert (continued(model, ids, other) - whole).abs().max() < 1e-4


def test_a_cropped_cache_continues(model: Any) -> None:
    ids = tokens(1, 14)
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits[:, 6:]
    cache = prefix(model, ids)
    cache.crop(-2)
    assert (continued(model, ids, cache, 6) - whole).abs().max() < 1e-4


def test_a_rebuilt_cache_is_refused(model: Any) -> None:
    ids = tokens(1, 14)
    cache = prefix(model, ids)
    rebuilt = DynamicCache()
    for i, layer in enumerate(cache.layers):
        rebuilt.update(layer.keys, layer.values, i)
    listed = DynamicCache([(layer.keys, layer.values) for layer in cache.layers])
    for other in (rebuilt, listed):
        with pytest.raises(UserError, match="holds 8 tokens but the running positions of 0"):
            continued(model, ids, other)


def cut(layer: Any) -> None:
    layer.keys, layer.values = layer.keys[..., :5, :], layer.values[..., :5, :]


def choose(layer: Any) -> None:
    layer.keys, layer.values = layer.keys[:1], layer.values[:1]


def exchange(layer: Any) -> None:
    layer.keys, layer.values = layer.keys.flip(0), layer.values.flip(0)


def exchange_in_place(layer: Any) -> None:
    layer.keys.copy_(layer.keys.flip(0))
    layer.values.copy_(layer.values.flip(0))


@pytest.mark.parametrize("change", [cut, choose, exchange, exchange_in_place])
def test_keys_that_were_changed_by_hand_are_refused(model: Any, change: Any) -> None:
    ids = tokens(2, 14)
    cache = prefix(model, ids)
    for layer in cache.layers:
        change(layer)
    with pytest.raises(UserError, match="changed outside its own methods"):
        continued(model, ids.flip(0)[: len(cache.layers[0].keys)], cache)


def rewind(layer: Any) -> None:
    layer.cumulative_length.fill_(5)


@pytest.mark.parametrize("change", [exchange, rewind])
def test_a_static_cache_that_was_changed_by_hand_is_refused(model: Any, change: Any) -> None:
    ids = tokens(2, 14)
    cache = StaticCache(config=model.config, max_cache_len=16)
    continued(model, ids[:, :8], cache, 0)
    for layer in cache.layers:
        change(layer)
    with pytest.raises(UserError, match="changed outside its own methods"):
        continued(model, ids[:, 5:9], cache, 0)


@pytest.mark.parametrize("name", hooks.CACHE_ARGUMENTS)
def test_a_cache_is_found_by_each_name_that_transformers_has_given_it(name: str) -> None:
    cache = DynamicCache()
    assert hooks._cache({"use_cache": True, name: cache}) is cache


def test_continuous_batching_is_refused(model: Any) -> None:
    with pytest.raises(UserError, match="continuous batching"), torch.no_grad():
        model(tokens(1, 4), cache=object(), use_cache=False)
