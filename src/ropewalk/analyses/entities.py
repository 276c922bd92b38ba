"""Entities: is the gap inside a name smaller than it would be between the same words otherwise?

Three comparisons: the reversed order at the inner gap (the published one, where only the first word's
expectation can show), the reversed order at the second word, and a control with the same first word and equal
surprisal at the second word. The unit is the pair, averaged over its carriers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.entities import CALIPER, Entities

COMPARISONS = ("reversed order, inner gap", "reversed order, second word", "equal surprisal, second word")


def entities(
    lines: Sequence[Row],
    read: Sequence[Mapping[str, Entities]],
    drawn: Sequence[Row] = (),
    chance: Sequence[Mapping[str, Entities]] = (),
) -> Result:
    """read: per model (seed) the languages it read. Lines: those of every model. drawn and chance: the lines of
    random networks on the same residual streams, the draw in place of the head, and what they read.

    Primary endpoint: share of pairs whose increment is smaller than that of the control of equal surprisal,
    averaged over the lines of the deeper half of the model, each in units of its own spread, against the most
    that a draw reaches.
    """
    if not read:
        raise UserError("no model has read the pairs; name at least one.")
    rows: list[dict[str, Any]] = []
    for name in COMPARISONS:
        by_language = {language: _differences(name, read, language) for language in read[0]}
        groups = {**by_language, "all": np.concatenate(list(by_language.values()), 1)}
        random = _together(name, chance)
        for language, d in groups.items():
            p = [
                statistics.signed_rank(d[:, :, n].mean(0)) if d.shape[1] else float("nan")
                for n in range(len(lines))
            ]
            adjusted = statistics.holm(p)
            for n, row in enumerate(lines):
                rows.append(
                    {
                        "comparison": name,
                        "language": language,
                        "line": str(row),
                        "pairs": d.shape[1],
                        **share(d[:, :, n]),
                        "difference": float(d[:, :, n].mean()) if d.shape[1] else None,
                        "p": p[n],
                        "holm": adjusted[n],
                    }
                )
                if language == "all" and len(random):
                    own = [i for i, x in enumerate(drawn) if x.layer == (row.layer or 0)]
                    reached = _smaller(random[:, :, own]).mean((0, 1))
                    rows[-1]["chance"] = statistics.beyond(float(rows[-1]["share"]), reached, 0.5)
    deep = deeper(lines)
    last = _together(COMPARISONS[2], read)
    told = share(scaled(last, deep))
    e = statistics.Estimate(told["share"], told["share_low"], told["share_high"])
    off = np.mean([np.mean(np.abs(x.control.word - x.real.word)) for seed in read for x in seed.values()])
    random = _together(COMPARISONS[2], chance)
    null = statistics.beyond(e.value, _reached(random, drawn) if len(random) else np.empty(0), 0.5)
    word = {"above": "smaller than the control", "below": "larger than the control"}
    return Result(
        "entities",
        "The gap inside two-word names",
        {
            "comparison": "control and place",
            "language": "language",
            "line": "line",
            "pairs": "pairs",
            "share": "share smaller",
            "chance": "to clear",
            "difference": "mean difference",
            "p": "p (Wilcoxon)",
            "holm": "p (Holm)",
        },
        tuple(rows),
        ("share",),
        Endpoint(
            "Share of names with a smaller increment than the control of equal surprisal, deeper half",
            e,
            null,
            word.get(statistics.cleared(e, null, 0.5), "undecided"),
        ),
        Chart(
            "bars",
            "line",
            "share",
            by="comparison",
            base=0.5,
            where={"language": "all"},
        ),
        (
            f"{len(read)} model(s). A control of equal surprisal keeps the first word; its second word's first "
            f"token is within {CALIPER} nats, or the pair is left out. Whole second words still differ by "
            f"{off:.2f} nats in the mean. Intervals draw pairs"
            f"{' and models' if len(read) > 1 else ''} again. Holm over lines. At the inner gap the second word "
            "is not yet read: only what the first word makes the model expect can show there.",
        ),
    )


def _together(name: str, read: Sequence[Mapping[str, Entities]]) -> np.ndarray:
    """(S, P, N) over all languages; empty where nothing was read."""
    return np.concatenate([_differences(name, read, lang) for lang in read[0]], 1) if read else np.empty(0)


def _reached(d: np.ndarray, rows: Sequence[Row]) -> np.ndarray:
    """The share that each draw reaches, (S, P, L D) -> (D,), over the deeper half as the increments."""
    found = []
    for head in sorted({row.head or 0 for row in rows}):
        own = [n for n, row in enumerate(rows) if (row.head or 0) == head]
        found.append(_smaller(scaled(d[:, :, own], deeper([rows[n] for n in own]))).mean())
    return np.array(found)


def _smaller(d: np.ndarray) -> np.ndarray:
    """1 where a difference is below zero, a half where it is none."""
    return (d < 0) + 0.5 * (d == 0)


def _differences(name: str, read: Sequence[Mapping[str, Entities]], language: str) -> np.ndarray:
    """(S, P, N), of the pairs that every model has."""
    keep = np.ones(len(read[0][language].matched), bool)
    if name == COMPARISONS[2]:
        keep = np.logical_and.reduce([seed[language].matched for seed in read])
    found = []
    for seed in read:
        e = seed[language]
        other = e.control if name == COMPARISONS[2] else e.reversed
        d = e.real.gap - other.gap if name == COMPARISONS[0] else e.real.second - other.second
        found.append(d[keep])
    return np.stack(found)


def share(d: np.ndarray) -> dict[str, float]:
    """Share of pairs that are smaller, from (S, P) differences; a tie counts half. Interval over pairs and models."""
    if d.shape[1] < 2:
        return dict.fromkeys(("share", "share_low", "share_high"), float("nan"))
    smaller = _smaller(d)
    weights = statistics.draws(d.shape[1])
    samples = statistics.crossed(np.stack([row @ weights.T / d.shape[1] for row in smaller]))
    e = statistics.interval(float(smaller.mean()), samples)
    return {"share": e.value, "share_low": e.low, "share_high": e.high}


def scaled(d: np.ndarray, deep: list[int]) -> np.ndarray:
    """(S, P, N) differences, each line in units of its own spread over pairs, averaged over the lines `deep`."""
    if not d.shape[1]:
        return np.empty(d.shape[:2])
    return (d / np.maximum(d.std(1, keepdims=True), 1e-12))[:, :, deep].mean(2)


def deeper(rows: Sequence[Row]) -> list[int]:
    """The lines of the deeper half of the layers; all of them where the layers share one."""
    layers = [row.layer for row in rows if row.layer is not None]
    if not any(layers):
        return list(range(len(rows)))
    return [n for n, row in enumerate(rows) if (row.layer or 0) > max(layers) / 2]
