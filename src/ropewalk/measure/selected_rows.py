"""A host of which only some rows are measured: its other gaps stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ropewalk.core.host import Edit, Host, Output
from ropewalk.core.rows import Row
from ropewalk.errors import UserError


def select_rows(host: Host, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None) -> Host:
    """The host with the rows of these layers and key/value heads alone; all where None. UserError where there are none."""
    if layers is None and heads is None:
        return host
    chosen = tuple(
        row
        for row in host.rows
        if (layers is None or row.layer in layers) and (heads is None or row.head in heads)
    )
    known = {row.layer for row in host.rows}
    missing = [layer for layer in layers or () if layer not in known]
    if missing or not chosen:
        what = f"layer {missing[0]}" if missing else "such row"
        raise UserError(
            f"this model has no {what}: its rows go from {host.rows[0]} to {host.rows[-1]}; choose others."
            + (
                ""
                if heads is None or host.rows[0].head is not None
                else " Heads need per_head, and a model with several key/value heads."
            )
        )
    selected: Any = SelectedRows(host, chosen)
    return selected


class SelectedRows:
    """A host whose `rows` are some of another's; an edit is asked about these only."""

    def __init__(self, host: Host, rows: tuple[Row, ...]) -> None:
        self.host, self.rows = host, rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    def __call__(self, tokens: Tensor, *given: Any, edit: Edit | None = None, **more: Any) -> Output:
        def chosen(row: Row, d: Tensor) -> Tensor:
            return d if edit is None or row not in self.rows else edit(row, d)

        return self.host(tokens, *given, edit=None if edit is None else chosen, **more)
