"""Entities: is the gap inside a name smaller than it would be between the same words otherwise?

Three comparisons: the reversed order at the inner gap (the published one, where only the first word's expectation can
show), the reversed order at the second word, and a control with the same first word and equal surprisal at the second
word. The control's second word starts with another byte: an increment is causal, so with the same byte it would be the
same number. The unit is the pair, averaged over its sentence templates. Differences below `statistics.TOLERANCE` are rounding
and count half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.draws import by_draw
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.entities import CALIPER, Entities

COMPARISONS = ("reversed order, inner gap", "reversed order, second word", "equal surprisal, second word")
CONTROL = COMPARISONS[2]
COLUMNS = {
    "comparison": "control and place",
    "language": "language",
    "row": "row",
    "pairs": "pairs",
    "share": "share smaller",
    "threshold": "threshold",
    "difference": "mean difference",
    "p": "p (Wilcoxon)",
    "holm": "p (Holm)",
}
VERDICTS = {"above": "smaller than the control", "below": "larger than the control"}
MIN_PAIRS = 5
"""Pairs: fewer give no interval."""


def entities(
    rows: Sequence[Row],
    read: Sequence[Mapping[str, Entities]],
    drawn: Sequence[Row] = (),
    random: Sequence[Mapping[str, Entities]] = (),
) -> Result:
    """read: per model (seed) the languages it read, in `rows`. drawn and random: the rows of random networks on the
    same residual streams, and what they read.

    Primary endpoint: share of pairs whose increment is smaller than that of the control of equal surprisal, averaged
    over the rows of the deeper half of the model, each in units of its own standard deviation, against what random
    networks reach.
    """
    if not read:
        raise UserError("no model has read the pairs; name at least one.")
    table: list[dict[str, Any]] = []
    for name in COMPARISONS:
        groups = {language: (language,) for language in read[0]} | {"all": tuple(read[0])}
        for language, members in groups.items():
            d, null_differences = (_differences(name, some, members) for some in (read, random))
            table += _rows(name, language, rows, d, drawn, null_differences)
    deep = deeper(rows)
    languages = tuple(read[0])
    last, null_differences = (_differences(CONTROL, some, languages) for some in (read, random))
    e = share(scaled(last, deep))
    threshold = statistics.null_threshold(e.value, _null_sample(null_differences, drawn), 0.5)
    return Result(
        "entities",
        "The gap inside two-word names",
        COLUMNS,
        tuple(table),
        ("share",),
        Endpoint(
            "Share of names with a smaller increment than the control of equal surprisal, deeper half",
            e,
            threshold,
            VERDICTS.get(statistics.decide(e, threshold, 0.5), "undecided"),
        ),
        Chart("bars", "row", "share", by="comparison", base=0.5, where={"language": "all"}),
        (_what(read), *_by_language(read, random, drawn, deep)),
    )


def _rows(
    name: str,
    language: str,
    rows: Sequence[Row],
    d: np.ndarray,
    drawn: Sequence[Row],
    null_differences: np.ndarray,
) -> list[dict[str, Any]]:
    """One comparison in one language: d (S, P, N), null_differences (S, P, L * draws) or empty."""
    p = [statistics.signed_rank(d[:, :, n].mean(0)) if d.shape[1] else float("nan") for n in range(len(rows))]
    table = []
    for n, (row, adjusted) in enumerate(zip(rows, statistics.holm(p), strict=True)):
        e = share(d[:, :, n])
        table.append(
            {
                "comparison": name,
                "language": language,
                "row": str(row),
                "pairs": d.shape[1],
                "share": e.value,
                "share_low": e.low,
                "share_high": e.high,
                "difference": float(d[:, :, n].mean()) if d.shape[1] else None,
                "p": p[n],
                "holm": adjusted,
            }
        )
        if null_differences.size and np.isfinite(e.value):
            own = [i for i, x in enumerate(drawn) if x.layer == (row.layer or 0)]
            table[-1]["threshold"] = statistics.null_threshold(
                e.value, smaller(null_differences[:, :, own]).mean((0, 1)), 0.5
            )
    return table


def _what(read: Sequence[Mapping[str, Entities]]) -> str:
    off = np.mean([np.mean(np.abs(x.control.word - x.real.word)) for seed in read for x in seed.values()])
    return (
        f"{len(read)} model(s). A control of equal surprisal keeps the first word and starts its second word with "
        f"another byte, within {CALIPER} nats, or the pair is left out. Whole second words still differ by {off:.2f} "
        f"nats in the mean. Intervals cover pairs{' and models' if len(read) > 1 else ''}. Holm over rows. At the "
        "inner gap the second word has not been read: only what the first word makes the model expect can show there."
    )


def _by_language(
    read: Sequence[Mapping[str, Entities]],
    random: Sequence[Mapping[str, Entities]],
    drawn: Sequence[Row],
    deep: list[int],
) -> list[str]:
    """The primary endpoint's number in each language by itself; the published names are English."""
    notes = []
    for language in read[0]:
        d, null_differences = (_differences(CONTROL, some, (language,)) for some in (read, random))
        e = share(scaled(d, deep))
        threshold = statistics.null_threshold(e.value, _null_sample(null_differences, drawn), 0.5)
        notes.append(
            f"{language} alone: {d.shape[1]} pairs, share {e.value:.3f} [{e.low:.3f}, {e.high:.3f}], threshold "
            f"{threshold:.3f}."
        )
    return notes


