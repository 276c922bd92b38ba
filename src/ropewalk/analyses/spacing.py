"""Spacing: how wide the gap before each kind of byte and character is, in every row.

`by_byte` is the published table, free of context; `by_character` takes means in context, for any script, with
intervals over sentences; `extremes` lists the widest and the narrowest gaps. How well a gap tells white space and
punctuation from the rest is in `surface`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.byte_kinds import BYTE_KINDS, PUBLISHED, cell_kinds, sentences
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.token_kinds import token_kind
from ropewalk.core.rows import Row
from ropewalk.traces.trace import Trace

AT_MAXIMUM = 0.99
"""Share of the largest increment beyond which an increment counts as being at it."""
BYTE_COLUMNS = {
    "row": "row",
    "kind": "kind of byte",
    "min": "min",
    "max": "max",
    "mean": "mean increment",
    "saturated": "share at maximum",
}
ORDER_COLUMNS = {
    "row": "row",
    "kinds": "kinds",
    "order": "rank correlation with the published means",
    "p": "p (permutation)",
}
CHARACTER_COLUMNS = {
    "row": "row",
    "kind": "kind of character",
    "count": "count",
    "mean": "mean increment",
    "std": "standard deviation",
    "saturated": "share at maximum",
}


def by_byte(
    rows: Sequence[Row],
    tables: np.ndarray,
    largest: float | None = None,
    untrained: np.ndarray | None = None,
) -> Result:
    """The published table. tables: (S, N, 257), increments of each byte in N rows of S models. largest: the largest
    increment of the parametrization. untrained: the same table of D untrained models.

    Primary endpoint: mean increment of space and newline over that of a-z, in the first row, against what untrained
    models reach. The contrast leaves most kinds out: `order` compares all of them.
    """
    found: list[dict[str, Any]] = []
    for n, row in enumerate(rows):
        for kind, members in BYTE_KINDS.items():
            values = tables[:, n][:, members]
            e = statistics.paired(values.mean(1))
            full = float((values > AT_MAXIMUM * largest).mean()) if largest else None
            found.append(
                {
                    "row": str(row),
                    "kind": kind,
                    "min": values.min(1).mean(),
                    "max": values.max(1).mean(),
                    "mean": e.value,
                    "mean_low": e.low,
                    "mean_high": e.high,
                    "saturated": full,
                }
            )
    e = statistics.paired(_contrast(tables))
    threshold = statistics.null_threshold(
        e.value, np.empty(0) if untrained is None else _contrast(untrained), 1.0
    )
    return Result(
        "bytes",
        "Increment of each kind of byte, without context",
        BYTE_COLUMNS,
        tuple(found),
        ("mean",),
        Endpoint(
            f"Space and newline over a-z, row {rows[0]}", e, threshold, statistics.decide(e, threshold, 1.0)
        ),
        Chart("bars", "kind", "mean", by="row", base=1.0),
        (
            f"{len(tables)} model(s); min and max are over the bytes of a kind, intervals over models (none from a "
            "single one). Token-equivalents; compare patterns, not levels. The primary endpoint is one contrast: "
            "whether all kinds come in the published order is in the next table.",
        ),
    )


def order(rows: Sequence[Row], tables: np.ndarray) -> Result:
    """Do the kinds of bytes come in the order of the published table? tables: as in `by_byte`.

    Primary endpoint: Spearman's correlation of the kinds' means in the first row, by permutation of the kinds.
    """
    found: list[dict[str, Any]] = []
    for n, row in enumerate(rows):
        column = "shared" if row.layer is None else "layer 0"
        r, p = published_order(tables[:, n], column)
        found.append({"row": str(row), "kinds": len(PUBLISHED[column]), "order": r, "p": p})
    r, p = found[0]["order"], found[0]["p"]
    decided = p < statistics.ALPHA
    word = ("the published order" if r > 0 else "the reverse of it") if decided else "undecided"
    return Result(
        "order",
        "Order of the byte kinds against the published table",
        ORDER_COLUMNS,
        tuple(found),
        primary=Endpoint(
            f"Spearman's correlation over all kinds, row {rows[0]}", statistics.Estimate(r), 0.0, word, p
        ),
        notes=(f"Means over {len(tables)} model(s). The test permutes the kinds.",),
    )


def published_order(tables: np.ndarray, column: str) -> tuple[float, float]:
    """Spearman's correlation of the kinds' means over models (S, 257) with the published ones, and its two-sided p
    by permutation of the kinds."""
    kinds = list(PUBLISHED[column])
    ours = np.array([np.nanmean(tables[:, BYTE_KINDS[kind]]) for kind in kinds])
    theirs = np.array([PUBLISHED[column][kind] for kind in kinds])
    if not np.isfinite(ours).all():
        return float("nan"), float("nan")
    permuted = np.stack([ours[order] for order in statistics.orders(len(kinds))])
    value = float(statistics.spearman(ours[None], theirs[None])[0])
    others = statistics.spearman(permuted, np.broadcast_to(theirs, permuted.shape))
    return value, statistics.permutation_p(value, others)


def _contrast(tables: np.ndarray) -> np.ndarray:
    """(S, N, 257) -> (S,): space and newline over a-z, in the first row."""
    first = tables[:, 0]
    spaces = first[:, BYTE_KINDS["space"] + BYTE_KINDS["newline"]].mean(1)
    return spaces / first[:, BYTE_KINDS["a-z"]].mean(1)


def by_character(trace: Trace) -> Result:
    """Mean increment at the first token of each kind of character, in every row, in context.

    A token of several characters is of the kind of its first one that is not a space.
    """
    trace.require("increment", "position")
    first, kind, names = cell_kinds(trace, token_kind)
    values, group = trace.increments, sentences(trace)
    resample_counts = statistics.draw_resample_counts(int(group.max()) + 1)
    largest = trace.provenance.get("max_increment")
    rows: list[dict[str, Any]] = []
    for n, row in enumerate(trace.rows):
        for k, name in enumerate(names):
            at = first[kind == k]
            value, samples = statistics.mean(values[n, at], group[at], resample_counts)
            clusters = len(np.unique(group[at]))
            e = statistics.over_seeds(np.array([value]), samples[None], clusters)
            rows.append(
                {
                    "row": str(row),
                    "kind": name,
                    "count": len(at),
                    "mean": e.value,
                    "mean_low": e.low,
                    "mean_high": e.high,
                    "std": float(values[n, at].std()),
                    "saturated": float((values[n, at] > AT_MAXIMUM * largest).mean()) if largest else None,
                }
            )
    full = float((values > AT_MAXIMUM * largest).mean()) if largest else 0.0
    note = f"{full:.1%} of all increments are at the maximum of {largest}." if largest else "No maximum."
    return Result(
        "spacing",
        "Increment of each kind of character, in context",
        CHARACTER_COLUMNS,
        tuple(rows),
        ("mean",),
        chart=Chart("bars", "kind", "mean", by="row", base=1.0),
        notes=(
            note,
            f"Read at a character's first token; intervals cover {len(resample_counts[0])} sentences.",
        ),
        provenance={"trace": trace.hash},
    )


def extremes(trace: Trace, count: int = 10, around: int = 20) -> Result:
    """The `count` widest and narrowest gaps of every row, with `around` characters on either side."""
    trace.require("increment", "position")
    cells = [cell for cell in trace.cells() if cell.text]
    first, values = np.array([c.start for c in cells]), trace.increments
    rows: list[dict[str, Any]] = []
    for n, row in enumerate(trace.rows):
        order = np.argsort(values[n, first], kind="stable")
        for extreme, places in (("widest", order[::-1][:count]), ("narrowest", order[:count])):
            for place in places.tolist():
                left = "".join(c.text for c in cells[max(0, place - around) : place])
                right = "".join(c.text for c in cells[place : place + around])
                rows.append(
                    {
                        "row": str(row),
                        "extreme": extreme,
                        "increment": values[n, first[place]],
                        "context": f"{left}‖{right}".replace("\n", "⏎"),
                    }
                )
    return Result(
        "extremes",
        "The widest and the narrowest gaps",
        {"row": "row", "extreme": "extreme", "increment": "increment", "context": "context (‖ is the gap)"},
        tuple(rows),
        notes=("Exploratory: a list to read, not a measurement.",),
        provenance={"trace": trace.hash},
    )
