"""The picture in a terminal: a row per line, wide gaps as blanks and as tint, numbers below.

A terminal cannot set letters closer than one column, so a row does not stand to scale: a gap of g
units before a cell gives (g - 1) / step blank columns, rounded, and none where the cells are packed;
the step is 1 where some gap reaches 3 units, and finer where all gaps are alike. The tint tells the rest. Real spaces of the text are shown as the symbol ␣, so every blank is a gap.
Text is printed as symbols only: nothing in it is obeyed by the terminal or read as markup.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from rich.text import Text

from ropewalk.traces.trace import Trace
from ropewalk.views.labels import one_line, visible
from ropewalk.views.panels import wrap
from ropewalk.views.rows import choose
from ropewalk.views.scene import ACCEPTS, SCALES, Scene, scene
from ropewalk.views.shades import BACKWARD, shade, top

__all__ = ["ACCEPTS", "TerminalView", "render"]

WIDTH, NARROWEST, MOST_BLANKS, LONGEST = 100, 24, 12, 20


def render(
    trace: Trace,
    width: int | None = None,
    color: bool = True,
    scale: str = "row",
    layers: Sequence[int] | None = None,
    heads: bool = False,
) -> "TerminalView":
    """What rich prints for `trace` (increment, position or sensitivity); `str()` of it is plain text.

    width: columns, those of the terminal when None. color False: blanks only. scale: see
    `views.scene`. layers, heads: see `views.rows`. Longer texts are wrapped, every row at the same
    cells. UserError for other kinds of trace.
    """
    trace.require(*ACCEPTS)
    shown = choose(trace, layers, heads)
    drawn = scene(shown, scale)
    return TerminalView(drawn, _tinted(shown, drawn), trace.kind, trace.unit, width, color)


def _tinted(trace: Trace, drawn: Scene) -> Scene:
    """The scene whose gaps are tinted: with integer spacing the tint still tells what was learned."""
    return scene(trace, "row") if drawn.scale == "integer" else drawn


@dataclass(frozen=True, eq=False)
class TerminalView:
    """A rendered trace: print it with rich, or take `str()` or `text(width)`."""

    drawn: Scene
    tinted: Scene
    kind: str
    unit: str
    width: int | None
    color: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text(self.width or options.max_width, self.color and console.color_system is not None)

    def __str__(self) -> str:
        return self.text(self.width or WIDTH, color=False).plain

    def text(self, width: int, color: bool) -> Text:
        """All panels and the legend for a terminal of `width` columns (24 at least), tinted or not."""
        texts = [cell.text for cell in self.drawn.cells]
        labels = [_short(visible(text)) for text in texts]
        columns = np.array([cell_len(label) for label in labels])
        names = ["text", *map(str, self.drawn.rows)]
        margin = max(map(len, names)) + 2
        blanks = _blanks(self.drawn.gaps, _step(top(self.drawn.gaps)))
        right = np.cumsum(blanks + columns, axis=1)
        left = right - blanks - columns
        panels = wrap(left, right, max(width, NARROWEST) - margin, len(labels), texts)
        darkest = top(self.tinted.gaps)
        widened = _blanks(self.tinted.gaps, _step(darkest)) > 0

        out = Text(no_wrap=True, overflow="crop")
        for start, end in panels:
            out.append(names[0].ljust(margin) + "".join(labels[start:end]) + "\n", "dim")
            for row, name in enumerate(names[1:]):
                out.append(name.ljust(margin))
                for cell in range(start, end):
                    gap = float(self.tinted.gaps[row, cell])
                    style = _tint(gap, darkest) if gap < 0 or widened[row, cell] else ""
                    out.append(" " * blanks[row, cell] + labels[cell], style if color else "")
                out.append("\n")
            out.append("\n")
        if len(labels) > 1:
            self._table(out, names[1:], labels, margin)
        out.append("\n".join(textwrap.wrap(self._unit(), width)))
        if color:
            self._scale(out, darkest)
        return out

    def _unit(self) -> str:
        what = "sensitivity" if self.kind == "sensitivity" else "gap"
        told = f"{what} in {one_line(self.unit)}; {SCALES[self.drawn.scale]}"
        if self.drawn.scale == "integer":
            return told
        step = _step(top(self.drawn.gaps))
        return f"{told}; one blank for each {'unit' if step == 1 else f'{step:.2g} units'} above 1"

    def _scale(self, out: Text, darkest: float) -> None:
        """A swatch of each tint with the gap it stands for."""
        out.append("\ntint in these units ")
        for step in np.linspace(1, darkest, 5)[1:]:
            out.append(f" {step:.3g} ", _tint(float(step), darkest))
        if (self.tinted.gaps < 0).any():
            out.append(" back ", _tint(-1.0, darkest))

    def _table(self, out: Text, names: list[str], labels: list[str], margin: int) -> None:
        """Mean, narrowest and widest gap of every line in the trace's unit, and where the last two are. Steps
        inside a cell, between the bytes of one character, are no gaps and count in none of the three. Of gaps that
        are equal as a trace's numbers, float32, the first is named."""
        gaps = (self.tinted.gaps / self.tinted.factor[:, None]).astype(np.float32)
        ends = [(int(np.nanargmin(row)), int(np.nanargmax(row))) for row in gaps]
        pairs = [tuple(f"{labels[cell - 1]} {labels[cell]}" for cell in cells) for cells in ends]
        room = max(8, *(cell_len(narrow) for narrow, _ in pairs)) + 2
        head = f"{'mean':<9}{'min':<9}{'between':<{room}}{'max':<9}between"
        out.append(" " * margin + head + "\n", "dim")
        for row, (name, (low, high), (narrow, wide)) in enumerate(zip(names, ends, pairs, strict=True)):
            out.append(f"{name.ljust(margin)}{np.nanmean(gaps[row]):<9.3g}{gaps[row, low]:<9.3g}{narrow}")
            out.append(f"{' ' * (room - cell_len(narrow))}{gaps[row, high]:<9.3g}{wide}\n")
        out.append("\n")


def _step(widest: float) -> float:
    """Units above the first that one blank stands for: the widest gap gets two blanks at least."""
    return min(1.0, (widest - 1) / 2)


def _blanks(gaps: np.ndarray, step: float) -> np.ndarray:
    """Blank columns before each cell (N, C): the steps of its gap above the first unit, rounded half up."""
    above = np.floor((np.nan_to_num(gaps, nan=1.0) - 1) / step + 0.5)
    return np.clip(above, 0, MOST_BLANKS).astype(np.int64)


def _tint(gap: float, darkest: float) -> Style:
    """Black on the gap's shade, for a gap with a blank; no pale shades, which glare on a dark screen."""
    if gap < 0:
        return Style(color="black", bgcolor=BACKWARD)
    share = min(1.0, (gap - 1) / (darkest - 1))
    return Style(color="black", bgcolor=shade(1 + (0.4 + 0.6 * share) * (darkest - 1), darkest))


def _short(label: str) -> str:
    return label if cell_len(label) <= LONGEST else chop_cells(label, LONGEST - 1)[0] + "…"