def _differences(name: str, read: Sequence[Mapping[str, Entities]], languages: Sequence[str]) -> np.ndarray:
    """(S, P, N) over these languages, of the pairs that every model has; empty where nothing was read."""
    if not read:
        return np.empty((0, 0, 0))
    found = []
    for language in languages:
        keep = np.ones(len(read[0][language].matched), bool)
        if name == CONTROL:
            keep = np.logical_and.reduce([seed[language].matched for seed in read])
        seeds = []
        for seed in read:
            e = seed[language]
            other = e.control if name == CONTROL else e.reversed
            d = e.real.gap - other.gap if name == COMPARISONS[0] else e.real.second - other.second
            seeds.append(d[keep])
        found.append(np.stack(seeds))
    return np.concatenate(found, 1)


def _null_sample(d: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """The share that each draw reaches, (S, P, L * draws) -> (draws,), over the deeper half as the increments."""
    if not d.size:
        return np.empty(0)
    return np.array(
        [smaller(scaled(d[:, :, own], deeper([rows[n] for n in own]))).mean() for own in by_draw(tuple(rows))]
    )


def smaller(d: np.ndarray) -> np.ndarray:
    """1 where a difference is below zero, a half where it is no more than rounding."""
    return (d < -statistics.TOLERANCE) + 0.5 * (np.abs(d) <= statistics.TOLERANCE)


def share(d: np.ndarray) -> statistics.Estimate:
    """Share of pairs that are smaller, from (S, P) differences; interval over pairs and models."""
    if d.shape[1] < MIN_PAIRS:
        return statistics.Estimate(float(smaller(d).mean()) if d.shape[1] else float("nan"))
    found = smaller(d)
    resample_counts = statistics.draw_resample_counts(d.shape[1])
    return statistics.over_seeds(found.mean(1), found @ resample_counts.T / d.shape[1], d.shape[1], (0, 1))


def scaled(d: np.ndarray, deep: list[int]) -> np.ndarray:
    """(S, P, N) differences, each row in units of its own standard deviation over pairs, averaged over rows `deep`."""
    if not d.shape[1]:
        return np.empty(d.shape[:2])
    std = d.std(1, keepdims=True)
    moving = np.where(std > statistics.TOLERANCE, d / np.maximum(std, 1e-12), 0.0)
    return moving[:, :, deep].mean(2)


def deeper(rows: Sequence[Row]) -> list[int]:
    """The rows of the deeper half of the layers; all of them where the layers share one."""
    layers = [row.layer for row in rows if row.layer is not None]
    if not any(layers):
        return list(range(len(rows)))
    return [n for n, row in enumerate(rows) if (row.layer or 0) > max(layers) / 2]
