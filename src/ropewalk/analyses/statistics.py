"""Statistics: intervals over sentences and seeds, tests for pairs, rank-based nulls, corrections for many rows.

The unit of resampling is a whole sentence (or a pair, or a window), never a single gap: gaps of one sentence are
not independent. Seeds are few, so they enter intervals through Student's t and not through resampling
(`over_seeds`). `scripts/coverage.py` measures the coverage of every interval here, `scripts/false_positives.py` the
false-decision rate of every endpoint. Every function is deterministic: random draws are seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import permutations
from math import factorial
from typing import Any

import numpy as np

from ropewalk.errors import UserError

REPLICATES = 1_000
PERMUTATIONS = 2_000
ALPHA = 0.05
"""The level of every test."""
DIGITS = 6
TOLERANCE = 10.0**-DIGITS
"""Differences smaller than this (of increments, nats, correlations, AUCs) are rounding and count as no difference."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the interval is NaN where it is not defined.

    parts: the variances that add up to its squared standard error, each with its degrees of freedom.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    parts: tuple[tuple[float, float], ...] = field(default=(), compare=False)

    def verdict(self, null: float = 0.0) -> str:
        """ "above" or "below" `null` when the whole interval is, by more than rounding; else "undecided"."""
        if self.low > null + TOLERANCE:
            return "above"
        return "below" if self.high < null - TOLERANCE else "undecided"

    def p(self, null: float = 0.0) -> float:
        """Two-sided p of `null`: the level at which the interval would just reach it; 1 where the value differs from
        `null` by rounding alone, NaN without an interval."""
        distance = abs(self.value - null)
        if not self.parts:
            return float("nan")
        if distance <= TOLERANCE:
            return 1.0
        if not any(variance for variance, _ in self.parts):
            return 0.0
        low, high = -16.0, 0.0  # bisection over log10(p)
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if _half_width(self.parts, 10**middle) < distance else (middle, high)
        return float(10**high)


def rounded(values: np.ndarray) -> np.ndarray:
    """Values without their rounding, so that comparing and ranking them is comparing and ranking what was measured."""
    return np.round(np.asarray(values, np.float64), DIGITS)


def with_interval(
    value: float, *parts: tuple[float, float], bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Estimate:
    """A value whose error has independent parts, each a variance with its degrees of freedom; clipped to `bounds`.

    The half-width is the root of the sum of the squared half-widths that each part would give alone, by Student's t
    (Graybill and Wang's modified large-sample interval). Satterthwaite's degrees of freedom would be too many where a
    part with few of them dominates: coverage falls to 92 % with three seeds and to 88 % with two. Undefined parts are
    left out; without any there is no interval.
    """
    known = tuple((float(v), float(f)) for v, f in parts if np.isfinite(v) and f > 0)
    if not known:
        return Estimate(float(value))
    half = _half_width(known, ALPHA)
    return Estimate(
        float(value), float(max(bounds[0], value - half)), float(min(bounds[1], value + half)), known
    )


def _half_width(parts: tuple[tuple[float, float], ...], alpha: float) -> float:
    """The half-width of the interval at confidence 1 - alpha."""
    t = stats().t
    return float(np.sqrt(sum(t.isf(alpha / 2, freedom) ** 2 * variance for variance, freedom in parts)))


def draw_resample_counts(clusters: int, replicates: int | None = None, seed: int = 0) -> np.ndarray:
    """How often each of `clusters` is drawn in each replicate of a bootstrap: (replicates, clusters) float64.

    replicates: `REPLICATES` when None.
    """
    if clusters < 1:
        raise UserError("a bootstrap needs at least one sentence; give a longer text.")
    rng = np.random.default_rng(seed)
    size = REPLICATES if replicates is None else replicates
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=size).astype(np.float64)


