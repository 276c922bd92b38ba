"""What a training run will need, estimated before anything is allocated: parameters, bytes per device, the command for several.

An estimate from shapes alone: weights, gradients, the optimizer's moments, activations, logits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ropewalk.native.decoder import Decoder
from ropewalk.system import available_memory
from ropewalk.training import distributed, execution
from ropewalk.training.distributed import ProcessGroup
from ropewalk.training.recipe import Recipe, micro_batch_size

GB = 1e9
ROOM = 0.9  # of a device's memory; the rest goes to kernels and fragmentation
LARGE = 4 * GB  # smaller estimates are not printed
CERTAIN = 2 / 3  # of an estimate: a training run that needs even this and cannot have it is refused
KEPT = {"float32": 225, "bfloat16": 150}
"""Bytes of activations per token, layer and unit of width, measured without a compiler."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes per process, by what they are for, and how many parameters there are and learn.

    libraries: what a tokenizer and libraries take beside the model, on a CPU.
    """

    parameters: int
    learning: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    libraries: float = 0.0

    @property
    def total(self) -> float:
        return (
            self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.libraries
        )

    @property
    def large(self) -> bool:
        """Whether the estimate is worth printing before a training run starts."""
        return self.total > LARGE

    def require(self, plan: execution.ExecutionPlan, team: ProcessGroup, instead: str) -> None:
        """UserError, in every process of the team, where one of them would certainly need more than is free for it;
        `instead` says what to do then. All have counted before any of them continues."""
        free = min(
            row[0] for row in team.everyone(execution.free_memory(plan, distributed.local_world_size()))
        )
        available_memory.require_memory(CERTAIN * self.total, "this training", instead, free)

    def devices(self, memory: float) -> int:
        """How many devices of `memory` bytes this takes when sharded; activations are not shared."""
        left = ROOM * memory - self.activations - self.logits
        return 0 if left <= 0 else max(1, math.ceil((self.total - self.activations - self.logits) / left))

    def describe(self, ranks: int, command: str) -> list[str]:
        """The estimate in a few lines, and the command for several devices."""
        parts = ["weights", "gradients", "optimizer", "activations", "logits"]
        parts += ["libraries"] if self.libraries else []
        sizes = ", ".join(f"{name} {getattr(self, name) / GB:.2f}" for name in parts)
        lines = [
            f"{self.parameters / 1e6:,.1f} M parameters, {self.learning / 1e6:,.2f} M of them learn",
            f"estimated memory on each of {ranks} process(es): {self.total / GB:.2f} GB ({sizes})",
        ]
        for size in (24, 80):
            count = self.devices(size * GB)
            if self.total > ROOM * size * GB and count:
                lines.append(
                    f"over {size} GB devices: torchrun --nproc-per-node {max(2, count)} -m ropewalk {command} "
                    "... --shard"
                )
        return lines


def estimate(recipe: Recipe, *, ranks: int = 1, shard: bool = False) -> MemoryEstimate:
    """The memory of one process of `ranks` that train a native decoder.

    Weights, gradients and AdamW's two moments are float32; Muon has one moment.
    """
    shape, wishes = recipe.model, recipe.train
    plan, _ = execution.plan_execution(wishes.device, wishes.precision, compile=False)
    with torch.device("meta"):
        model = Decoder(shape, seed=None)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    matrices = sum(
        p.numel() for name, p in model.named_parameters() if name.startswith("layers.") and p.dim() == 2
    )
    moments = 2 * learning - (matrices if recipe.optimizer.name == "muon" else 0)
    count = sum(t.numel() for t in model.state_dict().values())
    tokens = min(-(-wishes.batch_size // ranks), micro_batch_size(recipe)) * shape.context_length
    shared = ranks if shard else 1
    return MemoryEstimate(
        parameters=count,
        learning=learning,
        weights=count * 4 / shared,
        gradients=learning * 4 / shared,
        optimizer=moments * 4 / shared,
        activations=tokens * shape.num_layers * KEPT[plan.precision] * shape.hidden_size,
        logits=12.0 * tokens * shape.vocab_size,
    )
