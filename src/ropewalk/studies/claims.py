"""Claims: the published figures, each with the place of ours in a study's tables and the rule of its verdict.

Source of the figures: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026, its tables and the
repository's own replica. A verdict follows from our interval by `judge`, never by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from ropewalk.analyses.result import Cell, Result
from ropewalk.analyses.statistics import Estimate
from ropewalk.errors import UserError

Rule = Literal["above", "below", "equivalent", "figure"]


@dataclass(frozen=True)
class Claim:
    """id; the published number as text; where ours is; `above` or `below` `null`, `equivalent`, or only a figure."""

    id: str
    section: str
    published: str
    variant: str | None
    table: str
    result: str
    row: dict[str, Cell]
    column: str
    rule: Rule = "figure"
    null: float = 0.0


BYTES = {
    "a-z": (0.79, 1.64), "Chinese continuation byte": (0.80, 1.79), "Chinese lead byte": (0.92, 2.43),
    "space": (1.05, 9.99), "A-Z": (1.10, 9.52), ". ! ?": (1.18, 9.90), ", ; : -": (1.14, None),
    "newline": (2.12, 9.99), "end of document": (2.90, 9.82),
}  # fmt: skip
BOUNDARIES = (0.50, 0.54, 0.68, 0.37, 0.63, 0.47)
ENTITIES = {"L2": "71 %, p 3e-5", "L3": "66 %, p 6e-5", "L4": "77 %, p 3e-8", "L5": "78 %, p 3e-7"}
LOSSES = {
    "shared": -0.0006, "shared per-head": -0.0013, "per-layer": -0.0031, "per-layer per-head": -0.0052,
    "alibi": -0.0066, "forget gate": -0.0027,
}  # fmt: skip


def claims() -> Iterator[Claim]:
    """All claims, in the order of the post."""
    for kind, (shared, layer) in BYTES.items():
        yield Claim(
            f"bytes/shared/{kind}",
            "Increments by byte, shared",
            f"{shared}",
            "shared",
            "bytes",
            "bytes",
            {"line": "all", "kind": kind},
            "mean",
        )
        if layer is not None:
            yield Claim(
                f"bytes/layer 0/{kind}",
                "Increments by byte, layer 0",
                f"{layer}",
                "per-layer",
                "bytes",
                "bytes",
                {"line": "L0", "kind": kind},
                "mean",
            )
    yield Claim(
        "surface",
        "Surface boundaries, shared",
        "AUC 0.97",
        "shared",
        "spacing",
        "surface",
        {"reader": "increment all"},
        "auc",
        "above",
        0.5,
    )
    yield Claim(
        "boundaries/all",
        "Chinese words against jieba",
        "AUC 0.498",
        "shared",
        "boundaries * by jieba",
        "boundaries",
        {"reader": "increment all"},
        "auc",
    )
    yield Claim(
        "boundaries/best",
        "Chinese words against jieba",
        "AUC 0.68, best of six layers",
        "per-layer",
        "boundaries * by jieba",
        "boundaries",
        {"reader": "increment, line chosen on development"},
        "auc",
        "above",
        0.5,
    )
    for layer, value in enumerate(BOUNDARIES):
        rule: Rule = "figure" if abs(value - 0.5) < 0.02 else "above"
        yield Claim(
            f"boundaries/L{layer}",
            "Chinese words against jieba",
            f"AUC {value:.2f}",
            "per-layer",
            "boundaries * by jieba",
            "boundaries",
            {"reader": f"increment L{layer}"},
            "auc",
            rule,
            0.5,
        )
    for line, told in ENTITIES.items():
        yield Claim(
            f"entities/{line}",
            "Two-word names, reversed order",
            told,
            "per-layer",
            "entities",
            "entities",
            {"comparison": "reversed order, inner gap", "language": "all", "line": line},
            "share",
            "above",
            0.5,
        )
    for variant, difference in LOSSES.items():
        yield Claim(
            f"loss/{variant}",
            "Loss against integer RoPE",
            f"{difference:+.4f}",
            None,
            "neutrality",
            "neutrality",
            {"variant": variant},
            "difference",
            "equivalent" if variant in ("shared", "per-layer") else "below",
        )


def judge(
    claims: Iterator[Claim], group: str, made: dict[str, list[Result]], seen: str
) -> list[dict[str, Any]]:
    """Each claim with our number, its interval, its verdict and its command; those without a table are left out.

    An AUC of word boundaries must clear what random networks reach, not only chance.
    """
    told = []
    for claim in claims:
        result = _find(claim, group, made)
        if result is None:
            continue
        try:
            row = result.find(**claim.row)
        except UserError:
            continue
        if claim.result == "boundaries" and result.primary is not None:
            claim = replace(claim, null=result.primary.null)
        low, high = row.get(f"{claim.column}_low"), row.get(f"{claim.column}_high")
        told.append(
            {
                "id": claim.id,
                "section": claim.section,
                "published": claim.published,
                "ours": row[claim.column],
                "low": low,
                "high": high,
                "seeds": len(result.provenance.get("models", [])) if claim.variant else row.get("pairs"),
                "verdict": verdict(claim, row, seen),
                "command": result.command,
            }
        )
    return told


def verdict(claim: Claim, row: dict[str, Cell], seen: str) -> str:
    """ "replicated", "not replicated" or "undecided at N MB", from the interval alone; "no verdict" for a figure.

    An AUC of a reader whose sign was fixed on development is above chance where it tells boundaries either way.
    """
    if claim.rule == "figure":
        return "no verdict"
    low, high = (row.get(f"{claim.column}_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return "one seed, no verdict"
    if claim.rule == "equivalent":
        if row.get("equivalent"):
            return "replicated"
        return "not replicated" if row.get("different") else f"undecided at {seen}"
    side = Estimate(0.0, float(low), float(high)).verdict(claim.null)
    if side == "undecided":
        return f"undecided at {seen}"
    return "replicated" if side == claim.rule else "not replicated"


def _find(claim: Claim, group: str, made: dict[str, list[Result]]) -> Result | None:
    start, _, end = claim.table.partition("*")
    prefix = f"{group}/{claim.variant}/" if claim.variant else f"{group}/"
    for name, kept in made.items():
        rest = name.removeprefix(prefix)
        if rest != name and rest.startswith(start) and rest.endswith(end if end else start):
            return next((result for result in kept if result.name == claim.result), None)
    return None
