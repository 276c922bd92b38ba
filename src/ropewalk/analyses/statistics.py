"""Statistics: intervals that resample sentences and seeds, tests for pairs, corrections for many lines.

The unit that is drawn again is always a whole sentence (or a pair, or a seed), never a single gap: gaps of one
sentence are not independent. Every function is deterministic: the draws are named by a seed. Knows numbers, not
what they mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.errors import UserError

REPLICATES = 1_000


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the interval is NaN where it is not defined."""

    value: float
    low: float = float("nan")
    high: float = float("nan")

    def verdict(self, null: float = 0.0) -> str:
        """ "above" or "below" `null` when the whole interval is, else "undecided"."""
        if self.low > null:
            return "above"
        return "below" if self.high < null else "undecided"


def draws(clusters: int, replicates: int = REPLICATES, seed: int = 0) -> np.ndarray:
    """How often each of `clusters` is drawn in each replicate of a bootstrap: (replicates, clusters) float64."""
    if clusters < 1:
        raise UserError("a bootstrap needs at least one sentence; give a longer text.")
    stream = np.random.default_rng(seed)
    return stream.multinomial(clusters, np.full(clusters, 1 / clusters), size=replicates).astype(np.float64)


def interval(value: float, samples: np.ndarray) -> Estimate:
    """The value with the 2.5th and 97.5th percentile of its bootstrap samples (NaN samples are left out)."""
    good = samples[np.isfinite(samples)]
    if len(good) < 2:
        return Estimate(value)
    low, high = np.percentile(good, [2.5, 97.5])
    return Estimate(float(value), float(low), float(high))


def crossed(samples: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bootstrap samples of a mean over seeds, (B,): seeds are drawn again too, sentences as they were drawn.

    samples: (S, B), a statistic of S seeds under the same B draws of sentences.
    """
    count, replicates = samples.shape
    if count == 1:
        return samples[0]
    picked = np.random.default_rng([seed, 1]).integers(0, count, size=(count, replicates))
    return np.take_along_axis(samples, picked, axis=0).mean(0)


def mean(values: np.ndarray, clusters: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """The mean of values (n,) and its bootstrap samples (B,); clusters (n,) number the columns of `weights`."""
    sums = np.bincount(clusters, values, weights.shape[1])
    counts = np.bincount(clusters, minlength=weights.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(sums.sum() / counts.sum()), (weights @ sums) / (weights @ counts)


def ratio(
    counts: np.ndarray, weights: np.ndarray, of: Callable[[np.ndarray], Any]
) -> tuple[float, np.ndarray]:
    """A function of summed counts, such as F1, and its bootstrap samples (B,).

    counts: (clusters, k). of: takes (..., k) sums, gives (...).
    """
    return float(of(counts.sum(0))), np.asarray(of(weights @ counts))


class Ranking:
    """The ROC-AUC of scores (n,) for labels (n,), under any weights: the chance that a true one stands higher.

    Ties count half. 0.5 is chance; below it the sign is the other way round. NaN where only one class has
    weight.
    """

    def __init__(self, scores: np.ndarray, labels: np.ndarray) -> None:
        if not np.isfinite(scores).all():
            raise UserError("scores must be finite numbers; the signal is undefined at some of the gaps.")
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

    def samples(self, clusters: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Bootstrap samples (B,): clusters (n,) number the columns of `weights` (B, clusters)."""
        return np.array([self.auc(row[clusters]) for row in weights])


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The ROC-AUC; see Ranking."""
    return Ranking(np.asarray(scores, np.float64), np.asarray(labels)).auc()


def paired(differences: np.ndarray) -> Estimate:
    """Mean difference of pairs with Student's 95 % interval; no interval from a single pair."""
    value, error, freedom = _spread(differences)
    if freedom < 1:
        return Estimate(value)
    reach = float(stats().t.ppf(0.975, freedom)) * error
    return Estimate(value, value - reach, value + reach)


def equivalence(differences: np.ndarray, margin: float) -> float:
    """p of two one-sided t tests: small when the mean difference lies within +-margin. NaN from a single pair."""
    value, error, freedom = _spread(differences)
    if freedom < 1:
        return float("nan")
    if error == 0:
        return 0.0 if abs(value) < margin else 1.0
    t = stats().t
    return float(max(t.sf((value + margin) / error, freedom), t.cdf((value - margin) / error, freedom)))


def beyond(value: float, reached: np.ndarray, null: float) -> float:
    """What an effect must clear: the most that chance reached (D,) on the side of `null` where `value` lies."""
    return float(np.max(reached, initial=null) if value >= null else np.min(reached, initial=null))


def cleared(e: Estimate, null: float, neutral: float) -> str:
    """ "above" or "below" when the whole interval is beyond both `null`, what chance reached, and `neutral`, what
    nothing at all would give; else "undecided"."""
    if e.low > max(null, neutral):
        return "above"
    return "below" if e.high < min(null, neutral) else "undecided"


def t_test(differences: np.ndarray) -> float:
    """p of Student's two-sided test of a mean difference of zero; NaN from a single pair."""
    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        return float("nan")
    if d.std() == 0:
        return 1.0 if d[0] == 0 else 0.0
    return float(stats().ttest_1samp(d, 0.0).pvalue)


def signed_rank(differences: np.ndarray) -> float:
    """p of Wilcoxon's two-sided signed-rank test; 1 where every difference is zero."""
    if not np.any(differences):
        return 1.0
    return float(stats().wilcoxon(differences).pvalue)


def holm(p: list[float]) -> list[float]:
    """Holm's adjusted p values, in the order given; an undefined one stays NaN and is not counted."""
    adjusted = [float("nan")] * len(p)
    known = sorted((i for i in range(len(p)) if np.isfinite(p[i])), key=lambda i: p[i])
    reached = 0.0
    for rank, i in enumerate(known):
        reached = max(reached, min(1.0, (len(known) - rank) * p[i]))
        adjusted[i] = reached
    return adjusted


def bootstrap_p(samples: np.ndarray, null: float = 0.0) -> float:
    """A two-sided p from bootstrap samples: how rarely they fall on the other side of `null`."""
    good = samples[np.isfinite(samples)]
    if not len(good):
        return float("nan")
    tail = min((good <= null).sum(), (good >= null).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(good) + 1)))


def stats() -> Any:
    """scipy.stats; UserError when it is not installed."""
    try:
        import scipy.stats
    except ImportError as error:
        raise UserError("this analysis needs SciPy; run: pip install 'ropewalk[study]'") from error
    return scipy.stats


def _spread(differences: np.ndarray) -> tuple[float, float, int]:
    """Mean, standard error, degrees of freedom."""
    d = np.asarray(differences, np.float64)
    if not len(d):
        raise UserError("no pairs to compare: give models that share a seed.")
    error = float(d.std(ddof=1) / np.sqrt(len(d))) if len(d) > 1 else float("nan")
    return float(d.mean()), error, len(d) - 1
