"""Measures how fast each head of a model with the published forget gate forgets; docs/results/report.md shows the file.

python scripts/forget_slopes.py MODEL --corpus FOLDER

MODEL: a folder of the study's variant `published forget gate`. corpus: the folder of the files that it was trained on; the
documents that it held out are read. Writes docs/results/forget-gate.csv.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ropewalk.core.decay import Alibi
from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.measure.windows import cut
from ropewalk.native.checkpoint import load_decoder
from ropewalk.system.files import write_atomically

OUT = Path(__file__).parent.parent / "docs" / "results" / "forget-gate.csv"
WINDOWS = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    asked = parser.parse_args()
    model = load_decoder(asked.model)
    corpus = CorpusConfig.model_validate(
        {**model.provenance["recipe"]["corpus"], "root": asked.corpus.resolve()}
    )
    windows = cut(np.asarray(prepare(corpus).validation), model.context_length, WINDOWS)[:, :-1]
    with torch.inference_mode():
        lost = -model.shared_decay(F.embedding(windows, model.embedding)).flatten(0, 1)
    alibi = Alibi(model.config.hidden_size, model.config.num_heads).slopes
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("head", "mean", "median", "std", "alibi"))
    for head, (column, slope) in enumerate(zip(lost.T, alibi.tolist(), strict=True)):
        statistics = (column.mean(), column.median(), column.std())
        writer.writerow((head, *(f"{float(x):.4f}" for x in statistics), f"{slope:.4f}"))
    write_atomically(OUT, text.getvalue().encode())
    print(text.getvalue(), end="")


if __name__ == "__main__":
    main()
