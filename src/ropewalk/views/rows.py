"""Which rows of a trace a view shows: chosen layers, heads apart or averaged."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace


def choose(trace: Trace, layers: Sequence[int] | None = None, heads: bool = False) -> Trace:
    """The rows of these layers (all when None), in the order of the trace.

    heads False: the rows of a layer become one, the mean of its heads' values (N shrinks to the layers); heads True:
    every head keeps its row. UserError for a layer that the trace does not have.
    """
    have = sorted({row.layer for row in trace.rows if row.layer is not None})
    unknown = [layer for layer in layers or () if layer not in have]
    if unknown or (layers is not None and not layers):
        known = ", ".join(map(str, have)) or "none: its row is shared by all layers"
        raise UserError(
            f"expected layers of the trace ({known}), got {', '.join(map(str, unknown)) or 'none'}; "
            "choose others."
        )
    kept = [number for number, row in enumerate(trace.rows) if layers is None or row.layer in layers]
    if heads:
        return replace(
            trace,
            rows=tuple(trace.rows[n] for n in kept),
            values=trace.values[kept],
            error=_part(trace, kept),
        )
    members: dict[int | None, list[int]] = {}
    for number in kept:
        members.setdefault(trace.rows[number].layer, []).append(number)
    means = [trace.values[numbers].mean(axis=0, dtype=np.float64) for numbers in members.values()]
    alone = all(len(numbers) == 1 for numbers in members.values())
    rows = tuple(Row(layer) for layer in members)
    return replace(trace, rows=rows, values=np.array(means), error=_part(trace, kept) if alone else None)


def read_layers(given: str) -> list[int]:
    """Layers from text such as "0-5,12". UserError for anything else."""
    layers: list[int] = []
    for part in given.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 20:
            raise UserError(f'expected layers such as "0-5,12", got {given!r}; give numbers and ranges.')
        layers += range(int(first), min(int(last or first), int(first) + 10_000) + 1)
    return list(dict.fromkeys(layers))


def _part(trace: Trace, kept: list[int]) -> np.ndarray | None:
    return None if trace.error is None else trace.error[kept]


def head_count(trace: Trace) -> int:
    """The largest number of heads that one layer of the trace keeps apart (1: none)."""
    counts: dict[int | None, int] = {}
    for row in trace.rows:
        counts[row.layer] = counts.get(row.layer, 0) + 1
    return max(counts.values())
