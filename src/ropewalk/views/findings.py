"""What stands out in a trace, in sentences: computed once, from its numbers alone, for all views.

At most three: the widest gap, the kind of position in the text with wide gaps, the rows that vary most and least. A sensitivity with a
large standard error is called noise. A trace without contrast gets the one sentence that nothing stands out.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ropewalk.traces.trace import Cell, Trace
from ropewalk.views.kinds import Kind, describe
from ropewalk.views.labels import visible
from ropewalk.views.rows import choose
from ropewalk.views.scene import Scene, scene

SMALLEST_CONTRAST = 0.01
"""Gaps that all lie within this share of their row's mean do not stand out."""
PATTERN_CONTRAST = 1.1
"""A kind of position in the text is worth a sentence where its mean gap is this many times that of the others."""
NOISE = 2.0
"""A difference from the mean below this many standard errors may be noise."""
ROUNDING = 1e-5
"""Two ways to compute a gap may differ by this share of it."""


@dataclass(frozen=True)
class Finding:
    """A sentence; the row and cell it points at; the number in it and its ratio to the row's mean; whether it is noise."""

    text: str
    row: str | None = None
    cell: int | None = None
    value: float | None = None
    ratio: float | None = None
    noise: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def findings(trace: Trace) -> tuple[Finding, ...]:
    """The findings of a trace; heads are averaged within each layer."""
    shown = choose(trace)
    drawn = scene(shown)
    kind = describe(trace)
    gaps = drawn.gaps
    known = np.isfinite(gaps)
    if not known.any():
        return (Finding(f"Nothing stands out: the text has no {kind.noun} to compare."),)
    if np.abs(np.where(known, gaps, 1) - 1)[known].max() < SMALLEST_CONTRAST:
        return (Finding(f"Nothing stands out: all {kind.plural} are within 1% of their row's mean."),)
    found = [_widest(shown, drawn, kind), _pattern(drawn, kind), _variation(drawn, kind)]
    return tuple(one for one in found if one is not None)


def text_of(found: tuple[Finding, ...]) -> str:
    """All sentences as one paragraph, for alternative texts and captions."""
    return " ".join(one.text for one in found)


def first_largest(values: np.ndarray) -> int:
    """Where the largest value is in the flattened array: the first of those that only rounding tells apart."""
    largest = np.nanmax(values)
    return int(np.flatnonzero(values >= largest - ROUNDING * abs(largest))[0])


def _widest(trace: Trace, drawn: Scene, kind: Kind) -> Finding:
    gaps = drawn.gaps
    row, cell = np.unravel_index(first_largest(gaps), gaps.shape)
    ratio, value = float(gaps[row, cell]), float(gaps[row, cell] / drawn.factor[row])
    name = _row_name(drawn, int(row))
    start = f"{name} {kind.widest} before {place(drawn.cells, int(cell))}: "
    times = f"{_number(ratio)} × the mean of this row"
    error = (
        np.nan if trace.error is None else float(trace.error[row, _gap_token(trace, drawn.cells, int(cell))])
    )
    noise = bool(np.isfinite(error) and value - drawn.mean[row] < NOISE * error)
    if trace.kind == "sensitivity":  # its unit says little to most readers: the ratio comes first
        known = f"a standard error of {_number(error)}" if np.isfinite(error) else "no standard error"
        text = f"{start}{times}: {_number(value)} with {known}{'; this may be noise' if noise else ''}."
    else:
        ordinary = " × the gap of an ordinary model" if trace.unit == "token-equivalents" else ""
        text = f"{start}{_number(value)}{ordinary}, {times}."
    return Finding(text, str(drawn.rows[row]), int(cell), value, ratio, noise)


