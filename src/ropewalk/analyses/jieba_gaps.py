"""The published test of Chinese word boundaries: text in short windows, jieba's words as labels, one AUC for each row.

A gap lies between two characters of U+4E00..9FFF of one window and is read at the first byte of the right-hand character.
Windows follow one another, hold whole characters, and are read without an end-of-document token before them. jieba cuts the
whole text. Nothing is chosen and no sign is turned: below 0.5 the increment is smaller where a word starts.
Source: Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026, and its repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ropewalk.analyses import statistics
from ropewalk.analyses.gold import by_jieba, from_lines
from ropewalk.analyses.result import Chart, Result
from ropewalk.core.rows import Row
from ropewalk.errors import UserError

WINDOW = 512
"""Bytes of a window, at most."""
PUBLISHED = {"all": 0.498, "L0": 0.50, "L1": 0.54, "L2": 0.68, "L3": 0.37, "L4": 0.63, "L5": 0.47}
REPLICATION = {"all": 0.497, "L0": 0.516, "L1": 0.528, "L2": 0.634, "L3": 0.414, "L4": 0.722, "L5": 0.411}
COLUMNS = {
    "row": "row",
    "auc": "AUC, jieba",
    "threshold": "threshold",
    "holm": "p (Holm)",
    "verdict": "increments at word starts",
    "published": "published",
    "replication": "published replication",
}
VERDICTS = {"above": "larger", "below": "smaller"}


@dataclass(frozen=True)
class Window:
    """A piece of the text. at (n,): the first byte of the character after each gap, counted from the start of the window;
    labels (n,): does one of jieba's words start there."""

    text: str
    at: np.ndarray
    labels: np.ndarray


def windows(text: str, most: int = WINDOW) -> list[Window]:
    """The windows of a text that have gaps. UserError where none has, or where all gaps have one label."""
    starts = set(by_jieba(from_lines([[text]])).words[:, 0].tolist())
    found, begin, size, offset = list[Window](), 0, 0, 0
    for place, character in enumerate([*text, ""]):
        length = len(character.encode())
        if begin < place and (size + length > most or not character):
            found.append(_window(text[begin:place], offset, starts))
            begin, offset, size = place, offset + size, 0
        size += length
    found = [window for window in found if len(window.at)]
    labels = np.concatenate([window.labels for window in found]) if found else np.empty(0, bool)
    if labels.all() or not labels.any():
        raise UserError(
            "the text has too few pairs of Chinese characters to judge; give a longer Chinese text."
        )
    return found


def _window(text: str, offset: int, starts: set[int]) -> Window:
    lengths = [len(character.encode()) for character in text]
    first = np.cumsum([0, *lengths[:-1]])
    han = np.array([0x4E00 <= ord(character) <= 0x9FFF for character in text])
    at = first[1:][han[1:] & han[:-1]]
    return Window(text, at, np.array([offset + place in starts for place in at.tolist()], bool))


def jieba_gaps(
    rows: Sequence[Row],
    read: Sequence[np.ndarray],
    random: Sequence[np.ndarray],
    labels: np.ndarray,
    window: np.ndarray,
) -> Result:
    """read: per model (N, n), the increments at n gaps. random: per model (draws, L, n), random networks on the inputs of its L
    increment networks. labels (n,) bool; window (n,): the number of each gap's window."""
    clusters = np.unique(window, return_inverse=True)[1]
    resample_counts = statistics.draw_resample_counts(int(clusters.max()) + 1)
    estimates, thresholds = [], []
    for n, row in enumerate(rows):
        rankings = [statistics.Ranking(statistics.rounded(values[n]), labels) for values in read]
        e = statistics.over_seeds(
            np.array([ranking.auc() for ranking in rankings]),
            np.stack([ranking.samples(clusters, resample_counts) for ranking in rankings]),
            resample_counts.shape[1],
            (0, 1),
        )
        drawn = [[statistics.auc(draw[row.layer or 0], labels) for draw in draws] for draws in random]
        estimates.append(e)
        thresholds.append(statistics.null_threshold(e.value, np.mean(drawn, 0), 0.5))
    adjusted = statistics.holm([e.p(0.5) for e in estimates])
    table: list[dict[str, Any]] = []
    for row, e, threshold, p in zip(rows, estimates, thresholds, adjusted, strict=True):
        side = statistics.decide(e, threshold, 0.5) if p < statistics.ALPHA else ""
        table.append(
            {
                "row": str(row),
                "auc": e.value,
                "auc_low": e.low,
                "auc_high": e.high,
                "threshold": threshold,
                "holm": p,
                "verdict": VERDICTS.get(side, "undecided"),
                "published": PUBLISHED.get(str(row)),
                "replication": REPLICATION.get(str(row)),
            }
        )
    return Result(
        "jieba",
        "Word boundaries between Chinese characters by the published protocol",
        COLUMNS,
        tuple(table),
        ("auc",),
        chart=Chart("bars", "row", "auc", base=0.5),
        notes=(
            f"{len(read)} model(s), {len(labels)} gaps in {resample_counts.shape[1]} windows of at most {WINDOW} bytes, "
            f"{labels.mean():.1%} of them word starts by jieba. Every row is scored as it is: nothing is chosen. A row is "
            "decided where its interval over windows and models leaves out 0.5 after Holm's correction and its AUC lies "
            "beyond 99 random networks on the same residual stream.",
            "Exploratory: a replication. jieba is not a gold segmentation; `boundaries` uses one.",
        ),
    )
