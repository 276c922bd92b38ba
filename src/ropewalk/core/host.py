"""The host: anything that turns tokens into logits and walks lines while doing so.

Training, generation and every measurement know this protocol and never which host they run. `edit` is the
only intervention there is: knockouts, shuffles, probes and a gap dragged by hand all go through it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ropewalk.core.rows import Row

Edit = Callable[[Row, Tensor], Tensor]
"""edit(line, d) -> d: receives a line's increments (B, T), in token-equivalents, and returns those to use."""


@dataclass
class Output:
    """What one pass gives.

    logits: (B, T, V) in nats. increments: one (B, T, G) float32 tensor of r = d - 1 per walk, in the order of
    the host's layers (a single one where all layers share it), after any edit. taps: the tensors asked for,
    by name.
    """

    logits: Tensor
    increments: tuple[Tensor, ...]
    activations: dict[str, Tensor] = field(default_factory=dict)


class Host(Protocol):
    """A causal language model with lines. `lines[i]` names row i of `increments_of(output)`."""

    @property
    def rows(self) -> tuple[Row, ...]: ...

    @property
    def context_length(self) -> int:
        """The longest stretch, in tokens, that the host was made for."""
        ...

    @property
    def gap(self) -> Literal["before", "after"]:
        """Which gap a token's increment is: the one before it or the one after it."""
        ...

    def describe(self) -> dict[str, Any]:
        """What a Trace should say of this host: plain json values, no paths."""
        ...

    def __call__(
        self,
        tokens: Tensor,
        n: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        cache: object | None = None,
    ) -> Output:
        """tokens (B, T) int64; n (B, T) integer positions, counted by the host when None; documents (B, T)
        numbers of the documents in a row, which see only themselves and restart their positions, padding
        being -1."""
        ...


def increments_of(output: Output) -> Tensor:
    """The increments d of all lines, (B, N, T), token-equivalents, in the order of the host's lines."""
    return 1.0 + torch.cat([r.transpose(1, 2) for r in output.increments], 1)


def apply_edit(edit: Edit | None, rows: tuple[Row, ...], r: Tensor) -> Tensor:
    """r (B, T, G) as the edit wants it; the very same tensor when there is none."""
    if edit is None:
        return r
    return torch.stack([edit(row, 1.0 + r[..., g]) for g, row in enumerate(rows)], -1) - 1.0
