"""Segmentation: a choice at every candidate gap becomes words, scored against gold.

Boundary F1 counts candidate gaps only. Word F1 counts whole words of the whole sentence, with the rule's
boundaries everywhere else (see `gaps`), so that every method gets the same help. Counts are per sentence: a
bootstrap sums them.
"""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.gaps import Characters
from ropewalk.analyses.statistics import TOLERANCE, rounded


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 of (..., 3) sums: right, proposed, true."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * counts[..., 0] / (counts[..., 1] + counts[..., 2])


def boundary_counts(labels: np.ndarray, chosen: np.ndarray, sentence: np.ndarray, size: int) -> np.ndarray:
    """(size, 3): right, proposed and true boundaries of each sentence, over candidate gaps (n,)."""
    return np.stack(
        [np.bincount(sentence, flags, size) for flags in (labels & chosen, chosen, labels)], axis=1
    )


def word_counts(known: Characters, chosen: np.ndarray, everywhere: bool = False) -> np.ndarray:
    """(sentences, 3): right, proposed and true words. chosen: bool at every candidate gap, in order.

    everywhere: `chosen` (C,) has an entry for every character's gap, and the rule is not used.
    """
    size = int(known.sentence.max()) + 1
    proposed = chosen.copy() if everywhere else known.rule.copy()
    if not everywhere:
        proposed[known.candidate] = chosen
    first = np.concatenate([[True], known.sentence[1:] != known.sentence[:-1]])
    proposed |= first
    true = known.gold | first
    starts = np.flatnonzero(true)
    ends = np.append(starts[1:], len(true))
    passed = np.concatenate([[0], np.cumsum(proposed)])
    closed = np.append(proposed, True)[ends]
    right = proposed[starts] & closed & (passed[ends] - passed[starts] == 1)
    return np.stack(
        [
            np.bincount(known.sentence[starts], right, size),
            np.bincount(known.sentence, proposed, size),
            np.bincount(known.sentence, true, size),
        ],
        axis=1,
    )


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The threshold t whose choice `scores >= t` has the highest boundary F1; the highest of equal ones. It lies between
    scores that differ by more than rounding."""
    scores = rounded(scores)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    right, proposed = np.cumsum(labels[order]), np.arange(1, len(order) + 1)
    quality = 2 * right / (proposed + labels.sum())
    last = np.append(ordered[1:] != ordered[:-1], True)
    quality[~last] = -1.0
    return float(ordered[int(np.argmax(quality))] - TOLERANCE / 2)


def every_other(known: Characters) -> np.ndarray:
    """Words of two characters, counted from the start of each run of candidates: bool at candidate gaps."""
    c = known.candidate
    index = np.arange(len(c))
    start = np.maximum.accumulate(np.where(~c, index, 0))
    return ((index - start) % 2 == 0)[c]
