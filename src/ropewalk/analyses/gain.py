"""Gain: does a model of word boundaries get better when it also sees the increments?

Nested logistic models are fitted on the development part and their log-loss is taken on the test part. The
smaller model has every signal of the same host, also those that have read more than an increment, with squares
and products, and the first byte's identity. Random networks in place of the increments say how much any such
features would gain.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    "verdict": "verdict",
}


def gain(parts: Sequence[Part], jieba: tuple[Characters, Characters] | None = None, seed: int = 0) -> Result:
    """The table for one kind of model; jieba: its cuts of the development and the test part.

    Primary endpoint: the log-loss that the increments of all lines take off the signals' model.
    """
    test = parts[0].test
    weights = statistics.draws(test.sentences, seed=seed)
    rows: list[dict[str, object]] = []

    def compare(name: str, added: str, small: list[np.ndarray], large: list[np.ndarray]) -> Estimate:
        found = [statistics.mean(a - b, test.sentence, weights) for a, b in zip(small, large, strict=True)]
        e = statistics.interval(
            float(np.mean([value for value, _ in found])),
            statistics.crossed(np.stack([samples for _, samples in found]), seed),
        )
        loss = float(np.mean([values.mean() for values in large]))
        rows.append(
            {
                "added": added,
                "model": name,
                "loss": loss,
                "gain": e.value,
                "gain_low": e.low,
                "gain_high": e.high,
                "verdict": e.verdict(),
            }
        )
        return e

    def losses(dev: list[np.ndarray], tst: list[np.ndarray]) -> list[np.ndarray]:
        return [
            logistic.fit(x, part.dev.labels).loss(y, part.test.labels)
            for x, y, part in zip(dev, tst, parts, strict=True)
        ]

    def with_(columns: Sequence[tuple[np.ndarray, np.ndarray]], base: tuple[list, list]) -> tuple[list, list]:
        dev = [np.column_stack([b, c[0]]) for b, c in zip(base[0], columns, strict=True)]
        tst = [np.column_stack([b, c[1]]) for b, c in zip(base[1], columns, strict=True)]
        return dev, tst

    nothing = (
        [np.empty((len(p.dev.labels), 0)) for p in parts],
        [np.empty((len(p.test.labels), 0)) for p in parts],
    )
    signals = with_([_signals(p) for p in parts], nothing)
    lines = [_bent(p.dev.rows, p.test.rows) for p in parts]
    base, own = losses(*nothing), losses(*signals)
    compare("signals and first byte", "nothing", base, own)
    compare("increments", "nothing", base, losses(*with_(lines, nothing)))
    primary = compare("increments", "signals", own, losses(*with_(lines, signals)))
    if test.chance is not None:
        for draw in range(min(5, len(test.chance))):
            random = [_bent(p.dev.chance[draw], p.test.chance[draw]) for p in parts]  # type: ignore[index]
            compare(f"random networks, draw {draw + 1}", "signals", own, losses(*with_(random, signals)))
    if jieba is not None:
        cuts = [tuple(k.gold[k.candidate].astype(np.float64)[:, None] for k in jieba) for _ in parts]
        helped = with_(cuts, signals)
        known = losses(*helped)
        compare("jieba", "signals", own, known)
        compare("increments", "signals, jieba", known, losses(*with_(lines, helped)))
    highest = max((float(r["gain"]) for r in rows if str(r["model"]).startswith("random")), default=0.0)  # type: ignore[arg-type]
    null = max(0.0, highest)
    return Result(
        "gain",
        "What increments add to a model of word boundaries",
        COLUMNS,
        tuple(rows),  # type: ignore[arg-type]
        ("gain",),
        Endpoint(
            "Gain of the increments over the signals, nats per gap",
            primary,
            null,
            statistics.cleared(primary, null, 0.0),
        ),
        Chart("bars", "model", "gain", by="added", base=0.0),
        (
            "Signals: entropy before and after the first byte, their change from the last character, surprisal "
            "of the first byte and of the whole character, with squares and products. Fitted on development, "
            "scored on test. The primary endpoint is measured against the best of the random networks; every "
            "other row is exploratory.",
        ),
    )


def _signals(part: Part) -> tuple[np.ndarray, np.ndarray]:
    dev, test = (np.column_stack(list(g.signals.values())) for g in (part.dev, part.test))
    kinds = np.unique(part.dev.first)
    return tuple(
        np.column_stack([logistic.squares(x, dev), g.first[:, None] == kinds[1:]])
        for x, g in ((dev, part.dev), (test, part.test))
    )  # type: ignore[return-value]


def _bent(dev: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lines (N, n) as features with their own squares, not their products."""
    center, scale = dev.mean(1), np.maximum(dev.std(1), 1e-12)
    return tuple(np.column_stack([x.T, ((x.T - center) / scale) ** 2]) for x in (dev, test))  # type: ignore[return-value]
