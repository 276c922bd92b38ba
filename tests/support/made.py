"""Traces with planted truth: Chinese-looking text of random words, increments that know it or do not."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.gold import Gold, from_lines
from ropewalk.core.rows import Row
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace


def gold(sentences: int = 120, seed: int = 0, extra: tuple[str, ...] = ("，", "2000", "ok")) -> Gold:
    stream = np.random.default_rng(seed)
    rows = []
    for _ in range(sentences):
        row = []
        for _ in range(stream.integers(6, 14)):
            if extra and stream.random() < 0.15:
                row.append(str(stream.choice(extra)))
            else:
                row.append(
                    "".join(chr(int(c)) for c in stream.integers(0x4E00, 0x9FA5, stream.integers(1, 4)))
                )
        rows.append(row)
    return from_lines(rows)


def trace(of: Gold, knows: dict[int, float], *, rows: int = 3, seed: int = 0, entropy: float = 0.0) -> Trace:
    """Log increments are noise; line i of `knows` adds its strength where a word starts, entropy likewise."""
    stream = np.random.default_rng([seed, 7])
    tokens = np.array(encode(of.text))
    starts = np.isin(np.arange(len(tokens)), of.words[:, 0])
    noise = stream.normal(size=(rows, len(tokens)))
    for row, strength in knows.items():
        noise[row] += strength * starts
    signals = stream.gamma(2.0, size=(3, len(tokens)))
    signals[1] += entropy * starts
    return Trace(
        text=of.text,
        tokens=tokens,
        spans=byte_spans(of.text),
        rows=tuple(Row(i) for i in range(rows)),
        values=np.exp(0.3 * noise),
        kind="increment",
        unit="token-equivalents",
        gap="before",
        surprisal=signals[0],
        entropy=signals[1],
        entropy_after=signals[2],
        provenance={"max_increment": 10.0},
    )
