"""The architecture of a native decoder, as recipes and model files give it. Needs no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.core.rows import Row, layer_rows

Encoding = Literal["rope", "pope"]
Decay = Literal["alibi", "forget", "shared-forget"]


class DecoderConfig(BaseModel):
    """The shape of a native decoder. The defaults are the published model: 6.4 million parameters.

    num_kv_heads: None for as many as there are heads. intermediate_size: None for 4 x hidden_size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    vocab_size: int = Field(default=257, ge=2, le=1 << 24)
    context_length: int = Field(default=512, ge=2, le=1 << 24)
    hidden_size: int = Field(default=256, ge=2, le=1 << 17)
    num_heads: int = Field(default=8, ge=1, le=1 << 12)
    num_kv_heads: int | None = Field(default=None, ge=1)
    num_layers: int = Field(default=6, ge=1, le=1 << 10)
    intermediate_size: int | None = Field(default=None, ge=1, le=1 << 20)
    rope_theta: float = Field(default=10_000.0, gt=0)
    norm_eps: float = Field(default=1e-5, gt=0)
    encoding: Encoding = "rope"
    decay: Decay | None = None
    increments: IncrementConfig = IncrementConfig()

    @model_validator(mode="after")
    def _divisible(self) -> DecoderConfig:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of 2 x num_heads = {2 * self.num_heads}"
            )
        if self.num_heads % self.kv_heads:
            raise ValueError(f"num_heads {self.num_heads} must be a multiple of num_kv_heads {self.kv_heads}")
        return self

    @property
    def kv_heads(self) -> int:
        """Key/value heads, resolved."""
        return self.num_kv_heads or self.num_heads

    @property
    def head_size(self) -> int:
        """Channels of a head."""
        return self.hidden_size // self.num_heads

    @property
    def mlp_size(self) -> int:
        """Width of the SwiGLU layer, resolved."""
        return self.intermediate_size or 4 * self.hidden_size

    @property
    def num_increment_modules(self) -> int:
        """One per layer, or a single one that all layers share."""
        return 1 if self.increments.shared else self.num_layers

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows of increments, in layer order."""
        per_head = self.increments.per_head and self.increments.parametrization != "integer"
        layers = [None] if self.increments.shared else list(range(self.num_layers))
        return tuple(row for layer in layers for row in layer_rows(layer, self.kv_heads if per_head else 1))

    def describe(self, provenance: dict[str, Any]) -> dict[str, Any]:
        """Name, hash and version from `provenance`, and the parametrization, as a Trace records them."""
        settings = self.increments
        bounded = settings.parametrization == "bounded"
        return {
            **{key: provenance[key] for key in ("name", "hash", "version") if key in provenance},
            "parametrization": settings.parametrization,
            "per": "shared" if settings.shared else "layer",
            **({"max_increment": settings.max_increment} if bounded else {}),
        }
