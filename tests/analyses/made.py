"""Traces with planted truth: Chinese-looking text of random words, increments that know it or do not."""

from __future__ import annotations

import numpy as np

from ropewalk.analyses.gold import Gold, from_lines
from ropewalk.lines import Line
from ropewalk.text import byte_spans, encode
from ropewalk.traces import Trace


def gold(sentences: int = 120, seed: int = 0, extra: tuple[str, ...] = ("，", "2000", "ok")) -> Gold:
    stream = np.random.default_rng(seed)
    lines = []
    for _ in range(sentences):
        line = []
        for _ in range(stream.integers(6, 14)):
            if extra and stream.random() < 0.15:
                line.append(str(stream.choice(extra)))
            else:
                line.append(
                    "".join(chr(int(c)) for c in stream.integers(0x4E00, 0x9FA5, stream.integers(1, 4)))
                )
        lines.append(line)
    return from_lines(lines)


def trace(of: Gold, knows: dict[int, float], *, lines: int = 3, seed: int = 0, entropy: float = 0.0) -> Trace:
    """Log increments are noise; line i of `knows` adds its strength where a word starts, entropy likewise."""
    stream = np.random.default_rng([seed, 7])
    tokens = np.array(encode(of.text))
    starts = np.isin(np.arange(len(tokens)), of.words[:, 0])
    noise = stream.normal(size=(lines, len(tokens)))
    for line, strength in knows.items():
        noise[line] += strength * starts
    signals = stream.gamma(2.0, size=(3, len(tokens)))
    signals[1] += entropy * starts
    return Trace(
        text=of.text,
        tokens=tokens,
        spans=byte_spans(of.text),
        lines=tuple(Line(i) for i in range(lines)),
        values=np.exp(0.3 * noise),
        kind="increment",
        unit="token-equivalents",
        gap="before",
        surprisal=signals[0],
        entropy=signals[1],
        entropy_after=signals[2],
        provenance={"ceiling": 10.0},
    )
