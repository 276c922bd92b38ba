"""Labels of cells in a matplotlib figure: the text, the fonts that have its characters, and its width.

A character that no font here has is drawn as a small box with its code point inside, never as an empty box.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex

from ropewalk.views import fonts
from ropewalk.views.cursive import join_cursive, right_to_left
from ropewalk.views.labels import UNSHOWABLE, visible

CLOSEST = 0.55
"""Labels nearer than this share of their widths would overprint each other."""
MARK = regex.compile(r"[␣⏎⇥◆�]")


@dataclass(frozen=True)
class CellLabels:
    """C labels in order, their widths in ems, which of them are code point boxes; the font families, the
    characters that none of them has, and whether the text runs right to left."""

    labels: tuple[str, ...]
    widths: tuple[float, ...]
    boxed: tuple[bool, ...]
    families: tuple[str, ...]
    missing: frozenset[str]
    leftward: bool

    def writable(self, text: str) -> str:
        """Running text in which a placeholder stands for each character that is missing from all fonts."""
        return "".join(UNSHOWABLE if character in self.missing else character for character in text)


def prepare(texts: Sequence[str], text: str, extra: str = "") -> CellLabels:
    """Labels and fonts for cells with these texts, taken from `text`; `extra` is further text to find fonts for."""
    found = fonts.for_text("".join(map(visible, texts)) + extra)
    leftward = right_to_left(text)
    shown = [visible(piece) for piece in texts]
    labels = join_cursive(shown) if leftward else shown
    boxes = [_number(label, found.missing) for label in labels]
    labels = [box or label for box, label in zip(boxes, labels, strict=True)]
    measured: dict[str, float] = {}
    for label in labels:
        if label not in measured:
            measured[label] = 1.0 if "\n" in label else ems(label, found.families)
    widths = tuple(measured[label] for label in labels)
    return CellLabels(tuple(labels), widths, tuple(box is not None for box in boxes), *found, leftward)


def legible(across: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Which labels (C,) at these places do not overlap the last one that is drawn."""
    shown, last = np.ones(len(across), dtype=bool), 0
    for cell in range(1, len(across)):
        shown[cell] = abs(across[cell] - across[last]) >= CLOSEST * (widths[cell] + widths[last]) / 2
        last = cell if shown[cell] else last
    return shown


def _number(label: str, missing: frozenset[str]) -> str | None:
    """The code point of the first character without a glyph, in two short lines; None where all have one.

    A symbol for a control character (U+24xx) gives the code point of that control character.
    """
    for character in label:
        if character in missing:
            code = ord(character)
            digits = f"{code - 0x2400 if 0x2400 <= code < 0x2420 else code:04X}"
            half = (len(digits) + 1) // 2
            return f"{digits[:half]}\n{digits[half:]}"
    return None


def ems(label: str, families: tuple[str, ...]) -> float:
    """Width of `label` in ems, in these families."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(
        label, FontProperties(family=families, size=1), False
    )
    return float(width)
