"""Dose response: does it matter more to the loss when a gap at a word boundary is changed than when another one is?

Each gap at a gold boundary is paired with a gap that is none, of the same first token and nearly equal surprisal. The
unit is the pair; intervals cover sentences and models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Cell, Chart, Endpoint, Result

DOSES = (0.5, 0.75, 1.5, 2.0)
PRIMARY = 2.0
CALIPER = 0.5
"""Nats: a gap whose token is further away in surprisal is no match."""
COLUMNS = {
    "dose": "gap multiplied by",
    "boundary": "at boundaries, nats per token",
    "other": "at other gaps",
    "difference": "difference",
    "holm": "p (Holm)",
    "verdict": "verdict",
}
VERDICTS = {"above": "boundaries cost more", "below": "boundaries cost less"}


def match_gaps(
    labels: np.ndarray, first_tokens: np.ndarray, surprisal: np.ndarray, allowed: np.ndarray, *, count: int
) -> np.ndarray:
    """Pairs (P, 2) of a boundary and another gap with the same first token and the nearest surprisal, at most `count`,
    evenly spread over the text; no gap is used twice."""
    found: list[tuple[int, int]] = []
    for token in np.unique(first_tokens):
        here = (first_tokens == token) & allowed
        others = np.flatnonzero(here & ~labels)
        free = np.ones(len(others), bool)
        for boundary in np.flatnonzero(here & labels):
            distance = np.where(free, np.abs(surprisal[others] - surprisal[boundary]), np.inf)
            if len(others) and distance.min() <= CALIPER:
                nearest = int(distance.argmin())
                free[nearest] = False
                found.append((int(boundary), int(others[nearest])))
    pairs = np.array(sorted(found), np.int64).reshape(-1, 2)
    return pairs[np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(np.int64)]


def dose(found: Sequence[np.ndarray], sentence: np.ndarray) -> Result:
    """found: one (P, 2, doses) per model, the cost of each dose at a boundary and at its match; sentence (P,).

    Primary endpoint: the cost of doubling a boundary minus that of doubling its match.
    """
    clusters = np.unique(sentence, return_inverse=True)[1]
    resample_counts = statistics.draw_resample_counts(int(clusters.max()) + 1)

    def estimate(values: Sequence[np.ndarray]) -> statistics.Estimate:
        means = [statistics.mean(v, clusters, resample_counts) for v in values]
        return statistics.over_seeds(
            np.array([value for value, _ in means]),
            np.stack([samples for _, samples in means]),
            resample_counts.shape[1],
        )

    differences = [estimate([f[:, 0, i] - f[:, 1, i] for f in found]) for i in range(len(DOSES))]
    rows: list[dict[str, Cell]] = []
    for i, (e, p) in enumerate(zip(differences, statistics.holm([e.p() for e in differences]), strict=True)):
        row: dict[str, Cell] = {"dose": DOSES[i], "holm": p}
        for column, value in (
            ("boundary", estimate([f[:, 0, i] for f in found])),
            ("other", estimate([f[:, 1, i] for f in found])),
            ("difference", e),
        ):
            row |= {column: value.value, f"{column}_low": value.low, f"{column}_high": value.high}
        decided = p < statistics.ALPHA
        row["verdict"] = VERDICTS["above" if e.value > 0 else "below"] if decided else "undecided"
        rows.append(row)
    primary = differences[DOSES.index(PRIMARY)]
    return Result(
        "dose",
        "Loss of the next 16 tokens when single gaps are widened or narrowed",
        COLUMNS,
        tuple(rows),
        ("boundary", "other", "difference"),
        Endpoint(
            f"Cost of {PRIMARY:g} times the gap, boundaries minus matched other gaps, nats per token",
            primary,
            0.0,
            VERDICTS.get(primary.verdict(), "undecided"),
        ),
        Chart("lines", "dose", "difference", base=0.0),
        (
            f"{len(found)} model(s), {len(sentence)} pairs of a word boundary and another gap between two Chinese "
            f"characters, with the same first byte and surprisals within {CALIPER} nats; {resample_counts.shape[1]} sentences. "
            "The dose multiplies the gap in every row at once. Intervals cover sentences and models. Every row but the "
            "primary endpoint is exploratory.",
        ),
    )
