"""Gaps: a model's increments and other signals between any two Chinese characters, and whether a word starts there.

A candidate gap lies between two characters of U+4E00..9FFF of one sentence, and is read at the first token of
the right-hand character: an increment there has read that token and nothing further. Other gaps are decided by
one rule for every method: letters and digits form one word, a punctuation mark stands alone unless it is
repeated, any change between these kinds is a boundary. The protocol is in `boundaries`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ropewalk.analyses.draws import stack_draws
from ropewalk.analyses.gold import Gold
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

TEXT_SEEN = {
    "entropy before": "less",
    "entropy change": "less",
    "surprisal": "same",
    "entropy after": "same",
    "surprisal of the character": "more",
}
"""How much of the text each signal has read, compared with an increment."""


@dataclass(frozen=True, eq=False)
class Characters:
    """The characters of a gold text's sentences: C of them.

    starts (C,) byte offsets; sentence (C,) numbers; gold (C,) and rule (C,) bool: does a word start here, and
    does the rule say so; candidate (C,) bool: is the gap before this character one to be judged.
    """

    starts: np.ndarray
    sentence: np.ndarray
    gold: np.ndarray
    rule: np.ndarray
    candidate: np.ndarray

    def of(self, sentences: np.ndarray) -> Characters:
        """The characters of some sentences, renumbered from 0."""
        keep = np.isin(self.sentence, sentences)
        number = np.unique(self.sentence[keep], return_inverse=True)[1]
        return Characters(self.starts[keep], number, self.gold[keep], self.rule[keep], self.candidate[keep])


def characters(gold: Gold) -> Characters:
    """The characters of all sentences of `gold`."""
    codes = np.frombuffer(gold.text.encode("utf-32-le"), np.uint32)
    lengths = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000)
    starts = np.cumsum(lengths) - lengths
    sentence = np.searchsorted(gold.sentences[:, 0], starts, side="right") - 1
    inside = (sentence >= 0) & (starts < gold.sentences[sentence, 1])
    codes, starts, sentence = codes[inside], starts[inside], sentence[inside]
    han = (codes >= 0x4E00) & (codes <= 0x9FFF)
    word = np.array([chr(code).isalnum() for code in codes]) & ~han
    first = np.concatenate([[True], sentence[1:] != sentence[:-1]])
    together = np.zeros(len(codes), bool)
    together[1:] = (word[1:] & word[:-1]) | (codes[1:] == codes[:-1]) & ~han[1:]
    candidate = np.zeros(len(codes), bool)
    candidate[1:] = han[1:] & han[:-1] & ~first[1:]
    return Characters(starts, sentence, np.isin(starts, gold.words[:, 0]), first | ~together, candidate)


@dataclass(frozen=True, eq=False)
class Gaps:
    """n candidate gaps. labels (n,) bool; sentence (n,); signals name -> (n,); increments (N, n)
    of the rows `row_names`; first_tokens (n,): the first token after each gap.

    `characters` are those of the same sentences; `random` (draws, N, n) are random networks in place of the
    trained ones, or None. `saturated` (N,) is the share of gaps at the largest increment, NaN without one. hidden: how many
    gaps lie inside a token of several characters; no boundary can be put there, so they are no candidates.
    """

    labels: np.ndarray
    sentence: np.ndarray
    signals: dict[str, np.ndarray]
    row_names: tuple[str, ...]
    increments: np.ndarray
    first_tokens: np.ndarray
    characters: Characters
    saturated: np.ndarray
    random: np.ndarray | None = None
    hidden: int = 0

    @property
    def sentences(self) -> int:
        return int(self.characters.sentence.max()) + 1


def gaps(trace: Trace, gold: Gold, part: np.ndarray | None = None, random: Trace | None = None) -> Gaps:
    """The candidate gaps of `gold` as `trace` reads them; part: numbers of sentences, all when None.

    random: a Trace of the same tokens by `measure.random_networks`. UserError for a trace of another text and where no
    gap is readable.
    """
    trace.require("increment")
    if trace.text != gold.text:
        raise UserError("the trace is of another text than the gold file; trace the file without its spaces.")
    known = characters(gold)
    if part is not None:
        known = known.of(part)
    has_text = np.flatnonzero(trace.spans[:, 0] != trace.spans[:, 1])
    token_starts = trace.spans[has_text, 0]
    place = np.minimum(np.searchsorted(token_starts, known.starts), len(token_starts) - 1)
    token = has_text[place]
    covering = has_text[np.searchsorted(token_starts, known.starts, side="right") - 1]
    hidden = known.candidate & (token_starts[place] != known.starts)
    known = replace(known, candidate=known.candidate & ~hidden, rule=known.rule & ~hidden)
    chosen = np.flatnonzero(known.candidate)
    if not len(chosen):
        raise UserError("no gap between two Chinese characters to judge; give Chinese text with gold words.")
    at, before = token[chosen], covering[chosen - 1]
    ends = np.append(token[1:], len(trace.tokens))[chosen]
    total = np.concatenate([[0.0], np.nancumsum(trace.surprisal.astype(np.float64))])
    signals = {
        "entropy before": trace.entropy[at],
        "entropy change": trace.entropy[at] - trace.entropy[before],
        "surprisal": trace.surprisal[at],
        "entropy after": trace.entropy_after[at],
        "surprisal of the character": total[np.maximum(ends, at + 1)] - total[at],
    }
    largest = trace.provenance.get("max_increment")
    values = trace.increments[:, at]
    full = (values > 0.99 * largest).mean(1) if largest else np.full(len(values), np.nan)
    return Gaps(
        labels=known.gold[chosen],
        sentence=known.sentence[chosen],
        signals={name: np.nan_to_num(np.asarray(signal, np.float64)) for name, signal in signals.items()},
        row_names=tuple(str(row) for row in trace.rows),
        increments=values,
        first_tokens=trace.tokens[at],
        characters=known,
        saturated=full,
        random=None if random is None else stack_draws(random.values[:, at], random.rows),
        hidden=int(hidden.sum()),
    )
