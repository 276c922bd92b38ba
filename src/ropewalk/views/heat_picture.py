"""The heat map as a figure: a row of colored squares per row of the trace, the text below; for many rows or tokens.

Each square is the gap before a token against its row's mean; sensitivities are on a logarithmic scale. Squares beyond
the scale carry a mark, squares without a measurement are gray. Loaded by `views.figure` only, once matplotlib is there.
"""

from textwrap import wrap as wrap_words
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views import fonts
from ropewalk.views.cell_labels import prepare
from ropewalk.views.findings import findings, text_of
from ropewalk.views.kinds import describe
from ropewalk.views.labels import one_line
from ropewalk.views.panels import wrap
from ropewalk.views.scene import Scene
from ropewalk.views.shades import heat_limits, heat_share

MOST_CELLS = 8_000
"""Cells of a text in one figure; a longer one belongs on a page."""
WIDE, SQUARE, NARROW_SQUARE, TALL, TEXT_SIZE = 860.0, 13.0, 7.0, 9.0, 7.5  # points
LEFT, RIGHT, TOP, BETWEEN = 46.0, 40.0, 64.0, 14.0
INK, MUTED, UNMEASURED = "#1b1b1b", "#5d6168", "#d5d5d5"
STOPS = ("#3d7fc4", "#c4daf2", "#fdf9f0", "#fbc272", "#e0701b", "#8c3205")
COLORS = LinearSegmentedColormap.from_list(
    "heat", list(zip((0, 0.3, 0.5, 0.65, 0.85, 1), STOPS, strict=True))
)


def draw(trace: Trace, shown: Trace, drawn: Scene, title: str | None) -> Figure:
    """The figure of `shown`, the chosen rows of `trace`. UserError for a text too long for a figure."""
    cells = drawn.cells
    if len(cells) > MOST_CELLS:
        raise UserError(
            f"expected a text of at most {MOST_CELLS:,} characters or tokens for a picture, got {len(cells):,}; write a page "
            "instead, as in: ropewalk show --file FILE --html page.html, or choose a part of the text."
        )
    kind, named = describe(trace), trace.provenance.get("name")
    model = one_line(f"By the model “{named}”.") + " " if named else ""
    title = kind.title if title is None else one_line(title)
    sentences = text_of(findings(shown))
    fitted = prepare([cell.text for cell in cells], trace.text, extra=title + model + sentences)
    wide_labels = float(np.quantile(fitted.widths, 0.9)) > 1.6
    square = SQUARE if len(cells) <= 600 or wide_labels else NARROW_SQUARE
    places = np.arange(len(cells), dtype=np.float64)[None]
    bands = wrap(
        places, places + 1, WIDE / square, len(cells), [cell.text for cell in cells], line_ends=False
    )
    label_height = (
        min(60.0, 0.62 * TEXT_SIZE * max(map(len, fitted.labels))) + 4 if wide_labels else TEXT_SIZE + 5
    )
    inner = TALL * len(drawn.rows)
    width = max(LEFT + min(WIDE, square * max(end - start for start, end in bands)) + RIGHT, 520.0)
    caption = wrap_words(
        model + sentences + _explain(shown, drawn, kind.noun), int((width - LEFT - 20) / 4.3)
    )
    below = 56 + 11 * len(caption)
    height = TOP + len(bands) * (inner + label_height + BETWEEN) + below
    figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()

    def write(x: float, y: float, text: str, size: float, color: str = INK, **more: Any) -> None:
        style = {"ha": "left", "va": "center", "family": list(fitted.families)} | more
        axes.text(x, y, text, size=size, color=color, parse_math=False, **style)

    plain = fonts.for_text(title).families == (fonts.BASE,)
    write(LEFT, height - 24, fitted.writable(title), 13, weight="bold" if plain else "normal")
    write(LEFT, height - 42, f"{len(drawn.rows)} rows x {len(shown.tokens):,} tokens", 9, MUTED)
    low, high = heat_limits(drawn.gaps, logarithmic=trace.kind == "sensitivity")
    shares = heat_share(drawn.gaps, low, high, logarithmic=trace.kind == "sensitivity")
    image = COLORS(np.clip(np.nan_to_num(shares, nan=0.5), 0, 1))[:, :, :3]
    image[np.isnan(shares)] = to_rgb(UNMEASURED)
    edge, marks = height - TOP, dict[str, list[tuple[float, float]]]()
    for start, end in bands:
        part, right = image[:, start:end], LEFT + square * (end - start)
        labels = fitted.labels[start:end]
        if fitted.leftward:
            part, labels = part[:, ::-1], labels[::-1]
        axes.imshow(
            part, extent=(LEFT, right, edge - inner, edge), interpolation="nearest", aspect="auto", zorder=1
        )
        beyond = np.argwhere(shares[:, start:end] > 1)
        if len(beyond):
            at = (end - start - 1 - beyond[:, 1]) if fitted.leftward else beyond[:, 1]
            axes.plot(LEFT + square * (at + 0.5), edge - TALL * (beyond[:, 0] + 0.5), "^", color="white",
                      markersize=3, markeredgewidth=0, zorder=2)  # fmt: skip
        every = max(1, int(np.ceil(8 / TALL)))
        for row in range(0, len(drawn.rows), every):
            write(LEFT - 5, edge - TALL * (row + 0.5), str(drawn.rows[row]), 6.5, MUTED, ha="right")
        for number, label in enumerate(labels):
            marks.setdefault(label, []).append((LEFT + square * (number + 0.5), edge - inner - 3))
        edge -= inner + label_height + BETWEEN
    _write_labels(figure, axes, marks, fitted.families, turned=wide_labels)
    axes.set(xlim=(0, width), ylim=(0, height))
    bar = figure.add_axes((LEFT / width, (below - 22) / height, 150 / width, 7 / height))
    scale = figure.colorbar(ScalarMappable(Normalize(0, 1), COLORS), cax=bar, orientation="horizontal")
    ticks = (0, 0.5, 1)
    scale.set_ticks(list(ticks), labels=[f"{value:.3g}×" for value in (low, 1, high)])
    scale.outline.set(linewidth=0.4)
    bar.tick_params(labelsize=7, length=2, width=0.4, colors=MUTED)
    for number, line in enumerate(caption):
        write(LEFT, below - 48 - 11 * number, fitted.writable(line), 8, MUTED)
    axes.set(xlim=(0, width), ylim=(0, height))
    return figure


