"""The film: the increments of one sentence at successive checkpoints, as a page or a GIF.

The traces are frames in order of time, of one text and the same rows; between two of them the picture moves smoothly.
Rows are scaled to mean 1, so that only the pattern moves.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.errors import UserError
from ropewalk.system.files import write_atomically
from ropewalk.traces.trace import Trace
from ropewalk.views import page
from ropewalk.views.rows import choose
from ropewalk.views.scene import ACCEPTS, Scene, scene
from ropewalk.views.shades import shade, top

LONGEST, COLORS = 100, 40
BETWEEN = 4
HOLD, STEP = 1600, 110  # milliseconds: the first and last frame, and every other one
WIDE, PITCH, BAND, LEFT, SIZE, DPI = 760.0, 34.0, 18.0, 46.0, 11.0, 100  # points
TEXT, MUTED, FAINT = "#1d1a16", "#6d665b", "#cfc7b9"


def save(traces: Sequence[Trace], path: str | Path, *, names: Sequence[str] | None = None) -> None:
    """Writes the film as .html (a page with a player) or .gif, whole or not at all.

    traces: at least two. names: what each frame is called; by default the name of its model, or "untrained".
    UserError for frames that do not belong together, a text too long for one row, and another suffix.
    """
    path = Path(path)
    traces = list(traces)
    if len(traces) < 2:
        raise UserError(
            f"expected at least two frames for a film, got {len(traces)}; trace more checkpoints."
        )
    suffix = path.suffix.lower()
    if suffix == ".html":
        data = page_of(traces, names).encode()
    elif suffix == ".gif":
        data = gif(traces, _with_losses(traces, names))
    else:
        raise UserError(f"expected a film ending in .html or .gif, got {path.name}; rename it.")
    write_atomically(path, data)


def page_of(traces: Sequence[Trace], names: Sequence[str] | None = None) -> str:
    """The page with a player; arguments as in `save`."""
    return page.film(traces, _with_losses(traces, names))


def _with_losses(traces: Sequence[Trace], names: Sequence[str] | None) -> list[str]:
    """What frames are called, with the model's loss on the text where the traces know it."""
    named = list(names) if names is not None else [_name(trace) for trace in traces]
    return [name + _loss(trace) for name, trace in zip(named, traces, strict=True)]


def _loss(trace: Trace) -> str:
    known = trace.surprisal[np.isfinite(trace.surprisal)]
    if not len(known):
        return ""
    per = "byte" if (np.diff(trace.spans, axis=1) == 1).all() else "token"
    return f" · {known.mean():.2f} nats per {per}"


