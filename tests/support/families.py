"""Tiny random hosts of every family that the graft claims to support. Weights are drawn, nothing is
downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers as T

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
HEAD = {**GROUPED, "head_dim": 8}
MIXED = {
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "sliding_window": 8,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def _rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **more}}


LLAMA3 = _rope(
    "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "shared_expert_intermediate_size": 16,
}
LATENT = {
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
}
FALCON = {
    key: value for key, value in SMALL.items() if key not in ("intermediate_size", "max_position_embeddings")
}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": partial(T.LlamaConfig, **GROUPED),
    "llama-llama3": partial(T.LlamaConfig, **GROUPED, **LLAMA3),
    "llama-yarn": partial(
        T.LlamaConfig, **GROUPED, **_rope("yarn", factor=4.0, original_max_position_embeddings=32)
    ),
    "mistral": partial(T.MistralConfig, **GROUPED, sliding_window=8),
    "qwen2": partial(T.Qwen2Config, **GROUPED),
    "qwen3": partial(T.Qwen3Config, **HEAD),
    "gemma": partial(T.GemmaConfig, **HEAD),
    "gemma2": partial(T.Gemma2Config, **HEAD, sliding_window=8),
    "gemma3": partial(T.Gemma3TextConfig, **{**HEAD, **MIXED}),
    "olmo": partial(T.OlmoConfig, **GROUPED),
    "olmo2": partial(T.Olmo2Config, **GROUPED),
    "olmo3": partial(T.Olmo3Config, **GROUPED, sliding_window=8),
    "smollm3": partial(T.SmolLM3Config, **{**GROUPED, "num_hidden_layers": 4}),
    "phi": partial(T.PhiConfig, **GROUPED, partial_rotary_factor=0.5),
    "phi3": partial(T.Phi3Config, **GROUPED, partial_rotary_factor=0.5),
    "gpt_neox": partial(T.GPTNeoXConfig, **SMALL, rotary_pct=0.5),
    "stablelm": partial(T.StableLmConfig, **GROUPED, partial_rotary_factor=0.5),
    "granite": partial(T.GraniteConfig, **GROUPED, embedding_multiplier=2.0, attention_multiplier=0.3),
    "starcoder2": partial(T.Starcoder2Config, **GROUPED),
    "glm4": partial(T.Glm4Config, **HEAD),
    "nemotron": partial(T.NemotronConfig, **GROUPED),
    "persimmon": partial(T.PersimmonConfig, **SMALL),
    "falcon": partial(T.FalconConfig, **FALCON, alibi=False),
    "cohere": partial(T.CohereConfig, **GROUPED),
    "cohere2": partial(T.Cohere2Config, **{**GROUPED, "num_hidden_layers": 4}, sliding_window=8),
    "exaone4": partial(T.Exaone4Config, **{**GROUPED, **MIXED}),
    "mixtral": partial(T.MixtralConfig, **GROUPED, num_local_experts=4),
    "qwen3_moe": partial(T.Qwen3MoeConfig, **HEAD, **EXPERTS),
    "gpt_oss": partial(T.GptOssConfig, **HEAD, num_local_experts=4, num_experts_per_tok=2, sliding_window=8),
    "deepseek_v3": partial(T.DeepseekV3Config, **{**SMALL, **LATENT}),
    "lfm2": partial(T.Lfm2Config, **GROUPED, layer_types=["conv", "full_attention"]),
    "qwen3_next": partial(
        T.Qwen3NextConfig, **HEAD, **EXPERTS, **LINEAR, layer_types=["linear_attention", "full_attention"]
    ),
    "llama4": partial(
        T.Llama4TextConfig,
        **{**HEAD, "num_hidden_layers": 4},
        intermediate_size_mlp=48,
        num_local_experts=2,
        attention_chunk_size=64,
    ),
}
STILL = {
    "smollm3": (3,),
    "cohere2": (3,),
    "exaone4": (1, 3),
    "lfm2": (0,),
    "qwen3_next": (0,),
    "llama4": (3,),
}


def host(name: str, attention: str = "sdpa", seed: int = 0, **changes: Any) -> Any:
    """A host whose weights are spread widely enough for attention to depend on positions."""
    config = CONFIGS[name]()
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(seed)
    try:
        model = T.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    except ValueError:
        torch.manual_seed(seed)
        model = T.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.abs().max() < 0.2:
                parameter.mul_(8.0)
    return model.eval()


def perturb(graft: Any, scale: float = 0.5, seed: int = 0) -> None:
    """Increments away from 1: what training would do."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in graft.increment_modules.named_parameters():
            if "output.weight" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            elif "hidden.weight" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def tokens(batch: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, 97, (batch, length), generator=torch.Generator().manual_seed(seed))


def graft_of_integers(name: str) -> Any:
    """A host with d = 1 in a row of every layer."""
    from ropewalk.hf import graft

    return graft(host(name), parametrization="integer")
