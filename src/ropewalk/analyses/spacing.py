"""Spacing: how wide the gap before each kind of byte and character is, in every line.

`by_byte` is the published table, free of context; `by_character` takes means in context, for any script, with
intervals over sentences; `surface` asks how well a gap tells white space and punctuation from the rest;
`extremes` lists the widest and the narrowest gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import segmentation, statistics
from ropewalk.analyses.byte_kinds import BYTE_KINDS, SURFACE, each, sentences
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

BINDING = 0.99  # of the ceiling: an increment beyond it is at it


def by_byte(
    lines: Sequence[Row],
    tables: np.ndarray,
    ceiling: float | None = None,
    start: np.ndarray | None = None,
) -> Result:
    """The published table. tables: (S, N, 257), increments of each symbol in N lines of S models. start: the same of D
    models at the start of their training.

    Primary endpoint: mean increment of space and newline over that of a-z, in the first line, against the most
    that untrained models reach.
    """
    rows: list[dict[str, Any]] = []
    for n, row in enumerate(lines):
        for kind, symbols in BYTE_KINDS.items():
            values = tables[:, n][:, symbols]
            means = values.mean(1)
            e = statistics.paired(means)
            full = float((values > BINDING * ceiling).mean()) if ceiling else None
            rows.append(
                {
                    "line": str(row),
                    "kind": kind,
                    "min": values.min(1).mean(),
                    "max": values.max(1).mean(),
                    "mean": e.value,
                    "mean_low": e.low,
                    "mean_high": e.high,
                    "ceiling": full,
                }
            )
    e = statistics.paired(_contrast(tables))
    null = statistics.beyond(e.value, np.empty(0) if start is None else _contrast(start), 1.0)
    return Result(
        "bytes",
        "Increment of each kind of byte, without context",
        {
            "line": "line",
            "kind": "kind of byte",
            "min": "min",
            "max": "max",
            "mean": "mean increment",
            "ceiling": "at ceiling",
        },
        tuple(rows),
        ("mean",),
        Endpoint(f"Space and newline over a-z, line {lines[0]}", e, null, statistics.cleared(e, null, 1.0)),
        Chart("bars", "kind", "mean", by="line", base=1.0),
        (
            f"{len(tables)} model(s); min and max are over the bytes of a kind, intervals over models (none "
            "from a single one). Token-equivalents; compare patterns, not levels.",
        ),
    )


def _contrast(tables: np.ndarray) -> np.ndarray:
    """(S, N, 257) -> (S,): space and newline over a-z, in the first line."""
    first = tables[:, 0]
    spaces = first[:, BYTE_KINDS["space"] + BYTE_KINDS["newline"]].mean(1)
    return spaces / first[:, BYTE_KINDS["a-z"]].mean(1)


def by_character(trace: Trace) -> Result:
    """Mean increment at the first token of each kind of character, in every line, in context."""
    trace.require("increment", "position")
    first, kind, names = each(trace)
    values, group = trace.increments, sentences(trace)
    weights = statistics.draws(int(group.max()) + 1)
    ceiling = trace.provenance.get("ceiling")
    rows: list[dict[str, Any]] = []
    for n, row in enumerate(trace.rows):
        for k, name in enumerate(names):
            at = first[kind == k]
            value, samples = statistics.mean(values[n, at], group[at], weights)
            e = (
                statistics.interval(value, samples)
                if len(np.unique(group[at])) > 1
                else statistics.Estimate(value)
            )
            full = float((values[n, at] > BINDING * ceiling).mean()) if ceiling else None
            rows.append(
                {
                    "line": str(row),
                    "kind": name,
                    "count": len(at),
                    "mean": e.value,
                    "mean_low": e.low,
                    "mean_high": e.high,
                    "std": float(values[n, at].std()),
                    "ceiling": full,
                }
            )
    full = float((values > BINDING * ceiling).mean()) if ceiling else 0.0
    note = f"{full:.1%} of all increments are at the ceiling of {ceiling}." if ceiling else "No ceiling."
    return Result(
        "spacing",
        "Increment of each kind of character, in context",
        {
            "line": "line",
            "kind": "kind of character",
            "count": "count",
            "mean": "mean increment",
            "std": "spread",
            "ceiling": "at ceiling",
        },
        tuple(rows),
        ("mean",),
        chart=Chart("bars", "kind", "mean", by="line", base=1.0),
        notes=(note, f"Read at a character's first token; intervals draw {len(weights[0])} sentences again."),
        provenance={"trace": trace.hash},
    )


def surface(traces: Sequence[Trace], chance: Sequence[Trace] = ()) -> Result:
    """How well one number tells white space and punctuation from letters, at a character's first token.

    The first half of the sentences fixes sign, line and threshold, the second half is scored. Traces: the same
    text in models of one kind. chance: random networks on each model's residual streams, the draw in place of the
    head. Primary endpoint: AUC of the line chosen, against the highest that a draw reaches by the same choice: a
    letter's byte tells it by itself, so that any function of it tells something.
    """
    text = traces[0]
    if any(t.text != text.text or t.rows != text.rows for t in traces):
        raise UserError(
            "expected traces of one text with the same lines; trace the same file with each model."
        )
    first, kind, names = each(text)
    labels = np.isin(kind, [i for i, name in enumerate(names) if name in SURFACE])
    group = sentences(text)[first]
    middle = np.median(group)
    dev, test = group <= middle, group > middle
    if min(labels[dev].sum(), labels[test].sum(), (~labels[dev]).sum(), (~labels[test]).sum()) < 1:
        raise UserError("the text needs several sentences with spaces or punctuation; give a longer one.")
    clusters = np.unique(group[test], return_inverse=True)[1]
    weights = statistics.draws(int(clusters.max()) + 1)
    readers: dict[str, list[np.ndarray]] = {
        f"increment {line}": [t.increments[n, first] for t in traces] for n, line in enumerate(text.rows)
    }
    count = len(readers)
    for name in ("surprisal", "entropy", "entropy_after"):
        readers[name.replace("_", " ")] = [np.nan_to_num(getattr(t, name)[first]) for t in traces]
    rows: list[dict[str, Any]] = []
    developed, sampled = [], []
    for name, values in readers.items():
        dev_auc, test_auc, f1, samples = [], [], [], []
        for v in values:
            forward = statistics.auc(v[dev], labels[dev])
            v = v if forward >= 0.5 else -v
            ranking = statistics.Ranking(v[test], labels[test])
            choice = v[test] >= segmentation.best_threshold(v[dev], labels[dev])
            dev_auc.append(max(forward, 1 - forward))
            test_auc.append(ranking.auc())
            samples.append(ranking.samples(clusters, weights))
            f1.append(
                segmentation.f1(
                    segmentation.boundary_counts(labels[test], choice, clusters, len(weights[0])).sum(0)
                )
            )
        developed.append(float(np.mean(dev_auc)))
        sampled.append(statistics.crossed(np.stack(samples)))
        e = statistics.interval(float(np.mean(test_auc)), sampled[-1])
        rows.append(
            {
                "reader": name,
                "dev": developed[-1],
                "auc": e.value,
                "auc_low": e.low,
                "auc_high": e.high,
                "f1": float(np.mean(f1)),
            }
        )
    reached = (
        np.array([_reached(t, first, labels, dev, test) for t in chance]).mean(0) if chance else np.empty(0)
    )
    null = float(np.max(reached, initial=0.5))
    for row in rows[:count]:
        row["chance"] = null
    rows += [
        {"reader": f"random networks, {how} of {len(reached)} draws", "auc": float(of(reached))}
        for how, of in (("mean", np.mean), ("highest", np.max))
        if len(reached)
    ]
    best = int(np.argmax(developed[:count]))
    e = statistics.interval(rows[best]["auc"], sampled[best])
    return Result(
        "surface",
        "White space and punctuation against letters and digits",
        {
            "reader": "reader",
            "dev": "AUC, first half",
            "auc": "AUC, second half",
            "f1": "F1",
            "chance": "to clear",
        },
        tuple(rows),
        ("auc",),
        Endpoint(f"AUC of {rows[best]['reader']}", e, null, statistics.cleared(e, null, 0.5)),
        Chart("bars", "reader", "auc", base=0.5),
        (f"{int(labels.sum())} of {len(labels)} characters; {len(traces)} model(s).",),
        provenance={"traces": [t.hash for t in traces]},
    )


def _reached(
    chance: Trace, first: np.ndarray, labels: np.ndarray, dev: np.ndarray, test: np.ndarray
) -> list[float]:
    """The second half's AUC of every draw of random networks, its line and sign chosen on the first."""
    found = []
    for head in sorted({row.head or 0 for row in chance.rows}):
        rows = chance.values[[(row.head or 0) == head for row in chance.rows]][:, first]
        scored = [statistics.auc(values[dev], labels[dev]) for values in rows]
        best = int(np.argmax(np.abs(np.array(scored) - 0.5)))
        auc = statistics.auc(rows[best][test], labels[test])
        found.append(auc if scored[best] >= 0.5 else 1 - auc)
    return found


def extremes(trace: Trace, count: int = 10, around: int = 20) -> Result:
    """The `count` widest and narrowest gaps of every line, with `around` characters on either side."""
    trace.require("increment", "position")
    cells = [cell for cell in trace.cells() if cell.text]
    first, values = np.array([c.start for c in cells]), trace.increments
    rows: list[dict[str, Any]] = []
    for n, row in enumerate(trace.rows):
        order = np.argsort(values[n, first], kind="stable")
        for end, places in (("widest", order[::-1][:count]), ("narrowest", order[:count])):
            for place in places.tolist():
                left = "".join(c.text for c in cells[max(0, place - around) : place])
                right = "".join(c.text for c in cells[place : place + around])
                rows.append(
                    {
                        "line": str(row),
                        "end": end,
                        "increment": values[n, first[place]],
                        "context": f"{left}‖{right}".replace("\n", "⏎"),
                    }
                )
    return Result(
        "extremes",
        "The widest and the narrowest gaps",
        {"line": "line", "end": "end", "increment": "increment", "context": "context (‖ is the gap)"},
        tuple(rows),
        notes=("Exploratory: a list to read, not a measurement.",),
        provenance={"trace": trace.hash},
    )
