"""Boundaries: do a model's increments know where words start, better than what they are computed from?

Sign, row and threshold are chosen on a development part; the test part is scored once. Signals of the same model and
random networks of the parametrization's own shape on the same residual streams go through the same protocol. Several
models (seeds) of one kind are averaged; intervals cover sentences and seeds.
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

CHOSEN = "increment, row chosen on development"
COLUMNS = {
    "reader": "reader",
    "reads": "has read",
    "dev": "AUC, development",
    "auc": "AUC, test",
    "holm": "p (Holm)",
    "boundary_f1": "boundary F1",
    "word_f1": "word F1",
    "ceiling": "at max",
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

    Primary endpoint: test AUC of the row chosen on the development part, against what random networks reach by the
    same choice. UserError for models that read different gaps.
    """
    first = parts[0].test
    if any(not np.array_equal(p.test.labels, first.labels) or p.test.names != first.names for p in parts):
        raise UserError("the models differ in their rows or read different gaps; compare models of one kind.")
    weights = statistics.draws(first.sentences, seed=seed)
    by_row = [
        [read(p, p.dev.rows[i], p.test.rows[i], weights) for p in parts] for i in range(len(first.names))
    ]
    best = [max(range(len(first.names)), key=lambda i: by_row[i][s].dev) for s in range(len(parts))]
    chosen = [by_row[i][s] for s, i in enumerate(best)]
    signals = {
        name: [read(p, p.dev.signals[name], p.test.signals[name], weights) for p in parts] for name in READS
    }
    identities = [read(p, *identity(p), weights) for p in parts]
    reached = chance_aucs(parts)

    rows = _increment_rows(parts, by_row, weights)
    rows.append({"reader": CHOSEN, "reads": "same", **_row(chosen, weights)})
    rows += [{"reader": name, "reads": READS[name], **_row(r, weights)} for name, r in signals.items()]
    rows.append({"reader": "first byte", "reads": "same", **_row(identities, weights)})
    rows += chance_rows(reached, reads="same")
    rows += [_cut(first, name, choice) for name, choice in _fixed(first).items()]
    for name, known in (segmenters or {}).items():
        rows += _other(first, name, known)

    e = _auc(chosen)
    level = statistics.to_clear(e.value, reached, 0.5)
    rivals = {name: r for name, r in signals.items() if READS[name] != "more"} | {"first byte": identities}
    return Result(
        "boundaries",
        "Word boundaries between Chinese characters",
        COLUMNS,
        tuple(rows),
        ("auc", "word_f1"),
        Endpoint(
            "Test AUC of the increments (row and sign chosen on development)",
            e,
            level,
            statistics.cleared(e, level, 0.5),
        ),
        Chart("bars", "reader", "auc", base=0.5),
        (_against_rivals(first.names, best, chosen, rivals), _what(first, len(parts))),
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
    """The test AUC of every draw of random networks, its row and sign chosen as those of the increments."""
    found = []
    for dev, test in zip(_drawn(part.dev), _drawn(part.test), strict=True):
        scored = [statistics.auc(values, part.dev.labels) for values in dev]
        row = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        reached = statistics.auc(test[row], part.test.labels)
        found.append(reached if scored[row] >= 0.5 else 1 - reached)
    return found


def chance_aucs(parts: Sequence[Part]) -> np.ndarray:
    """What each draw reaches (D,), averaged over models as the increments are; empty without draws."""
    if parts[0].test.chance is None:
        return np.empty(0)
    return np.array([by_chance(p) for p in parts]).mean(0)


def chance_rows(reached: np.ndarray, column: str = "auc", **more: str) -> list[dict[str, Any]]:
    """Two table rows about what random networks reach (D,): their mean, and the upper end of 95 % of them."""
    if not len(reached):
        return []
    name = f"random networks, {{}} of {len(reached)} draws"
    return [
        {"reader": name.format("mean"), column: float(reached.mean()), **more},
        {"reader": name.format("97.5th percentile"), column: float(np.quantile(reached, 0.975)), **more},
    ]


def _increment_rows(
    parts: Sequence[Part], by_row: list[list[Reading]], weights: np.ndarray
) -> list[dict[str, Any]]:
    adjusted = statistics.holm([_auc(readings).p(0.5) for readings in by_row])
    return [
        {
            "reader": f"increment {name}",
            "reads": "same",
            **_row(readings, weights),
            "holm": adjusted[i],
            "ceiling": float(np.mean([p.test.saturated[i] for p in parts])),
        }
        for i, (name, readings) in enumerate(zip(parts[0].test.names, by_row, strict=True))
    ]


def _against_rivals(
    names: Sequence[str],
    best: Sequence[int],
    chosen: list[Reading],
    rivals: Mapping[str, list[Reading]],
) -> str:
    """The increments against the signal that the development part prefers."""
    rival = max(rivals, key=lambda name: float(np.mean([r.dev for r in rivals[name]])))
    pairs = list(zip(chosen, rivals[rival], strict=True))
    d = statistics.over_seeds(
        np.array([a.auc - b.auc for a, b in pairs]),
        np.stack([a.samples - b.samples for a, b in pairs]),
        len(chosen[0].boundaries),
    )
    word = {"above": "better", "below": "worse"}.get(d.verdict(), "undecided")
    return (
        f"Rows chosen: {', '.join(names[i] for i in best)}. Against the best signal of the development part that has "
        f"read no more ({rival}): AUC {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}], {word}."
    )


def _what(gaps: Gaps, models: int) -> str:
    return (
        f"{len(gaps.labels)} gaps between two Chinese characters in {gaps.sentences} sentences, "
        f"{gaps.labels.mean():.1%} of them word boundaries; {models} model(s). Intervals cover sentences"
        f"{' and models' if models > 1 else ''}. Letters and digits form one word and punctuation "
        "stands alone, for every method alike. Every row but the primary endpoint is exploratory."
    )


def _drawn(gaps: Gaps) -> np.ndarray:
    return gaps.chance if gaps.chance is not None else np.empty((0, len(gaps.names), len(gaps.labels)))


def _auc(readings: list[Reading]) -> Estimate:
    return statistics.over_seeds(
        np.array([r.auc for r in readings]),
        np.stack([r.samples for r in readings]),
        len(readings[0].boundaries),
        (0, 1),
    )


def _row(readings: list[Reading], weights: np.ndarray) -> dict[str, Any]:
    e = _auc(readings)
    words = [statistics.ratio(r.words, weights, segmentation.f1) for r in readings]
    w = statistics.over_seeds(
        np.array([value for value, _ in words]),
        np.stack([samples for _, samples in words]),
        len(readings[0].words),
        (0, 1),
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
    """Segmentations that know nothing. UserError where a model's tokens hide some of the gaps."""
    if gaps.characters.candidate.sum() != len(gaps.labels):
        raise UserError("this model's tokens hide some of the gaps; segmentation needs a model of bytes.")
    return {
        "every character": np.ones(len(gaps.labels), bool),
        "two characters": segmentation.every_other(gaps.characters),
    }


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
