"""Scopes: does a line stand out where Python source delimits a scope, beyond what the byte itself tells?

A line feed or a bracket is told from a letter by the byte alone, so only bytes of one value are compared: the colon
that opens a block with colons that do not, and so on (see `code`). Sign and line are fixed on every other file,
the rest is scored once. Random networks on the same residual streams stand under the same protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.scope_delimiters import DELIMITERS, Delimiters
from ropewalk.analyses.statistics import Estimate
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

JUDGED = ("newline", "colon", "bracket")  # an indent's space is told by the byte before it
SIGNALS = {"entropy": "entropy before", "surprisal": "surprisal", "entropy_after": "entropy after"}


@dataclass(frozen=True, eq=False)
class Marks:
    """The bytes of F files that may delimit, as one model reads them: n of them.

    lines (N, n), signals name -> (n,), byte, before (the byte before), kind, labels, file (n,); chance (D, L, n)
    are random networks.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    signals: dict[str, np.ndarray]
    byte: np.ndarray
    before: np.ndarray
    kind: np.ndarray
    labels: np.ndarray
    file: np.ndarray
    chance: np.ndarray

    def of(self, keep: np.ndarray) -> Marks:
        """Some of the bytes, their files numbered anew."""
        return Marks(
            names=self.names,
            rows=self.rows[:, keep],
            signals={name: values[keep] for name, values in self.signals.items()},
            byte=self.byte[keep],
            before=self.before[keep],
            kind=self.kind[keep],
            labels=self.labels[keep],
            file=np.unique(self.file[keep], return_inverse=True)[1],
            chance=self.chance[:, :, keep],
        )


def marks(traces: Sequence[Trace], truth: Sequence[Delimiters], chance: Sequence[Trace]) -> Marks:
    """traces: one per file, of bytes; chance: of the same files, the draw in place of the head."""
    parts: dict[str, list[np.ndarray]] = {}
    for number, (t, known, c) in enumerate(zip(traces, truth, chance, strict=True)):
        t.require("increment")
        if len(t.tokens) != len(t.text.encode()):
            raise UserError("scopes are read byte by byte; give a model of bytes.")
        heads = sorted({row.head or 0 for row in c.rows})
        drawn = [c.values[[(row.head or 0) == head for row in c.rows]][:, known.at] for head in heads]
        for name, values in (
            ("lines", t.increments[:, known.at]),
            *((shown, np.nan_to_num(getattr(t, key)[known.at])) for key, shown in SIGNALS.items()),
            ("byte", known.byte),
            ("before", np.where(known.at > 0, t.tokens[known.at - 1], 0)),
            ("kind", known.kind),
            ("labels", known.labels),
            ("file", np.full(len(known.at), number)),
            ("chance", np.stack(drawn)),
        ):
            parts.setdefault(name, []).append(values)
    whole = {name: np.concatenate(values, -1) for name, values in parts.items()}
    return Marks(
        names=tuple(str(row) for row in traces[0].rows),
        signals={name: whole.pop(name) for name in SIGNALS.values()},
        **whole,
    )


@dataclass(frozen=True, eq=False)
class Reading:
    """One reader on one model: AUC on development, on the test part with its samples, and by kind."""

    dev: float
    auc: float
    samples: np.ndarray
    kinds: dict[str, float]


