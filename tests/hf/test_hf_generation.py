"""Generation carries the walk: every way of decoding with a cache gives what decoding without one gives.

Dropping the carry, its reordering under beams, or the restart at padding breaks these tests.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from families import host, perturb, tokens

from ropewalk.hf import graft

HOSTS = ("llama", "gemma3", "gpt_neox", "lfm2")
LENGTH = 8


def _padded() -> dict[str, torch.Tensor]:
    ids = tokens(2, 10)
    mask = torch.ones_like(ids)
    ids[0, :4], mask[0, :4] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def _generate(model: Any, inputs: dict[str, torch.Tensor], **how: Any) -> torch.Tensor:
    torch.manual_seed(5)
    settings = {"max_new_tokens": LENGTH, "min_new_tokens": LENGTH, "do_sample": False, "pad_token_id": 0}
    return model.generate(**inputs, **{**settings, **how})


@pytest.fixture(params=[(name, per) for name in HOSTS for per in ("layer", "shared")], ids=str)
def grafted(request: pytest.FixtureRequest) -> Any:
    name, per = request.param
    model = host(name)
    perturb(graft(model, per=per))
    return model


@pytest.mark.parametrize("gap", ["before", "after"])
def test_left_padded_rows_are_what_they_are_alone(gap: Any) -> None:
    model = host("llama")
    perturb(graft(model, gap=gap))
    inputs = _padded()
    together = _generate(model, inputs)
    alone = _generate(model, {key: value[:1, 4:] for key, value in inputs.items()})
    assert torch.equal(together[:1, 10:], alone[:, 6:])
    assert torch.equal(together, _generate(model, inputs, use_cache=False))


def test_greedy_and_beams(grafted: Any) -> None:
    inputs = _padded()
    assert torch.equal(_generate(grafted, inputs), _generate(grafted, inputs, use_cache=False))
    beams = _generate(grafted, inputs, num_beams=3)
    assert torch.equal(beams, _generate(grafted, inputs, num_beams=3, use_cache=False))


def test_sampling(grafted: Any) -> None:
    how = {"do_sample": True, "num_return_sequences": 2}
    inputs = _padded()
    assert torch.equal(_generate(grafted, inputs, **how), _generate(grafted, inputs, **how, use_cache=False))


@pytest.mark.parametrize("per", ["layer", "shared"])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt_neox"])
def test_static_cache_and_prompt_lookup(name: str, per: Any) -> None:
    model = host(name)
    perturb(graft(model, per=per))
    inputs = _padded()
    static = _generate(model, inputs, cache_implementation="static", disable_compile=True)
    assert torch.equal(static, _generate(model, inputs))
    prompt = {"input_ids": tokens(1, 6).repeat(1, 3), "attention_mask": torch.ones(1, 18, dtype=torch.int64)}
    looked = _generate(model, prompt, prompt_lookup_num_tokens=3)
    assert torch.equal(looked, _generate(model, prompt))


def test_a_copied_prefix_goes_on_like_the_whole() -> None:
    model, ids = host("llama"), tokens(1, 14)
    perturb(graft(model))
    with torch.no_grad():
        whole = model(ids, use_cache=False).logits[:, 8:]
        prefix = model(ids[:, :8], use_cache=True).past_key_values
        for _ in range(2):
            rest = model(ids[:, 8:], past_key_values=copy.deepcopy(prefix)).logits
            assert (rest - whole).abs().max() < 1e-4


def test_a_cache_used_again_starts_afresh() -> None:
    from transformers import StaticCache

    model, ids = host("llama"), tokens(1, 6)
    perturb(graft(model))
    cache = StaticCache(config=model.config, max_cache_len=16)
    with torch.no_grad():
        first = model(ids, past_key_values=cache).logits
        cache.reset()
        assert (model(ids, past_key_values=cache).logits - first).abs().max() < 1e-6
