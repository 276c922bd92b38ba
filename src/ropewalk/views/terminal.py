"""The picture in a terminal: one text row per row of the trace, wide gaps as blanks and as tint, numbers below.

A terminal cannot set letters closer than one column, so rows are not to scale: a gap of g units before a cell gives
(g - 1) / step blank columns, rounded; the step is 1 where some gap reaches 3 units, and finer where gaps are alike.
Real spaces of the text are shown as ␣, so every blank is a gap. Above 8 rows or 300 tokens the rows are folded: a
sparkline each, see `views.sparklines`, and the rows that vary most in full. Text is printed as symbols only, so
that escape sequences and markup in it have no effect. Time and memory are linear in the length of the text.
"""

import textwrap
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from ropewalk.traces.trace import Trace
from ropewalk.views.findings import Finding, findings, first_largest
from ropewalk.views.kinds import describe
from ropewalk.views.labels import explain, one_line, visible
from ropewalk.views.panels import wrap
from ropewalk.views.rows import choose
from ropewalk.views.scene import ACCEPTS, SCALES, Scene, scene
from ropewalk.views.shades import BACKWARD, shade, top
from ropewalk.views.sparklines import is_large, most_varied, sparkline

__all__ = ["ACCEPTS", "TerminalView", "render"]

WIDTH, NARROWEST, MOST_BLANKS, LONGEST = 100, 24, 12, 20
SPELLED_ROWS, SPELLED_CELLS = 3, 2000
"""Of a folded trace, so many rows are written in full, unless the text is longer than this."""

FILLER = "\0"
"""Stands for the second column of a wide character while lines are wrapped; no text that is shown holds it."""

Line = list[tuple[str, Style | None]]


def render(
    trace: Trace,
    width: int | None = None,
    color: bool = True,
    scale: str = "row",
    layers: Sequence[int] | None = None,
    heads: bool = False,
    folded: bool | None = None,
) -> "TerminalView":
    """What rich prints for `trace` (increment, position or sensitivity); `str()` of it is plain text.

    width: columns, those of the terminal when None. color False: blanks only. scale: see `views.scene`. layers, heads:
    see `views.rows`. folded: sparklines instead of rows; None: above 8 rows or 300 tokens. Longer texts are wrapped,
    every row at the same cells. UserError for other kinds of trace.
    """
    trace.require(*ACCEPTS)
    shown = choose(trace, layers, heads)
    drawn = scene(shown, scale)
    tinted = scene(shown, "row") if scale == "integer" else drawn  # the tint still shows what was learned
    fold = is_large(shown) if folded is None else folded
    return TerminalView(
        drawn, tinted, describe(shown).noun, _unit(trace), findings(shown), width, color, fold
    )


