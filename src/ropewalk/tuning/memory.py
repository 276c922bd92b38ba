"""What a graft's training will need, told before anything is loaded: parameters, bytes per device, the
command.

An estimate from shapes alone: weights, gradients and AdamW's two moments, activations, logits. Knows
shapes, not how training is done.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from ropewalk.hf.loading import open_config
from ropewalk.tuning.recipe import GraftConfig

GB = 1e9
ROOM = 0.9  # of a device's memory; the rest goes to kernels and fragmentation


@dataclass(frozen=True)
class Estimate:
    """Bytes per process, by what they are for, and how many parameters there are and learn."""

    parameters: int
    learning: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    def devices(self, memory: float) -> int:
        """How many devices of `memory` bytes this takes when sharded; activations are not shared."""
        left = ROOM * memory - self.activations - self.logits
        return 0 if left <= 0 else max(1, math.ceil((self.total - self.activations - self.logits) / left))

    def told(self, ranks: int) -> list[str]:
        """The estimate in a few lines, and the command for several devices."""
        parts = ("weights", "gradients", "optimizer", "activations", "logits")
        sizes = ", ".join(f"{name} {getattr(self, name) / GB:.2f}" for name in parts)
        lines = [
            f"{self.parameters / 1e6:,.1f} M parameters, {self.learning / 1e6:,.2f} M of them learn",
            f"estimated memory on each of {ranks} process(es): {self.total / GB:.2f} GB ({sizes})",
        ]
        for size in (24, 80):
            count = self.devices(size * GB)
            if self.total > ROOM * size * GB and count:
                lines.append(
                    f"over {size} GB devices: torchrun --nproc-per-node {max(2, count)} -m ropewalk.cli "
                    "graft-train "
                    "... --shard"
                )
        return lines


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
