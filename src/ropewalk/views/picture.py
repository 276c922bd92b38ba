"""One figure being drawn: layout in points, rows of letters, tinted gaps, threads, legend, caption.

Loaded by `views.figure` only, once matplotlib is known to be there.
"""

from dataclasses import replace
from textwrap import wrap as wrap_words
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from ropewalk.traces.trace import Trace
from ropewalk.views import cell_labels, fonts
from ropewalk.views.findings import findings
from ropewalk.views.kinds import describe
from ropewalk.views.labels import explain, one_line
from ropewalk.views.long_gaps import LONGEST, cut_short
from ropewalk.views.panels import balanced
from ropewalk.views.rows import head_count
from ropewalk.views.scene import MAGNITUDES, Scene, scene
from ropewalk.views.shades import STOPS, shade, top

# Lengths are points; SIZE, PITCH, BAND, BETWEEN: letters, row to row, tint, panel to panel.
SIZE, PITCH, BAND, BETWEEN = 11.0, 31.0, 16.0, 16.0
LEFT, RIGHT, TOP, BOTTOM, LEADING = 66.0, 66.0, 62.0, 56.0, 11.5
NARROW, WIDE, MOST, SMALLEST = 400.0, 850.0, 60, 0.62
TEXT, MUTED, FAINT = "#1b1b1b", "#6b6f76", "#b8bdc4"
SHADES = LinearSegmentedColormap.from_list("gaps", STOPS)
FRAME = {"boxstyle": "round,pad=0.15", "facecolor": "none", "edgecolor": FAINT, "linewidth": 0.6}
SCALED = {
    "row": "every row scaled to mean 1 per {}",
    "same": "all rows on one scale",
    "integer": "every row with even spacing",
}


