"""The mean of r = d - 1 of every token over a held-out text, per increment module, for "frozen" increments."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ropewalk.corpus import Corpus, windows
from ropewalk.native.decoder import Decoder
from ropewalk.system.files import write_atomically


@torch.inference_mode()
def mean_by_token(model: Decoder, corpus: Corpus, *, tokens: int) -> tuple[list[Tensor], Tensor]:
    """One (V, G) table of mean r per increment module, 0 for tokens that never occurred, and the counts (V,)."""
    size = model.config.vocab_size
    counts = torch.zeros(size, dtype=torch.float64)
    sums: list[Tensor] = []
    for part in windows.validation(corpus.validation, context=model.context_length, limit=tokens, size=16):
        part = part[:, :-1]
        counts += torch.bincount(part.flatten(), minlength=size)
        emitted = model(part).r
        sums = sums or [torch.zeros(size, r.shape[-1], dtype=torch.float64) for r in emitted]
        for total, r in zip(sums, emitted, strict=True):
            total.index_add_(0, part.flatten(), r.flatten(0, 1).double())
    return [(total / counts.clamp(min=1)[:, None]).float() for total in sums], counts


def save_table(model: Decoder, corpus: Corpus, path: str | Path, *, tokens: int) -> int:
    """Writes `increments.I` (V, G) per module as safetensors; returns how many different tokens were seen."""
    path = Path(path)
    tables, counts = mean_by_token(model, corpus, tokens=tokens)
    write_atomically(path, save({f"increments.{i}": table.contiguous() for i, table in enumerate(tables)}))
    return int((counts > 0).sum())
