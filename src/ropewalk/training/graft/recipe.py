"""The settings of a graft's training run: which model, which weights train, and for how long.

`GraftRecipe` has the sections of every recipe, so that one loop and one run folder serve native models and grafts.
"""

from __future__ import annotations

import functools
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import CorpusConfig
from ropewalk.hf.loading import open_config
from ropewalk.tokens.tokenizer import Start
from ropewalk.training.optimizer import OptimizerConfig
from ropewalk.training.recipe import MICRO_TOKENS, TrainConfig

MAX_LOGITS_PER_PASS = 1 << 28
"""Logits of one pass with gradients: 1 GB in float32, and as much for their gradient."""

Trainable = Literal["increments", "lora", "full"]
RATES: dict[Trainable, tuple[float, float]] = {
    "increments": (1e-3, 1.0),
    "lora": (1e-4, 10.0),
    "full": (1e-5, 100.0),
}
"""Learning rate of the base, and the multiplier that gives 1e-3 for the increments."""


class GraftConfig(BaseModel):
    """base: a folder, a hub name or a GGUF file. trainable: the increments alone, with LoRA adapters, or with all weights of the base. context_length: tokens in a window.

    start: the tokens before each window, which are left out of the loss: "auto" those that the tokenizer adds to a text,
    "bos", "none", or a token id. checkpointing: recompute activations in the backward pass, to save memory. shard:
    split weights, gradients and optimizer state over the processes (FSDP2) instead of replicating them (DDP).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    trainable: Trainable = "increments"
    context_length: int = Field(512, ge=2)
    start: Start = "auto"
    lora_rank: int = Field(16, ge=1)
    checkpointing: bool = False
    shard: bool = False
    increments: IncrementConfig = IncrementConfig()


class GraftRecipe(BaseModel):
    """Everything about a graft's run and its baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: CorpusConfig
    model: GraftConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @property
    def token_unit(self) -> str:
        """The unit in which metrics count."""
        return "tokens"

    @property
    def micro_tokens(self) -> int:
        """Tokens of a micro-batch where the recipe does not set its size: fewer for large vocabularies, whose logits need the memory."""
        return max(1, min(MICRO_TOKENS, MAX_LOGITS_PER_PASS // vocab_size(self.model.base)))

    @model_validator(mode="after")
    def _ordinary_steps(self) -> GraftRecipe:
        if self.train.minutes is not None or self.train.cuda_graphs:
            raise ValueError(
                "train.minutes and train.cuda_graphs are for native models; leave them out for a graft"
            )
        return self


@functools.cache
def vocab_size(base: str) -> int:
    """Size of the vocabulary of a base."""
    return int(open_config(base).get_text_config().vocab_size)


def rates(trainable: Trainable, steps: int) -> OptimizerConfig:
    """Peak learning rates by what trains: 1e-3 for the increments, the usual rates of fine-tuning for the base."""
    lr, multiplier = RATES[trainable]
    return OptimizerConfig(lr=lr, increments_lr_multiplier=multiplier, warmup=min(500, max(1, steps // 10)))