def gif(traces: Sequence[Trace], names: Sequence[str]) -> bytes:
    """The bytes of an animated GIF that holds its first and last frame and then begins again."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UserError(
            "an animated picture needs pillow, which is not installed; run: pip install 'ropewalk[pictures]'"
        ) from error
    page.film(traces, names)  # the page has the same requirements
    if len(traces[0].cells()) > LONGEST:
        raise UserError(
            f"expected a text of at most {LONGEST} characters for an animated picture, got "
            f"{len(traces[0].cells())}; choose a sentence of it."
        )
    shown = [choose(trace) for trace in traces]
    frames = [Image.open(io.BytesIO(data)) for data in _frames(shown, names)]
    last = (
        frames[-1].convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    )  # its colors do for all frames
    paletted = [frame.convert("RGB").quantize(palette=last, dither=Image.Dither.NONE) for frame in frames]
    held = [HOLD, *([STEP] * (len(paletted) - 2)), HOLD]
    out = io.BytesIO()
    paletted[0].save(
        out, "GIF", save_all=True, append_images=paletted[1:], duration=held, loop=0, optimize=True
    )
    return out.getvalue()


def between(before: Trace, after: Trace, share: float) -> Trace:
    """A trace that lies at `share` (0..1) between two."""
    return replace(after, values=before.values * (1 - share) + after.values * share)


def _name(trace: Trace) -> str:
    name = str(trace.provenance.get("name") or "untrained")
    stem, _, number = name.partition("step-")
    return f"step {int(number):,}" if not stem and number.isdigit() else name


def _frames(traces: Sequence[Trace], names: Sequence[str]) -> list[bytes]:
    """PNG bytes of every frame, in between ones included, all of one size."""
    if traces[0].kind not in ACCEPTS:
        traces[0].require(*ACCEPTS)
    steps: list[tuple[Trace, str]] = [(traces[0], names[0])]
    for before, after, name, then in zip(traces, traces[1:], names, names[1:], strict=False):
        for part in range(1, BETWEEN + 1):
            share = part / BETWEEN
            steps.append((between(before, after, share), then if share > 0.5 else name))
    scenes = [scene(trace) for trace, _ in steps]
    canvas = _Canvas(traces[0], scenes)
    return [canvas.draw(one, name) for one, (_, name) in zip(scenes, steps, strict=True)]


class _Canvas:
    """Draws scenes of one text at one scale, so that nothing jumps from frame to frame."""

    def __init__(self, trace: Trace, scenes: Sequence[Scene]) -> None:
        from ropewalk.views.cell_labels import prepare

        self.fitted = prepare([cell.text for cell in trace.cells()], trace.text, extra="step untrained")
        self.names = [str(row) for row in trace.rows]
        extents = [max(float(one.end.max()), 1.0) for one in scenes]
        self.unit = WIDE / max(extents)
        self.darkest = top(scenes[-1].gaps)  # what training led to; a wilder frame before it is clipped
        self.height = PITCH * (len(self.names) + 1) + 44

    def draw(self, drawn: Scene, name: str) -> bytes:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import LineCollection, PolyCollection
        from matplotlib.figure import Figure

        from ropewalk.views.cell_labels import legible

        width = LEFT + WIDE + 24
        figure = Figure(figsize=(width / 72, self.height / 72), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(0, self.height))
        axes.set_axis_off()
        count = len(drawn.cells)
        plain = np.array([cell.start for cell in drawn.cells], dtype=np.float64)
        x = LEFT + 8 + np.concatenate([plain[None], drawn.x]) * self.unit
        left = LEFT + 8 + np.concatenate([plain[None], drawn.left]) * self.unit
        if self.fitted.leftward:
            x, left = width + LEFT - 16 - x, width + LEFT - 16 - left
        y = self.height - 40 - PITCH * (np.arange(len(x)) + 0.5)
        bands, colors = [], []
        for row in range(1, len(x)):
            for cell in range(1, count):
                color = shade(float(drawn.gaps[row - 1, cell]), self.darkest)
                if color:
                    a, b, low, high = left[row, cell], x[row, cell], y[row] - BAND / 2, y[row] + BAND / 2
                    bands.append([(a, low), (a, high), (b, high), (b, low)])
                    colors.append(color)
        threads = [
            [(x[row, cell], y[row] - BAND / 2), (x[row + 1, cell], y[row + 1] + BAND / 2)]
            for row in range(len(x) - 1)
            for cell in range(count)
        ]
        axes.add_collection(LineCollection(threads, colors=FAINT, linewidths=0.5))
        axes.add_collection(PolyCollection(bands, facecolors=colors or "none", linewidths=0))
        self._write(axes, LEFT, self.height - 20, name, size=13, ha="left", weight="bold")
        for row, label in enumerate(["even", *self.names]):
            self._write(axes, LEFT - 8, y[row], label, size=8.5, ha="right", color=TEXT if row else MUTED)
            shown = legible(x[row], SIZE * np.array(self.fitted.widths))
            for cell in np.flatnonzero(shown).tolist():
                at = (axes, x[row, cell], y[row], self.fitted.labels[cell])
                self._write(
                    *at, size=SIZE * (0.4 if self.fitted.boxed[cell] else 0.9), color=TEXT if row else MUTED
                )
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=DPI)
        return out.getvalue()

    def _write(self, axes: Any, x: float, y: float, text: str, *, ha: str = "center", **more: Any) -> None:
        axes.text(
            x, y, text, ha=ha, va="center_baseline", family=self.fitted.families, parse_math=False, **more
        )
