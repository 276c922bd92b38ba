"""Overlays: boundaries in a text, from any source, drawn as marks across all rows of a view.

An overlay is a name and byte offsets into the text's UTF-8; a boundary stands before the byte at
its offset. A new source is one function here and one entry in SOURCES; gold segmentations come in
as plain offsets.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.errors import UserError
from ropewalk.system.text_files import read_text
from ropewalk.tokens.graphemes import grapheme_spans
from ropewalk.traces.trace import Trace


@dataclass(frozen=True)
class Overlay:
    """Boundaries of `text` at these byte offsets, each where a grapheme starts; `note` says how they were found."""

    name: str
    text: str
    offsets: tuple[int, ...]
    note: str = ""

    def __post_init__(self) -> None:
        starts = {start for start, _ in grapheme_spans(self.text)}
        wrong = [offset for offset in self.offsets if offset not in starts]
        if wrong:
            raise UserError(
                f"expected boundaries of '{self.name}' at bytes where a character starts, got {wrong[0]}; "
                "give byte offsets into the text's UTF-8, not character offsets."
            )

    def as_json(self) -> dict[str, Any]:
        """Plain json values."""
        return {"name": self.name, "offsets": list(self.offsets), "note": self.note}


def words(text: str, pieces: Iterable[str], name: str = "gold") -> Overlay:
    """The boundaries between the words of a segmented text: joined as they are, `pieces` give `text`."""
    offsets, place = [], 0
    for piece in pieces:
        place += len(piece.encode())
        offsets.append(place)
    if place != len(text.encode()):
        raise UserError(
            f"expected words that join to the text's {len(text.encode())} bytes, got {place}; "
            "segment the same text."
        )
    return Overlay(name, text, tuple(offsets[:-1]))


def entropy(trace: Trace) -> Overlay:
    """Where the model's entropy before a character peaks: above the mean and its neighbors."""
    cells = [cell for cell in trace.cells() if cell.text]
    before = np.array([trace.entropy[cell.start] for cell in cells], dtype=np.float64)
    known = before[np.isfinite(before)]
    if not len(known):
        raise UserError(
            "expected a trace with entropies, got one without; trace the text with a language model."
        )
    level = np.where(np.isfinite(before), before, -np.inf)
    sides = np.concatenate([[-np.inf], level, [-np.inf]])
    peaks = (level > known.mean()) & (level >= sides[:-2]) & (level >= sides[2:])
    offsets = tuple(int(trace.spans[cell.start, 0]) for cell, peak in zip(cells, peaks, strict=True) if peak)
    starts = {start for start, _ in grapheme_spans(trace.text)}
    kept = tuple(offset for offset in offsets if offset in starts and offset > 0)
    return Overlay("entropy peaks", trace.text, kept, "entropy before the character: a peak above the mean")


def jieba(trace: Trace) -> Overlay:
    """Word boundaries by the jieba segmenter, where it is installed."""
    try:
        import logging

        import jieba as segmenter  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise UserError(
            "Chinese words need jieba, which is not installed; run: pip install 'ropewalk[zh]'"
        ) from error
    segmenter.setLogLevel(logging.WARNING)
    starts = {start for start, _ in grapheme_spans(trace.text)}
    found = words(trace.text, segmenter.cut(trace.text), "jieba")
    return Overlay(
        "jieba", trace.text, tuple(o for o in found.offsets if o in starts), "words found by jieba"
    )


SOURCES: dict[str, Callable[[Trace], Overlay]] = {"entropy": entropy, "jieba": jieba}


def read(path: str | Path, text: str) -> Overlay:
    """Boundaries from a JSON file {"name": ..., "offsets": [bytes]} or {"name": ..., "words": [pieces]}."""
    try:
        given = json.loads(read_text(path))
        name = str(given.get("name", Path(path).stem))
        if "words" in given:
            return words(text, [str(piece) for piece in given["words"]], name)
        return Overlay(
            name, text, tuple(int(offset) for offset in given["offsets"]), str(given.get("note", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(
            f'expected boundaries in {path} as {{"offsets": [bytes]}} or {{"words": [pieces]}}, got '
            "something else; write one of them as JSON."
        ) from error
