"""Agreement: do two trainings space the same text alike, beyond what the kind of byte explains?

Lines are matched on one half of the sentences by the correlation of what is left after each kind's mean is
taken off; the other half is scored. Layers may come in another order: the match is free. Any two functions of a text
agree somewhat under a free match and sign, so random networks stand under the same protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.byte_kinds import byte_kind_numbers, sentences
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace


def agreement(traces: Sequence[Trace], chance: Sequence[Trace] = ()) -> Result:
    """traces: the same text in two or more models. chance: random networks on each one's residual streams, the
    draw in place of the head. Primary endpoint: mean correlation of the matched lines on the second half, over
    all pairs of models, against the most that two draws reach."""
    if len(traces) < 2:
        raise UserError("agreement needs at least two traces of one text; trace it with another model too.")
    if any(t.text != traces[0].text or not np.array_equal(t.tokens, traces[0].tokens) for t in traces):
        raise UserError("the traces are not of one text; trace the same file with each model.")
    group = sentences(traces[0])
    if group.max() < 3:
        raise UserError("agreement needs a text of at least four sentences; give a longer one.")
    first, second = group % 2 == 0, group % 2 == 1
    clusters = np.unique(group[second], return_inverse=True)[1]
    weights = statistics.draws(int(clusters.max()) + 1)
    kinds = byte_kind_numbers(traces[0].tokens)
    halves = [[_within(t.increments[:, half], kinds[half]) for half in (first, second)] for t in traces]
    rows: list[dict[str, Any]] = []
    matched, same = [], []
    for a, b in combinations(range(len(traces)), 2):
        seen = _correlations(halves[a][0], halves[b][0])
        pairs = _match(np.abs(seen))
        found = []
        for i, j in pairs:
            sign = 1.0 if seen[i, j] >= 0 else -1.0
            value, samples = _correlation(halves[a][1][i], sign * halves[b][1][j], clusters, weights)
            found.append((value, samples))
            e = statistics.interval(value, samples)
            rows.append(
                {
                    "models": f"{a + 1} and {b + 1}",
                    "line": str(traces[a].rows[i]),
                    "other": str(traces[b].rows[j]),
                    "first": abs(seen[i, j]),
                    "r": e.value,
                    "r_low": e.low,
                    "r_high": e.high,
                }
            )
            if i == j:
                same.append(value)
        matched.append((np.mean([v for v, _ in found]), np.mean([s for _, s in found], 0)))
    e = statistics.interval(float(np.mean([v for v, _ in matched])), np.mean([s for _, s in matched], 0))
    null = max([0.0, *_drawn(chance, first, second, kinds)])
    word = {"above": "they agree", "below": "they disagree"}
    return Result(
        "agreement",
        "Do two trainings space a text alike, within each kind of byte?",
        {
            "models": "models",
            "line": "line",
            "other": "matched line",
            "first": "r, first half",
            "r": "r, second half",
        },
        tuple(rows),
        ("r",),
        Endpoint(
            "Mean correlation of matched lines on the second half",
            e,
            null,
            word.get(statistics.cleared(e, null, 0.0), "undecided"),
        ),
        Chart("bars", "line", "r", by="models", base=0.0),
        (
            f"{len(same)} of {len(rows)} lines were matched to the line of the same place. Intervals draw "
            "sentences again. Every single line is exploratory.",
        ),
        provenance={"traces": [t.hash for t in traces]},
    )


def _drawn(chance: Sequence[Trace], first: np.ndarray, second: np.ndarray, kinds: np.ndarray) -> list[float]:
    """What each draw of random networks reaches over all pairs of models, matched as the trained lines are."""
    found = []
    for head in sorted({row.head or 0 for trace in chance for row in trace.rows}):
        halves = []
        for trace in chance:
            own = trace.values[[(row.head or 0) == head for row in trace.rows]].astype(np.float64)
            halves.append([_within(own[:, half], kinds[half]) for half in (first, second)])
        scores = []
        for a, b in combinations(halves, 2):
            seen, later = _correlations(a[0], b[0]), _correlations(a[1], b[1])
            scores += [np.sign(seen[i, j]) * later[i, j] for i, j in _match(np.abs(seen))]
        found.append(float(np.mean(scores)))
    return found


def _within(values: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """values (N, T) minus the mean of each kind."""
    counts = np.maximum(np.bincount(kinds), 1)
    return np.stack([row - (np.bincount(kinds, row) / counts)[kinds] for row in values])


def _correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N, M) of rows that have a mean of zero; 0 where a row never changes."""
    x, y = (v / np.maximum(np.sqrt((v**2).sum(1, keepdims=True)), 1e-12) for v in (a, b))
    return x @ y.T


def _match(quality: np.ndarray) -> list[tuple[int, int]]:
    """The pairing of rows and columns with the highest sum."""
    statistics.stats()
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-quality)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _correlation(
    a: np.ndarray, b: np.ndarray, clusters: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    sums = np.stack(
        [np.bincount(clusters, v, weights.shape[1]) for v in (np.ones_like(a), a, b, a * a, b * b, a * b)], 1
    )

    def r(s: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = np.moveaxis(s, -1, 0)
        spread = np.sqrt(np.maximum((xx - x * x / n) * (yy - y * y / n), 0))
        return np.where(spread > 1e-12, (xy - x * y / n) / np.where(spread > 1e-12, spread, 1), 0.0)

    return statistics.ratio(sums, weights, r)
