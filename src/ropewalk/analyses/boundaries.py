"""Boundaries: do a model's increments predict where words start, better than random functions of the same activations?

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
from ropewalk.analyses.gaps import TEXT_SEEN, Characters, Gaps
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.statistics import Estimate, Ranking
from ropewalk.errors import UserError

CHOSEN = "increment, row chosen on development"
COLUMNS = {
    "predictor": "predictor",
    "text_seen": "text seen, compared with an increment",
    "dev": "AUC, development",
    "auc": "AUC, test",
    "holm": "p (Holm)",
    "boundary_f1": "boundary F1",
    "word_f1": "word F1",
    "saturated": "share at maximum",
}


@dataclass(frozen=True, eq=False)
class Part:
    """One model's gaps: development and test."""

    dev: Gaps
    test: Gaps


@dataclass(frozen=True, eq=False)
class Scores:
    """One predictor on one model: its AUCs, the test AUC's samples, the test counts of its segmentation."""

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
    if any(
        not np.array_equal(p.test.labels, first.labels) or p.test.row_names != first.row_names for p in parts
    ):
        raise UserError("the models differ in their rows or read different gaps; compare models of one kind.")
    resample_counts = statistics.draw_resample_counts(first.sentences, seed=seed)
    by_row = [
        [score(p, p.dev.increments[i], p.test.increments[i], resample_counts) for p in parts]
        for i in range(len(first.row_names))
    ]
    best = [max(range(len(first.row_names)), key=lambda i: by_row[i][s].dev) for s in range(len(parts))]
    chosen = [by_row[i][s] for s, i in enumerate(best)]
    signals = {
        name: [score(p, p.dev.signals[name], p.test.signals[name], resample_counts) for p in parts]
        for name in TEXT_SEEN
    }
    by_first_token = [score(p, *first_token_rates(p), resample_counts) for p in parts]
    null_sample = null_sample_of(parts)

    rows = _increment_rows(parts, by_row, resample_counts)
    rows.append({"predictor": CHOSEN, "text_seen": "same", **_row(chosen, resample_counts)})
    rows += [
        {"predictor": name, "text_seen": TEXT_SEEN[name], **_row(r, resample_counts)}
        for name, r in signals.items()
    ]
    rows.append({"predictor": "first byte", "text_seen": "same", **_row(by_first_token, resample_counts)})
    rows += random_network_rows(null_sample, text_seen="same")
    rows += [_segmentation_row(first, name, choice) for name, choice in _baselines(first).items()]
    for name, known in (segmenters or {}).items():
        rows += _segmenter_rows(first, name, known)

    e = _auc(chosen)
    threshold = statistics.null_threshold(e.value, null_sample, 0.5)
    rivals = {name: r for name, r in signals.items() if TEXT_SEEN[name] != "more"} | {
        "first byte": by_first_token
    }
    return Result(
        "boundaries",
        "Word boundaries between Chinese characters",
        COLUMNS,
        tuple(rows),
        ("auc", "word_f1"),
        Endpoint(
            "Test AUC of the increments (row and sign chosen on development)",
            e,
            threshold,
            statistics.decide(e, threshold, 0.5),
        ),
        Chart("bars", "predictor", "auc", base=0.5),
        (_against_rivals(first.row_names, best, chosen, rivals), _note(first, len(parts))),
    )


def score(part: Part, dev: np.ndarray, test: np.ndarray, resample_counts: np.ndarray) -> Scores:
    """One score per gap: the sign and the threshold from the development part, everything else from the test."""
    forward = statistics.auc(dev, part.dev.labels)
    sign = 1.0 if forward >= 0.5 else -1.0
    ranking = Ranking(sign * test, part.test.labels)
    choice = sign * test >= segmentation.best_threshold(sign * dev, part.dev.labels)
    counts = segmentation.boundary_counts(part.test.labels, choice, part.test.sentence, part.test.sentences)
    return Scores(
        max(forward, 1 - forward),
        ranking.auc(),
        ranking.samples(part.test.sentence, resample_counts),
        counts,
        segmentation.word_counts(part.test.characters, choice),
    )


