"""A line: one sequence of real numbers, one per token, that a model keeps.

A layer has one line, or one line per key head. A line shared by all layers has no layer.
This module knows neither what the numbers mean nor which model they came from.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Row:
    """The place of one line in a model.

    `layer` is counted from 0, None for a line that all layers share; `head` is the key head,
    counted from 0, None for a line that all heads of the layer share.
    """

    layer: int | None = None
    head: int | None = None

    def __str__(self) -> str:
        layer = "all" if self.layer is None else f"L{self.layer}"
        return layer if self.head is None else f"{layer}.h{self.head}"


def layer_rows(layer: int | None, count: int) -> tuple[Row, ...]:
    """The `count` lines of one layer: a single headless line, or one per key head."""
    if count == 1:
        return (Row(layer),)
    return tuple(Row(layer, head) for head in range(count))
