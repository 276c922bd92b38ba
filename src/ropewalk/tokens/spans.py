"""Where tokens lie in a text: byte spans that cover every byte exactly once.

`spans_from_pieces` is exact: it lays the bytes that tokens write onto the text, also where the tokenizer normalizes
(composes accents or Korean letters, writes a space as U+2581). `spans_from_offsets` uses the character offsets that a
tokenizer reports, and gives bytes that no token covers to a neighbor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import regex

from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import utf8

SPACE = "\u2581"
"""What SentencePiece writes for a space."""
_GRAPHEME = regex.compile(r"\X")


def spans_from_pieces(
    text: str, pieces: Sequence[bytes], normalize: Callable[[str], str] | None = None
) -> np.ndarray | None:
    """Spans (T, 2) of tokens that write `pieces`; None where the pieces together do not write the text.

    normalize: what the tokenizer does to a text before it cuts it. Pieces may write spaces as U+2581 and may begin with
    one space more than the text.
    """
    written, size = b"".join(pieces), len(utf8(text))
    ends = np.cumsum([len(piece) for piece in pieces])
    for extra in (SPACE.encode(), b" ", b""):
        if not written.startswith(extra):
            continue
        boundaries = _boundaries(text, written[len(extra) :], normalize)
        if boundaries is not None:
            places = boundaries[np.maximum(ends - len(extra), 0)]
            if places[-1] != size:
                return None
            return np.stack([np.concatenate([[0], places[:-1]]), places], 1).astype(np.int64)
    return None


def _boundaries(text: str, written: bytes, normalize: Callable[[str], str] | None) -> np.ndarray | None:
    """For every byte offset into `written` the byte offset into the text; None where they are different texts."""
    if written == utf8(text):
        return np.arange(len(written) + 1)
    offsets, at, place = [0], 0, 0
    for match in _GRAPHEME.finditer(text):
        source = utf8(match.group())
        form = next((form for form in _forms(match.group(), normalize) if written.startswith(form, at)), None)
        if form is None:
            return None
        inside = np.arange(1, len(form) + 1) * len(source) // max(len(form), 1)
        offsets += (place + inside).tolist()
        at, place = at + len(form), place + len(source)
        if not form:
            offsets[-1] = place
    return np.array(offsets) if at == len(written) else None


def _forms(cluster: str, normalize: Callable[[str], str] | None) -> Iterator[bytes]:
    """The ways in which a tokenizer may write a grapheme."""
    changed = [cluster]
    if normalize is not None:
        normalized = normalize(cluster)
        changed += [normalized, normalized.removeprefix(SPACE), normalized.removeprefix(" ")]
    for form in changed:
        if form:
            yield utf8(form)
            yield utf8(form.replace(" ", SPACE))
            yield utf8(form.replace(SPACE, " "))


def spans_from_offsets(text: str, offsets: np.ndarray, name: str) -> np.ndarray:
    """Spans (T, 2) from character offsets (T, 2).

    Tokens that report the same characters share their bytes out. White space that no token covers goes to the token
    after it, anything else to the token before it. UserError where the offsets run backwards.
    """
    bytes_before = np.cumsum([0, *(len(utf8(character)) for character in text)])
    starts: list[int] = []
    last = 0
    groups = _same(offsets)
    for first, count, start, end in groups:
        if start < last and end != last:
            raise UserError(
                f"the tokenizer of {name} reports overlapping tokens at character {start} of the text, so its tokens have no "
                "place of their own; pass the token ids and spans yourself."
            )
        begin = max(start, last)
        if begin > last and text[last:begin].isspace():
            begin = last
        low, high = int(bytes_before[begin]), int(bytes_before[max(end, begin)])
        starts += [low + (high - low) * i // count for i in range(count)]
        last = max(end, last)
        del first
    starts[0] = 0
    edges = np.maximum.accumulate(np.array([*starts, len(utf8(text))], np.int64))
    return np.stack([edges[:-1], edges[1:]], 1)


def _same(offsets: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """(first token, number of tokens, start, end) of each run of tokens with the same characters."""
    first = 0
    for token in range(1, len(offsets) + 1):
        if token == len(offsets) or tuple(offsets[token]) != tuple(offsets[first]):
            yield first, token - first, int(offsets[first][0]), int(offsets[first][1])
            first = token
