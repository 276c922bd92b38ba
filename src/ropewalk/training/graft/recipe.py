"""What a graft's training is: which model, what of it learns, and for how long.

Knows the rooms' own configuration classes; `Recipe` has the sections of every recipe, so that one loop and
one run folder serve both hosts.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import CorpusConfig
from ropewalk.training.optimizer import OptimizerConfig
from ropewalk.training.recipe import TrainConfig

How = Literal["frozen", "lora", "full"]
RATES = {"frozen": (1e-3, 1.0), "lora": (1e-4, 10.0), "full": (1e-5, 100.0)}


class GraftConfig(BaseModel):
    """`base`: folder or hub name. `how`: what learns beside the increments. `context_length`: tokens in a window.

    checkpointing recomputes activations in the backward pass, for memory; shard splits weights, gradients and
    optimizer state over the processes (FSDP2) instead of repeating them (DDP).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    how: How = "frozen"
    context_length: int = Field(512, ge=2)
    lora_rank: int = Field(16, ge=1)
    checkpointing: bool = False
    shard: bool = False
    increments: IncrementConfig = IncrementConfig()

    @property
    def symbols(self) -> str:
        """What is counted as read."""
        return "tokens"


class GraftRecipe(BaseModel):
    """Everything about one paired training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: CorpusConfig
    model: GraftConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()


def rates(how: How, steps: int) -> OptimizerConfig:
    """Peak rates that suit what learns: the increments' is 1e-3, the base's as in ordinary fine-tuning."""
    lr, times = RATES[how]
    return OptimizerConfig(lr=lr, increments_lr=times, warmup=min(500, max(1, steps // 10)))
