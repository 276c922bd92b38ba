"""A row: one real number per token, for a layer, for one key/value head of a layer, or for all layers together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Row:
    """Where a row of increments belongs.

    layer: counted from 0, None for a row that all layers share. head: the key/value head, counted from 0, None for a
    row that all heads of the layer share.
    """

    layer: int | None = None
    head: int | None = None

    def __str__(self) -> str:
        layer = "all" if self.layer is None else f"L{self.layer}"
        return layer if self.head is None else f"{layer}.h{self.head}"


def layer_rows(layer: int | None, count: int) -> tuple[Row, ...]:
    """The `count` rows of one layer: a single row without a head, or one per key/value head."""
    if count == 1:
        return (Row(layer),)
    return tuple(Row(layer, head) for head in range(count))
