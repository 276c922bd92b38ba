"""Gain: does a model of word boundaries get better when it also sees the increments?

Nested logistic models are fitted on the development part and their log-loss is taken on the test part. The smaller
model has every signal of the same host, also those that have read more than an increment, with squares and products,
and the first byte's identity. Random networks in place of the increments show how much any such features would gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import logistic, statistics
from ropewalk.analyses.boundaries import Part
from ropewalk.analyses.gaps import Characters
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.statistics import Estimate

COLUMNS = {
    "added": "added to",
    "model": "model",
    "loss": "test log-loss, nats per gap",
    "gain": "gain, nats per gap",
    "verdict": "interval against 0",
}
Columns = tuple[np.ndarray, np.ndarray]
"""Features of one model's gaps: development (n, k), test (m, k)."""


def gain(parts: Sequence[Part], jieba: tuple[Characters, Characters] | None = None, seed: int = 0) -> Result:
    """The table for one kind of model; jieba: its cuts of the development and the test part.

    Primary endpoint: the log-loss that the increments of all rows take off the signals' model, against what random
    networks in their place take off it.
    """
    nested = _Nested(parts, seed)
    signals = [_signals(p) for p in parts]
    increments = [_squared(p.dev.increments, p.test.increments) for p in parts]
    nothing = [(np.empty((len(p.dev.labels), 0)), np.empty((len(p.test.labels), 0))) for p in parts]
    base, own = nested.losses(nothing), nested.losses(signals)
    nested.compare("signals and first byte", "nothing", base, own)
    nested.compare("increments", "nothing", base, nested.losses(increments))
    primary = nested.compare("increments", "signals", own, nested.losses(_joined(signals, increments)))
    null_sample = nested.drawn(signals, own)
    if jieba is not None:
        cuts = [
            tuple(
                k.gold[own.characters.candidate].astype(np.float64)[:, None]
                for k, own in zip(jieba, (p.dev, p.test), strict=True)
            )
            for p in parts
        ]
        helped = _joined(signals, [(dev, test) for dev, test in cuts])
        known = nested.losses(helped)
        nested.compare("jieba", "signals", own, known)
        nested.compare("increments", "signals, jieba", known, nested.losses(_joined(helped, increments)))
    threshold = statistics.null_threshold(primary.value, null_sample, 0.0)
    return Result(
        "gain",
        "What increments add to a model of word boundaries",
        COLUMNS,
        tuple(nested.rows),
        ("gain",),
        Endpoint(
            "Gain of the increments over the signals, nats per gap",
            primary,
            threshold,
            statistics.decide(primary, threshold, 0.0),
        ),
        Chart("bars", "model", "gain", by="added", base=0.0),
        (
            "Signals: entropy before and after the first byte, their change from the last character, surprisal of the "
            "first byte and of the whole character, with squares and products. Fitted on development, scored on test. "
            "Only the primary endpoint is compared with random networks; every other row is exploratory, and its "
            "last column says where its interval lies.",
        ),
    )


class _Nested:
    """Logistic models of the gaps of several models (seeds), and the table of their comparisons."""

    def __init__(self, parts: Sequence[Part], seed: int) -> None:
        self.parts, self.rows = parts, list[dict[str, Any]]()
        self.resample_counts = statistics.draw_resample_counts(parts[0].test.sentences, seed=seed)

    def losses(self, columns: Sequence[Columns]) -> list[np.ndarray]:
        """The test log-loss of every gap, one (m,) per model."""
        return [
            logistic.fit(dev, part.dev.labels).loss(test, part.test.labels)
            for (dev, test), part in zip(columns, self.parts, strict=True)
        ]

    def compare(self, name: str, added: str, small: list[np.ndarray], large: list[np.ndarray]) -> Estimate:
        """Adds a row: what the larger model takes off the loss of the smaller one."""
        test = self.parts[0].test
        found = [
            statistics.mean(a - b, test.sentence, self.resample_counts)
            for a, b in zip(small, large, strict=True)
        ]
        e = statistics.over_seeds(
            np.array([value for value, _ in found]),
            np.stack([samples for _, samples in found]),
            test.sentences,
        )
        self.rows.append(
            {
                "added": added,
                "model": name,
                "loss": float(np.mean([values.mean() for values in large])),
                "gain": e.value,
                "gain_low": e.low,
                "gain_high": e.high,
                "verdict": e.verdict(),
            }
        )
        return e

    def drawn(self, signals: Sequence[Columns], own: list[np.ndarray]) -> np.ndarray:
        """The gain that each draw of random networks reaches (draws,), averaged over models; adds two rows."""
        pairs = [(p.dev.random, p.test.random) for p in self.parts]
        if any(dev is None or test is None for dev, test in pairs):
            return np.empty(0)
        null_sample = []
        for draw in range(len(pairs[0][1])):  # type: ignore[arg-type]
            random = [_squared(dev[draw], test[draw]) for dev, test in pairs]  # type: ignore[index]
            losses = self.losses(_joined(signals, random))
            null_sample.append(np.mean([np.mean(a - b) for a, b in zip(own, losses, strict=True)]))
        found = np.array(null_sample)
        for what, value in (("mean", found.mean()), ("97.5th percentile", np.quantile(found, 0.975))):
            name = f"random networks, {what} of {len(found)} draws"
            self.rows.append({"added": "signals", "model": name, "gain": float(value)})
        return found


def _joined(first: Sequence[Columns], second: Sequence[Columns]) -> list[Columns]:
    return [
        (np.column_stack([a[0], b[0]]), np.column_stack([a[1], b[1]]))
        for a, b in zip(first, second, strict=True)
    ]


def _signals(part: Part) -> Columns:
    dev, test = (np.column_stack(list(g.signals.values())) for g in (part.dev, part.test))
    kinds = np.unique(part.dev.first_tokens)[1:]
    own, scored = (
        np.column_stack([logistic.squares(x, dev), g.first_tokens[:, None] == kinds])
        for x, g in ((dev, part.dev), (test, part.test))
    )
    return own, scored


def _squared(dev: np.ndarray, test: np.ndarray) -> Columns:
    """Rows (N, n) as features with their own squares, not their products."""
    center, scale = dev.mean(1), logistic.deviation(dev.T)
    own, scored = (np.column_stack([x.T, ((x.T - center) / scale) ** 2]) for x in (dev, test))
    return own, scored
