"""Agreement: do two trained models space the same text alike, beyond what the kind of byte explains?

Rows are matched on one half of the sentences by the correlation that is left after each kind's mean is taken off; the
other half is scored. Layers may come in another order: the match is free. Any two functions of a text agree somewhat
under a free match and sign, so random networks go through the same protocol. Pairs of models share models, so
intervals come from a jackknife over models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.byte_kinds import byte_kind_numbers, sentences
from ropewalk.analyses.draws import by_draw
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

COLUMNS = {
    "models": "models",
    "row": "row",
    "other": "matched row",
    "first": "r, first half",
    "r": "r, second half",
}
VERDICTS = {"above": "they agree", "below": "they disagree"}


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two models: their matched rows as table rows; the mean r on the second half, its samples (B,)."""

    models: tuple[int, int]
    rows: list[dict[str, Any]]
    same_place: int
    value: float
    samples: np.ndarray


def agreement(traces: Sequence[Trace], random: Sequence[Trace] = ()) -> Result:
    """traces: the same text in two or more models. random: random networks on each one's residual streams.

    Primary endpoint: mean correlation of the matched rows on the second half, over all pairs of models, against what
    pairs of draws reach.
    """
    halves, kinds, clusters = _halves(traces)
    resample_counts = statistics.draw_resample_counts(int(clusters.max()) + 1)
    values = [[_within(t.increments[:, half], kinds[half]) for half in halves] for t in traces]
    pairs = [
        _compare(traces, (a, b), values, clusters, resample_counts)
        for a, b in combinations(range(len(traces)), 2)
    ]
    e = _over_models(pairs, len(traces), len(resample_counts[0]))
    null_sample = _drawn(random, halves, kinds)
    threshold = statistics.null_threshold(e.value, null_sample, 0.0)
    verdict = VERDICTS.get(statistics.decide(e, threshold, 0.0), "undecided")
    if len(traces) < 3:
        verdict = "two models, no verdict"
    rows = [row for pair in pairs for row in pair.rows]
    return Result(
        "agreement",
        "Do two trained models space a text alike, within each kind of byte?",
        COLUMNS,
        tuple(rows),
        ("r",),
        Endpoint("Mean correlation of matched rows on the second half", e, threshold, verdict),
        Chart("bars", "row", "r", by="models", base=0.0),
        (
            f"{sum(pair.same_place for pair in pairs)} of {len(rows)} rows were matched to the row of the same place. "
            f"The interval of the endpoint: jackknife over {len(traces)} models and bootstrap over sentences; a verdict "
            "needs three models. Every single row is exploratory, and its interval covers sentences only.",
        ),
        provenance={"traces": [t.hash for t in traces]},
    )


def _halves(traces: Sequence[Trace]) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Two halves of the tokens by sentence, the kinds of all tokens, the sentence of each token of the second."""
    if len(traces) < 2:
        raise UserError("agreement needs at least two traces of one text; trace it with another model too.")
    first = traces[0]
    if any(t.text != first.text or not np.array_equal(t.tokens, first.tokens) for t in traces):
        raise UserError("the traces are not of one text; trace the same file with each model.")
    group = sentences(first)
    if group.max() < 3:
        raise UserError("agreement needs a text of at least four sentences; give a longer one.")
    halves = (group % 2 == 0, group % 2 == 1)
    return halves, byte_kind_numbers(first.tokens), np.unique(group[halves[1]], return_inverse=True)[1]


def _compare(
    traces: Sequence[Trace],
    models: tuple[int, int],
    values: list[list[np.ndarray]],
    clusters: np.ndarray,
    resample_counts: np.ndarray,
) -> _Pair:
    a, b = models
    matching = _correlations(values[a][0], values[b][0])
    rows, found, same = [], [], 0
    for i, j in _match(np.abs(matching)):
        sign = np.sign(statistics.rounded(matching[i, j]))
        value, samples = _correlation(values[a][1][i], sign * values[b][1][j], clusters, resample_counts)
        found.append((value, samples))
        same += i == j
        e = statistics.over_seeds(np.array([value]), samples[None], len(resample_counts[0]), (-1, 1))
        rows.append(
            {
                "models": f"{a + 1} and {b + 1}",
                "row": str(traces[a].rows[i]),
                "other": str(traces[b].rows[j]),
                "first": abs(matching[i, j]),
                "r": e.value,
                "r_low": e.low,
                "r_high": e.high,
            }
        )
    return _Pair(models, rows, same, float(np.mean([v for v, _ in found])), np.mean([s for _, s in found], 0))


def _over_models(pairs: Sequence[_Pair], count: int, clusters: int) -> statistics.Estimate:
    """The mean over pairs, with a jackknife over models: each is left out with all of its pairs."""
    left_out = [
        np.mean([p.value for p in pairs if model not in p.models]) if count > 2 else np.nan
        for model in range(count)
    ]
    value = float(np.mean([p.value for p in pairs]))
    samples = np.mean([p.samples for p in pairs], 0)
    return statistics.jackknife(value, np.array(left_out), samples, clusters)


def _drawn(random: Sequence[Trace], halves: tuple[np.ndarray, np.ndarray], kinds: np.ndarray) -> np.ndarray:
    """What each draw of random networks reaches over all pairs of models (draws,), matched as the trained rows are."""
    if not random:
        return np.empty(0)
    found = []
    for places in zip(*(by_draw(trace.rows) for trace in random), strict=True):
        drawn = [
            [_within(trace.values[own][:, half].astype(np.float64), kinds[half]) for half in halves]
            for trace, own in zip(random, places, strict=True)
        ]
        scores = []
        for a, b in combinations(drawn, 2):
            matching, later = _correlations(a[0], b[0]), _correlations(a[1], b[1])
            signs = np.sign(statistics.rounded(matching))
            scores.append(np.mean([signs[i, j] * later[i, j] for i, j in _match(np.abs(matching))]))
        found.append(float(np.mean(scores)))
    return np.array(found)


def _within(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """values (N, T) minus the mean of each kind; 0 in a row that is constant within kinds but for rounding."""
    counts = np.maximum(np.bincount(kinds), 1)
    left = np.stack([row - (np.bincount(kinds, row) / counts)[kinds] for row in values])
    return np.where(np.abs(left).max(1, keepdims=True) > statistics.TOLERANCE, left, 0.0)


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) of rows that have a mean of zero; 0 where a row is constant."""
    x, y = (v / np.maximum(np.sqrt((v**2).sum(1, keepdims=True)), 1e-12) for v in (a, b))
    return x @ y.T


def _match(quality: np.ndarray) -> list[tuple[int, int]]:
    """The pairing of rows and columns with the highest sum."""
    statistics.stats()
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-quality)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _correlation(
    a: np.ndarray, b: np.ndarray, clusters: np.ndarray, resample_counts: np.ndarray
) -> tuple[float, np.ndarray]:
    sums = np.stack(
        [
            np.bincount(clusters, v, resample_counts.shape[1])
            for v in (np.ones_like(a), a, b, a * a, b * b, a * b)
        ],
        1,
    )

    def r(s: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = np.moveaxis(s, -1, 0)
        scale = np.sqrt(np.maximum((xx - x * x / n) * (yy - y * y / n), 0))
        return np.where(scale > 1e-12, (xy - x * y / n) / np.where(scale > 1e-12, scale, 1), 0.0)

    return statistics.ratio(sums, resample_counts, r)
