"""Boundaries: do a model's increments know where words start, better than what they are made from?

Sign, line and threshold are fixed on a development part; the test part is scored once. Beside the increments
stand signals of the same model and random networks of the parametrization's own shape on the same residual streams, under
the same protocol. Several models (seeds) of one kind are averaged; intervals draw sentences and seeds again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import segmentation, statistics
from ropewalk.analyses.gaps import READS, Characters, Gaps
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.statistics import Estimate, Ranking
from ropewalk.errors import UserError

COLUMNS = {
    "reader": "reader",
    "reads": "has read",
    "dev": "AUC, development",
    "auc": "AUC, test",
    "holm": "p (Holm)",
    "boundary_f1": "boundary F1",
    "word_f1": "word F1",
    "ceiling": "at ceiling",
}


@dataclass(frozen=True, eq=False)
class Part:
    """One model's gaps: development and test."""

    dev: Gaps
    test: Gaps


@dataclass(frozen=True, eq=False)
class Reading:
    """One reader on one model: its AUCs, the test AUC's samples, the test counts of its segmentation."""

    dev: float
    auc: float
    samples: np.ndarray
    boundaries: np.ndarray
    words: np.ndarray


def boundaries(
    parts: Sequence[Part], segmenters: Mapping[str, Characters] | None = None, seed: int = 0
) -> Result:
    """The table for one kind of model. segmenters: name -> the test part's characters, cut by others.

    Primary endpoint: test AUC of the line chosen on the development part, against the highest that random
    networks reach by the same choice. UserError for models that read different gaps.
    """
    first = parts[0].test
    if any(not np.array_equal(p.test.labels, first.labels) or p.test.names != first.names for p in parts):
        raise UserError(
            "the models differ in their lines or read different gaps; compare models of one kind."
        )
    weights = statistics.draws(first.sentences, seed=seed)
    rows: list[dict[str, Any]] = []

    def add(name: str, reads: str, readings: list[Reading], **more: Any) -> None:
        rows.append({"reader": name, "reads": reads, **_row(readings, weights, seed), **more})

    per_line = [
        [read(p, p.dev.rows[i], p.test.rows[i], weights) for p in parts] for i in range(len(first.names))
    ]
    p_values = [
        statistics.bootstrap_p(statistics.crossed(np.stack([r.samples for r in readings]), seed), 0.5)
        for readings in per_line
    ]
    for i, (name, readings) in enumerate(zip(first.names, per_line, strict=True)):
        full = float(np.mean([p.test.saturated[i] for p in parts]))
        add(f"increment {name}", "same", readings, holm=statistics.holm(p_values)[i], ceiling=full)
    best = [max(range(len(first.names)), key=lambda i: per_line[i][s].dev) for s in range(len(parts))]
    chosen = [per_line[i][s] for s, i in enumerate(best)]
    add("increment, line chosen on development", "same", chosen)
    rivals: dict[str, list[Reading]] = {}
    for name, reads in READS.items():
        readings = [read(p, p.dev.signals[name], p.test.signals[name], weights) for p in parts]
        add(name, reads, readings)
        rivals |= {name: readings} if reads != "more" else {}
    rivals["first byte"] = [read(p, *identity(p), weights) for p in parts]
    add("first byte", "same", rivals["first byte"])
    null, notes = 0.5, []
    if first.chance is not None:
        drawn = np.array([by_chance(p) for p in parts]).mean(0)
        null = max(0.5, float(drawn.max()))
        rows += [
            {"reader": f"random networks, mean of {len(drawn)} draws", "reads": "same", "auc": drawn.mean()},
            {"reader": "random networks, highest draw", "reads": "same", "auc": drawn.max()},
        ]
    rows += [_cut(first, name, choice) for name, choice in _fixed(first).items()]
    for name, known in (segmenters or {}).items():
        rows += _other(first, name, known)
    e = _auc(chosen, seed)
    rival = max(rivals, key=lambda name: float(np.mean([r.dev for r in rivals[name]])))
    d = _difference(chosen, rivals[rival], seed)
    notes.append(
        f"Lines chosen: {', '.join(first.names[i] for i in best)}. Against the best signal of the development "
        f"part that has read no more ({rival}): AUC {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}], "
        f"{_word(d)}."
    )
    notes.append(
        f"{len(first.labels)} gaps between two Chinese characters in {first.sentences} sentences, "
        f"{first.labels.mean():.1%} of them word boundaries; {len(parts)} model(s). Intervals draw sentences"
        f"{' and models' if len(parts) > 1 else ''} again. Letters and digits hang together and punctuation "
        "stands alone, for every method alike. Every row but the primary endpoint is exploratory."
    )
    return Result(
        "boundaries",
        "Word boundaries between Chinese characters",
        COLUMNS,
        tuple(rows),
        ("auc", "word_f1"),
        Endpoint(
            "Test AUC of the increments (line and sign chosen on development)",
            e,
            null,
            statistics.cleared(e, null, 0.5),
        ),
        Chart("bars", "reader", "auc", base=0.5),
        tuple(notes),
    )


