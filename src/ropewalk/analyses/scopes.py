"""Scopes: does a row stand out where Python source delimits a scope, beyond what the byte itself tells?

The byte alone distinguishes a line feed or a bracket from a letter, so only bytes of one value are compared: the colon
that opens a block with colons that do not, and so on (see `scope_delimiters`). Sign and row are chosen on every other
file, the rest is scored once. Random networks on the same residual streams go through the same protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.boundaries import CHOSEN, random_network_rows
from ropewalk.analyses.draws import stack_draws
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.scope_delimiters import DELIMITERS, Delimiters
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

SCORED = ("newline", "colon", "bracket")
"""The kinds that the primary endpoint averages: not the indent, which the byte before it gives away."""
SIGNALS = {"entropy": "entropy before", "surprisal": "surprisal", "entropy_after": "entropy after"}
COLUMNS = {
    "predictor": "predictor",
    "dev": "AUC, development",
    "auc": "AUC, test",
    "holm": "p (Holm)",
    **{name: name for name in DELIMITERS},
}


@dataclass(frozen=True, eq=False)
class Candidates:
    """The bytes of F files that may delimit, as one model reads them: n of them.

    increments (N, n) of the rows `row_names`; signals name -> (n,); byte, before (the byte before), kind, labels, file
    (n,); random (draws, L, n) are random networks.
    """

    row_names: tuple[str, ...]
    increments: np.ndarray
    signals: dict[str, np.ndarray]
    byte: np.ndarray
    before: np.ndarray
    kind: np.ndarray
    labels: np.ndarray
    file: np.ndarray
    random: np.ndarray

    def of(self, keep: np.ndarray) -> Candidates:
        """Some of the bytes, their files renumbered."""
        return Candidates(
            row_names=self.row_names,
            increments=self.increments[:, keep],
            signals={name: values[keep] for name, values in self.signals.items()},
            byte=self.byte[keep],
            before=self.before[keep],
            kind=self.kind[keep],
            labels=self.labels[keep],
            file=np.unique(self.file[keep], return_inverse=True)[1],
            random=self.random[:, :, keep],
        )


def candidates(traces: Sequence[Trace], truth: Sequence[Delimiters], random: Sequence[Trace]) -> Candidates:
    """traces: one per file, of bytes; random: of the same files, by `measure.random_networks`."""
    parts: dict[str, list[np.ndarray]] = {}
    for number, (t, known, c) in enumerate(zip(traces, truth, random, strict=True)):
        t.require("increment")
        if len(t.tokens) != len(t.text.encode()):
            raise UserError("scopes are read byte by byte; give a model of bytes.")
        for name, values in (
            ("increments", t.increments[:, known.at]),
            *((shown, np.nan_to_num(getattr(t, key)[known.at])) for key, shown in SIGNALS.items()),
            ("byte", known.byte),
            ("before", np.where(known.at > 0, t.tokens[known.at - 1], 0)),
            ("kind", known.kind),
            ("labels", known.labels),
            ("file", np.full(len(known.at), number)),
            ("random", stack_draws(c.values[:, known.at], c.rows)),
        ):
            parts.setdefault(name, []).append(values)
    whole = {name: np.concatenate(values, -1) for name, values in parts.items()}
    return Candidates(
        row_names=tuple(str(row) for row in traces[0].rows),
        signals={name: whole.pop(name) for name in SIGNALS.values()},
        **whole,
    )


@dataclass(frozen=True, eq=False)
class Scores:
    """One predictor on one model: its AUC on development, on the test part with bootstrap samples, and by kind; clusters:
    the number of test files."""

    dev: float
    auc: float
    samples: np.ndarray
    kinds: dict[str, float]
    clusters: int


def scopes(models: Sequence[Candidates]) -> Result:
    """models: the same files in models of one kind, one per seed.

    Primary endpoint: mean AUC over newline, colon and bracket of the row chosen on development, among bytes of one
    value, against what random networks reach by the same choice.
    """
    if models[0].file.max() < 3:
        raise UserError("scopes need at least four files, to choose a row on half of them; give more.")
    if any(m.row_names != models[0].row_names for m in models):
        raise UserError("the models have different rows; give models of one kind.")
    names = models[0].row_names
    halves = [(m.of(m.file % 2 == 0), m.of(m.file % 2 == 1)) for m in models]
    resample_counts = statistics.draw_resample_counts(int(halves[0][1].file.max()) + 1)
    by_row = [
        [_score(dev, test, dev.increments[i], test.increments[i], resample_counts) for dev, test in halves]
        for i in range(len(names))
    ]
    adjusted = statistics.holm([_mean(scores).p(0.5) for scores in by_row])
    best = [max(range(len(names)), key=lambda i: by_row[i][s].dev) for s in range(len(models))]
    chosen = [by_row[i][s] for s, i in enumerate(best)]
    null_sample = np.mean([_drawn(dev, test) for dev, test in halves], 0)
    rows = [
        _row(f"increment {name}", scores) | {"holm": p}
        for name, scores, p in zip(names, by_row, adjusted, strict=True)
    ]
    rows.append(_row(CHOSEN, chosen))
    for signal in SIGNALS.values():
        scores = [_score(d, t, d.signals[signal], t.signals[signal], resample_counts) for d, t in halves]
        rows.append(_row(signal, scores))
    rows.append(_row("the byte before", [_score(d, t, *_before(d, t), resample_counts) for d, t in halves]))
    rows += random_network_rows(null_sample)
    e = _mean(chosen)
    threshold = statistics.null_threshold(e.value, null_sample, 0.5)
    return Result(
        "scopes",
        "Scope delimiters of Python source, among bytes of one value",
        COLUMNS,
        tuple(rows),
        ("auc",),
        Endpoint(
            "AUC of the increments (row and sign chosen on development)",
            e,
            threshold,
            statistics.decide(e, threshold, 0.5),
        ),
        Chart("bars", "predictor", "auc", base=0.5),
        (_what(halves[0][1], [names[i] for i in best]),),
    )


def _row(name: str, scores: list[Scores]) -> dict[str, Any]:
    e = _mean(scores)
    kinds = {kind: float(np.mean([r.kinds[kind] for r in scores])) for kind in DELIMITERS}
    return {
        "predictor": name,
        "dev": float(np.mean([r.dev for r in scores])),
        "auc": e.value,
        "auc_low": e.low,
        "auc_high": e.high,
        **kinds,
    }


def _what(test: Candidates, chosen: list[str]) -> str:
    counts = ", ".join(
        f"{name} {test.labels[test.kind == k].sum()} of {(test.kind == k).sum()}"
        for k, name in enumerate(DELIMITERS)
    )
    return (
        f"Rows chosen: {', '.join(chosen)}. Delimiting in the test part: {counts}; {len(chosen)} model(s), "
        f"{int(test.file.max()) + 1} files. The AUC is the mean over {', '.join(SCORED)}; an indent is given away by the byte "
        "before it and has a column of its own. Only bytes of one value are compared, so that the byte alone gives 0.5. "
        f"Intervals cover files{' and models' if len(chosen) > 1 else ''}. Every row but the primary endpoint is "
        "exploratory."
    )


def _score(
    dev: Candidates, test: Candidates, a: np.ndarray, b: np.ndarray, resample_counts: np.ndarray
) -> Scores:
    scored = _mean_auc(_aucs(dev, a))
    sign = 1.0 if scored >= 0.5 else -1.0
    kinds = _aucs(test, sign * b)
    samples = np.mean([_samples(test, sign * b, kind, resample_counts) for kind in SCORED], 0)
    return Scores(max(scored, 1 - scored), _mean_auc(kinds), samples, kinds, resample_counts.shape[1])


def _mean_auc(kinds: dict[str, float]) -> float:
    return float(np.mean([kinds[name] for name in SCORED]))


def _strata(read: Candidates, kind: str) -> list[tuple[np.ndarray, float]]:
    """The bytes of each value of a kind, where both sorts occur, with their share of the pairs to compare."""
    found = []
    for value in DELIMITERS[kind]:
        at = np.flatnonzero(read.byte == value)
        true = int(read.labels[at].sum())
        if 0 < true < len(at):
            found.append((at, float(true * (len(at) - true))))
    total = sum(pairs for _, pairs in found)
    if not total:
        raise UserError(f"no {kind} of the files can be compared with another one; give more files.")
    return [(at, pairs / total) for at, pairs in found]


def _aucs(read: Candidates, scores: np.ndarray) -> dict[str, float]:
    return {
        kind: sum(part * statistics.auc(scores[at], read.labels[at]) for at, part in _strata(read, kind))
        for kind in DELIMITERS
    }


def _samples(read: Candidates, scores: np.ndarray, kind: str, resample_counts: np.ndarray) -> np.ndarray:
    """Bootstrap samples of a kind's AUC; a byte value that a draw of files lacks is left out of it."""
    parts = _strata(read, kind)
    each = np.stack(
        [
            statistics.Ranking(scores[at], read.labels[at]).samples(read.file[at], resample_counts)
            for at, _ in parts
        ]
    )
    shares = np.array([part for _, part in parts])[:, None] * np.isfinite(each)
    with np.errstate(invalid="ignore"):
        return np.nansum(np.nan_to_num(each) * shares, 0) / shares.sum(0)


def _before(dev: Candidates, test: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """How often a byte delimits after this byte before it, by the development part."""
    keys = [m.byte.astype(np.int64) * 512 + m.before for m in (dev, test)]
    pairs = np.union1d(*keys)
    at = np.searchsorted(pairs, keys[0])
    seen = np.bincount(at, minlength=len(pairs))
    rate = (np.bincount(at, dev.labels, len(pairs)) + dev.labels.mean()) / (seen + 1)
    return rate[at], rate[np.searchsorted(pairs, keys[1])]


def _drawn(dev: Candidates, test: Candidates) -> list[float]:
    """The test AUC of every draw, its row and sign chosen as those of the increments."""
    found = []
    for a, b in zip(dev.random, test.random, strict=True):
        scored = [_mean_auc(_aucs(dev, values)) for values in a]
        row = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        found.append(_mean_auc(_aucs(test, b[row] if scored[row] >= 0.5 else -b[row])))
    return found


def _mean(scores: list[Scores]) -> statistics.Estimate:
    samples = np.stack([r.samples for r in scores])
    clusters = scores[0].clusters
    return statistics.over_seeds(np.array([r.auc for r in scores]), samples, clusters, (0, 1))
