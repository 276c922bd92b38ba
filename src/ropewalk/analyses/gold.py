"""Gold: a text whose words are known, from a segmented file, a segmenter, or the planted language.

A segmented file has one sentence a line and one space between words; the text is the same without the spaces.
Spans are half-open byte offsets into the text's UTF-8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from ropewalk.corpus import planted
from ropewalk.errors import UserError
from ropewalk.system.text_files import read_text


@dataclass(frozen=True, eq=False)
class Gold:
    """words (W, 2) and sentences (S, 2) int64 byte spans of `text`, in order; words lie inside sentences."""

    text: str
    words: np.ndarray
    sentences: np.ndarray

    def part(self, chosen: np.ndarray) -> np.ndarray:
        """Numbers of the sentences where `chosen` (S,) is true. UserError when there are none."""
        numbers = np.flatnonzero(chosen)
        if not len(numbers):
            raise UserError("the split leaves one part without a sentence; give a longer file.")
        return numbers

    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """Two parts (development, test) of the sentences, by a hash of each one's text."""
        data = self.text.encode()
        even = np.array(
            [hashlib.sha256(data[start:end]).digest()[0] % 2 == 0 for start, end in self.sentences.tolist()]
        )
        return self.part(even), self.part(~even)


def from_lines(lines: Iterable[list[str]]) -> Gold:
    """Gold of sentences given as lists of words; sentences are joined by line ends."""
    words: list[tuple[int, int]] = []
    sentences: list[tuple[int, int]] = []
    pieces: list[str] = []
    offset = 0
    for line in lines:
        start = offset
        for word in line:
            end = offset + len(word.encode())
            words.append((offset, end))
            offset = end
        sentences.append((start, offset))
        pieces.append("".join(line))
        offset += 1
    return Gold("\n".join(pieces), np.array(words, np.int64), np.array(sentences, np.int64))


def read(path: str | Path, limit: int | None = None) -> Gold:
    """The gold of a segmented file, or of its first `limit` sentences. UserError when it holds no words."""
    lines = [line.split() for line in read_text(path).split("\n")]
    lines = [line for line in lines if line][:limit]
    if not lines or all(len(line) < 2 for line in lines):
        raise UserError(f"{path} is not segmented: expected one sentence a line and a space between words.")
    return from_lines(lines)


def by_jieba(gold: Gold) -> Gold:
    """The same sentences, in the words that jieba cuts them into."""
    try:
        import logging
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import jieba
    except ImportError as error:
        raise UserError("this analysis needs jieba; run: pip install 'ropewalk[zh]'") from error
    jieba.setLogLevel(logging.WARNING)
    data = gold.text.encode()
    words: list[tuple[int, int]] = []
    for start, end in gold.sentences.tolist():
        for word in jieba.cut(data[start:end].decode(), HMM=True):
            words.append((start, start + len(word.encode())))
            start = words[-1][1]
    return replace(gold, words=np.array(words, np.int64))


def by_planted(
    config: planted.PlantedConfig, documents: int, seed: int = 0
) -> tuple[Gold, np.ndarray, np.ndarray]:
    """The planted language's own words, phrases (P, 2) and entities (E, 2); a sentence ends with its full stop."""
    stop = planted.language(config).stop.encode()
    texts: list[str] = []
    found: dict[str, list[tuple[int, int]]] = {"words": [], "phrases": [], "entities": []}
    sentences: list[tuple[int, int]] = []
    offset = 0
    for document in islice(planted.generate(config, seed), documents):
        data = document.text.encode()
        for kind, spans in found.items():
            spans += [(offset + a, offset + b) for a, b in getattr(document, kind)]
        ends = [b for a, b in document.words if data[a:b] == stop]
        sentences += [(offset + a, offset + b) for a, b in pairwise([0, *ends])]
        texts.append(document.text)
        offset += len(data) + 1
    arrays = {kind: np.array(spans, np.int64).reshape(-1, 2) for kind, spans in found.items()}
    gold = Gold("\n".join(texts), arrays["words"], np.array(sentences, np.int64))
    return gold, arrays["phrases"], arrays["entities"]
