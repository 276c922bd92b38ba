"""Recipes: one TOML file says everything about a training run, and nothing else does.

Sections: [corpus], [model] (with [model.increments]), [optimizer], [train]. Unknown keys are errors; the
command line overrides single keys as `section.key=value`. Knows the configuration classes of each package, not
what they do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ropewalk.corpus import CorpusConfig
from ropewalk.errors import DOCUMENTATION
from ropewalk.native.config import DecoderConfig
from ropewalk.system.seeds import MAX_SEED
from ropewalk.system.toml import read_toml
from ropewalk.tokens.utf8_bytes import VOCAB_SIZE
from ropewalk.training.execution import Precision
from ropewalk.training.optimizer import OptimizerConfig

MICRO_TOKENS = 8_192


class TrainConfig(BaseModel):
    """How long, how much at a time, how often to look.

    minutes: wall time to train for; the rate is measured before the run begins and `steps` lowered to what fits. cuda_graphs:
    keep the step on the device, on a GPU as one CUDA graph (`ropewalk.training.fast_step`). attention: the kernel of that
    step on a GPU. batch_size: windows a step; micro_batch_size: windows at a time on the device (None: about 8,000 tokens). Counts are in
    steps, `validation_tokens` in tokens predicted, `checkpoint_minutes` in minutes of wall time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=50_000, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=64, ge=1)
    micro_batch_size: int | None = Field(default=None, ge=1)
    seed: int = Field(default=42, ge=0, le=MAX_SEED)
    device: str = "auto"
    precision: Precision = "auto"
    compile: bool = True
    cuda_graphs: bool = False
    attention: Literal["auto", "flash", "cudnn"] = "auto"
    log_every: int = Field(default=10, ge=1)
    validate_every: int = Field(default=1_000, ge=1)
    validation_tokens: int = Field(default=1_000_000, ge=1)
    checkpoint_minutes: float = Field(default=5.0, ge=0)
    keep: int = Field(default=2, ge=1)


class Recipe(BaseModel):
    """Everything about one training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: CorpusConfig
    model: DecoderConfig = DecoderConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()

    @property
    def token_unit(self) -> str:
        """What metrics count: the tokens of a native model are bytes, unless the corpus has a tokenizer."""
        return "bytes" if self.corpus.tokenizer is None else "tokens"

    @model_validator(mode="after")
    def _holds_bytes(self) -> Recipe:
        if self.corpus.tokenizer is None and self.model.vocab_size < VOCAB_SIZE:
            raise ValueError(
                f"model.vocab_size {self.model.vocab_size} must be at least {VOCAB_SIZE}: "
                "256 bytes and the end of a document"
            )
        return self


def micro_batch_size(recipe: Any) -> int:
    """How many windows are on the device at a time, for a native recipe or a graft's."""
    given: int | None = recipe.train.micro_batch_size
    if given is not None:
        return given
    tokens: int = getattr(recipe, "micro_tokens", MICRO_TOKENS)
    return max(1, tokens // recipe.model.context_length)


def step_tokens(recipe: Any) -> int:
    """How many tokens (bytes, for a native model) a step of a recipe reads."""
    tokens: int = recipe.train.batch_size * recipe.model.context_length
    return tokens


def read_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """The recipe in a TOML file, with `section.key=value` overrides: TOML values, or bare words."""
    return read_toml(path, "recipe", overrides).validate(Recipe, f"see {DOCUMENTATION}/recipes.html")
