"""Signal comparison: how well different signals predict the same boundaries, under one protocol.

A predictor is one or several rows of numbers, one number per gap: increments, the probe's sensitivities, a model's own
uncertainty. Sign and row are chosen on a development part, the test part is scored once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.boundaries import random_network_rows
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError

COLUMNS = {"predictor": "predictor", "models": "models", "dev": "AUC, development", "auc": "AUC, test"}
CHOSEN = "row chosen on development"


@dataclass(frozen=True, eq=False)
class Predictor:
    """dev (S, N, n) and test (S, N, m): N rows `row_names` in S models (seeds) at the gaps of both parts."""

    row_names: tuple[str, ...]
    dev: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, eq=False)
class Gaps:
    """Whether a gap of the development part (n,) and of the test part (m,) is a boundary, and the sentence (m,) of
    each test gap. UserError where a part has gaps of one kind only."""

    dev: np.ndarray
    test: np.ndarray
    sentences: np.ndarray

    def __post_init__(self) -> None:
        if any(labels.all() or not labels.any() for labels in (self.dev, self.test)):
            raise UserError("both parts need gaps with a boundary and gaps without one; give a longer text.")


def single(dev: np.ndarray, test: np.ndarray) -> Predictor:
    """A predictor of a single row in a single model."""
    return Predictor(("",), dev[None, None], test[None, None])


def compare_signals(
    predictors: Mapping[str, Predictor],
    gaps: Gaps,
    *,
    title: str,
    baselines: Sequence[str] = (),
    random: Predictor | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """The AUC of every row, and of each predictor's row chosen on development.

    Primary endpoint: the first predictor's chosen row against the best of those named in `baselines`, and 0.5. random:
    draws of random networks in place of models; where the first predictor is "increment" they are its null.
    """
    clusters = np.unique(gaps.sentences, return_inverse=True)[1]
    resample_counts = statistics.draw_resample_counts(int(clusters.max()) + 1)
    rows: list[dict[str, Any]] = []
    chosen: dict[str, statistics.Estimate] = {}
    for name, predictor in predictors.items():
        found, chosen[name] = _rows(name, predictor, gaps, clusters, resample_counts)
        rows += found
    null_sample = np.empty(0)
    if random is not None:
        developed, signed = _signed(random, gaps.dev)
        picked = signed[np.arange(len(developed)), developed.argmax(1)]
        null_sample = np.array([statistics.auc(values, gaps.test) for values in picked])
        rows += random_network_rows(null_sample)
    first = next(iter(predictors))
    e = chosen[first]
    threshold = statistics.null_threshold(e.value, null_sample if first == "increment" else np.empty(0), 0.5)
    null = max([threshold, *(chosen[name].value for name in baselines)])
    protocol = (
        f"{len(gaps.dev)} gaps fix sign and row, {len(gaps.test)} are scored, {gaps.test.mean():.1%} of them "
        "boundaries; intervals cover sentences, and models where there are several. Every row but the primary endpoint "
        "is exploratory."
    )
    return Result(
        "signals",
        title,
        COLUMNS,
        tuple(rows),
        ("auc",),
        Endpoint(
            f"Test AUC of {first} (row and sign chosen on development)",
            e,
            null,
            statistics.decide(e, null, 0.5),
        ),
        Chart("bars", "predictor", "auc", base=0.5),
        (*notes, protocol),
    )


def _rows(
    name: str, predictor: Predictor, gaps: Gaps, clusters: np.ndarray, resample_counts: np.ndarray
) -> tuple[list[dict[str, Any]], statistics.Estimate]:
    """The table rows of one predictor, and the AUC of the row chosen on development."""
    developed, signed = _signed(predictor, gaps.dev)
    best = developed.argmax(1)
    picks = {row: np.full(len(best), i) for i, row in enumerate(predictor.row_names)}
    if len(picks) > 1:
        picks[CHOSEN] = best
    rows = []
    for row, pick in picks.items():
        rankings = [statistics.Ranking(model[i], gaps.test) for model, i in zip(signed, pick, strict=True)]
        e = statistics.over_seeds(
            np.array([ranking.auc() for ranking in rankings]),
            np.stack([ranking.samples(clusters, resample_counts) for ranking in rankings]),
            resample_counts.shape[1],
            (0, 1),
        )
        rows.append(
            {
                "predictor": " ".join(word for word in (name, row) if word),
                "models": len(pick),
                "dev": float(developed[np.arange(len(pick)), pick].mean()),
                "auc": e.value,
                "auc_low": e.low,
                "auc_high": e.high,
            }
        )
    return rows, e


def _signed(predictor: Predictor, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, N) development AUCs, at least 0.5, and the test values (S, N, m) with the signs that give them."""
    auc = np.array([[statistics.auc(v, labels) for v in model] for model in predictor.dev])
    return np.maximum(auc, 1 - auc), np.where(auc >= 0.5, 1.0, -1.0)[..., None] * predictor.test
