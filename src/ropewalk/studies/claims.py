"""Claims: published numbers, where ours are in a study's tables, and how the verdict follows.

A verdict is computed from our table by `judge`, never written by hand. The numbers of native models are in `native.claims`, those
of grafts in `graft.claims`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ropewalk.analyses.neutrality import MARGIN
from ropewalk.analyses.result import Cell, Result
from ropewalk.analyses.statistics import ALPHA, Estimate, decide
from ropewalk.errors import UserError

Rule = Literal["above", "below", "equivalent", "figure"]
CHOSEN = ("boundaries", "scopes")
"""Tables in which every row is compared with the threshold of the primary endpoint."""


@dataclass(frozen=True)
class Place:
    """Where a number is: the variant, the table ("*" stands for anything), the result, the row and the column.

    variant None: a table of all variants. Without a column the number is the primary endpoint.
    """

    variant: str | None
    table: str
    result: str
    row: dict[str, Cell]
    column: str = ""


@dataclass(frozen=True)
class Claim:
    """id; section of the report; the published number as text; where ours is; how it is judged.

    rule: our number is "above" or "below" `null`, "equivalent" to 0 within the margin, or a "figure" that is only reported. p:
    the column of a p value that decides instead of the interval. reads: the data of the models (`native.plan.Group.reads`).
    """

    id: str
    section: str
    published: str
    place: Place
    rule: Rule = "figure"
    null: float = 0.0
    p: str | None = None
    reads: str = "text"


def judge(
    claims: Iterable[Claim], group: str, made: dict[str, list[Result]], seen: str
) -> list[dict[str, Any]]:
    """Each claim with our number, its interval, its verdict and its command; those without a table are left out.

    made: results by table. seen: how much the models read, such as "20 MB".
    """
    judged = []
    for claim in claims:
        result = _find(claim.place, group, made)
        row = None if result is None else _row(claim, result)
        if result is None or row is None:
            continue
        column = claim.place.column or "value"
        models = row.get("pairs") or row.get("models")
        if claim.place.variant:
            models = len(result.provenance.get("models", []))
        judged.append(
            {
                "id": claim.id,
                "section": claim.section,
                "published": claim.published,
                "ours": row[column],
                "low": row.get(f"{column}_low"),
                "high": row.get(f"{column}_high"),
                "seeds": models,
                "verdict": verdict(claim, row, seen, models, _threshold(claim, result, row)),
                "command": result.command,
            }
        )
    return judged


def verdict(
    claim: Claim, row: dict[str, Cell], seen: str, models: Cell = None, threshold: float | None = None
) -> str:
    """ "replicated", "not replicated at N MB" or "undecided at N MB"; "no verdict" for a figure.

    An effect counts if its interval excludes chance and lies beyond what random networks reach (`threshold`); for one row
    of several, p must also be below 5 % after Holm's correction. What was published as no difference is replicated by
    equivalence, and not replicated only where the whole interval lies outside the margin. The sign of an AUC is chosen on
    development data, so either sign counts as above chance.
    """
    if claim.rule == "figure":
        return "no verdict"
    column = claim.place.column or "value"
    if claim.p is not None:
        return _by_p(claim, row, seen, models)
    low, high = (row.get(f"{column}_{end}") for end in ("low", "high"))
    if low is None or high is None or models == 1:
        return "one seed, no verdict"
    if claim.rule == "equivalent":
        if row.get("equivalent"):
            return "replicated"
        outside = float(low) > MARGIN or float(high) < -MARGIN
        return f"{'not replicated' if outside else 'undecided'} at {seen}"
    e = Estimate(float(row[column] or 0), float(low), float(high))
    side = decide(e, claim.null if threshold is None else threshold, claim.null)
    p = row.get("holm")
    if side == "undecided" or (p is not None and float(p) >= ALPHA):
        return f"undecided at {seen}"
    return "replicated" if side == claim.rule else f"not replicated at {seen}"


def _by_p(claim: Claim, row: dict[str, Cell], seen: str, models: Cell) -> str:
    """A verdict from a test's p and the side of the number."""
    p, value = row.get(str(claim.p)), row.get(claim.place.column or "value")
    if p is None or value is None or models == 1:
        return "one seed, no verdict"
    if float(p) >= ALPHA:
        return f"undecided at {seen}"
    side = "above" if float(value) > claim.null else "below"
    return "replicated" if side == claim.rule else f"not replicated at {seen}"


def _row(claim: Claim, result: Result) -> dict[str, Cell] | None:
    """The claim's row; the primary endpoint as one; None where the table lacks it."""
    if not claim.place.column:
        if result.primary is None:
            return None
        e, p = result.primary.estimate, result.primary.p
        return {"value": e.value, "value_low": e.low, "value_high": e.high, "p": p}
    try:
        return result.find(**claim.place.row)
    except UserError:
        return None


def _threshold(claim: Claim, result: Result, row: dict[str, Cell]) -> float:
    """The threshold: what random networks reach, or the claim's null where they were not measured."""
    if claim.place.result in CHOSEN and result.primary is not None:
        return result.primary.null
    threshold = row.get("threshold")
    return claim.null if threshold is None else float(threshold)


def _find(place: Place, group: str, made: dict[str, list[Result]]) -> Result | None:
    start, _, end = place.table.partition("*")
    prefix = f"{group}/{place.variant}/" if place.variant else f"{group}/"
    for name, kept in made.items():
        rest = name.removeprefix(prefix)
        if rest != name and rest.startswith(start) and rest.endswith(end if end else start):
            return next((result for result in kept if result.name == place.result), None)
    return None