def scopes(models: Sequence[Marks]) -> Result:
    """models: the same files in models of one kind, one per seed.

    Primary endpoint: mean AUC over newline, colon and bracket of the line chosen on development, among bytes of
    one value, against the highest that random networks reach by the same choice.
    """
    if models[0].file.max() < 3:
        raise UserError("scopes need at least four files, to choose a line on half of them; give more.")
    if any(m.names != models[0].names for m in models):
        raise UserError("the models have different lines; give models of one kind.")
    halves = [[m.of(m.file % 2 == i) for i in (0, 1)] for m in models]
    weights = statistics.draws(int(halves[0][1].file.max()) + 1)
    rows: list[dict[str, Any]] = []

    def add(name: str, readings: list[Reading], **more: Any) -> Estimate:
        e = _mean(readings)
        kinds = {kind: float(np.mean([r.kinds[kind] for r in readings])) for kind in DELIMITERS}
        dev = float(np.mean([r.dev for r in readings]))
        rows.append(
            {
                "reader": name,
                "dev": dev,
                "auc": e.value,
                "auc_low": e.low,
                "auc_high": e.high,
                **kinds,
                **more,
            }
        )
        return e

    names = models[0].names
    lines = [
        [_read(dev, test, dev.rows[i], test.rows[i], weights) for dev, test in halves]
        for i in range(len(names))
    ]
    p = [
        statistics.bootstrap_p(statistics.crossed(np.stack([r.samples for r in readings])), 0.5)
        for readings in lines
    ]
    for name, readings, adjusted in zip(names, lines, statistics.holm(p), strict=True):
        add(f"increment {name}", readings, holm=adjusted)
    best = [max(range(len(names)), key=lambda i: lines[i][s].dev) for s in range(len(models))]
    e = add("increment, line chosen on development", [lines[i][s] for s, i in enumerate(best)])
    for signal in SIGNALS.values():
        add(signal, [_read(d, t, d.signals[signal], t.signals[signal], weights) for d, t in halves])
    add("the byte before", [_read(d, t, *_before(d, t), weights) for d, t in halves])
    reached = np.mean([_drawn(dev, test) for dev, test in halves], 0)
    null = max(0.5, float(reached.max()))
    rows += [
        {"reader": f"random networks, mean of {len(reached)} draws", "auc": float(reached.mean())},
        {"reader": "random networks, highest draw", "auc": float(reached.max())},
    ]
    test = halves[0][1]
    counts = ", ".join(
        f"{name} {test.labels[test.kind == k].sum()} of {(test.kind == k).sum()}"
        for k, name in enumerate(DELIMITERS)
    )
    return Result(
        "scopes",
        "Scope delimiters of Python source, among bytes of one value",
        {
            "reader": "reader",
            "dev": "AUC, development",
            "auc": "AUC, test",
            "holm": "p (Holm)",
            **{name: name for name in DELIMITERS},
        },
        tuple(rows),
        ("auc",),
        Endpoint(
            "AUC of the increments (line and sign chosen on development)",
            e,
            null,
            statistics.cleared(e, null, 0.5),
        ),
        Chart("bars", "reader", "auc", base=0.5),
        (
            f"Lines chosen: {', '.join(names[i] for i in best)}. Delimiting in the test part: {counts}; "
            f"{len(models)} model(s), {int(test.file.max()) + 1} files. The AUC is the mean over "
            f"{', '.join(JUDGED)}; an indent is told by the byte before it and stands apart. Only bytes of one value "
            "are compared, so that the byte alone gives 0.5. Intervals draw files"
            f"{' and models' if len(models) > 1 else ''} again. Every row but the primary endpoint is exploratory.",
        ),
    )


def _read(dev: Marks, test: Marks, a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> Reading:
    scored = _judged(_aucs(dev, a))
    sign = 1.0 if scored >= 0.5 else -1.0
    kinds = _aucs(test, sign * b)
    samples = np.mean([_samples(test, sign * b, kind, weights) for kind in JUDGED], 0)
    return Reading(max(scored, 1 - scored), _judged(kinds), samples, kinds)


def _judged(kinds: dict[str, float]) -> float:
    return float(np.mean([kinds[name] for name in JUDGED]))


def _strata(marks: Marks, kind: str) -> list[tuple[np.ndarray, float]]:
    """The bytes of each value of a kind, where both sorts occur, with their share of the pairs to compare."""
    found = []
    for value in DELIMITERS[kind]:
        at = np.flatnonzero(marks.byte == value)
        true = int(marks.labels[at].sum())
        if 0 < true < len(at):
            found.append((at, float(true * (len(at) - true))))
    total = sum(pairs for _, pairs in found)
    if not total:
        raise UserError(f"no {kind} of the files can be told from another one; give more files.")
    return [(at, pairs / total) for at, pairs in found]


def _aucs(marks: Marks, scores: np.ndarray) -> dict[str, float]:
    return {
        kind: sum(share * statistics.auc(scores[at], marks.labels[at]) for at, share in _strata(marks, kind))
        for kind in DELIMITERS
    }


def _samples(marks: Marks, scores: np.ndarray, kind: str, weights: np.ndarray) -> np.ndarray:
    """Bootstrap samples of a kind's AUC; a byte value that a draw of files lacks is left out of it."""
    parts = _strata(marks, kind)
    each = np.stack(
        [statistics.Ranking(scores[at], marks.labels[at]).samples(marks.file[at], weights) for at, _ in parts]
    )
    shares = np.array([share for _, share in parts])[:, None] * np.isfinite(each)
    with np.errstate(invalid="ignore"):
        return np.nansum(np.nan_to_num(each) * shares, 0) / shares.sum(0)


def _before(dev: Marks, test: Marks) -> tuple[np.ndarray, np.ndarray]:
    """How often a byte delimits after this byte before it, by the development part."""
    keys = [m.byte.astype(np.int64) * 512 + m.before for m in (dev, test)]
    pairs = np.union1d(*keys)
    at = np.searchsorted(pairs, keys[0])
    seen = np.bincount(at, minlength=len(pairs))
    rate = (np.bincount(at, dev.labels, len(pairs)) + dev.labels.mean()) / (seen + 1)
    return rate[at], rate[np.searchsorted(pairs, keys[1])]


def _drawn(dev: Marks, test: Marks) -> list[float]:
    """The test AUC of every draw, its line and sign chosen as those of the increments."""
    found = []
    for a, b in zip(dev.chance, test.chance, strict=True):
        scored = [_judged(_aucs(dev, values)) for values in a]
        row = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        found.append(_judged(_aucs(test, b[row] if scored[row] >= 0.5 else -b[row])))
    return found


def _mean(readings: list[Reading]) -> Estimate:
    value = float(np.mean([r.auc for r in readings]))
    return statistics.interval(value, statistics.crossed(np.stack([r.samples for r in readings])))
