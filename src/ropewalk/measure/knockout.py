"""Knock-outs (ablations): a trained model runs with replaced increments, and the rise of its loss is recorded.

A replacement takes the place of the increments of one layer's rows, or of all. With `direct`, the rows of the other
layers keep the values they had in the untouched run (the direct cost); without it later layers compute theirs from
the changed activations (the total cost). Costs are per window, so that they can be paired. Means that replace increments are
taken over the other windows, never over the one that is scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ropewalk.core.host import Edit, Host, increments_of
from ropewalk.core.rows import Row
from ropewalk.measure.hosts import with_rows_per_layer
from ropewalk.native.decoder import Decoder

Kinds = Callable[[np.ndarray], np.ndarray]
Swap = Callable[[Row, Tensor], Tensor]
BATCH = 8
REPLACEMENTS: dict[str, str] = {
    "constant 1": "d = 1: integer positions",
    "row mean": "the mean of the row",
    "kind mean": "the mean of the byte's kind",
    "byte mean": "the mean of the byte: all that a table of bytes could know",
    "shuffled within kind": "the window's own values, exchanged among bytes of one kind",
    "shuffled": "the window's own values, exchanged",
    "other text": "the increments of another window",
}


@dataclass(frozen=True, eq=False)
class Knockouts:
    """clean (W,): loss of each window, nats per token. costs: (replacement, target, direct) -> (W,) loss minus clean.

    target: "all", or a layer as "L3". std: layer -> standard deviation of its increments within rows; None is the
    layer of a row that all layers share.
    """

    clean: np.ndarray
    costs: dict[tuple[str, str, bool], np.ndarray]
    std: dict[int | None, float]


def measure_knockouts(host: Host, windows: Tensor, kinds: Kinds, *, seed: int = 0) -> Knockouts:
    """All replacements on `windows` (W, T + 1). kinds: tokens -> the number of each one's kind, same shape."""
    losses, own = zip(*(_run(host, part, None) for part in windows.split(BATCH)), strict=True)
    clean, d = np.concatenate(losses), torch.cat(own)
    tokens = windows[:, :-1]
    numbers = torch.from_numpy(kinds(tokens.numpy()))
    replaced = _Replacements(host.rows, d, numbers, tokens, seed)
    costs = {}
    for name in REPLACEMENTS:
        for target, chosen in _targets(host.rows).items():
            for direct in (False, True) if len(chosen) < len(host.rows) else (False,):
                found = []
                for start in range(0, len(windows), BATCH):
                    batch = slice(start, start + BATCH)
                    kept = {row: d[batch, n] for n, row in enumerate(host.rows)} if direct else {}
                    edit = _edit(replaced.swap(name, batch), chosen, kept)
                    found.append(_run(host, windows[batch], edit)[0])
                costs[name, target, direct] = np.concatenate(found) - clean
    return Knockouts(clean, costs, _std_by_layer(host.rows, d))


def jitter(model: Decoder, windows: Tensor, std: Mapping[int | None, float], *, seed: int = 0) -> np.ndarray:
    """What normal noise on the increments of an integer-RoPE model costs it, per window (W,), nats per token.

    std: standard deviation of the noise of each layer, as `Knockouts.std` has it. Layers get noise of their own
    unless the model that is imitated shares one row.
    """
    host = model if set(std) == {None} else with_rows_per_layer(model)
    costs = []
    for i, part in enumerate(windows.split(BATCH)):
        rng = torch.Generator().manual_seed(seed * 1_000_003 + i)

        def edit(row: Row, d: Tensor, rng: torch.Generator = rng) -> Tensor:
            return d + std[row.layer] * torch.randn(d.shape, generator=rng)

        costs.append(_run(host, part, edit)[0] - _run(host, part, None)[0])
    return np.concatenate(costs)


