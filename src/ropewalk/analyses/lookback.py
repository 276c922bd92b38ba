"""Look-back: do heads whose row has larger increments attend to nearer tokens?

Heads of a layer share its depth, and depth may shape both increments and attention in every training run alike. So the
null permutes layers as blocks, in the same order for all seeds, and heads within each layer of each seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.measure.lookback import Lookback

COLUMNS = {
    "layer": "layer",
    "head": "head",
    "distance": "attended distance, tokens",
    "increment": "mean increment",
}
VERDICTS = {1: "larger increments, more distant attention", -1: "larger increments, nearer attention"}


def lookback(found: Sequence[Lookback]) -> Result:
    """found: one per model (seed), on the same windows.

    Primary endpoint: Spearman's correlation over heads between mean increment and attended distance (over layers where
    all heads of a layer share a row), by permutation. The correlation within layers is exploratory.
    """
    resample_counts = statistics.draw_resample_counts(len(found[0].distance))
    ones = np.ones((1, len(found[0].distance)))

    def estimate(within: bool) -> statistics.Estimate:
        values = np.array([_correlation(f, ones, within)[0] for f in found])
        samples = np.stack([_correlation(f, resample_counts, within) for f in found])
        return statistics.over_seeds(values, samples, resample_counts.shape[1], (-1, 1))

    e, inside = estimate(within=False), estimate(within=True)
    p = permutation_p(found)
    decided = p < statistics.ALPHA and abs(e.value) > statistics.TOLERANCE
    verdict = VERDICTS[1 if e.value > 0 else -1] if decided else "undecided"
    what = (
        "undefined: the heads of a layer share one row"
        if np.isnan(inside.value)
        else f"{inside.value:.3f} [{inside.low:.3f}, {inside.high:.3f}]"
    )
    return Result(
        "lookback",
        "Mean attended distance of each head",
        COLUMNS,
        tuple(_rows(found, resample_counts)),
        ("distance",),
        None
        if np.isnan(e.value)
        else Endpoint("Spearman's correlation of increment and attended distance", e, 0.0, verdict, p),
        Chart("bars", "layer", "distance", by="head"),
        (
            f"Within layers: {what}. {len(found)} model(s), {len(ones[0])} windows; the window's first token is left "
            "out. The interval covers windows and models, that is how well these heads are measured. The verdict "
            f"follows from a permutation test, p = {p:.3g}: layers in blocks, in one order for all models, and heads "
            "within layers.",
        ),
    )


def permutation_p(found: Sequence[Lookback], seed: int = 0) -> float:
    """p of the mean correlation over seeds under permutations of layers, and of heads within layers."""
    distance = [f.distance.mean(0) for f in found]  # (L, H) each
    increment = [f.increments.mean(0) for f in found]
    if all(_share_a_row(d) for d in increment):  # a row per layer, or one for all
        distance, increment = (
            [v.mean(1, keepdims=True) for v in distance],
            [v[:, :1] for v in increment],
        )
    layers, heads = distance[0].shape
    rng = np.random.default_rng([seed, 3])

    def score(arranged: Sequence[np.ndarray]) -> float:
        a, b = (np.stack([v.ravel() for v in values]) for values in (increment, arranged))
        return float(statistics.spearman(a, b).mean())

    if heads == 1:
        permuted = [score([d[order] for d in distance]) for order in statistics.orders(layers, seed)]
    else:
        permuted = []
        for _ in range(statistics.PERMUTATIONS):
            order = rng.permutation(layers)
            permuted.append(score([rng.permuted(d[order], axis=1) for d in distance]))
    return statistics.permutation_p(score(distance), np.array(permuted))


def _rows(found: Sequence[Lookback], resample_counts: np.ndarray) -> list[dict[str, Any]]:
    increment = np.mean([f.increments.mean(0) for f in found], 0)
    rows = []
    for layer, head in np.ndindex(increment.shape):
        e = statistics.window_mean(np.stack([f.distance[:, layer, head] for f in found]), resample_counts)
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
    return rows


def _correlation(found: Lookback, resample_counts: np.ndarray, within: bool) -> np.ndarray:
    """Spearman's correlation under each draw of windows (B,); NaN where the increments are all the same."""
    distance = np.tensordot(resample_counts, found.distance, 1) / resample_counts.sum(1)[:, None, None]
    increment = np.tensordot(resample_counts, found.increments, 1) / resample_counts.sum(1)[:, None, None]
    if within:
        return np.mean(
            [statistics.spearman(increment[:, i], distance[:, i]) for i in range(distance.shape[1])], 0
        )
    if _share_a_row(increment):
        return statistics.spearman(increment.mean(2), distance.mean(2))
    return statistics.spearman(
        increment.reshape(len(resample_counts), -1), distance.reshape(len(resample_counts), -1)
    )


def _share_a_row(increment: np.ndarray) -> bool:
    """Whether the heads (the last axis) of every layer have one increment, but for rounding."""
    return bool((np.ptp(increment, axis=-1) <= statistics.TOLERANCE).all())
