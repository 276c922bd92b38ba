"""Variants: every way of spacing that a study can train, as what it changes in a recipe's [model].

All are trained from the same seeds on the same data. Some need something of a trained one first: `needs`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BASELINE = "rope"


@dataclass(frozen=True)
class Variant:
    """model: what to change. needs: the variant of the same seed that must be trained before, and `takes` from
    it: its increment table, its table with the tokens changed about, or the spread of its increments."""

    model: dict[str, Any] = field(default_factory=dict)
    needs: str | None = None
    takes: str = ""


def _parametrization(parametrization: str, **more: Any) -> dict[str, Any]:
    return {"increments": {"parametrization": parametrization, **more}}


VARIANTS: dict[str, Variant] = {
    BASELINE: Variant(_parametrization("integer")),
    "shared": Variant(_parametrization("positive", per="shared")),
    "per-layer": Variant(_parametrization("bounded", per="layer")),
    "shared per-head": Variant(_parametrization("positive", per="shared", per_head=True)),
    "per-layer per-head": Variant(_parametrization("bounded", per="layer", per_head=True)),
    "signed": Variant(_parametrization("signed", per="layer")),
    "constant": Variant(_parametrization("constant", per="layer")),
    "frozen": Variant(_parametrization("frozen", per="shared"), "shared", "table"),
    "permuted": Variant(_parametrization("frozen", per="shared"), "shared", "permuted table"),
    "random": Variant(_parametrization("random", per="layer"), "per-layer", "spread"),
    "pope": Variant({"encoding": "pope", **_parametrization("integer")}),
    "pope per-layer": Variant({"encoding": "pope", **_parametrization("bounded", per="layer")}),
    "alibi": Variant({"decay": "alibi", **_parametrization("integer")}),
    "forget gate": Variant({"decay": "forget", **_parametrization("integer")}),
    "free": Variant(_parametrization("free", per="layer")),
    "coordinate": Variant(_parametrization("coordinate", per="layer")),
}
"""Name -> variant; what others need stands before them."""
