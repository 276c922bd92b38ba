"""Look-back: do heads whose line takes wider steps attend nearer?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.measure.lookback import Lookback


def lookback(found: Sequence[Lookback]) -> Result:
    """found: one per model (seed), on the same windows.

    Primary endpoint: Spearman's correlation over heads between mean increment and attended distance (over
    layers where all heads of a layer share a line). Within layers it is exploratory.
    """
    count = len(found[0].distance)
    weights = statistics.draws(count)
    rows: list[dict[str, Any]] = []
    distance = np.mean([f.distance.mean(0) for f in found], 0)
    increment = np.mean([f.increments.mean(0) for f in found], 0)
    for layer, head in np.ndindex(distance.shape):
        samples = statistics.crossed(np.stack([weights @ f.distance[:, layer, head] / count for f in found]))
        e = statistics.interval(distance[layer, head], samples)
        rows.append(
            {
                "layer": f"L{layer}",
                "head": head,
                "distance": e.value,
                "distance_low": e.low,
                "distance_high": e.high,
                "increment": increment[layer, head],
            }
        )
    across = np.stack([_samples(f, weights, within=False) for f in found])
    inside = np.stack([_samples(f, weights, within=True) for f in found])
    ones = np.ones((1, count))
    value = float(np.mean([_samples(f, ones, within=False)[0] for f in found]))
    e = statistics.interval(value, statistics.crossed(across))
    w = statistics.interval(
        float(np.mean([_samples(f, ones, within=True)[0] for f in found])), statistics.crossed(inside)
    )
    what = (
        "undefined: the heads of a layer share one line"
        if np.isnan(w.value)
        else (f"{w.value:.3f} [{w.low:.3f}, {w.high:.3f}]")
    )
    word = {"above": "wider steps, farther attention", "below": "wider steps, nearer attention"}
    primary = (
        None
        if np.isnan(value)
        else Endpoint(
            "Spearman's correlation of increment and attended distance",
            e,
            0.0,
            word.get(e.verdict(), "undecided"),
        )
    )
    return Result(
        "lookback",
        "How far behind itself each head attends",
        {
            "layer": "layer",
            "head": "head",
            "distance": "attended distance, tokens",
            "increment": "mean increment",
        },
        tuple(rows),
        ("distance",),
        primary,
        Chart("bars", "layer", "distance", by="head"),
        (
            f"Within layers: {what}. {len(found)} model(s), {count} windows; the window's first token is left out. "
            "Intervals draw windows and models again; a model has few heads, so that the interval says how well "
            "these heads are measured, not what other heads would do.",
        ),
    )


def _samples(found: Lookback, weights: np.ndarray, within: bool) -> np.ndarray:
    """Spearman's correlation under each draw of windows (B,); NaN where the increments are all the same."""
    distance = np.tensordot(weights, found.distance, 1) / weights.sum(1)[:, None, None]
    increment = np.tensordot(weights, found.increments, 1) / weights.sum(1)[:, None, None]
    if within:
        layers = [_spearman(increment[:, i], distance[:, i]) for i in range(distance.shape[1])]
        return np.mean(layers, 0)
    if (increment == increment[:, :, :1]).all():
        return _spearman(increment.mean(2), distance.mean(2))
    return _spearman(increment.reshape(len(weights), -1), distance.reshape(len(weights), -1))


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row, (B, n) and (B, n) -> (B,)."""
    rank = statistics.stats().rankdata
    x, y = (rank(v, axis=1) for v in (a, b))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    spread = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    with np.errstate(invalid="ignore"):
        return np.where(spread > 0, (x * y).sum(1) / np.where(spread > 0, spread, 1), np.nan)