@dataclass(frozen=True, eq=False)
class TerminalView:
    """A rendered trace: print it with rich, or take `str()`."""

    drawn: Scene
    tinted: Scene
    noun: str
    unit: str
    found: tuple[Finding, ...]
    width: int | None
    color: bool
    folded: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        color = self.color and console.color_system is not None
        for line in self.lines(self.width or options.max_width, color):
            yield from (Segment(text, style if color else None) for text, style in line)
            yield Segment.line()

    def __str__(self) -> str:
        lines = self.lines(self.width or WIDTH, color=False)
        return "\n".join("".join(text for text, _ in line) for line in lines)

    def lines(self, width: int, color: bool) -> Iterator[Line]:
        """The printed lines as pieces with their styles, for a terminal of `width` columns (24 at least). color: with the scale of tints."""
        texts = [cell.text for cell in self.drawn.cells]
        labels = [_label(text) for text in texts]
        names = [str(row) for row in self.drawn.rows]
        if self.folded:
            yield from self._fold(labels, names, width)
            rows = most_varied(self.tinted.gaps, SPELLED_ROWS) if len(texts) <= SPELLED_CELLS else []
        else:
            rows = list(range(len(names)))
        if rows:
            yield from self._panels(texts, labels, names, rows, max(width, NARROWEST))
        if not self.folded and len(labels) > 1:
            yield from self._table(names, labels, max(map(len, ["text", *names])) + 2)
        if len(labels) > 1:
            for finding in self.found:
                yield from _wrapped(f"• {finding.text}", width, "  ")
            yield []
        yield from _wrapped(self._legend(labels, bool(rows), len(rows) < len(names)), width)
        if color:
            yield self._scale()

    def _panels(
        self, texts: list[str], labels: list[str], names: list[str], rows: list[int], width: int
    ) -> Iterator[Line]:
        """The rows in full, wrapped into panels."""
        margin = max(map(len, ["text", *names])) + 2
        gaps, tints = self.drawn.gaps[rows], self.tinted.gaps[rows]
        columns = np.array([_width(label) for label in labels])
        blanks = _blanks(gaps, _step(top(self.drawn.gaps)))
        right = np.cumsum(blanks + columns, axis=1)
        panels = wrap(right - blanks - columns, right, width - margin, len(labels), texts)
        darkest = top(self.tinted.gaps)
        tint = _Tints(darkest)
        styled = (_blanks(tints, _step(darkest)) > 0) | (tints < 0)
        for start, end in panels:
            yield [("text".ljust(margin) + "".join(labels[start:end]), Style(dim=True))]
            for n, row in enumerate(rows):
                pieces: Line = [(names[row].ljust(margin), None)]
                plain: list[str] = []
                for cell in range(start, end):
                    piece = " " * blanks[n, cell] + labels[cell] if blanks[n, cell] else labels[cell]
                    if styled[n, cell]:
                        pieces += [("".join(plain), None), (piece, tint(float(tints[n, cell])))]
                        plain = []
                    else:
                        plain.append(piece)
                yield [*pieces, ("".join(plain), None)]
            yield []

    def _fold(self, labels: list[str], names: list[str], width: int) -> Iterator[Line]:
        """A sparkline for each row with its mean, its widest gap and where that is."""
        margin = max(map(len, ["text", *names])) + 2
        gaps, darkest = self.tinted.gaps, top(self.tinted.gaps)
        tint = _Tints(darkest)
        count = max(10, min(len(labels), max(width, NARROWEST) - margin - 40))
        if len(labels) <= count and all(_width(label) == 1 for label in labels):
            yield [("text".ljust(margin) + "".join(labels), Style(dim=True))]
        head = f"{'':{margin}}{'':{min(count, len(labels))}}  {'mean':<9}{'max':<9}between"
        yield [(head, Style(dim=True))]
        for row, name in enumerate(names):
            pieces: Line = [(name.ljust(margin), None)]
            for mark, share in sparkline(gaps[row], count, darkest):
                pieces.append((mark, tint(1 + share * (darkest - 1), back=False) if share > 0 else None))
            steps = self.tinted.steps[row]
            if np.isfinite(steps).any():
                widest = first_largest(steps)
                numbers = f"  {self.tinted.mean[row]:<9.3g}{steps[widest]:<9.3g}"
                pieces.append((numbers + self._place(widest, labels), None))
            yield pieces
        yield []

    def _table(self, names: list[str], labels: list[str], margin: int) -> Iterator[Line]:
        """Mean, narrowest and widest step of every row in the trace's unit, and where the last two are.

        All three are over all steps between tokens, also those inside a character of several tokens. Of equal steps the
        first is named.
        """
        steps = self.tinted.steps
        known = [row for row in range(len(names)) if np.isfinite(steps[row]).any()]
        ends = {row: (first_largest(-steps[row]), first_largest(steps[row])) for row in known}
        pairs = {row: [self._place(step, labels) for step in both] for row, both in ends.items()}
        space = max([8, *(cell_len(narrow) for narrow, _ in pairs.values())]) + 2
        head = f"{'mean':<9}{'min':<9}{'between':<{space}}{'max':<9}between"
        yield [(" " * margin + head, Style(dim=True))]
        for row in known:
            (low, high), (narrow, wide) = ends[row], pairs[row]
            start = f"{names[row].ljust(margin)}{self.tinted.mean[row]:<9.3g}{steps[row, low]:<9.3g}{narrow}"
            yield [(f"{start}{' ' * (space - cell_len(narrow))}{steps[row, high]:<9.3g}{wide}", None)]
        yield []

    def _place(self, step: int, labels: list[str]) -> str:
        """Between which cells a step is, or inside which one."""
        cell = bisect([c.start for c in self.drawn.cells], step + 1) - 1
        inside = self.drawn.cells[cell].start <= step
        return f"inside {labels[cell]}" if inside else f"{labels[cell - 1]} {labels[cell]}"

    def _legend(self, labels: list[str], spelled: bool, more: bool) -> str:
        parts = [f"{self.noun} in {self.unit}; {SCALES[self.drawn.scale]}"]
        if spelled and self.drawn.scale != "integer":
            step = _step(top(self.drawn.gaps))
            parts.append(f"one blank for each {'unit' if step == 1 else f'{step:.2g} units'} above 1")
        if self.folded:
            parts.append(
                "a column of a sparkline is the widest gap of its part of the text, ▲ beyond the scale"
            )
            if more and spelled:
                parts.append("the rows that vary most are written in full")
            elif not spelled:
                parts.append("a page (--html) shows every token")
        symbols = explain(labels)
        return "; ".join([*parts, *([symbols] if symbols else [])])

    def _scale(self) -> Line:
        """A swatch of each tint with the gap it stands for."""
        darkest = top(self.tinted.gaps)
        tint = _Tints(darkest)
        line: Line = [("tint in these units ", None)]
        line += [(f" {step:.3g} ", tint(float(step))) for step in np.linspace(1, darkest, 5)[1:]]
        if (self.tinted.gaps < 0).any():
            line.append((" back ", tint(-1.0)))
        return line


