"""Which lines of a trace a view shows: chosen layers, heads apart or averaged."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ropewalk.errors import UserError
from ropewalk.lines import Line
from ropewalk.traces import Trace


def choose(trace: Trace, layers: Sequence[int] | None = None, heads: bool = False) -> Trace:
    """The lines of these layers (all when None), in the order of the trace.

    heads False: the lines of a layer become one, the mean of its heads' values (N shrinks to the
    layers); heads True: every head keeps its line. UserError for a layer that the trace does not
    have.
    """
    have = sorted({line.layer for line in trace.lines if line.layer is not None})
    unknown = [layer for layer in layers or () if layer not in have]
    if unknown or (layers is not None and not layers):
        told = ", ".join(map(str, have)) or "none: its line is shared by all layers"
        raise UserError(
            f"Expected layers of the trace ({told}), got {', '.join(map(str, unknown)) or 'none'}; "
            "choose others."
        )
    kept = [number for number, line in enumerate(trace.lines) if layers is None or line.layer in layers]
    if heads:
        return replace(trace, lines=tuple(trace.lines[n] for n in kept), values=trace.values[kept])
    members: dict[int | None, list[int]] = {}
    for number in kept:
        members.setdefault(trace.lines[number].layer, []).append(number)
    means = [trace.values[numbers].mean(axis=0, dtype=np.float64) for numbers in members.values()]
    return replace(trace, lines=tuple(Line(layer) for layer in members), values=np.array(means))


def head_count(trace: Trace) -> int:
    """The largest number of heads that one layer of the trace keeps apart (1: none)."""
    counts: dict[int | None, int] = {}
    for line in trace.lines:
        counts[line.layer] = counts.get(line.layer, 0) + 1
    return max(counts.values())
