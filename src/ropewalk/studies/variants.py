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


def _law(law: str, **more: Any) -> dict[str, Any]:
    return {"increments": {"law": law, **more}}


VARIANTS: dict[str, Variant] = {
    BASELINE: Variant(_law("unit")),
    "shared": Variant(_law("positive", per="shared")),
    "per-layer": Variant(_law("bounded", per="layer")),
    "shared per-head": Variant(_law("positive", per="shared", lines="key_head")),
    "per-layer per-head": Variant(_law("bounded", per="layer", lines="key_head")),
    "signed": Variant(_law("signed", per="layer")),
    "constant": Variant(_law("constant", per="layer")),
    "frozen": Variant(_law("frozen", per="shared"), "shared", "table"),
    "permuted": Variant(_law("frozen", per="shared"), "shared", "permuted table"),
    "random": Variant(_law("random", per="layer"), "per-layer", "spread"),
    "pope": Variant({"encoding": "pope", **_law("unit")}),
    "pope per-layer": Variant({"encoding": "pope", **_law("bounded", per="layer")}),
    "alibi": Variant({"decay": "alibi", **_law("unit")}),
    "forget gate": Variant({"decay": "forget", **_law("unit")}),
    "free": Variant(_law("free", per="layer")),
    "coordinate": Variant(_law("coordinate", per="layer")),
}
"""Name -> variant; what others need stands before them."""