def over_seeds(
    values: np.ndarray,
    samples: np.ndarray,
    clusters: int,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """The mean of a statistic over seeds, with an interval over seeds and clusters.

    values: (S,), the statistic of each seed. samples: (S, B), its bootstrap samples, where all seeds use the same B
    draws of the `clusters`. The error has two parts: the variance of the seeds' values over S, and the bootstrap
    variance of their mean; see `with_interval`. With one seed the interval covers clusters only. Noise that differs by
    seed and sentence enters both parts, which errs on the wide side.
    """
    count = len(values)
    within = (_bootstrap_variance(samples.mean(0), clusters), clusters - 1)
    if count == 1:
        return with_interval(float(values[0]), within, bounds=bounds)
    between = (float(np.var(values, ddof=1)) / count, count - 1)
    return with_interval(float(np.mean(values)), between, within, bounds=bounds)


def jackknife(value: float, left_out: np.ndarray, samples: np.ndarray, clusters: int) -> Estimate:
    """A statistic of all models with an interval over models and clusters.

    left_out (S,): the statistic without each of the S models, such as a mean over pairs of models, which share
    models. samples (B,): its bootstrap samples over clusters. With fewer than three models the interval covers
    clusters only.
    """
    count = len(left_out)
    within = (_bootstrap_variance(samples, clusters), clusters - 1)
    if count < 3:
        return with_interval(value, within)
    between = (count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum())
    return with_interval(value, (between, count - 1), within)


def mean(values: np.ndarray, clusters: np.ndarray, resample_counts: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of values (n,) and its bootstrap samples (B,); clusters (n,) number the columns of `resample_counts`."""
    sums = np.bincount(clusters, values, resample_counts.shape[1])
    counts = np.bincount(clusters, minlength=resample_counts.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(sums.sum() / counts.sum()), (resample_counts @ sums) / (resample_counts @ counts)


def window_mean(values: np.ndarray, resample_counts: np.ndarray) -> Estimate:
    """The mean of values (S, W), one per seed and window, with an interval over both."""
    return over_seeds(values.mean(1), values @ resample_counts.T / values.shape[1], values.shape[1])


def ratio(
    counts: np.ndarray, resample_counts: np.ndarray, function: Callable[[np.ndarray], Any]
) -> tuple[float, np.ndarray]:
    """A function of summed counts, such as F1, and its bootstrap samples (B,).

    counts: (clusters, k). function: takes (..., k) sums, gives (...).
    """
    return float(function(counts.sum(0))), np.asarray(function(resample_counts @ counts))


class Ranking:
    """The ROC-AUC of scores (n,) for labels (n,), with optional weights: the probability that a positive scores higher
    than a negative.

    Ties count half, also those that only rounding breaks. 0.5 is chance; below it the sign is the other way round. NaN
    where only one class has weight.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray) -> None:
        if not np.isfinite(scores).all():
            raise UserError("scores must be finite numbers; the signal is undefined at some of the gaps.")
        scores = rounded(scores)
        self.order = np.argsort(scores, kind="stable")
        ordered = scores[self.order]
        self.starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        self.labels = labels[self.order].astype(bool)

    def auc(self, weights: np.ndarray | None = None) -> float:
        """weights: (n,) in the order of the scores; all one when None."""
        w = np.ones(len(self.order)) if weights is None else weights[self.order]
        true = np.add.reduceat(np.where(self.labels, w, 0.0), self.starts)
        false = np.add.reduceat(np.where(self.labels, 0.0, w), self.starts)
        below = np.cumsum(false) - false
        total = true.sum() * false.sum()
        return float((true * (below + 0.5 * false)).sum() / total) if total > 0 else float("nan")

    def samples(self, clusters: np.ndarray, resample_counts: np.ndarray) -> np.ndarray:
        """Bootstrap samples (B,): clusters (n,) number the columns of `resample_counts` (B, clusters)."""
        return np.array([self.auc(row[clusters]) for row in resample_counts])


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The ROC-AUC; see Ranking."""
    return Ranking(np.asarray(scores, np.float64), np.asarray(labels)).auc()


def paired(differences: np.ndarray) -> Estimate:
    """Mean difference of pairs with Student's 95 % interval; no interval from a single pair."""
    value, error, freedom = _mean_and_error(differences)
    return with_interval(value, (error**2, freedom))


def paired_tost_p(differences: np.ndarray, margin: float) -> float:
    """p of two one-sided t tests: small when the mean difference lies within +-margin. NaN from a single pair."""
    value, error, freedom = _mean_and_error(differences)
    if freedom < 1:
        return float("nan")
    if error == 0:
        return 0.0 if abs(value) < margin else 1.0
    t = stats().t
    return float(max(t.sf((value + margin) / error, freedom), t.cdf((value - margin) / error, freedom)))


def tost_p(e: Estimate, margin: float) -> float:
    """p of two one-sided tests: small when the estimate lies within +-margin. NaN without an interval."""
    if not e.parts:
        return float("nan")
    return max(e.p(margin), e.p(-margin)) / 2 if abs(e.value) < margin else 1.0


def null_threshold(value: float, null_sample: np.ndarray, neutral: float) -> float:
    """The threshold of a two-sided rank test at 5 %: the upper one for values above `neutral`, else the lower one.

    null_sample (draws,): the same number for each draw of random networks.
    `neutral` is the value without any effect, and the threshold without draws. Infinite where the draws are too few to
    decide.
    """
    if not len(null_sample):
        return neutral
    above = value >= neutral
    place = int(np.floor(ALPHA / 2 * (1 + len(null_sample)) + 1e-9))
    ordered = np.sort(null_sample)
    if place < 1:
        return float("inf") if above else float("-inf")
    return float(max(neutral, ordered[-place]) if above else min(neutral, ordered[place - 1]))


def decide(e: Estimate, threshold: float, neutral: float) -> str:
    """ "above" or "below" when the interval leaves out `neutral` and the value lies beyond `threshold`; else "undecided".

    threshold: of `null_threshold`. The interval answers "is there an effect", the threshold "is it more than
    random functions of the same activations show".
    """
    side = e.verdict(neutral)
    beyond = {"above": e.value > threshold + TOLERANCE, "below": e.value < threshold - TOLERANCE}
    return side if beyond.get(side) else "undecided"


def permutation_p(value: float, permuted: np.ndarray) -> float:
    """Two-sided p of `value` among its permutations (P,), which hold the identity if they are all of them."""
    good = permuted[np.isfinite(permuted)]
    if not len(good) or not np.isfinite(value):
        return float("nan")
    extreme = (np.abs(good) >= abs(value) - 1e-12).sum()
    return float(min(1.0, (1 + extreme) / (1 + len(good))))


def orders(size: int, seed: int = 0, most: int = PERMUTATIONS) -> Iterator[np.ndarray]:
    """All permutations of `size` but the identity where they are at most `most`; else `most` random ones."""
    if size <= 10 and factorial(size) <= most:
        every = permutations(range(size))
        next(every)
        yield from (np.array(one) for one in every)
        return
    rng = np.random.default_rng([seed, 2])
    for _ in range(most):
        yield rng.permutation(size)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation row by row, (B, n) and (B, n) -> (B,); NaN where one is constant but for rounding."""
    rank = stats().rankdata
    x, y = (rank(rounded(v), axis=1) for v in (a, b))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    scale = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.where(scale > 0, (x * y).sum(1) / np.where(scale > 0, scale, 1), np.nan)


def signed_rank(differences: np.ndarray) -> float:
    """p of Wilcoxon's two-sided signed-rank test; 1 where no difference exceeds `TOLERANCE`."""
    d = np.where(np.abs(differences) > TOLERANCE, differences, 0.0)
    if not np.any(d):
        return 1.0
    return float(stats().wilcoxon(d).pvalue)


def holm(p: list[float]) -> list[float]:
    """Holm's adjusted p values, in the order given; an undefined one stays NaN and is not counted."""
    adjusted = [float("nan")] * len(p)
    known = sorted((i for i in range(len(p)) if np.isfinite(p[i])), key=lambda i: p[i])
    reached = 0.0
    for rank, i in enumerate(known):
        reached = max(reached, min(1.0, (len(known) - rank) * p[i]))
        adjusted[i] = reached
    return adjusted


def stats() -> Any:
    """scipy.stats; UserError when it is not installed."""
    try:
        import scipy.stats
    except ImportError as error:
        raise UserError("this analysis needs SciPy; run: pip install 'ropewalk[study]'") from error
    return scipy.stats


def _bootstrap_variance(samples: np.ndarray, clusters: int) -> float:
    """Variance of bootstrap samples (B,), without its bias from few clusters; samples that are undefined are left out."""
    good = samples[np.isfinite(samples)]
    if clusters < 2 or len(good) < 2:
        return float("nan")
    return float(good.var()) * clusters / (clusters - 1)


def _mean_and_error(differences: np.ndarray) -> tuple[float, float, int]:
    """Mean, standard error, degrees of freedom."""
    d = np.asarray(differences, np.float64)
    if not len(d):
        raise UserError("no pairs to compare: give models that share a seed.")
    error = float(d.std(ddof=1) / np.sqrt(len(d))) if len(d) > 1 else float("nan")
    return float(d.mean()), error, len(d) - 1
