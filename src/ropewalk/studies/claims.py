"""Claims: the published figures, each with the place of ours in a study's tables and the rule of its verdict.

Source of the figures: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026, its tables and the
repository's own replica. A verdict follows from our interval by `judge`, never by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ropewalk.analyses.result import Cell, Result
from ropewalk.analyses.statistics import Estimate, cleared
from ropewalk.errors import UserError

Rule = Literal["above", "below", "equivalent", "figure"]
Place = tuple[str | None, str, str, dict[str, Cell], str]  # variant, table, result, row, column


@dataclass(frozen=True)
class Claim:
    """id; the published number as text; where ours is; `above` or `below` `null`, `equivalent`, or only a figure.

    reads: what the trainings read (`plan.Group.reads`). A claim without a row is about the primary endpoint.
    """

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
    reads: str = "text"


BYTES = {
    "a-z": (0.79, 1.64), "Chinese continuation byte": (0.80, 1.79), "Chinese lead byte": (0.92, 2.43),
    "space": (1.05, 9.99), "A-Z": (1.10, 9.52), ". ! ?": (1.18, 9.90), ", ; : -": (1.14, None),
    "newline": (2.12, 9.99), "end of document": (2.90, 9.82),
}  # fmt: skip
BOUNDARIES = (0.50, 0.54, 0.68, 0.37, 0.63, 0.47)
ENTITIES = {"L2": "71 %, p 3e-5", "L3": "66 %, p 6e-5", "L4": "77 %, p 3e-8", "L5": "78 %, p 3e-7"}
LOSSES = {
    "shared": -0.0006, "shared per-head": -0.0013, "per-layer": -0.0031, "per-layer per-head": -0.0052,
    "alibi": -0.0066, "forget gate": -0.0027, "frozen": -0.001,
}  # fmt: skip
NEUTRAL = ("shared", "per-layer", "frozen")
CHOSEN = ("boundaries", "scopes")  # whose lines must clear what the best of random lines reaches
CLEARED = ("surface", "entities")  # whose rows say what they must clear
ELSEWHERE = (
    ("Other sizes", "loss 1.471 against 1.472 at 152 M parameters", "width and layers of recipes/post.toml"),
    ("Learned forget gates", "their slopes form ALiBi's ladder", "the weights of the variant `forget gate`"),
    (
        "Negative increments",
        "one byte kind only: the last byte of the Chinese possessive particle",
        "ropewalk measure bytes MODEL, of the variant `signed`",
    ),
    ("PoPE at look-up", "85.4 %, with increments 84.9 %", "add `pope` to a group that reads `lookup`"),
    (
        "Graft onto SmolLM2-1.7B",
        "perplexity 9.660 to 9.666 (LoRA), 9.469 against 9.471 (all weights)",
        "ropewalk graft-study recipes/graft.toml, docs/graft.md",
    ),
)
"""What was published and is in no table of a study: section, figure, where to look for it."""


def claims() -> Iterator[Claim]:
    """All claims, in the order of the post."""
    place: Place
    row: dict[str, Cell]
    rule: Rule
    for variant, difference in LOSSES.items():
        place = (None, "neutrality", "neutrality", {"variant": variant}, "difference")
        rule = "equivalent" if variant in NEUTRAL else "below"
        yield Claim(f"loss/{variant}", "Loss against integer RoPE", f"{difference:+.4f}", *place, rule)
    for line, variant, of in (("all", "shared", 0), ("L0", "per-layer", 1)):
        name = "shared" if line == "all" else "layer 0"
        for kind, figures in BYTES.items():
            if figures[of] is not None:
                row = {"line": line, "kind": kind}
                place = (variant, "bytes", "bytes", row, "mean")
                yield Claim(f"bytes/{name}/{kind}", f"Increments by byte, {name}", str(figures[of]), *place)
    section, table = "Chinese words against jieba", "boundaries * by jieba"
    row = {"reader": "increment all"}
    yield Claim("boundaries/all", section, "AUC 0.498", "shared", table, "boundaries", row, "auc")
    row = {"reader": "increment, line chosen on development"}
    best = "AUC 0.68, best of six layers"
    yield Claim("boundaries/best", section, best, "per-layer", table, "boundaries", row, "auc", "above", 0.5)
    for layer, value in enumerate(BOUNDARIES):
        rule = "figure" if abs(value - 0.5) < 0.02 else "above"
        place = ("per-layer", table, "boundaries", {"reader": f"increment L{layer}"}, "auc")
        yield Claim(f"boundaries/L{layer}", section, f"AUC {value:.2f}", *place, rule, 0.5)
    for line, told in ENTITIES.items():
        row = {"comparison": "reversed order, inner gap", "language": "all", "line": line}
        place = ("per-layer", "entities", "entities", row, "share")
        yield Claim(f"entities/{line}", "Two-word names, reversed order", told, *place, "above", 0.5)
    row = {"reader": "increment all"}
    place = ("shared", "spacing", "surface", row, "auc")
    yield Claim("surface", "Surface boundaries, shared", "AUC 0.97", *place, "above", 0.5)
    row = {"reader": "increment, line chosen on development"}
    place = ("per-layer", "scopes", "scopes", row, "auc")
    told = "layer 2: about 8, all else about 1"
    yield Claim("code", "Scope delimiters of code", told, *place, "above", 0.5, "python")
    place = ("per-layer per-head", "lookback", "lookback", {}, "")
    yield Claim("heads", "Wider steps, nearer attention", "Spearman -0.48 over 48 heads", *place, "below")
    for variant, told in (("rope", "90.3 %"), ("per-layer", "92.6 %")):
        place = (None, "lookup", "lookup", {"variant": variant, "questions": "all"}, "accuracy")
        yield Claim(f"lookup/{variant}", "Key-value look-up", told, *place, reads="lookup")
    row = {"variant": "per-layer", "questions": "all"}
    place = (None, "lookup", "lookup", row, "difference")
    yield Claim("lookup/gain", "Key-value look-up", "+2.3 points", *place, "above", reads="lookup")


def judge(
    claims: Iterable[Claim], group: str, made: dict[str, list[Result]], seen: str
) -> list[dict[str, Any]]:
    """Each claim with our number, its interval, its verdict and its command; those without a table are left out.

    An effect must clear what random networks reach, not only chance; a line among several, Holm's correction.
    """
    told = []
    for claim in claims:
        result = _find(claim, group, made)
        row = None if result is None else _row(claim, result)
        if result is None or row is None:
            continue
        column = claim.column or "value"
        models = (
            len(result.provenance.get("models", []))
            if claim.variant
            else row.get("pairs") or row.get("models")
        )
        told.append(
            {
                "id": claim.id,
                "section": claim.section,
                "published": claim.published,
                "ours": row[column],
                "low": row.get(f"{column}_low"),
                "high": row.get(f"{column}_high"),
                "seeds": models,
                "verdict": verdict(claim, row, seen, models, _chance(claim, result, row)),
                "command": result.command,
            }
        )
    return told


def _row(claim: Claim, result: Result) -> dict[str, Cell] | None:
    """The claim's row; the primary endpoint as one; None where the table lacks it."""
    if not claim.column:
        e = None if result.primary is None else result.primary.estimate
        return None if e is None else {"value": e.value, "value_low": e.low, "value_high": e.high}
    try:
        return result.find(**claim.row)
    except UserError:
        return None


