"""Signal comparison: what numbers of different origin know of the same boundaries, under one protocol.

A reader is one or several rows of numbers, one number per gap: increments, the probe's sensitivities, a model's own
uncertainty. Sign and row are chosen on a development part, the test part is scored once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.boundaries import chance_rows
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError

COLUMNS = {"reader": "reader", "models": "models", "dev": "AUC, development", "auc": "AUC, test"}
CHOSEN = "row chosen on development"


@dataclass(frozen=True, eq=False)
class Reader:
    """dev (S, N, n) and test (S, N, m): N rows in S models (seeds) at the gaps of both parts."""

    rows: tuple[str, ...]
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


def single(dev: np.ndarray, test: np.ndarray) -> Reader:
    """A reader of a single row in a single model."""
    return Reader(("",), dev[None, None], test[None, None])


def compare_signals(
    readers: Mapping[str, Reader],
    gaps: Gaps,
    *,
    title: str,
    chance: Sequence[str] = (),
    random: Reader | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """The AUC of every row, and of each reader's row chosen on development.

    Primary endpoint: the first reader's chosen row against the best of those named in `chance`, and 0.5. random:
    draws of random networks in place of models; where the first reader is "increment" they are its null.
    """
    clusters = np.unique(gaps.sentences, return_inverse=True)[1]
    weights = statistics.draws(int(clusters.max()) + 1)
    rows: list[dict[str, Any]] = []
    chosen: dict[str, statistics.Estimate] = {}
    for name, reader in readers.items():
        found, chosen[name] = _rows(name, reader, gaps, clusters, weights)
        rows += found
    reached = np.empty(0)
    if random is not None:
        developed, signed = _signed(random, gaps.dev)
        picked = signed[np.arange(len(developed)), developed.argmax(1)]
        reached = np.array([statistics.auc(values, gaps.test) for values in picked])
        rows += chance_rows(reached)
    first = next(iter(readers))
    e = chosen[first]
    level = statistics.to_clear(e.value, reached if first == "increment" else np.empty(0), 0.5)
    null = max([level, *(chosen[name].value for name in chance)])
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
            statistics.cleared(e, null, 0.5),
        ),
        Chart("bars", "reader", "auc", base=0.5),
        (*notes, protocol),
    )


def _rows(
    name: str, reader: Reader, gaps: Gaps, clusters: np.ndarray, weights: np.ndarray
) -> tuple[list[dict[str, Any]], statistics.Estimate]:
    """The table rows of one reader, and the AUC of the row chosen on development."""
    developed, signed = _signed(reader, gaps.dev)
    best = developed.argmax(1)
    picks = {row: np.full(len(best), i) for i, row in enumerate(reader.rows)}
    if len(picks) > 1:
        picks[CHOSEN] = best
    rows = []
    for row, pick in picks.items():
        rankings = [statistics.Ranking(model[i], gaps.test) for model, i in zip(signed, pick, strict=True)]
        e = statistics.over_seeds(
            np.array([ranking.auc() for ranking in rankings]),
            np.stack([ranking.samples(clusters, weights) for ranking in rankings]),
            weights.shape[1],
            (0, 1),
        )
        rows.append(
            {
                "reader": " ".join(word for word in (name, row) if word),
                "models": len(pick),
                "dev": float(developed[np.arange(len(pick)), pick].mean()),
                "auc": e.value,
                "auc_low": e.low,
                "auc_high": e.high,
            }
        )
    return rows, e


def _signed(reader: Reader, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, N) development AUCs, at least 0.5, and the test values (S, N, m) with the signs that give them."""
    auc = np.array([[statistics.auc(v, labels) for v in model] for model in reader.dev])
    return np.maximum(auc, 1 - auc), np.where(auc >= 0.5, 1.0, -1.0)[..., None] * reader.test
