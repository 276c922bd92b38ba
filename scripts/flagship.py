"""Measures the flagship and earlier checkpoints of its training; the tables are what docs/results/report.md shows.

python scripts/flagship.py --corpus FOLDER --gold FOLDER [--checkpoint FOLDER ...] [--table NAME]

corpus: the folder of en.jsonl.zst and zh.jsonl.zst; the documents that the training held out are read. gold: segmented
sentences. checkpoint: model folders of the same training, earlier than the bundled one. The tables go to
docs/results/flagship; what is up to date there is not measured again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ropewalk import experiments
from ropewalk.analyses import gold
from ropewalk.analyses.result import Result
from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.experiments import Experiment, Inputs
from ropewalk.native import pretrained
from ropewalk.native.checkpoint import load_decoder, read_config
from ropewalk.studies import store
from ropewalk.system.text_files import read_text
from ropewalk.tokens.utf8_bytes import decode

OUT = Path(__file__).parent.parent / "docs" / "results" / "flagship"
SAMPLE = 60_000
"""Bytes of held-out text, and characters of English sentences, that the tables of surface boundaries read."""
WINDOWS = 48
SENTENCES = 600
"""Of the PKU file; GSDSimp is read whole."""
EVERY = ("bytes", "boundaries gsdsimp", "spacing", "spacing english", "entities")
LAST = ("boundaries pku", "knockout", "dose gsdsimp", "names", "code", "jieba")
"""Tables of the last checkpoint only."""


@dataclass(frozen=True)
class Texts:
    """Where the held-out text and the segmented sentences are."""

    corpus: Path
    gold: Path

    def inputs(self, experiment: Experiment, name: str) -> Inputs:
        """What an experiment reads besides the model."""
        if "gold" in experiment.needs:
            return self._gold(name.split()[1])
        if not {"text", "tokens"} & {*experiment.needs}:
            return Inputs({})
        tokens = self._held_out()
        text = decode(tokens[: SAMPLE if name != "jieba" else 2 * SAMPLE]).replace("�", "")
        if name.endswith("english"):
            text = read_text(self.gold / "UD_English-GUM.test.raw.txt")[:SAMPLE]
        return Inputs({}, text=text, quote=False, tokens=tokens, windows=WINDOWS)

    def _gold(self, name: str) -> Inputs:
        if name == "pku":
            return Inputs({}, dev=gold.read(self.gold / "SIGHAN2005-PKU.test.seg.txt", SENTENCES))
        dev, test = (gold.read(self.gold / f"UD_Chinese-GSDSimp.{part}.seg.txt") for part in ("dev", "test"))
        return Inputs({}, dev=dev, test=test)

    def _held_out(self) -> np.ndarray:
        config = read_config(pretrained.find_model("flagship"))["provenance"]["recipe"]["corpus"]
        return np.asarray(prepare(CorpusConfig.model_validate({**config, "root": self.corpus})).validation)


def entries(folders: list[Path], texts: Texts) -> Iterator[store.Entry]:
    """Every table of every checkpoint, the last one's first."""
    for folder in reversed(folders):
        for name in (*EVERY, *LAST) if folder == folders[-1] else EVERY:
            experiment = experiments.get(name.split()[0])
            step = read_config(folder)["provenance"]["step"]
            make = partial(_measure, experiment, name, folder, texts)
            yield store.Entry(f"step-{step:05}/{name}", (folder,), (), experiment.source, make)


def _measure(experiment: Experiment, name: str, folder: Path, texts: Texts) -> list[Result]:
    variants = {"flagship": [load_decoder(folder)]}
    return experiment.measure(replace(texts.inputs(experiment, name), variants=variants))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument("--table", help="make only this table, in any case")
    asked = parser.parse_args()
    found = list(
        entries([*asked.checkpoint, pretrained.find_model("flagship")], Texts(asked.corpus, asked.gold))
    )
    command = "python scripts/flagship.py --corpus FOLDER --gold FOLDER --checkpoint FOLDER"
    store.compute(found, OUT, command, lambda name: print(name, flush=True), asked.table)


if __name__ == "__main__":
    main()
