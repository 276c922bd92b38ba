"""Sensed: what numbers of different origin know of the same boundaries, under one protocol.

A reader is one or several lines of numbers, one number per gap: increments, the probe's sensitivities, a model's
own uncertainty. Sign and line are fixed on a development part, the test part is scored once. Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.errors import UserError


@dataclass(frozen=True, eq=False)
class Reader:
    """dev (S, N, n) and test (S, N, m): N lines in S models (seeds) at the gaps of both parts."""

    rows: tuple[str, ...]
    dev: np.ndarray
    test: np.ndarray


def one(dev: np.ndarray, test: np.ndarray) -> Reader:
    """A reader of a single line in a single model."""
    return Reader(("",), dev[None, None], test[None, None])


def compare_signals(
    readers: Mapping[str, Reader],
    dev: np.ndarray,
    test: np.ndarray,
    sentences: np.ndarray,
    *,
    title: str,
    chance: Sequence[str] = (),
    random: Reader | None = None,
    notes: Sequence[str] = (),
) -> Result:
    """The AUC of every line, and of each reader's line chosen on development.

    dev (n,), test (m,) bool: is there a boundary; sentences (m,): which sentence a test gap is of. Primary
    endpoint: the first reader's chosen line against the best of those named in `chance`, and 0.5. random: draws of
    random networks in place of models, of which the mean and the highest are told. UserError where a part has gaps of
    one kind only.
    """
    if any(labels.all() or not labels.any() for labels in (dev, test)):
        raise UserError("both parts need gaps with a boundary and gaps without one; give a longer text.")
    clusters = np.unique(sentences, return_inverse=True)[1]
    weights = statistics.draws(int(clusters.max()) + 1)
    rows: list[dict[str, Any]] = []
    chosen: dict[str, statistics.Estimate] = {}
    for name, reader in readers.items():
        developed, signed_test = _signed(reader, dev)
        best = developed.argmax(1)
        picks = {row: np.full(len(best), i) for i, row in enumerate(reader.rows)}
        if len(picks) > 1:
            picks["line chosen on development"] = best
        for row, pick in picks.items():
            rankings = [
                statistics.Ranking(model[i], test) for model, i in zip(signed_test, pick, strict=True)
            ]
            samples = np.stack([ranking.samples(clusters, weights) for ranking in rankings])
            value = float(np.mean([ranking.auc() for ranking in rankings]))
            e = statistics.interval(value, statistics.crossed(samples))
            chosen[name] = e
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
    if random is not None:
        developed, signed_test = _signed(random, dev)
        picked = signed_test[np.arange(len(developed)), developed.argmax(1)]
        reached = [statistics.auc(values, test) for values in picked]
        told = f"of {len(reached)} draws, lines chosen alike"
        rows.append({"reader": f"random networks, mean {told}", "auc": float(np.mean(reached))})
        rows.append({"reader": f"random networks, highest {told}", "auc": float(np.max(reached))})
    first = next(iter(readers))
    null = max([0.5, *(chosen[name].value for name in chance)])
    e = chosen[first]
    told = (
        f"{len(dev)} gaps fix sign and line, {len(test)} are scored, {test.mean():.1%} of them boundaries; intervals "
        "draw sentences again, and models where there are several. Every row but the primary endpoint is exploratory."
    )
    return Result(
        "sensed",
        title,
        {"reader": "reader", "models": "models", "dev": "AUC, development", "auc": "AUC, test"},
        tuple(rows),
        ("auc",),
        Endpoint(f"Test AUC of {first} (line and sign chosen on development)", e, null, e.verdict(null)),
        Chart("bars", "reader", "auc", base=0.5),
        (*notes, told),
    )


def _signed(reader: Reader, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, N) development AUCs, at least 0.5, and the test values (S, N, m) with the signs that give them."""
    auc = np.array([[statistics.auc(v, labels) for v in model] for model in reader.dev])
    return np.maximum(auc, 1 - auc), np.where(auc >= 0.5, 1.0, -1.0)[..., None] * reader.test
