"""Estimates the memory of a graft's training before anything is loaded.

From shapes alone: weights, gradients and AdamW's two moments, activations, logits.
"""

from __future__ import annotations

from typing import Any

import torch

from ropewalk.core.loss import LARGE_VOCABULARY, LOGITS_AT_ONCE
from ropewalk.hf.loading import open_config
from ropewalk.training.graft.recipe import GraftRecipe
from ropewalk.training.memory_estimate import MemoryEstimate
from ropewalk.training.recipe import micro_batch_size

KEPT = {
    ("increments", 4): (48, 12),
    ("lora", 4): (48, 16),
    ("full", 4): (63, 16),
    ("increments", 2): (28, 6),
    ("lora", 2): (38, 8),
    ("full", 2): (52, 10),
}
"""Bytes that a layer keeps for its gradient, by what learns and by the bytes of the compute dtype: per token and unit of the
hidden size, and of the MLP's width. Measured on a Llama, eager."""
LIBRARIES = 6e7
"""Bytes that libraries take when a first model is opened, on a CPU."""
TOKENIZER = 1050
"""Bytes of a fast tokenizer for each token that it knows."""


def estimate(recipe: GraftRecipe, *, compute: torch.dtype, ranks: int = 1) -> MemoryEstimate:
    """The memory of one process of `ranks` that train a graft."""
    config = recipe.model
    count, model, text = base_shape(recipe)
    width, layers = int(text.hidden_size), int(text.num_hidden_layers)
    increments = (
        (width + 2) * (config.increments.hidden_size + 1) * (1 if config.increments.shared else layers)
    )
    matrices = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    low_rank = sum(config.lora_rank * (m.in_features + m.out_features) for m in matrices)
    unread = 0 if config.trainable == "full" or _on_a_gpu(recipe) else _unread(model)
    trained = count if config.trainable == "full" else 0
    learning = increments + (low_rank if config.trainable == "lora" else 0) + trained
    narrow = compute.itemsize
    shared = ranks if config.shard else 1
    tokens = min(-(-recipe.train.batch_size // ranks), micro_batch_size(recipe)) * config.context_length
    outside, inside = KEPT[config.trainable, narrow]
    whole = outside * width + inside * _mlp_size(text)
    return MemoryEstimate(
        parameters=count,
        learning=learning,
        weights=((count - unread) * _held(recipe, model, narrow) + (learning - trained) * 4) / shared,
        gradients=learning * 4 / shared,
        optimizer=learning * 8 / shared,
        activations=tokens * (layers * narrow * width + whole if config.checkpointing else layers * whole),
        logits=_logits(tokens, text, narrow),
        libraries=0.0 if _on_a_gpu(recipe) else LIBRARIES + TOKENIZER * int(text.vocab_size),
    )


def base_shape(recipe: GraftRecipe) -> tuple[int, Any, Any]:
    """How many parameters the base has, the base without its weights, and the configuration of its text model."""
    from transformers import AutoModelForCausalLM

    shape = open_config(recipe.model.base)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    return sum(p.numel() for p in model.parameters()), model, shape.get_text_config()


def _logits(tokens: int, text: Any, narrow: int) -> float:
    """Logits and their gradient; in float32 as well where the vocabulary is too small for the loss to go piece by piece."""
    size = int(text.vocab_size)
    if size < LARGE_VOCABULARY or tokens * size <= LOGITS_AT_ONCE:
        return tokens * size * (narrow + 8)
    capped = 2 if getattr(text, "final_logit_softcapping", None) else 0  # copies that the cap keeps and makes
    return tokens * size * narrow * (2 + capped) + 12 * LOGITS_AT_ONCE


def _unread(model: Any) -> int:
    """Weights that stay on the disk on a CPU: those of an embedding that is not tied to the head, of which few rows are read."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is None or getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    return 0 if tied else int(embedding.weight.numel())


def _on_a_gpu(recipe: GraftRecipe) -> bool:
    return recipe.train.device != "cpu" and torch.cuda.is_available()


def _mlp_size(text: Any) -> int:
    """The width of an MLP, the largest where layers differ."""
    size = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    return max(size) if isinstance(size, list | tuple) else int(size)


def _held(recipe: GraftRecipe, model: Any, narrow: int) -> float:
    """Bytes of a weight of the base. One that learns is held in float32, and a narrower compute dtype keeps a copy of it for
    the backward pass; one that does not is held as it is computed, or as it was quantized (4 bits where the config does not say)."""
    if recipe.model.trainable == "full":
        return 4 + (narrow if narrow < 4 else 0)
    if recipe.model.trainable == "lora" and recipe.model.shard:
        return 4
    config = getattr(model.config, "quantization_config", None)
    if config is None:
        return narrow
    values = config if isinstance(config, dict) else config.to_dict()
    return (values.get("bits") or (8 if values.get("load_in_8bit") else 4)) / 8
