"""Two-word names as a host reads them: as they are, in reversed order, and with a control of equal surprisal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ropewalk.core.host import Host
from ropewalk.errors import UserError
from ropewalk.measure.phrases import PhraseValues, read_phrases
from ropewalk.tokens.utf8_bytes import encode

CANDIDATES = 48
"""Second words of other pairs that are tried as a control."""
CALIPER = 0.5
"""Nats: a control whose first token is further away in surprisal is no match."""


@dataclass(frozen=True, eq=False)
class Entities:
    """P pairs of one language in one host. matched (P,) bool: is there a control within the caliper."""

    real: PhraseValues
    reversed: PhraseValues
    control: PhraseValues
    matched: np.ndarray


def choose_controls(
    host: Host, words: Sequence[tuple[str, str]], between: str, templates: Sequence[str]
) -> list[str]:
    """A second word for each pair, taken from another pair: the one whose first token is most nearly as surprising.

    words: (first, second) of each pair; between: a space, or nothing. Surprisals are those in the first template. A
    control never starts with the pair's own byte: an increment is causal, so there it would be the same number.
    UserError where a pair has no such candidate.
    """
    count = len(words)
    tried = [[words[(i + k * 7 + 1) % count][1] for k in range(min(CANDIDATES, count))] for i in range(count)]
    tried = [
        [word for word in options if encode(word)[0] != encode(words[i][1])[0]]
        for i, options in enumerate(tried)
    ]
    if not all(tried):
        raise UserError("a pair has no control that starts with another byte; give a longer list of pairs.")
    flat = [(words[i][0], between, word) for i, options in enumerate(tried) for word in options]
    aim = read_phrases(host, [(a, between, b) for a, b in words], templates[:1]).surprisal
    surprisal = read_phrases(host, flat, templates[:1]).surprisal
    chosen, start = [], 0
    for i, options in enumerate(tried):
        distance = np.abs(surprisal[start : start + len(options)] - aim[i])
        chosen.append(options[int(np.argmin(distance))])
        start += len(options)
    return chosen


def read_entities(
    host: Host,
    words: Sequence[tuple[str, str]],
    between: str,
    templates: Sequence[str],
    chosen: Sequence[str],
) -> Entities:
    """The pairs as they are, in reversed order, and with the second words `chosen` of `choose_controls`."""
    real = read_phrases(host, [(a, between, b) for a, b in words], templates)
    control = read_phrases(host, [(words[i][0], between, word) for i, word in enumerate(chosen)], templates)
    return Entities(
        real,
        read_phrases(host, [(b, between, a) for a, b in words], templates),
        control,
        np.abs(control.surprisal - real.surprisal) <= CALIPER,
    )
