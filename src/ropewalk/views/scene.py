"""The position of every cell of a trace on every row: the geometry that all views share. Numbers only, no drawing.

A cell is the smallest run of whole tokens that is whole graphemes. With placement "first" it stands at its first
token, its width extends to the next cell's first token, and scaling is per token. Placement "last" is that of the
post that this project replicates: a character stands at its last byte and scaling is per character. Accepted kinds:
increment, position, and sensitivity and forget, whose magnitude is drawn as a distance; where it was not measured, the
mean is.
"""

from dataclasses import dataclass

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Cell, Trace

MAGNITUDES = ("sensitivity", "forget")
ACCEPTS = ("increment", "position", *MAGNITUDES)
SCALES = {
    "row": "every row scaled to mean 1",
    "same": "all rows on one scale",
    "integer": "even spacing",
}
PLACEMENTS = ("first", "last")


@dataclass(frozen=True, eq=False)
class Scene:
    """C cells on N rows; x grows in reading order wherever increments are positive.

    x (N, C): where a cell stands, 0 for the first. left (N, C): where the gap before the cell
    begins, at the last token of the cell before it (with placement "last": where that cell stands);
    the first cell has left = x. end (N,): where the row ends, one unit after its last token, since
    that last gap is not known. mean (N,): the row's mean step in the trace's unit, over all steps between tokens;
    every view shows this mean. steps (N, T - 1): these steps, NaN where not measured. factor (N,): scene units per unit of the trace, so that x / factor is in the trace's
    unit. measured (N, C): whether the gap before the cell was measured. A step is one
    token, or one cell with placement "last"; the scene's unit is the mean step of the row (scale
    "row") or of all rows ("same"). A row without a step has mean 1.
    """

    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    x: np.ndarray
    left: np.ndarray
    end: np.ndarray
    mean: np.ndarray
    steps: np.ndarray
    factor: np.ndarray
    measured: np.ndarray
    scale: str
    placement: str

    @property
    def gaps(self) -> np.ndarray:
        """Gap before each cell (N, C) in the scene's unit; NaN for the first cell, which has none, and where not measured."""
        gaps = np.where(self.measured, self.x - self.left, np.nan)
        gaps[:, 0] = np.nan
        return gaps

    @property
    def widths(self) -> np.ndarray:
        """Width of each cell (N, C): to the next cell, or to the row's end."""
        return np.diff(self.x, axis=1, append=self.end[:, None])


def scene(trace: Trace, scale: str = "row", placement: str = "first") -> Scene:
    """The scene of `trace`. Scale "row": every row has mean step 1; "same": all rows share one
    factor; "integer": every step is 1, as in a model without learned increments. The mean is of
    step lengths, so that it stays a scale where steps may be negative; a row without any extent is
    left as it is. UserError for another kind of trace, scale or placement.
    """
    trace.require(*ACCEPTS)
    _choose("scale", scale, tuple(SCALES))
    _choose("placement", placement, PLACEMENTS)
    cells = tuple(trace.cells())
    first = np.array([cell.start for cell in cells])
    last = np.array([cell.end - 1 for cell in cells])
    position = _positions(trace, scale)

    at = first if placement == "first" else last
    x = position[:, at] - position[:, at[:1]]
    back = last if placement == "first" else at
    left = np.concatenate([x[:, :1], position[:, back[:-1]] - position[:, at[:1]]], axis=1)
    tail = position[:, last[-1]] - position[:, at[0]]

    lengths = np.abs(np.diff(position if placement == "first" else x, axis=1))
    mean = lengths.mean(axis=1) if lengths.size else np.ones(len(lengths))
    unit = np.full_like(mean, mean.mean()) if scale == "same" else mean
    factor = np.where(unit > 0, 1 / np.where(unit > 0, unit, 1), 1.0)
    column = factor[:, None]
    end = tail * factor + 1
    known = np.isfinite(trace.values[:, :-1] if trace.gap == "after" else trace.values[:, 1:])
    steps = np.where(known, np.diff(position, axis=1), np.nan)
    measured = np.concatenate([np.isfinite(trace.values[:, :1]), known[:, first[1:] - 1]], axis=1)
    return Scene(
        cells, trace.rows, x * column, left * column, end, mean, steps, factor, measured, scale, placement
    )


def _positions(trace: Trace, scale: str) -> np.ndarray:
    """Positions (N, T) float64 in the trace's unit; a magnitude counts as a distance."""
    if scale == "integer":
        return np.tile(np.arange(len(trace.tokens), dtype=np.float64), (len(trace.rows), 1))
    if trace.kind not in MAGNITUDES:
        return trace.positions
    steps = np.abs(trace.values.astype(np.float64))
    steps = steps[:, :-1] if trace.gap == "after" else steps[:, 1:]
    known = np.isfinite(steps)
    mean = np.where(known, steps, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    steps = np.where(known, steps, mean[:, None])
    return np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)


def _choose(name: str, got: str, allowed: tuple[str, ...]) -> None:
    if got not in allowed:
        raise UserError(f"expected {name} to be {' or '.join(allowed)}, got {got!r}; choose one of them.")