def _pattern(drawn: Scene, kind: Kind) -> Finding | None:
    """The kind of position in the text whose mean gap exceeds that of all others most, in the row where it does so most."""
    cells, gaps = drawn.cells, drawn.gaps
    sorts = np.array([sort_of_place(cells, number) for number in range(len(cells))])
    best: tuple[float, int, str] | None = None
    for sort in sorted(set(sorts[1:]) - {""}):
        own, other = sorts == sort, (sorts != sort)
        own[0] = other[0] = False
        if own.sum() < 3 or other.sum() < 3:
            continue
        for row in range(len(gaps)):
            a, b = gaps[row, own], gaps[row, other]
            a, b = a[np.isfinite(a)], b[np.isfinite(b)]
            if len(a) < 3 or len(b) < 3 or b.mean() <= 0:
                continue
            ratio = float(a.mean() / b.mean())
            spread = float(np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5)) / float(b.mean())
            if ratio - 1 > NOISE * spread and (best is None or ratio > best[0]):
                best = ratio, row, sort
    if best is None or best[0] < PATTERN_CONTRAST:
        return None
    ratio, row, sort = best
    what = f"{_row_name(drawn, row)} {kind.pattern} {sort}"
    return Finding(
        f"{what}: on average {_number(ratio)} × the {kind.noun} elsewhere.",
        str(drawn.rows[row]),
        None,
        None,
        ratio,
    )


def _variation(drawn: Scene, kind: Kind) -> Finding | None:
    if len(drawn.rows) < 2:
        return None
    std = np.nanstd(drawn.gaps[:, 1:], axis=1)
    most, least = int(std.argmax()), int(std.argmin())
    if std[most] < 1.2 * std[least]:
        return None
    names = [_row_name(drawn, row) for row in (most, least)]
    text = (
        f"{names[0]}'s {kind.plural} vary most (their standard deviation is {std[most]:.0%} of their mean), "
        f"{names[1][0].lower()}{names[1][1:]}'s least ({std[least]:.0%})."
    )
    return Finding(text, str(drawn.rows[most]), None, float(std[most]), None)


def place(cells: tuple[Cell, ...], cell: int) -> str:
    """A cell in its context: “Y” of “York”, the space after “New”, “.” after “mat”, “the” after “of”."""
    text = cells[cell].text
    before = _word(cells, cell - 1) or (cells[cell - 1].text.strip() if cell else "")
    after = f" after “{visible(before)}”" if before else ""
    if text.isspace() and text:
        return ("the line end" if "\n" in text else "the space") + after
    label, word = visible(text).strip("␣") or visible(text), _word(cells, cell)
    if word and word != label:
        return f"“{label}” of “{word}”"
    return f"“{label}”" + ("" if word and not text[:1].isspace() else after)


def _word(cells: tuple[Cell, ...], cell: int) -> str:
    """The run of letters and digits around a cell, cut to a few characters; "" where there is none."""
    if cell < 0 or not cells[cell].text.strip().isalnum():
        return ""
    start = end = cell
    while (
        start > 0
        and cell - start < 12
        and cells[start].text[:1].isalnum()
        and cells[start - 1].text[-1:].isalnum()
    ):
        start -= 1
    while end + 1 < len(cells) and end - cell < 12 and cells[end + 1].text[:1].isalnum():
        end += 1
    word = "".join(one.text for one in cells[start : end + 1]).strip()
    return word if len(word) <= 24 and not _unspaced(word) else cells[cell].text.strip()


def _unspaced(word: str) -> bool:
    """Whether a script writes words without spaces between them, so that a run of letters is no word."""
    return any(
        "\u2e80" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7a3" or "\u0e00" <= c <= "\u0e7f" for c in word
    )


def sort_of_place(cells: tuple[Cell, ...], number: int) -> str:
    """The kind of position in the text that a gap is in; "" for the first cell."""
    if not number:
        return ""
    text, before = cells[number].text, cells[number - 1].text
    if "\n" in text[:1]:
        return "before line ends"
    if text[:1].isspace():
        return "before spaces" if len(text) == 1 else "between words"
    if before[-1:].isspace():
        return "after spaces"
    if text[:1].isalnum() and before[-1:].isalnum():
        return "between CJK characters" if _unspaced(text[:1]) else "inside words"
    return "around punctuation"


def _gap_token(trace: Trace, cells: tuple[Cell, ...], cell: int) -> int:
    return cells[cell - 1].end - 1 if trace.gap == "after" else cells[cell].start


def _row_name(drawn: Scene, row: int) -> str:
    one = drawn.rows[row]
    if one.layer is None:
        return "The row shared by all layers" if one.head is None else f"Head {one.head}"
    return f"Layer {one.layer}" + ("" if one.head is None else f", head {one.head},")


def _number(value: float) -> str:
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 else f"{value:.2g}"
