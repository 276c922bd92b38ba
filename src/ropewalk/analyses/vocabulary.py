"""Vocabulary: which tokens have large increments and which have small ones, by category and one by one.

Input: a table of mean increments (V, N), from Traces or from a measurement, and the text of each token. Tokens never
seen in training can drift to any value and are left out and counted. A constant increment is only a change of scale,
so patterns are compared after centering: each row's mean over occurrences is subtracted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex

from ropewalk.analyses.result import Chart, Result
from ropewalk.analyses.statistics import TOLERANCE, rounded
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

CATEGORIES = (
    "end of text", "newline", "space", "punctuation", "Chinese punctuation", "bracket", "operator", "number",
    "function word", "code keyword", "word beginning", "word continuation", "Chinese character",
    "Chinese characters", "part of a character", "other",
)  # fmt: skip

_FUNCTION_WORDS = """
    a about after all also although an and any are as at be because been before being between both but
    by can could did do does during each either every for from had has have he her here him his how i if
    in into is it its just may me might more most must my neither no nor not of off on only or other our
    out over own same shall she should since so some such than that the their them then there these they
    this those though through to too under until up upon us very was we were what when where whether
    which while who whom whose why will with within without would you your
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_KEYWORDS = """
    assert async await bool break case catch char class const continue def default del elif else enum
    except extern false finally float fn func function global import int interface lambda let match
    namespace new nil none null package pass private protected public raise return self static struct
    super switch template this throw true try type typedef union unsigned var void volatile yield
"""
KEYWORDS = frozenset(_KEYWORDS.split())
_HAN = regex.compile(r"\p{Script=Han}+")
_LETTERS = regex.compile(r"[\p{L}\p{M}'’_]+")
_BRACKETS = set("(){}[]<>")
_OPERATORS = set("+-*/=%&|^~@#$\\_`")


def category(piece: str) -> str:
    """The category of a token's text, with its leading space; "" is a token without text."""
    if not piece:
        return "end of text"
    if "\ufffd" in piece:
        return "part of a character"
    word = piece.strip()
    if not word:
        return "newline" if "\n" in piece else "space"
    if all(unicodedata.category(letter)[0] in "PS" for letter in word):
        return _sign(word)
    if word.isnumeric() and not _HAN.fullmatch(word):
        return "number"
    if _HAN.fullmatch(word):
        return "Chinese character" if len(word) == 1 else "Chinese characters"
    if not _LETTERS.fullmatch(word):
        return "other"
    begins = piece[0].isspace()
    if word.lower() in FUNCTION_WORDS and begins:
        return "function word"
    if word.lower() in KEYWORDS:
        return "code keyword"
    return "word beginning" if begins else "word continuation"


def _sign(word: str) -> str:
    letters = set(word)
    if letters & _BRACKETS and letters <= _BRACKETS | set(",.;:"):
        return "bracket"
    if letters <= _OPERATORS:
        return "operator"
    wide = any(0x3000 <= ord(letter) <= 0x303F or 0xFF00 <= ord(letter) <= 0xFFEF for letter in word)
    return "Chinese punctuation" if wide else "punctuation"


@dataclass(frozen=True)
class Vocabulary:
    """A table of increments by token.

    ids (V,): the tokens; pieces: their texts; increments (V, N): their means, token-equivalents; counts (V,): how often
    each was measured; seen (V,): how often each occurred in training, None where that is not known. `gap` is the
    convention of the increments.
    """

    ids: np.ndarray
    pieces: tuple[str, ...]
    rows: tuple[Row, ...]
    increments: np.ndarray
    counts: np.ndarray
    gap: str
    seen: np.ndarray | None = None

    def __post_init__(self) -> None:
        size = len(self.ids)
        shapes = (self.increments.shape, len(self.pieces), self.counts.shape)
        if shapes != ((size, len(self.rows)), size, (size,)) or not np.isfinite(self.increments).all():
            raise UserError(
                f"expected finite increments of {size} tokens in {len(self.rows)} rows with a piece and a "
                f"count each, got shapes {shapes}; measure the vocabulary again."
            )
        if self.seen is not None and self.seen.shape != (size,):
            raise UserError(f"expected how often each of {size} tokens was seen, got {self.seen.shape}.")

    @property
    def kept(self) -> np.ndarray:
        """(V,) bool: measured, and not known to be missing from training."""
        kept = self.counts > 0
        return kept if self.seen is None else kept & (self.seen > 0)

    @property
    def centered(self) -> np.ndarray:
        """(V, N): increments minus each row's mean over occurrences of the kept tokens."""
        weights = np.where(self.kept, self.counts, 0).astype(np.float64)
        if not weights.sum():
            raise UserError("no token was both measured and seen in training; measure more text.")
        return self.increments - (weights[:, None] * self.increments).sum(0) / weights.sum()