def permuted(values: Tensor, groups: Tensor, seed: int) -> Tensor:
    """values (B, T), each window's exchanged among the tokens of the same group."""
    rng = torch.Generator().manual_seed(seed)
    random = torch.rand(values.shape, generator=rng, dtype=torch.float64)
    to = groups.argsort(dim=1, stable=True)
    source = (groups.double() + random * 0.999).argsort(dim=1, stable=True)
    return torch.empty_like(values).scatter_(1, to, values.gather(1, source))


def means_of_others(d: Tensor, groups: Tensor) -> Tensor:
    """d (W, T) of one row -> (W, T): the mean of each token's group over the other windows.

    The mean of all other windows' tokens where the group does not occur in them.
    """
    size = int(groups.max()) + 1
    values = d.double()
    sums = torch.zeros(len(d), size, dtype=torch.float64).scatter_add_(1, groups, values)
    counts = torch.zeros(len(d), size, dtype=torch.float64).scatter_add_(1, groups, torch.ones_like(values))
    others, rest = sums.sum(0) - sums, counts.sum(0) - counts
    plain = others.sum(1, keepdim=True) / rest.sum(1, keepdim=True).clamp(min=1)
    table = torch.where(rest > 0, others / rest.clamp(min=1), plain)
    return table.gather(1, groups).to(d.dtype)


class _Replacements:
    """The increments (W, N, T) of an untouched run, and what stands in for them."""

    def __init__(self, rows: tuple[Row, ...], d: Tensor, kinds: Tensor, tokens: Tensor, seed: int) -> None:
        self.place = {row: n for n, row in enumerate(rows)}
        self.d, self.kinds, self.seed = d, kinds, seed
        groups = {"row mean": torch.zeros_like(kinds), "kind mean": kinds, "byte mean": tokens}
        self.means = {
            name: torch.stack([means_of_others(row, group) for row in d.unbind(1)], 1)
            for name, group in groups.items()
        }

    def swap(self, name: str, batch: slice) -> Swap:
        """What the replacement `name` makes of a row's increments (B, T) of these windows."""

        def swap(row: Row, current: Tensor) -> Tensor:
            n = self.place[row]
            if name == "constant 1":
                return torch.ones_like(current)
            if name in self.means:
                return self.means[name][batch, n]
            if name == "other text":
                return self.d[torch.arange(batch.start, batch.start + len(current)) - 1, n]
            kinds = self.kinds[batch]
            groups = kinds if name == "shuffled within kind" else torch.zeros_like(kinds)
            return permuted(current, groups, self.seed * 1_000_003 + batch.start * 1_009 + n)

        return swap


def _targets(rows: tuple[Row, ...]) -> dict[str, set[Row]]:
    """All rows, then those of each layer where there are several."""
    layers = sorted({row.layer for row in rows if row.layer is not None})
    found: dict[str, set[Row]] = {"all": set(rows)}
    if len(layers) > 1:
        found |= {f"L{layer}": {row for row in rows if row.layer == layer} for layer in layers}
    return found


def _std_by_layer(rows: tuple[Row, ...], d: Tensor) -> dict[int | None, float]:
    """Root mean square over a layer's rows of the standard deviation within a row."""
    variance = d.transpose(0, 1).flatten(1).double().var(1, unbiased=False)
    layers = list(dict.fromkeys(row.layer for row in rows))
    return {
        layer: float(variance[[n for n, row in enumerate(rows) if row.layer == layer]].mean().sqrt())
        for layer in layers
    }


def _run(host: Host, windows: Tensor, edit: Edit | None) -> tuple[np.ndarray, Tensor]:
    """Loss of each window (B,) float64, and the increments (B, N, T)."""
    with torch.inference_mode():
        output = host(windows[:, :-1], edit=edit)
        loss = F.cross_entropy(output.logits.float().transpose(1, 2), windows[:, 1:], reduction="none")
        return loss.double().mean(1).numpy(), increments_of(output)


def _edit(swap: Swap, chosen: set[Row], kept: dict[Row, Tensor]) -> Edit:
    def edit(row: Row, d: Tensor) -> Tensor:
        return swap(row, d) if row in chosen else kept.get(row, d)

    return edit