def _write_labels(
    figure: Figure,
    axes: Any,
    marks: dict[str, list[tuple[float, float]]],
    families: tuple[str, ...],
    turned: bool,
) -> None:
    """Each label once as an outline, repeated at its places: a thousand times faster than texts. Top-aligned."""
    to_points = Affine2D().scale(1 / 72) + figure.dpi_scale_trans
    for label, places in marks.items():
        size = TEXT_SIZE * (0.55 if "\n" in label else 1)
        properties = FontProperties(family=list(families))
        paths = [
            TextPath((0, -size * (1 + n)), line, size, prop=properties)
            for n, line in enumerate(label.split("\n"))
        ]
        path = Path.make_compound_path(*paths)
        if not np.size(path.vertices):
            continue
        box = path.get_extents()
        move = Affine2D().translate(-(box.x0 + box.x1) / 2, 0)
        if turned:
            move = Affine2D().translate(-box.x1, size * 0.65).rotate_deg(90)
        one = PathCollection(
            [move.transform_path(path)],
            offsets=places,
            offset_transform=axes.transData,
            facecolors=INK,
            linewidths=0,
        )
        one.set_transform(to_points)
        axes.add_collection(one, autolim=False)


def _explain(shown: Trace, drawn: Scene, noun: str) -> str:
    parts = [f" Each square is the {noun} before a token, against its row's mean (1×)."]
    if not drawn.measured[:, 1:].all():
        parts.append("Gray squares were not measured.")
    parts.append("White marks: beyond the scale.")
    if drawn.placement == "last":
        parts.append("Scaled per character.")
    return " ".join(parts)
