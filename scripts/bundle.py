"""Takes a finished run into the package as a bundled model: float16 weights, figures measured on those weights.

    python scripts/bundle.py runs/per-layer per-layer --root FOLDER-OF-THE-CORPUS

Replaces src/ropewalk/models/NAME and nothing else; the card beside the models is written by hand from what this prints.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from ropewalk import bundled, checkpoint
from ropewalk.corpus import prepare
from ropewalk.loss import bits_per_byte
from ropewalk.recipe import Recipe
from ropewalk.train import validate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--root", type=Path, required=True, help="where the corpus files are")
    words = parser.parse_args()
    described = json.loads((words.run / "recipe.json").read_text())["recipe"]
    recipe = Recipe.model_validate({**described, "corpus": {**described["corpus"], "root": words.root}})
    corpus = prepare(recipe.corpus)
    trained = checkpoint.load(words.run / "model")
    origin = {key: value for key, value in trained.provenance.items() if key not in ("name", "hash")}
    folder = bundled.HOME / words.name
    checkpoint.save(folder, trained, origin, dtype=torch.float16)
    rounded = checkpoint.load(folder)
    held_out = validate(rounded, corpus, recipe)
    checkpoint.save(folder, rounded, {**origin, "validation": held_out}, dtype=torch.float16)
    size = (folder / checkpoint.WEIGHTS).stat().st_size
    print(f"{words.name}: {sum(p.numel() for p in rounded.parameters()):,} parameters, {size:,} bytes")
    print(
        f"steps {origin['step']:,}, bytes seen {origin['step'] * recipe.train.batch * recipe.model.context:,}"
    )
    print(
        f"held-out loss {held_out:.4f} nats per byte = {bits_per_byte(held_out):.4f} bits per byte (rounded weights)"
    )
    print(
        f"before rounding {origin['validation']:.4f}; sha256 {checkpoint.read_config(folder)['weights']['sha256']}"
    )


if __name__ == "__main__":
    main()