def from_traces(traces: Sequence[Trace], seen: dict[int, int] | None = None) -> Vocabulary:
    """Mean increments over all occurrences of each token in Traces of one model.

    A token's piece is the text of its first occurrence. UserError for other kinds, mixed rows or mixed conventions.
    """
    if not traces:
        raise UserError("a vocabulary needs at least one trace; capture some text.")
    rows, gap = traces[0].rows, traces[0].gap
    for trace in traces:
        trace.require("increment")
        if (trace.rows, trace.gap) != (rows, gap):
            raise UserError("the traces differ in rows or gap convention; take those of one model.")
    sums: dict[int, np.ndarray] = {}
    counts: dict[int, int] = {}
    pieces: dict[int, str] = {}
    for trace in traces:
        data = trace.text.encode()
        for token, (start, end), d in zip(
            trace.tokens.tolist(), trace.spans.tolist(), trace.increments.T, strict=True
        ):
            sums[token] = sums.get(token, 0) + d
            counts[token] = counts.get(token, 0) + 1
            pieces.setdefault(token, data[start:end].decode("utf-8", errors="replace"))
    ids = np.array(sorted(sums), np.int64)
    return Vocabulary(
        ids,
        tuple(pieces[token] for token in ids.tolist()),
        rows,
        np.stack([sums[token] / counts[token] for token in ids.tolist()]),
        np.array([counts[token] for token in ids.tolist()], np.int64),
        str(gap),
        None if seen is None else np.array([seen.get(token, 0) for token in ids.tolist()], np.int64),
    )


def by_category(table: Vocabulary) -> Result:
    """Mean, standard deviation and extremes of each category's increments, in every row, weighted by occurrence."""
    kept, centered = table.kept, table.centered
    kinds = np.array([category(piece) for piece in table.pieces])
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(table.rows):
        for kind in CATEGORIES:
            chosen = kept & (kinds == kind)
            if not chosen.any():
                continue
            d, weights = table.increments[chosen, number], table.counts[chosen]
            mean = float(np.average(d, weights=weights))
            rows.append(
                {
                    "row": str(row),
                    "category": kind,
                    "tokens": int(chosen.sum()),
                    "occurrences": int(weights.sum()),
                    "mean": mean,
                    "centered": float(np.average(centered[chosen, number], weights=weights)),
                    "std": float(np.sqrt(np.average((d - mean) ** 2, weights=weights))),
                    "min": float(d.min()),
                    "max": float(d.max()),
                }
            )
    columns = {
        "row": "row", "category": "category", "tokens": "tokens", "occurrences": "occurrences",
        "mean": "mean increment", "centered": "minus the row's mean", "std": "standard deviation", "min": "min",
        "max": "max",
    }  # fmt: skip
    chart = Chart("bars", "category", "centered", by="row", base=0.0)
    return Result("vocabulary", _title(table), columns, tuple(rows), chart=chart, notes=_notes(table))


def pattern(table: Vocabulary, random: Vocabulary) -> Result:
    """How much of each row's variance lies between categories, against random networks on the same input.

    random: a table of random networks, with the layers of `table` and a row for each draw. Any network shows some pattern,
    because categories differ in what it reads; a row counts that exceeds all of its layer's random networks.
    """
    kinds = np.array([category(piece) for piece in table.pieces])
    own, drawn = (_between(t, kinds) for t in (table, random))
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(table.rows):
        null = np.array(
            [v for v, other in zip(drawn, random.rows, strict=True) if row.layer in (None, other.layer)]
        )
        above = bool(own[number] > null.max() + TOLERANCE)
        rows.append(
            {
                "row": str(row),
                "share": float(own[number]),
                "median": float(np.median(null)),
                "highest": float(null.max()),
                "verdict": "more than random networks" if above else "no more than random networks",
            }
        )
    columns = {
        "row": "row", "share": "variance between categories", "median": "random networks, median",
        "highest": "random networks, highest", "verdict": "verdict",
    }  # fmt: skip
    draws = len(random.rows) // max(1, len({row.layer for row in random.rows}))
    notes = (f"{draws} random networks for each row, on the same input. Weighted by occurrence.",)
    return Result("pattern", "Is there a pattern of categories at all?", columns, tuple(rows), notes=notes)


