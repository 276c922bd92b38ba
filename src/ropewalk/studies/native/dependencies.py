"""What a variant takes from another one's trained model, put into its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as pack

from ropewalk.core.host import increments_of
from ropewalk.corpus import Corpus
from ropewalk.errors import UserError
from ropewalk.measure.token_table import mean_by_token
from ropewalk.measure.windows import cut
from ropewalk.native.checkpoint import load_decoder
from ropewalk.native.decoder import Decoder
from ropewalk.studies.native.variants import VARIANTS
from ropewalk.studies.plan import job_folder
from ropewalk.system.files import write_atomically
from ropewalk.training.recipe import Recipe

TABLE_TOKENS = 200_000


def resolve_dependencies(
    recipe: Recipe, out: Path, group: str, variant_name: str, seed: int, corpus: Corpus
) -> Recipe:
    """The recipe with the table or the standard deviation that its variant takes. UserError when the model that it
    comes from is not trained."""
    variant = VARIANTS[variant_name]
    if variant.needs is None:
        return recipe
    source = job_folder(out, group, variant.needs, seed)
    if not (source / "model").is_dir():
        raise UserError(f"it needs the model of {variant.needs}, seed {seed}, which is not trained.")
    model = load_decoder(source / "model")
    if variant.takes == "std":
        taken: dict[str, Any] = {"std": relative_std(model, corpus)}
    else:
        path = source / f"{variant.takes.replace(' ', '-')}.safetensors"
        if not path.is_file():
            _write_table(model, corpus, path, seed if "permuted" in variant.takes else None)
        taken = {"table": path}
    increments = recipe.model.increments.model_copy(update=taken)
    shape = recipe.model.model_copy(update={"increments": increments})
    return recipe.model_copy(update={"model": shape})


def relative_std(model: Decoder, corpus: Corpus) -> float:
    """Root mean square over rows of the increments' standard deviation over their mean."""
    windows = cut(corpus.validation, model.context_length, 16)[:, :-1]
    with torch.inference_mode():
        d = increments_of(model(windows))
    relative = d.std((0, 2)) / d.mean((0, 2))
    return max(1e-3, round(float(relative.square().mean().sqrt()), 4))


def _write_table(model: Decoder, corpus: Corpus, path: Path, permuted: int | None) -> None:
    """The table of "frozen" increments; with the seed `permuted`, the tokens that were seen exchange their entries."""
    tables, counts = mean_by_token(model, corpus, tokens=TABLE_TOKENS)
    if permuted is not None:
        seen = np.flatnonzero(counts.numpy() > 0)
        order = np.random.default_rng(permuted).permutation(seen)
        tables = [table.clone() for table in tables]
        for table in tables:
            table[seen] = table[order]
    write_atomically(path, pack({f"increments.{i}": table.contiguous() for i, table in enumerate(tables)}))
