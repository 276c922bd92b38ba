"""Variants: every form of positions that a study can train, as a change of a recipe's [model].

All are trained from the same seeds on the same data. Some take something from a trained one first: `needs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

BASELINE = "rope"
CONTROLS = ("constant", "table", "embedding", "permuted", "random")
"""What has no learned content: the main variants are compared with each."""

Takes = Literal["", "table", "permuted table", "std"]


@dataclass(frozen=True)
class Variant:
    """model: what to change. needs: the variant of the same seed that must be trained before, and `takes` from it: its
    table of increments, that table with the tokens permuted, or the standard deviation of its increments."""

    model: dict[str, Any] = field(default_factory=dict)
    needs: str | None = None
    takes: Takes = ""

    @property
    def per_head(self) -> bool:
        """Whether heads have rows of their own."""
        return bool(self.model.get("increments", {}).get("per_head"))


def _increments(parametrization: str, **more: Any) -> dict[str, Any]:
    return {"increments": {"parametrization": parametrization, **more}}


VARIANTS: dict[str, Variant] = {
    BASELINE: Variant(_increments("integer")),
    "shared": Variant(_increments("positive", per="shared")),
    "per-layer": Variant(_increments("bounded", per="layer")),
    "embedding": Variant(_increments("bounded", per="layer", reads="embedding")),
    "table": Variant(_increments("table", per="layer")),
    "shared per-head": Variant(_increments("positive", per="shared", per_head=True)),
    "per-layer per-head": Variant(_increments("bounded", per="layer", per_head=True)),
    "signed": Variant(_increments("signed", per="layer")),
    "constant": Variant(_increments("constant", per="layer")),
    "frozen": Variant(_increments("frozen", per="shared"), "shared", "table"),
    "permuted": Variant(_increments("frozen", per="shared"), "shared", "permuted table"),
    "random": Variant(_increments("random", per="layer"), "per-layer", "std"),
    "pope": Variant({"encoding": "pope", **_increments("integer")}),
    "pope per-layer": Variant({"encoding": "pope", **_increments("bounded", per="layer")}),
    "alibi": Variant({"decay": "alibi", **_increments("integer")}),
    "forget gate": Variant({"decay": "forget", **_increments("integer")}),
    "published forget gate": Variant({"decay": "shared-forget", **_increments("integer")}),
    "fast band": Variant(_increments("bounded", per="layer", band="fast")),
    "slow band": Variant(_increments("bounded", per="layer", band="slow")),
    "free": Variant(_increments("free", per="layer")),
    "coordinate": Variant(_increments("coordinate", per="layer")),
}
"""Name -> variant; those that others need come before them."""