def _unit(trace: Trace) -> str:
    unit, meaning = one_line(trace.unit), describe(trace).unit
    return f"{unit} ({meaning})" if meaning else unit


def _wrapped(text: str, width: int, indent: str = "") -> Iterator[Line]:
    """Lines of at most `width` columns; a wide character takes two."""
    counted = "".join(character + FILLER * (cell_len(character) - 1) for character in text)
    for line in textwrap.wrap(counted, max(width, NARROWEST), subsequent_indent=indent):
        yield [(line.replace(FILLER, ""), None)]


def _step(widest: float) -> float:
    """Units above the first that one blank stands for: the widest gap gets two blanks at least."""
    return min(1.0, (widest - 1) / 2)


def _blanks(gaps: np.ndarray, step: float) -> np.ndarray:
    """Blank columns before each cell (N, C): the steps of its gap above the first unit, rounded half up."""
    above = np.floor((np.nan_to_num(gaps, nan=1.0) - 1) / step + 0.5)
    return np.clip(above, 0, MOST_BLANKS).astype(np.int64)


class _Tints:
    """Black on a gap's shade, for a gap with a blank; no pale shades, which glare on a dark screen.

    Styles are kept for one printing only: rich styles remember the colors of the console that used them first.
    """

    def __init__(self, darkest: float) -> None:
        self.darkest = darkest
        self.styles: dict[tuple[float, bool], Style] = {}

    def __call__(self, gap: float, back: bool = True) -> Style:
        """The style of a gap in units of the mean; back False: the shade as the color of the letters."""
        share = -1.0 if gap < 0 else round(min(1.0, (gap - 1) / (self.darkest - 1)), 2)
        if (share, back) not in self.styles:
            color = BACKWARD if share < 0 else shade(1 + 0.4 + 0.6 * share, 2)
            style = Style(color="black", bgcolor=color) if back else Style(color=color)
            self.styles[share, back] = style
        return self.styles[share, back]


@cache
def _width(label: str) -> int:
    return cell_len(label)


@cache
def _label(text: str) -> str:
    label = visible(text)
    return label if cell_len(label) <= LONGEST else chop_cells(label, LONGEST - 1)[0] + "…"
