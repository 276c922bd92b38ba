"""Which lines of a trace a view shows: chosen layers, heads apart or averaged."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace


def choose(trace: Trace, layers: Sequence[int] | None = None, heads: bool = False) -> Trace:
    """The lines of these layers (all when None), in the order of the trace.

    heads False: the lines of a layer become one, the mean of its heads' values (N shrinks to the
    layers); heads True: every head keeps its line. UserError for a layer that the trace does not
    have.
    """
    have = sorted({line.layer for line in trace.rows if line.layer is not None})
    unknown = [layer for layer in layers or () if layer not in have]
    if unknown or (layers is not None and not layers):
        told = ", ".join(map(str, have)) or "none: its line is shared by all layers"
        raise UserError(
            f"Expected layers of the trace ({told}), got {', '.join(map(str, unknown)) or 'none'}; "
            "choose others."
        )
    kept = [number for number, line in enumerate(trace.rows) if layers is None or line.layer in layers]
    if heads:
        return replace(trace, rows=tuple(trace.rows[n] for n in kept), values=trace.values[kept])
    members: dict[int | None, list[int]] = {}
    for number in kept:
        members.setdefault(trace.rows[number].layer, []).append(number)
    means = [trace.values[numbers].mean(axis=0, dtype=np.float64) for numbers in members.values()]
    return replace(trace, rows=tuple(Row(layer) for layer in members), values=np.array(means))


def head_count(trace: Trace) -> int:
    """The largest number of heads that one layer of the trace keeps apart (1: none)."""
    counts: dict[int | None, int] = {}
    for line in trace.rows:
        counts[line.layer] = counts.get(line.layer, 0) + 1
    return max(counts.values())
