"""Model interface: tokens to logits and position increments.

Training, generation and every measurement use this protocol, whatever model implements it. `edit` is the only
intervention: knock-outs, shuffles, probes and a gap dragged by hand all go through it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from ropewalk.core.rows import Row

if TYPE_CHECKING:
    from jaxtyping import Float

    from ropewalk.tokens.tokenizer import Tokenizer

Edit = Callable[[Row, Tensor], Tensor]
"""edit(row, d) -> d: receives a row's increments (B, T), in token-equivalents, and returns those to use."""


@dataclass
class Output:
    """What one forward pass returns.

    logits: (B, T, V). r: one (B, T, G) float32 tensor of r = d - 1 per increment module, in layer order (a single one
    where all layers share it), after any edit; `increments_of` gives d. activations: the requested tensors by name.
    """

    logits: Tensor
    r: tuple[Tensor, ...]
    activations: dict[str, Tensor] = field(default_factory=dict)


class Host(Protocol):
    """A causal language model with position increments. `rows[i]` names row i of `increments_of(output)`."""

    @property
    def rows(self) -> tuple[Row, ...]: ...

    @property
    def context_length(self) -> int:
        """The number of tokens that the model was trained for."""
        ...

    @property
    def gap(self) -> Literal["before", "after"]:
        """Whether a token's increment is the gap before it or the gap after it."""
        ...

    @property
    def tokenizer(self) -> Tokenizer | None:
        """How the model reads text; None where it was given no tokenizer."""
        ...

    @property
    def vocab_size(self) -> int:
        """The number of tokens that the model knows."""
        ...

    def describe(self) -> dict[str, Any]:
        """The provenance that a Trace records: plain JSON values, no paths."""
        ...

    def __call__(
        self,
        tokens: Tensor,
        position_ids: Tensor | None = None,
        *,
        document_ids: Tensor | None = None,
        edit: Edit | None = None,
        activations: Collection[str] = (),
        kv_cache: object | None = None,
    ) -> Output:
        """tokens: (B, T) int64. position_ids: (B, T) integer positions; None counts from 0.

        document_ids: (B, T); tokens attend only within their own document, whose positions restart; -1 is padding.
        """
        ...


def increments_of(output: Output) -> Float[Tensor, "B N T"]:
    """The increments d of all rows, (B, N, T), token-equivalents, in the order of the host's rows."""
    return 1.0 + torch.cat([r.transpose(1, 2) for r in output.r], 1)


def apply_edit(edit: Edit | None, rows: tuple[Row, ...], r: Float[Tensor, "B T G"]) -> Float[Tensor, "B T G"]:
    """Applies an edit to r (B, T, G); returns the same tensor without one."""
    if edit is None:
        return r
    return torch.stack([edit(row, 1.0 + r[..., g]) for g, row in enumerate(rows)], -1) - 1.0