def first_token_rates(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """How often a word starts before a character with this first token, by the development part."""
    tokens = np.union1d(part.dev.first_tokens, part.test.first_tokens)
    at = np.searchsorted(tokens, part.dev.first_tokens)
    seen = np.bincount(at, minlength=len(tokens))
    rate = (np.bincount(at, part.dev.labels, len(tokens)) + part.dev.labels.mean()) / (seen + 1)
    return rate[at], rate[np.searchsorted(tokens, part.test.first_tokens)]


def aucs_of_draws(part: Part) -> list[float]:
    """The test AUC of every draw of random networks, its row and sign chosen as those of the increments."""
    found = []
    for dev, test in zip(_drawn(part.dev), _drawn(part.test), strict=True):
        scored = [statistics.auc(values, part.dev.labels) for values in dev]
        row = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        auc = statistics.auc(test[row], part.test.labels)
        found.append(auc if scored[row] >= 0.5 else 1 - auc)
    return found


def null_sample_of(parts: Sequence[Part]) -> np.ndarray:
    """The test AUC of each draw of random networks (draws,), averaged over models; empty without draws."""
    if parts[0].test.random is None:
        return np.empty(0)
    return np.array([aucs_of_draws(p) for p in parts]).mean(0)


def random_network_rows(null_sample: np.ndarray, column: str = "auc", **more: str) -> list[dict[str, Any]]:
    """Two table rows about the values of random networks (draws,): their mean and their 97.5th percentile."""
    if not len(null_sample):
        return []
    name = f"random networks, {{}} of {len(null_sample)} draws"
    return [
        {"predictor": name.format("mean"), column: float(null_sample.mean()), **more},
        {
            "predictor": name.format("97.5th percentile"),
            column: float(np.quantile(null_sample, 0.975)),
            **more,
        },
    ]


def _increment_rows(
    parts: Sequence[Part], by_row: list[list[Scores]], resample_counts: np.ndarray
) -> list[dict[str, Any]]:
    adjusted = statistics.holm([_auc(scores).p(0.5) for scores in by_row])
    return [
        {
            "predictor": f"increment {name}",
            "text_seen": "same",
            **_row(scores, resample_counts),
            "holm": adjusted[i],
            "saturated": float(np.mean([p.test.saturated[i] for p in parts])),
        }
        for i, (name, scores) in enumerate(zip(parts[0].test.row_names, by_row, strict=True))
    ]


def _against_rivals(
    names: Sequence[str],
    best: Sequence[int],
    chosen: list[Scores],
    rivals: Mapping[str, list[Scores]],
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


def _note(gaps: Gaps, models: int) -> str:
    hidden = (
        f"{gaps.hidden} more gaps lie inside a token, where no boundary can be put. " if gaps.hidden else ""
    )
    return (
        f"{len(gaps.labels)} gaps between two Chinese characters in {gaps.sentences} sentences, "
        f"{gaps.labels.mean():.1%} of them word boundaries; {models} model(s). Intervals cover sentences"
        f"{' and models' if models > 1 else ''}. Letters and digits form one word and punctuation "
        f"stands alone, for every method alike. {hidden}Every row but the primary endpoint is exploratory."
    )


def _drawn(gaps: Gaps) -> np.ndarray:
    return gaps.random if gaps.random is not None else np.empty((0, len(gaps.row_names), len(gaps.labels)))


def _auc(scores: list[Scores]) -> Estimate:
    return statistics.over_seeds(
        np.array([r.auc for r in scores]),
        np.stack([r.samples for r in scores]),
        len(scores[0].boundaries),
        (0, 1),
    )


def _row(scores: list[Scores], resample_counts: np.ndarray) -> dict[str, Any]:
    e = _auc(scores)
    words = [statistics.ratio(r.words, resample_counts, segmentation.f1) for r in scores]
    w = statistics.over_seeds(
        np.array([value for value, _ in words]),
        np.stack([samples for _, samples in words]),
        len(scores[0].words),
        (0, 1),
    )
    return {
        "dev": float(np.mean([r.dev for r in scores])),
        "auc": e.value,
        "auc_low": e.low,
        "auc_high": e.high,
        "boundary_f1": float(np.mean([segmentation.f1(r.boundaries.sum(0)) for r in scores])),
        "word_f1": w.value,
        "word_f1_low": w.low,
        "word_f1_high": w.high,
    }


def _baselines(gaps: Gaps) -> dict[str, np.ndarray]:
    """Baselines that read no model."""
    return {
        "every character": np.ones(len(gaps.labels), bool),
        "two characters": segmentation.every_other(gaps.characters),
    }


def _segmentation_row(gaps: Gaps, name: str, choice: np.ndarray) -> dict[str, Any]:
    counts = segmentation.boundary_counts(gaps.labels, choice, gaps.sentence, gaps.sentences)
    words = segmentation.word_counts(gaps.characters, choice)
    return {
        "predictor": name,
        "text_seen": "no model",
        "boundary_f1": float(segmentation.f1(counts.sum(0))),
        "word_f1": float(segmentation.f1(words.sum(0))),
    }


def _segmenter_rows(gaps: Gaps, name: str, known: Characters) -> list[dict[str, Any]]:
    """A segmenter with the rule around the candidates, and with its own cuts everywhere."""
    alone = segmentation.word_counts(gaps.characters, known.gold, everywhere=True)
    own = {
        "predictor": f"{name}, its own cuts everywhere",
        "text_seen": "no model",
        "word_f1": segmentation.f1(alone.sum(0)),
    }
    return [_segmentation_row(gaps, name, known.gold[gaps.characters.candidate]), own]
