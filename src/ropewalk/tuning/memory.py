"""What a graft's training will need, told before anything is loaded: parameters, bytes per device, the
command.

An estimate from shapes alone: weights, gradients and AdamW's two moments, activations, logits. Knows
shapes, not how training is done.
"""

from __future__ import annotations

from typing import Any

import torch

from ropewalk.hf.loading import open_config
from ropewalk.memory import Estimate
from ropewalk.tuning.recipe import GraftConfig


def estimate(config: GraftConfig, *, compute: torch.dtype, micro: int, ranks: int = 1) -> Estimate:
    """The memory of one process of `ranks`, when `micro` windows are on it at a time."""
    from transformers import AutoModelForCausalLM

    shape = open_config(config.base)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    count = sum(p.numel() for p in model.parameters())
    text: Any = shape.get_text_config()
    width, layers = int(text.hidden_size), int(text.num_hidden_layers)
    increments = (width + 2) * (config.increments.hidden + 1) * (1 if config.increments.shared else layers)
    matrices = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    low_rank = sum(config.lora_rank * (m.in_features + m.out_features) for m in matrices)
    learning = increments + {"frozen": 0, "lora": low_rank, "full": count}[config.how]
    narrow = compute.itemsize
    held = 4 if config.how == "full" or (config.how == "lora" and config.shard) else narrow
    shared = ranks if config.shard else 1
    tokens = micro * config.context
    kept = 2 if config.checkpointing else 34
    return Estimate(
        parameters=count,
        learning=learning,
        weights=(count * held + learning * 4) / shared,
        gradients=learning * 4 / shared,
        optimizer=learning * 8 / shared,
        activations=tokens * width * narrow / 2 * (kept * layers + (34 if config.checkpointing else 0)),
        logits=tokens * int(text.vocab_size) * (narrow + 8),
    )
