"""Converts a native decoder with integer RoPE to `LlamaForCausalLM`.

The folder loads with plain transformers and needs no ropewalk. Its tokenizer reads raw UTF-8 bytes as the native models
do: tokens 0..255, and 256 for the end of a document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ropewalk.errors import UserError
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.system.folders import write_folder
from ropewalk.tokens.byte_level import BYTES
from ropewalk.tokens.utf8_bytes import END, VOCAB_SIZE

END_TOKEN = "<|end|>"


def export(decoder: Decoder, folder: str | Path) -> Path:
    """Writes a native decoder with integer RoPE as a `LlamaForCausalLM` folder, with a byte tokenizer."""
    model = llama(decoder)

    def fill(temporary: Path) -> None:
        model.save_pretrained(temporary)
        if decoder.own_tokenizer is not None:
            decoder.own_tokenizer.tokenizer.save_pretrained(temporary)
        elif decoder.config.vocab_size == VOCAB_SIZE:
            byte_tokenizer().save_pretrained(temporary)

    write_folder(Path(folder), fill)
    return Path(folder)


def llama(decoder: Decoder, *, increments: bool = False) -> Any:
    """The decoder as a `LlamaForCausalLM`. increments: drop a learned parametrization instead of refusing it."""
    from transformers import LlamaForCausalLM

    config = decoder.config
    if config.encoding != "rope" or config.decay is not None:
        raise UserError(
            f"only decoders with RoPE and without decay are Llamas; this one has encoding {config.encoding} and decay "
            f"{config.decay}."
        )
    if config.increments.parametrization != "integer" and not increments:
        raise UserError(
            f"this decoder has learned increments ({config.increments.parametrization}), which a Llama does not have; "
            'export one trained with model.increments.parametrization = "integer", or load this one with '
            "AutoModelForCausalLM after `import ropewalk.hf`."
        )
    shape = llama_config(config)
    if decoder.own_tokenizer is not None:
        shape.bos_token_id = shape.eos_token_id = decoder.own_tokenizer.end
    model = LlamaForCausalLM(shape).eval()
    model.load_state_dict(llama_state_dict(decoder), strict=False)
    return model


def llama_config(config: DecoderConfig) -> Any:
    """The `LlamaConfig` of a native decoder's shape."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.mlp_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.kv_heads,
        max_position_embeddings=config.context_length,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=END if config.vocab_size > END else None,
        eos_token_id=END if config.vocab_size > END else None,
        pad_token_id=None,
        initializer_range=0.02,
    )


def byte_tokenizer() -> Any:
    """A transformers tokenizer whose tokens are the bytes of the text, numbered 0..255, and 256 for END."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = dict(BYTES)
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(END_TOKEN, special=True, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END_TOKEN, eos_token=END_TOKEN)


def llama_state_dict(decoder: Decoder) -> dict[str, Tensor]:
    """The decoder's weights on the CPU in float32, by the names of a Llama."""
    own = {name: tensor.detach().to("cpu", torch.float32) for name, tensor in decoder.state_dict().items()}
    names = {
        "model.embed_tokens.weight": "embedding",
        "lm_head.weight": "embedding",
        "model.norm.weight": "norm.weight",
    }
    for i in range(decoder.config.num_layers):
        here, there = f"layers.{i}", f"model.layers.{i}"
        names |= {
            f"{there}.input_layernorm.weight": f"{here}.attention_norm.weight",
            f"{there}.post_attention_layernorm.weight": f"{here}.mlp_norm.weight",
            **{f"{there}.self_attn.{x}_proj.weight": f"{here}.attention.{x}.weight" for x in "qkvo"},
            **{f"{there}.mlp.{x}_proj.weight": f"{here}.mlp.{x}.weight" for x in ("gate", "up", "down")},
        }
    return {new: own[old] for new, old in names.items()}
