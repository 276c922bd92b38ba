"""Takes a finished run into the package as a bundled model: float16 weights, figures measured on those weights.

    python scripts/bundle.py runs/per-layer per-layer --root FOLDER-OF-THE-CORPUS

Replaces src/ropewalk/native/pretrained/NAME and nothing else; the card beside the models is written by hand from what this prints.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from ropewalk.core.loss import bits_per_byte
from ropewalk.corpus import prepare
from ropewalk.native import checkpoint, pretrained
from ropewalk.training.loop import validate
from ropewalk.training.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--root", type=Path, required=True, help="where the corpus files are")
    words = parser.parse_args()
    described = json.loads((words.run / "recipe.json").read_text())["recipe"]
    recipe = Recipe.model_validate({**described, "corpus": {**described["corpus"], "root": words.root}})
    corpus = prepare(recipe.corpus)
    trained = checkpoint.load_decoder(words.run / "model")
    origin = {key: value for key, value in trained.provenance.items() if key not in ("name", "hash")}
    folder = pretrained.HOME / words.name
    checkpoint.save_decoder(folder, trained, origin, dtype=torch.float16)
    rounded = checkpoint.load_decoder(folder)
    held_out = validate(rounded, corpus, recipe)
    checkpoint.save_decoder(folder, rounded, {**origin, "validation": held_out}, dtype=torch.float16)
    size = (folder / checkpoint.WEIGHTS).stat().st_size
    print(f"{words.name}: {sum(p.numel() for p in rounded.parameters()):,} parameters, {size:,} bytes")
    print(
        f"steps {origin['step']:,}, bytes seen {origin['step'] * recipe.train.batch_size * recipe.model.context_length:,}"
    )
    print(
        f"held-out loss {held_out:.4f} nats per byte = {bits_per_byte(held_out):.4f} bits per byte (rounded weights)"
    )
    print(
        f"before rounding {origin['validation']:.4f}; sha256 {checkpoint.read_config(folder)['weights']['sha256']}"
    )


if __name__ == "__main__":
    main()
