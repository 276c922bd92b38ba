"""A Result's figure: bars or lines with their intervals, drawn with matplotlib.

Knows a Result's rows and which columns to draw, not what they mean; without pyplot and without a display.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ropewalk.analyses.result import Chart, Result
from ropewalk.errors import UserError
from ropewalk.system.files import write_atomically

INKS = ("#3b6ea5", "#c8553d", "#4f9d69", "#8a5aa8", "#b08a2e", "#4a4a4a", "#d17ba0", "#3fa7b5")
FORMATS = {".png": {"Software": "ropewalk"}, ".svg": {"Date": None}}


def draw(result: Result) -> Any:
    """A matplotlib Figure. UserError for a result without a figure and where matplotlib is missing."""
    chart = result.chart
    if chart is None:
        raise UserError(f"the result '{result.name}' is a table without a figure; leave out --png.")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError("a figure needs matplotlib; run: pip install 'ropewalk[pictures]'") from error
    rows = [
        row
        for row in result.rows
        if row[chart.y] is not None and all(row.get(key) == value for key, value in chart.where.items())
    ]
    with matplotlib.rc_context({"text.usetex": False, "svg.fonttype": "path", "svg.hashsalt": "ropewalk"}):
        figure = Figure(figsize=(8, 4.2), layout="constrained")
        axes = figure.add_subplot()
        (_bars if chart.kind == "bars" else _lines)(axes, rows, chart)
        if chart.base is not None:
            axes.axhline(chart.base, color="#888888", linewidth=0.8, linestyle=":")
        axes.set_ylabel(result.columns[chart.y])
        axes.set_title(result.title, fontsize=9, loc="left", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
        return figure


def render(result: Result, suffix: str = ".svg", *, letters: bool = False) -> bytes:
    """The figure as .svg or .png; the same result gives the same bytes. letters: writing in an .svg stays text, in the
    reader's font, instead of becoming paths."""
    if suffix not in FORMATS:
        raise UserError(f"expected a figure ending in {', '.join(FORMATS)}, got {suffix}; rename it.")
    figure, out = draw(result), io.BytesIO()
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none" if letters else "path", "svg.hashsalt": "ropewalk"}):
        figure.savefig(out, format=suffix[1:], dpi=150, metadata=FORMATS[suffix])
    return out.getvalue()


def save(result: Result, path: str | Path) -> None:
    """Write the figure as .png or .svg, whole or not at all."""
    path = Path(path)
    write_atomically(path, render(result, path.suffix.lower()))


def _series(rows: list[dict[str, Any]], chart: Chart) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault("" if chart.by is None else str(row[chart.by]), []).append(row)
    return found


def _error(rows: list[dict[str, Any]], y: str) -> list[list[float]] | None:
    """How far the interval reaches below and above; nothing where there is none."""
    ends = [(row.get(f"{y}_low"), row.get(f"{y}_high")) for row in rows]
    if all(low is None for low, _ in ends):
        return None
    low = [0.0 if end is None else max(0.0, row[y] - end) for row, (end, _) in zip(rows, ends, strict=True)]
    high = [0.0 if end is None else max(0.0, end - row[y]) for row, (_, end) in zip(rows, ends, strict=True)]
    return [low, high]


def _bars(axes: Any, rows: list[dict[str, Any]], chart: Chart) -> None:
    names = list(dict.fromkeys(str(row[chart.x]) for row in rows))
    series = _series(rows, chart)
    width = 0.8 / max(1, len(series))
    for i, (name, members) in enumerate(series.items()):
        places = [names.index(str(row[chart.x])) + (i - (len(series) - 1) / 2) * width for row in members]
        axes.bar(
            places,
            [row[chart.y] - (chart.base or 0.0) for row in members],
            width * 0.92,
            bottom=chart.base or 0.0,
            yerr=_error(members, chart.y),
            color=INKS[i % len(INKS)],
            label=name or None,
            error_kw={"linewidth": 0.8},
        )
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=30 if len(names) > 6 else 0,
        ha="right" if len(names) > 6 else "center",
        fontsize=8,
    )
    if len(series) > 1:
        axes.legend(fontsize=7, frameon=False, ncols=4)


def _lines(axes: Any, rows: list[dict[str, Any]], chart: Chart) -> None:
    series = _series(rows, chart)
    for i, (name, members) in enumerate(series.items()):
        x, y = [row[chart.x] for row in members], [row[chart.y] for row in members]
        axes.errorbar(
            x,
            y,
            _error(members, chart.y),
            color=INKS[i % len(INKS)],
            marker="o",
            markersize=3,
            linewidth=1.2,
            label=name or None,
        )
    axes.set_xlabel(chart.x)
    if len(series) > 1:
        axes.legend(fontsize=7, frameon=False)
