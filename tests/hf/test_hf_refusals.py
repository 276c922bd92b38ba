"""Hosts and combinations that cannot be grafted are refused by name, and nothing of the graft stays
behind.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import transformers as T
from families import FALCON, GROUPED, SMALL, host, tokens

from ropewalk.errors import UserError
from ropewalk.hf import GraftWarning, graft

SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 97, "n_positions": 64}
GEMMA3N = {
    **GROUPED,
    "num_hidden_layers": 4,
    "intermediate_size": [48] * 4,
    "head_dim": 8,
    "sliding_window": 8,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 97,
    "hidden_size_per_layer_input": 8,
    "laurel_rank": 4,
    "activation_sparsity_pattern": [0.0] * 4,
}
UNKNOWN = {
    "GPTJForCausalLM has no rotary": partial(T.GPTJConfig, **SIZES, rotary_dim=8),
    "GPT2LMHeadModel has no rotary": partial(T.GPT2Config, **SIZES),
    "FalconForCausalLM: none of its attentions moves": partial(T.FalconConfig, **FALCON, alibi=True),
    "Gemma3nForCausalLM has layers that reuse": partial(T.Gemma3nTextConfig, **GEMMA3N),
}


def _model(config: Any) -> Any:
    return T.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


@pytest.mark.parametrize("message", UNKNOWN)
def test_unknown_hosts_are_refused_by_name(message: str) -> None:
    model = _model(UNKNOWN[message]())
    with pytest.raises(UserError, match=message):
        graft(model)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_encoder_decoders_are_refused() -> None:
    config = T.T5Config(d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2, vocab_size=50)
    with pytest.raises(UserError, match="encoder-decoder"):
        graft(T.T5ForConditionalGeneration(config))


def test_multi_headed_latent_attention_takes_no_single_heads() -> None:
    model = host("deepseek_v3")
    with pytest.raises(UserError, match=r"DeepseekV3ForCausalLM.*per_head=False"):
        graft(model, per_head=True)
    graft(model).detach()


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_hosts_with_drifting_frequencies_are_warned_about(kind: str) -> None:
    more = {"factor": 4.0} if kind == "dynamic" else {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    rope = {"rope_type": kind, "rope_theta": 1e4, "original_max_position_embeddings": 32, **more}
    kinds = {"dynamic": T.LlamaConfig, "longrope": T.Phi3Config}
    model = _model(kinds[kind](**GROUPED, rope_parameters=rope))
    ids = tokens(1, 40)
    with torch.no_grad():
        plain = model(ids, use_cache=False).logits
    with pytest.warns(GraftWarning, match=f"uses {kind} RoPE.*use_cache=False"):
        graft(model)
    with torch.no_grad():
        assert torch.equal(model(ids, use_cache=False).logits, plain)


def test_a_second_graft_and_unknown_words_are_refused() -> None:
    model = host("llama")
    with pytest.raises(UserError, match="unknown parametrization 'sigmoid'"):
        graft(model, parametrization="sigmoid")
    for parametrization in ("frozen", "free", "coordinate"):
        with pytest.raises(UserError, match=f"the {parametrization} parametrization needs more"):
            graft(model, parametrization=parametrization)
    with graft(model), pytest.raises(UserError, match="already has a graft"):
        graft(model)
    graft(model).detach()


def test_three_dimensional_positions_are_refused() -> None:
    config = T.LlamaConfig(**SMALL)
    model = T.LlamaForCausalLM(config).eval()
    graft(model)
    with pytest.raises((UserError, ValueError, RuntimeError)):
        model(tokens(1, 4), position_ids=torch.zeros(3, 1, 4, dtype=torch.int64))