def read(part: Part, dev: np.ndarray, test: np.ndarray, weights: np.ndarray) -> Reading:
    """One score per gap: the sign and the threshold from the development part, everything else from the test."""
    forward = statistics.auc(dev, part.dev.labels)
    sign = 1.0 if forward >= 0.5 else -1.0
    ranking = Ranking(sign * test, part.test.labels)
    choice = sign * test >= segmentation.best_threshold(sign * dev, part.dev.labels)
    counts = segmentation.boundary_counts(part.test.labels, choice, part.test.sentence, part.test.sentences)
    return Reading(
        max(forward, 1 - forward),
        ranking.auc(),
        ranking.samples(part.test.sentence, weights),
        counts,
        segmentation.word_counts(part.test.characters, choice),
    )


def identity(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """How often a word starts before a character with this first token, by the development part."""
    tokens = np.union1d(part.dev.first, part.test.first)
    at = np.searchsorted(tokens, part.dev.first)
    seen = np.bincount(at, minlength=len(tokens))
    rate = (np.bincount(at, part.dev.labels, len(tokens)) + part.dev.labels.mean()) / (seen + 1)
    return rate[at], rate[np.searchsorted(tokens, part.test.first)]


def by_chance(part: Part) -> list[float]:
    """The test AUC of every draw of random networks, its line and sign chosen as those of the increments."""
    found = []
    for dev, test in zip(_drawn(part.dev), _drawn(part.test), strict=True):
        scored = [statistics.auc(values, part.dev.labels) for values in dev]
        row = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        reached = statistics.auc(test[row], part.test.labels)
        found.append(reached if scored[row] >= 0.5 else 1 - reached)
    return found


def _drawn(gaps: Gaps) -> np.ndarray:
    return gaps.chance if gaps.chance is not None else np.empty((0, len(gaps.names), len(gaps.labels)))


def _auc(readings: list[Reading], seed: int) -> Estimate:
    value = float(np.mean([r.auc for r in readings]))
    return statistics.interval(value, statistics.crossed(np.stack([r.samples for r in readings]), seed))


def _difference(one: list[Reading], other: list[Reading], seed: int) -> Estimate:
    value = float(np.mean([a.auc - b.auc for a, b in zip(one, other, strict=True)]))
    pairs = np.stack([a.samples - b.samples for a, b in zip(one, other, strict=True)])
    return statistics.interval(value, statistics.crossed(pairs, seed))


def _row(readings: list[Reading], weights: np.ndarray, seed: int) -> dict[str, Any]:
    e = _auc(readings, seed)
    words = [statistics.ratio(r.words, weights, segmentation.f1) for r in readings]
    w = statistics.interval(
        float(np.mean([value for value, _ in words])),
        statistics.crossed(np.stack([samples for _, samples in words]), seed),
    )
    return {
        "dev": float(np.mean([r.dev for r in readings])),
        "auc": e.value,
        "auc_low": e.low,
        "auc_high": e.high,
        "boundary_f1": float(np.mean([segmentation.f1(r.boundaries.sum(0)) for r in readings])),
        "word_f1": w.value,
        "word_f1_low": w.low,
        "word_f1_high": w.high,
    }


def _fixed(gaps: Gaps) -> dict[str, np.ndarray]:
    return {
        "every character": np.ones(len(gaps.labels), bool),
        "two characters": segmentation.every_other(gaps.characters)[_readable(gaps)],
    }


def _readable(gaps: Gaps) -> np.ndarray:
    """All candidates: a model of bytes reads every one of them."""
    if gaps.characters.candidate.sum() != len(gaps.labels):
        raise UserError("this model's tokens hide some of the gaps; segmentation needs a model of bytes.")
    return np.ones(len(gaps.labels), bool)


def _cut(gaps: Gaps, name: str, choice: np.ndarray) -> dict[str, Any]:
    counts = segmentation.boundary_counts(gaps.labels, choice, gaps.sentence, gaps.sentences)
    words = segmentation.word_counts(gaps.characters, choice)
    return {
        "reader": name,
        "reads": "no model",
        "boundary_f1": float(segmentation.f1(counts.sum(0))),
        "word_f1": float(segmentation.f1(words.sum(0))),
    }


def _other(gaps: Gaps, name: str, known: Characters) -> list[dict[str, Any]]:
    """A segmenter with the rule around the candidates, and with its own cuts everywhere."""
    alone = segmentation.word_counts(gaps.characters, known.gold, everywhere=True)
    own = {
        "reader": f"{name}, its own cuts everywhere",
        "reads": "no model",
        "word_f1": segmentation.f1(alone.sum(0)),
    }
    return [_cut(gaps, name, known.gold[known.candidate]), own]


def _word(e: Estimate) -> str:
    return {"above": "better", "below": "worse", "undecided": "undecided"}[e.verdict()]
