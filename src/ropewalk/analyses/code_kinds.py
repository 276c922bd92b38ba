"""The published table of increments by kind of code character, layer by layer.

The published model read tokens of several characters, ours reads bytes: the kind of a token is that of its first byte.
Source: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026, and its repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.result import Chart, Result
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

INDENT, SPACE = "newline and indent", "space"
KINDS: dict[str, bytes] = {
    INDENT: b"\n",
    "brackets": b"()[]{}",
    "operators": b"+-*/%=<>!&|^~@",
    "punctuation": b",.:;'\"#\\",
    SPACE: b" ",
    "identifiers": b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
}
"""Kind -> its bytes; spaces and tabs at the start of a line are indent."""
PUBLISHED: dict[str, tuple[float, ...]] = {
    INDENT: (4.82, 9.96, 8.35, 1.54, 0.92, 1.25),
    "brackets": (3.24, 9.99, 8.39, 0.47, 0.70, 1.65),
    "operators": (2.57, 9.98, 1.92, 0.44, 1.07, 1.24),
    "punctuation": (2.24, 9.98, 1.36, 0.24, 0.67, 0.95),
    SPACE: (0.87, 0.74, 0.67, 0.51, 1.46, 0.29),
    "identifiers": (1.86, 9.96, 0.88, 0.51, 0.35, 0.95),
}
"""Mean increment in each of six layers, of a model of GPT-2 tokens trained on Python code."""
COLUMNS = {
    "row": "row",
    "kind": "kind of byte",
    "count": "count",
    "mean": "mean increment",
    "relative": "over the row's mean",
    "published": "published",
}


def code_kinds(text: str) -> np.ndarray:
    """The kind of each byte of a text's UTF-8, as a place in `KINDS`, or -1 for bytes of none."""
    data = text.encode()
    table = np.full(256, -1)
    for number, members in enumerate(KINDS.values()):
        table[list(members)] = number
    kinds = table[np.frombuffer(data, np.uint8)]
    begin = 0
    for line in data.split(b"\n"):
        kinds[begin : begin + len(line) - len(line.lstrip(b" \t"))] = list(KINDS).index(INDENT)
        begin += len(line) + 1
    return kinds


def by_code_kind(read: Sequence[Sequence[Trace]]) -> Result:
    """read: per model the traces of the same texts. Intervals are over texts and models."""
    values, kind, text = _tokens(read)
    resample_counts = statistics.draw_resample_counts(int(text.max()) + 1)
    rows: list[dict[str, Any]] = []
    for n, row in enumerate(read[0][0].rows):
        published = row.layer if row.layer in range(6) else None
        for number, name in enumerate(KINDS):
            at = kind == number
            if not at.any():
                continue
            each = [statistics.mean(own[n, at], text[at], resample_counts) for own in values]
            e = statistics.over_seeds(
                np.array([mean for mean, _ in each]),
                np.stack([samples for _, samples in each]),
                len(np.unique(text[at])),
            )
            whole = float(np.mean([own[n].mean() for own in values]))
            rows.append(
                {
                    "row": str(row),
                    "kind": name,
                    "count": int(at.sum()),
                    "mean": e.value,
                    "mean_low": e.low,
                    "mean_high": e.high,
                    "relative": e.value / whole,
                    "published": None if published is None else PUBLISHED[name][published],
                }
            )
    return Result(
        "code",
        "Increment of each kind of code character, layer by layer",
        COLUMNS,
        tuple(rows),
        ("mean",),
        chart=Chart("bars", "kind", "mean", by="row", base=1.0),
        notes=(
            f"{len(read)} model(s), {len(resample_counts[0])} text(s), {len(kind):,} bytes, in context. Compare patterns within a row, "
            "not levels: a constant increment is only a change of scale.",
            "Exploratory: a replication. A kind is known from the byte alone; `scopes` asks for more.",
        ),
    )


def _tokens(read: Sequence[Sequence[Trace]]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Increments (N, n) of each model, the kind (n,) and the text (n,) of each token that has a kind."""
    kinds = []
    for trace in read[0]:
        of_byte = np.append(code_kinds(trace.text), -1)
        empty = trace.spans[:, 0] == trace.spans[:, 1]
        kinds.append(np.where(empty, -1, of_byte[trace.spans[:, 0]]))
    kind, text = np.concatenate(kinds), np.repeat(np.arange(len(kinds)), [len(one) for one in kinds])
    known = kind >= 0
    if not known.any():
        raise UserError("the text has no character of code; give a source file.")
    values = [np.concatenate([trace.increments for trace in traces], 1)[:, known] for traces in read]
    return values, kind[known], text[known]