class Picture:
    """A single page of axes, measured in points from the lower left corner; `figure` is the result."""

    unit: float

    def __init__(self, trace: Trace, shown: Trace, drawn: Scene, title: str | None) -> None:
        self.trace, self.shown, self.scene = trace, shown, drawn
        texts = [cell.text for cell in drawn.cells]
        named = trace.provenance.get("name")
        self.model = one_line(f"the model “{named}”") if named else "a model"
        usual = {
            "sensitivity": "Which gaps the predictions of {} depend on",
            "forget": "Where {} forgets what came before",
        }.get(trace.kind, "How far apart {} sets its tokens")
        self.unit_name = one_line(trace.unit)
        self.named = title is None
        title = usual.format(self.model) if title is None else one_line(title)
        self.finding = findings(shown)[0].text
        words = title + self.model + self.unit_name + self.finding
        self.fitted = cell_labels.prepare(texts, trace.text, extra=words)

        self._place()
        self.names = ["even", *map(str, drawn.rows)]
        self.panels = balanced(self.left, self.x, WIDE / self.unit, MOST, texts)
        widest = max(self._extent(*panel) for panel in self.panels)
        if len(self.panels) == 1:
            stretch = float(np.clip(NARROW / max(widest, 1e-9), 1, 1.6))
            self.unit, widest = self.unit * stretch, widest * stretch
        inner = float(np.clip(widest, NARROW, 4 * WIDE))
        pads = [SIZE * (self.fitted.widths[edge] - 1) / 2 for s, e in self.panels for edge in (s, e - 1)]
        self.start = LEFT + max(0.0, *pads)
        self.stop = self.start + inner
        self.width = self.stop + max(0.0, *pads) + RIGHT

        caption = wrap_words(self._caption(), int((self.width - LEFT - 20) / 4.2))
        self.block = PITCH * len(self.names) + BETWEEN
        below = BOTTOM + LEADING * len(caption)
        self.height = TOP + len(self.panels) * self.block + below
        self.figure = Figure(figsize=(self.width / 72, self.height / 72), facecolor="white")
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, self.width), ylim=(0, self.height))
        self.axes.set_axis_off()

        gaps = self.gaps[:, 1:]
        self.darkest = top(gaps)
        self.clipped = bool((gaps > 1.001 * self.darkest).any())
        self._head(self.fitted.writable(title))
        for number, panel in enumerate(self.panels):
            self._panel(*panel, edge=self.height - TOP - number * self.block)
        self._legend(below - 14, caption)

    def _place(self) -> None:
        """Where the cells of every row stand, even spacing first, in units; and the points that a unit takes."""
        one = replace(self.shown, rows=self.shown.rows[:1], values=self.shown.values[:1], error=None)
        integer = scene(one, "integer", self.scene.placement)
        # On one scale the picture's unit is the trace's own, if that is a distance between tokens.
        self.raw = self.scene.scale == "same" and self.trace.kind not in MAGNITUDES
        rows = [_in_own_unit(one) if self.raw else (one.x, one.left) for one in (integer, self.scene)]
        self.x, self.left = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        tinted = (
            scene(self.shown, "row", self.scene.placement) if self.scene.scale == "integer" else self.scene
        )
        self.gaps = (self.x - self.left)[1:] if self.raw else tinted.gaps
        self.cut = np.zeros_like(self.x, dtype=bool)
        if not self.raw:
            self.x, self.left, self.cut = cut_short(self.x, self.left)
        self.mean = tinted.mean
        slots = np.array(self.fitted.widths) / np.abs(integer.widths[0])
        self.unit = SIZE * (0.45 + float(np.quantile(slots, 0.8)))
        if self.raw:
            self.unit /= max(1.0, float(self.scene.mean.mean()))

    def _extent(self, start: int, end: int) -> float:
        """Points that the widest row needs for the cells start..end and the gap before them."""
        both = np.stack([self.x, self.left])[:, :, start:end]
        return float((both.max(axis=(0, 2)) - both.min(axis=(0, 2))).max()) * self.unit

    def _head(self, title: str) -> None:
        size = min(15.0, (self.width - LEFT - 16) / cell_labels.ems(title, self.fitted.families) / 1.15)
        plain = fonts.for_text(title).families == (fonts.BASE,)
        weight, families = ("bold", (fonts.BASE,)) if plain else ("normal", self.fitted.families)
        self._write(LEFT, self.height - 30, title, size, ha="left", weight=weight, family=list(families))
        subtitle = SCALED[self.scene.scale].format(self._step())
        self._write(LEFT, self.height - 46, subtitle, 9, MUTED, ha="left")

    def _panel(self, start: int, end: int, edge: float) -> None:
        """Rows of the cells start..end, each row starting at the panel's edge."""
        cells = slice(start, end)
        origin = np.minimum(self.x, self.left)[:, cells].min(axis=1, keepdims=True)
        across = self.start + (self.x[:, cells] - origin) * self.unit
        begun = self.start + (self.left[:, cells] - origin) * self.unit
        if self.fitted.leftward:
            across, begun = self.start + self.stop - across, self.start + self.stop - begun
        heights = edge - PITCH * (np.arange(len(self.names)) + 0.5)

        threads, bands, colors = [], [], []
        for row in range(1, len(heights)):
            upper, lower = heights[row - 1] - BAND / 2 - 1, heights[row] + BAND / 2 + 1
            threads += [[(a, upper), (b, lower)] for a, b in zip(across[row - 1], across[row], strict=True)]
            gaps = self.gaps[row - 1, cells]
            for a, b, gap in zip(begun[row], across[row], gaps, strict=True):
                color = shade(float(gap), self.darkest)
                if color:
                    low, high = heights[row] - BAND / 2, heights[row] + BAND / 2
                    bands.append([(a, low), (a, high), (b, high), (b, low)])
                    colors.append(color)
        self.axes.add_collection(LineCollection(threads, colors=FAINT, linewidths=0.5, zorder=1))
        self.axes.add_collection(PolyCollection(bands, facecolors=colors or "none", linewidths=0, zorder=2))
        for row, height in enumerate(heights):
            self._row(row, height, across[row], cells)
            for cell in np.flatnonzero(self.cut[row, cells]):
                self._write((begun[row, cell] + across[row, cell]) / 2, height, "//", SIZE, weight="bold")

    def _row(self, row: int, y: float, across: np.ndarray, cells: slice) -> None:
        steps = len(self.trace.tokens) if self.scene.placement == "first" else len(self.scene.cells)
        mean = "mean" if not row else f"{self.mean[row - 1]:.3g}" if steps > 1 else "–"
        self._write(LEFT - 18, y, self.names[row], 9, TEXT if row else MUTED, ha="right")
        self._write(self.width - RIGHT + 18, y, mean, 9 if row else 8, MUTED, ha="left")
        labels, widths, boxed = self.fitted.labels[cells], self.fitted.widths[cells], self.fitted.boxed[cells]
        sizes = SIZE * _fit(np.abs(np.diff(across)), SIZE * np.array(widths))
        legible = cell_labels.legible(across, SIZE * np.array(widths))
        for x, size, label, box, shown in zip(across, sizes, labels, boxed, legible, strict=True):
            if not shown:
                continue  # its thread remains
            color = MUTED if not row or box or cell_labels.MARK.fullmatch(label) else TEXT
            if box:
                self._write(x, y, label, size * 0.4, color, va="center", bbox=FRAME, linespacing=0.95)
            else:
                self._write(x, y, label, size, color)

    def _legend(self, y: float, caption: list[str]) -> None:
        """The bar of shades, its unit and the caption under it."""
        noun = describe(self.trace).noun
        what = noun if self.trace.kind in MAGNITUDES else f"{noun} in {self.unit_name}"
        whose = "the mean of all rows" if self.scene.scale == "same" else "each row's mean"
        unit = what if self.raw else f"{what}, {whose} per {self._step()} = 1"
        self._write(LEFT + 164, y - 5, self.fitted.writable(unit), 8.5, ha="left")
        place = (LEFT / self.width, (y - 8.5) / self.height, 150 / self.width, 7 / self.height)
        bar = self.figure.add_axes(place)
        shades = ScalarMappable(Normalize(1.0, self.darkest), SHADES)
        extend = "max" if self.clipped else "neither"
        drawn = self.figure.colorbar(shades, cax=bar, orientation="horizontal", extend=extend)
        drawn.outline.set(linewidth=0.4, edgecolor=FAINT)
        bar.tick_params(labelsize=7.5, length=2, width=0.4, colors=MUTED)
        for number, row in enumerate(caption):
            self._write(LEFT, y - 38 - LEADING * number, self.fitted.writable(row), 8, MUTED, ha="left")

    def _step(self) -> str:
        return "token" if self.scene.placement == "first" else "character"

    def _caption(self) -> str:
        shared = all(row.layer is None for row in self.shown.rows)
        rows = "One row shared by all layers" if shared else "A row per layer, top to bottom"
        heads = head_count(self.trace)
        if head_count(self.shown) > 1:
            rows = "A row per head of each layer" if not shared else "A row per head"
        elif heads > 1:
            rows += f", the mean of its {heads} heads"
        parts = [self.finding] if self.named else [self.finding, f"By {self.model}."]
        unit = describe(self.trace).unit
        meaning = f" ({unit})" if unit else ""
        parts.append(
            f"{rows}; at the right its mean in {self.unit_name}{meaning}. Top row: even spacing, as without learned "
            "increments."
        )
        if len(self.panels) > 1:
            parts.append(f"Wrapped into {len(self.panels)} panels; each row starts at the left of each.")
        if self.fitted.leftward:
            parts.append("Read from right to left.")
        if (self.gaps < 0).any():
            parts.append("Blue: steps backwards.")
        if self.cut.any():
            parts.append(f"//: a {describe(self.trace).noun} above {LONGEST:g} times the mean, cut short.")
        if symbols := explain(self.fitted.labels):
            parts.append(f"{symbols[0].upper()}{symbols[1:]}.")
        if hidden := self._hidden():
            parts.append(f"{hidden} letters or words are too close to the one before to be printed.")
        if any(self.fitted.boxed):
            parts.append("Boxed numbers: characters without a glyph on this machine.")
        return " ".join(parts)

    def _hidden(self) -> int:
        """Labels that are left out on all rows."""
        widths = SIZE * np.array(self.fitted.widths)
        legible = [
            cell_labels.legible(row[start:end] * self.unit, widths[start:end])
            for row in self.x
            for start, end in self.panels
        ]
        return sum(int((~one).sum()) for one in legible)

    def _write(self, x: float, y: float, text: str, size: float, color: str = TEXT, **more: Any) -> None:
        style = {"ha": "center", "va": "baseline", "family": list(self.fitted.families)} | more
        drop = 0.36 * size if style["va"] == "baseline" else 0.0
        self.axes.text(x, y - drop, text, size=size, color=color, parse_math=False, zorder=3, **style)


def _in_own_unit(one: Scene) -> tuple[np.ndarray, np.ndarray]:
    """x and left (N, C) of a scene in the unit of its trace."""
    return one.x / one.factor[:, None], one.left / one.factor[:, None]


def _fit(distances: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Shares of the letter size (C,), 1 or less where neighbors are close, alike within a word."""
    touching = np.concatenate([[np.inf], 2 * distances / (widths[1:] + widths[:-1]), [np.inf]])
    share = np.clip(np.minimum(touching[:-1], touching[1:]), SMALLEST, 1)
    padded = np.pad(share, 2, mode="edge")
    alike = np.mean([padded[place : place + len(share)] for place in range(5)], axis=0)
    return np.where(widths > 1.5 * SIZE, share, alike)