def _chance(claim: Claim, result: Result, row: dict[str, Cell]) -> float:
    """What chance reached where the claim's number stands; what nothing would be, where that was not measured."""
    if claim.result in CHOSEN and result.primary is not None:
        return result.primary.null
    reached = row.get("chance") if claim.result in CLEARED else None
    return claim.null if reached is None else float(reached)


def verdict(
    claim: Claim, row: dict[str, Cell], seen: str, models: Cell = None, chance: float | None = None
) -> str:
    """ "replicated", "not replicated at N MB" or "undecided at N MB", from the interval alone; "no verdict" for a figure.

    An AUC of a reader whose sign was fixed on development is above chance where it tells boundaries either way.
    """
    if claim.rule == "figure":
        return "no verdict"
    column = claim.column or "value"
    low, high = (row.get(f"{column}_{end}") for end in ("low", "high"))
    if low is None or high is None or models == 1:
        return "one seed, no verdict"
    if claim.rule == "equivalent":
        if row.get("equivalent"):
            return "replicated"
        return f"{'not replicated' if row.get('different') else 'undecided'} at {seen}"
    e = Estimate(0.0, float(low), float(high))
    side = cleared(e, claim.null if chance is None else chance, claim.null)
    p = row.get("holm")
    if side == "undecided" or (p is not None and float(p) >= 0.05):
        return f"undecided at {seen}"
    return "replicated" if side == claim.rule else f"not replicated at {seen}"


def _find(claim: Claim, group: str, made: dict[str, list[Result]]) -> Result | None:
    start, _, end = claim.table.partition("*")
    prefix = f"{group}/{claim.variant}/" if claim.variant else f"{group}/"
    for name, kept in made.items():
        rest = name.removeprefix(prefix)
        if rest != name and rest.startswith(start) and rest.endswith(end if end else start):
            return next((result for result in kept if result.name == claim.result), None)
    return None
