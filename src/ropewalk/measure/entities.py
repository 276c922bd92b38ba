"""Entities: every pair of our list, its reversed order, and its control of equal surprisal, read by a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ropewalk.core.host import Host
from ropewalk.measure.phrases import Reading, read

CANDIDATES = 24  # second words of other pairs that are tried as a control
CALIPER = 0.5  # nats: a control whose first token is further away in surprisal is none


@dataclass(frozen=True, eq=False)
class Entities:
    """P pairs of one language in one host. matched (P,) bool: is there a control within the caliper."""

    real: Reading
    reversed: Reading
    control: Reading
    matched: np.ndarray


def controls(
    host: Host, words: Sequence[tuple[str, str]], between: str, carriers: Sequence[str]
) -> list[str]:
    """A second word for each pair, which belongs to another one: that whose first token surprises most nearly as
    much (in the first carrier). words: (first, second) of each pair; between: a space, or nothing.
    """
    count = len(words)
    tried = [[words[(i + k * 7 + 1) % count][1] for k in range(min(CANDIDATES, count))] for i in range(count)]
    tried = [[w for w in options if w != words[i][1]] for i, options in enumerate(tried)]
    flat = [(words[i][0], between, w) for i, options in enumerate(tried) for w in options]
    aim = read(host, [(a, between, b) for a, b in words], carriers[:1]).surprisal
    options = read(host, flat, carriers[:1]).surprisal
    chosen, start = [], 0
    for i, names in enumerate(tried):
        off = np.abs(options[start : start + len(names)] - aim[i])
        chosen.append(names[int(np.argmin(off))])
        start += len(names)
    return chosen


def entities(
    host: Host, words: Sequence[tuple[str, str]], between: str, carriers: Sequence[str], chosen: Sequence[str]
) -> Entities:
    """The pairs as they are, the other way round, and with the second words `chosen` of `controls`."""
    real = read(host, [(a, between, b) for a, b in words], carriers)
    control = read(host, [(words[i][0], between, w) for i, w in enumerate(chosen)], carriers)
    return Entities(
        real,
        read(host, [(b, between, a) for a, b in words], carriers),
        control,
        np.abs(control.surprisal - real.surprisal) <= CALIPER,
    )
