"""The settings of increments: the one schema that recipes, grafts, PEFT adapters, commands and model files share.

Needs no torch, so that model files can be checked without it. The modules behind the names are in
`ropewalk.core.increments`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PARAMETRIZATIONS: dict[str, str] = {
    "integer": "d = 1 for every token: ordinary RoPE",
    "positive": "d > 0 without a maximum, read from the raw layer input (published, shared)",
    "bounded": "0 < d < max_increment, read from the normalized layer input (published, per layer)",
    "signed": "d = 1 + z, may be negative",
    "constant": "one learned d per row: a change of scale without content",
    "table": "0 < d < max_increment, one learned d per token: no context",
    "frozen": "a fixed table of d per token, taken from a trained model",
    "random": "a random network that is never trained: the null model",
    "free": "the position itself is emitted, without a running sum (RePo)",
    "coordinate": "a bounded position within max_position, without a running sum (DaRoPE)",
}
NETWORKS = frozenset({"positive", "bounded", "signed", "random", "free", "coordinate"})  # these read a vector
ABSOLUTE = frozenset({"free", "coordinate"})  # these emit positions and not increments
ON_A_GRAFT = tuple(name for name in PARAMETRIZATIONS if name not in ABSOLUTE | {"table", "frozen"})
"""Those that need no more than what an attention module of a Hugging Face model reads."""


class IncrementConfig(BaseModel):
    """Which parametrization, and for which rows.

    parametrization: a key of `PARAMETRIZATIONS`. per: one increment per layer, or one that all layers share.
    reads: what the networks read: the input of their own layer, or the embedding of the token alone, so that no context
    reaches them. per_head: one row per key/value head instead of one for all heads. gap: whether a token's increment is the gap
    before it or after it. hidden_size: width of the increment network. max_increment: the largest d of "bounded" and "table".
    max_position: "coordinate" changes only positions below this. std: the standard deviation of d of "random".
    init: "identity" starts at d = 1 exactly, "random" draws the output layer too (published). table: the file of
    "frozen". band: the frequencies that turn with the learned positions: all of them, or only the faster or the slower half,
    while the other half turns with integer positions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    parametrization: str = "bounded"
    per: Literal["layer", "shared"] = "layer"
    reads: Literal["layer", "embedding"] = "layer"
    per_head: bool = Field(default=False, strict=True)
    gap: Literal["before", "after"] = "before"
    hidden_size: int = Field(default=64, ge=1)
    max_increment: float = Field(default=10.0, gt=1.0)
    max_position: int = Field(default=512, ge=2)
    std: float = Field(default=0.3, gt=0)
    init: Literal["identity", "random"] = "identity"
    table: Path | None = None
    band: Literal["all", "fast", "slow"] = "all"

    @field_validator("parametrization")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PARAMETRIZATIONS:
            raise ValueError(f"unknown parametrization '{name}': choose one of {', '.join(PARAMETRIZATIONS)}")
        return name

    @model_validator(mode="after")
    def _absolute_before(self) -> IncrementConfig:
        if self.gap == "after" and self.absolute:
            raise ValueError(
                f"the parametrization '{self.parametrization}' emits positions and has no gap after a token; "
                'use gap = "before"'
            )
        return self

    @model_validator(mode="after")
    def _networks_read(self) -> IncrementConfig:
        if self.reads == "embedding" and self.parametrization not in NETWORKS:
            raise ValueError(
                f"the parametrization '{self.parametrization}' reads no embedding; use reads = \"layer\", or one of "
                f"{', '.join(sorted(NETWORKS))}"
            )
        return self

    @property
    def shared(self) -> bool:
        """True when all layers use one row of positions (integer positions always do)."""
        return self.per == "shared" or self.parametrization == "integer"

    @property
    def absolute(self) -> bool:
        """True for parametrizations that emit positions and not increments."""
        return self.parametrization in ABSOLUTE