def _between(table: Vocabulary, kinds: np.ndarray) -> np.ndarray:
    """(N,): the share of each row's variance over occurrences that lies between categories; 0 for a constant row."""
    kept, centered = table.kept, table.centered
    weights = np.where(kept, table.counts, 0).astype(np.float64)
    total = (weights[:, None] * centered**2).sum(0)
    found = np.zeros(centered.shape[1])
    for kind in set(kinds[kept].tolist()):
        own = np.where(kinds == kind, weights, 0)
        found += (own[:, None] * centered).sum(0) ** 2 / own.sum()
    return np.where(total > 1e-12 * weights.sum(), found / np.maximum(total, 1e-300), 0.0)


def extreme_tokens(table: Vocabulary, count: int = 10) -> Result:
    """The tokens whose increments lie farthest above and below their row's mean."""
    kept = np.flatnonzero(table.kept)
    centered = table.centered
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(table.rows):
        order = kept[np.argsort(centered[kept, number], kind="stable")]
        ends = [("above", token) for token in order[::-1][:count]] + [
            ("below", token) for token in order[:count]
        ]
        for direction, token in ends:
            rows.append(
                {
                    "row": str(row),
                    "direction": direction,
                    "token": int(table.ids[token]),
                    "piece": table.pieces[token],
                    "category": category(table.pieces[token]),
                    "increment": float(table.increments[token, number]),
                    "centered": float(centered[token, number]),
                    "occurrences": int(table.counts[token]),
                }
            )
    columns = {
        "row": "row", "direction": "direction", "token": "token", "piece": "text", "category": "category",
        "increment": "increment", "centered": "minus the row's mean", "occurrences": "occurrences",
    }  # fmt: skip
    return Result(
        "extreme_tokens",
        f"Tokens with the largest and the smallest increments, {_title(table)}",
        columns,
        tuple(rows),
        notes=_notes(table),
    )


def compare(first: Vocabulary, second: Vocabulary) -> Result:
    """How alike two patterns are over the tokens that both keep: correlations of centered increments, row by row.

    UserError for different rows or conventions, and for fewer than three tokens in common.
    """
    if (first.rows, first.gap) != (second.rows, second.gap):
        raise UserError("the vocabularies differ in rows or gap convention; compare models of one kind.")
    common = sorted(set(first.ids[first.kept].tolist()) & set(second.ids[second.kept].tolist()))
    if len(common) < 3:
        raise UserError(f"the vocabularies have {len(common)} tokens in common, expected at least 3.")
    a, b = (table.centered[np.searchsorted(table.ids, common)] for table in (first, second))
    rows = [
        {
            "row": str(row),
            "tokens": len(common),
            "pearson": _correlation(a[:, n], b[:, n]),
            "spearman": _correlation(_ranks(a[:, n]), _ranks(b[:, n])),
        }
        for n, row in enumerate(first.rows)
    ]
    columns = {"row": "row", "tokens": "tokens in common", "pearson": "Pearson", "spearman": "Spearman"}
    return Result("patterns", "Agreement of two vocabularies after centering", columns, tuple(rows))


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if min(a.std(), b.std()) <= TOLERANCE:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(rounded(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def _title(table: Vocabulary) -> str:
    return f"increments over the vocabulary, gap {table.gap}"


def _notes(table: Vocabulary) -> tuple[str, ...]:
    size, kept = len(table.ids), int(table.kept.sum())
    silent = int((table.counts == 0).sum())
    unseen = 0 if table.seen is None else int(((table.seen == 0) & (table.counts > 0)).sum())
    known = "" if table.seen is not None else " Which tokens training never saw is not known here."
    return (
        f"{kept} of {size} tokens; {unseen} left out because training never saw them, {silent} because they were not "
        f"measured.{known} Compare patterns, not levels: a constant increment is a change of scale.",
    )
