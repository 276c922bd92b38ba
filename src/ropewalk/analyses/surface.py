"""Surface: how well one number tells white space and punctuation from letters, at a character's first token.

The first half of the sentences fixes sign, row and threshold, the second half is scored. A letter's byte tells it by
itself, so any function of it tells something: random networks go through the same protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import segmentation, statistics
from ropewalk.analyses.boundaries import random_network_rows
from ropewalk.analyses.byte_kinds import SURFACE, cell_kinds, sentences
from ropewalk.analyses.draws import stack_draws
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.token_kinds import token_kind
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

COLUMNS = {
    "predictor": "predictor",
    "dev": "AUC, first half",
    "auc": "AUC, second half",
    "f1": "F1",
    "holm": "p (Holm)",
    "threshold": "threshold",
}


@dataclass(frozen=True, eq=False)
class Characters:
    """n characters. first, labels (n,): token, and whether it is white space or punctuation. dev, test (n,) bool: the
    halves; clusters (m,): the sentence of each of the second half."""

    first: np.ndarray
    labels: np.ndarray
    dev: np.ndarray
    test: np.ndarray
    clusters: np.ndarray


def surface(traces: Sequence[Trace], random: Sequence[Trace] = ()) -> Result:
    """traces: the same text in models of one kind. random: random networks on each model's residual streams.

    Primary endpoint: AUC of the row chosen on the first half, against what random networks reach by the same choice.
    """
    text = traces[0]
    if any(t.text != text.text or t.rows != text.rows for t in traces):
        raise UserError(
            "expected traces of one text with the same rows; trace the same file with each model."
        )
    known = characters(text)
    resample_counts = statistics.draw_resample_counts(int(known.clusters.max()) + 1)
    predictors = {
        f"increment {row}": [t.increments[n, known.first] for t in traces] for n, row in enumerate(text.rows)
    }
    signals = {
        name.replace("_", " "): [np.nan_to_num(getattr(t, name)[known.first]) for t in traces]
        for name in ("surprisal", "entropy", "entropy_after")
    }
    found = {name: _score(known, values, resample_counts) for name, values in (predictors | signals).items()}
    null_sample = np.array([_null_sample(t, known) for t in random]).mean(0) if random else np.empty(0)
    adjusted = statistics.holm([found[name][1].p(0.5) for name in predictors])
    rows = [{"predictor": name, **row} for name, (row, _) in found.items()]
    for row, p in zip(rows, adjusted, strict=False):
        row |= {"holm": p, "threshold": statistics.null_threshold(row["auc"], null_sample, 0.5)}
    best = max(predictors, key=lambda name: float(found[name][0]["dev"]))
    e = found[best][1]
    threshold = statistics.null_threshold(e.value, null_sample, 0.5)
    return Result(
        "surface",
        "White space and punctuation against letters and digits",
        COLUMNS,
        (*rows, *random_network_rows(null_sample)),
        ("auc",),
        Endpoint(f"AUC of {best}", e, threshold, statistics.decide(e, threshold, 0.5)),
        Chart("bars", "predictor", "auc", base=0.5),
        (f"{int(known.labels.sum())} of {len(known.labels)} characters; {len(traces)} model(s).",),
        provenance={"traces": [t.hash for t in traces]},
    )


def characters(trace: Trace) -> Characters:
    """The characters of a text and its halves. UserError where a half has characters of one kind only."""
    first, kind, names = cell_kinds(trace, token_kind)
    labels = np.isin(kind, [i for i, name in enumerate(names) if name in SURFACE])
    group = sentences(trace)[first]
    dev, test = group <= np.median(group), group > np.median(group)
    if min(labels[dev].sum(), labels[test].sum(), (~labels[dev]).sum(), (~labels[test]).sum()) < 1:
        raise UserError("the text needs several sentences with spaces or punctuation; give a longer one.")
    return Characters(first, labels, dev, test, np.unique(group[test], return_inverse=True)[1])


def _score(
    known: Characters, values: Sequence[np.ndarray], resample_counts: np.ndarray
) -> tuple[dict[str, Any], statistics.Estimate]:
    """One predictor in every model: its table row and its AUC."""
    dev_auc, test_auc, f1, samples = [], [], [], []
    for v in values:
        forward = statistics.auc(v[known.dev], known.labels[known.dev])
        v = v if forward >= 0.5 else -v
        ranking = statistics.Ranking(v[known.test], known.labels[known.test])
        choice = v[known.test] >= segmentation.best_threshold(v[known.dev], known.labels[known.dev])
        counts = segmentation.boundary_counts(
            known.labels[known.test], choice, known.clusters, resample_counts.shape[1]
        )
        dev_auc.append(max(forward, 1 - forward))
        test_auc.append(ranking.auc())
        samples.append(ranking.samples(known.clusters, resample_counts))
        f1.append(segmentation.f1(counts.sum(0)))
    e = statistics.over_seeds(np.array(test_auc), np.stack(samples), resample_counts.shape[1], (0, 1))
    return (
        {
            "dev": float(np.mean(dev_auc)),
            "auc": e.value,
            "auc_low": e.low,
            "auc_high": e.high,
            "f1": float(np.mean(f1)),
        },
        e,
    )


def _null_sample(random: Trace, known: Characters) -> list[float]:
    """The second half's AUC of every draw of random networks, its row and sign chosen on the first."""
    found = []
    for rows in stack_draws(random.values[:, known.first], random.rows):
        scored = [statistics.auc(values[known.dev], known.labels[known.dev]) for values in rows]
        best = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        auc = statistics.auc(rows[best][known.test], known.labels[known.test])
        found.append(auc if scored[best] >= 0.5 else 1 - auc)
    return found
