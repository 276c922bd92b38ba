"""How often the measurement of word boundaries finds some in models that were never trained.

python scripts/false_positives.py --dev dev.seg.txt --test test.seg.txt [--trials 20] [--limit 300]

Each trial measures three untrained models of one kind, as a study of three seeds would be measured, with random
networks of their own beside them; its verdict should be "above" about once in forty. Prints and writes
docs/results/false-positives.md.
"""

import argparse
from collections import Counter
from pathlib import Path

from rich.progress import track

from ropewalk.analyses import gold
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.studies import tables

PATH = Path(__file__).parent.parent / "docs" / "results" / "false-positives.md"
SEEDS = 3
ENDPOINTS = ("increments' AUC", "gain over the other signals")
SHAPE = {"hidden_size": 96, "num_heads": 4, "num_layers": 4, "intermediate_size": 256, "context_length": 256}


def verdicts(trial: int, dev: gold.Gold, test: gold.Gold) -> list[str]:
    """The verdicts of both primary endpoints, of models that no other trial has."""
    parametrization = IncrementConfig(parametrization="bounded", init="random")
    config = DecoderConfig(**SHAPE, increments=parametrization)
    models = [Decoder(config, seed=1000 + SEEDS * trial + i).eval() for i in range(SEEDS)]
    results = tables.boundaries(models, dev, test, jieba=False)
    return [result.primary.verdict.split(" at ")[0] for result in results if result.primary]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--limit", type=int, default=300, help="sentences of each file")
    given = parser.parse_args()
    dev, test = gold.read(given.dev, given.limit), gold.read(given.test, given.limit)
    found = [verdicts(trial, dev, test) for trial in track(range(given.trials), "measuring untrained models")]
    counts = [Counter(column) for column in zip(*found, strict=True)]
    told = [
        "# Verdicts on models that were never trained\n",
        f"`python scripts/false_positives.py --dev {given.dev.name} --test {given.test.name} "
        f"--trials {given.trials} --limit {given.limit}`: {given.trials} trials of {SEEDS} untrained models each "
        "(per-layer, bounded, random start), measured as trained ones are.\n",
        "| endpoint | verdicts |\n|---|---|",
        *(
            f"| {name} | {', '.join(f'{word}: {n}' for word, n in sorted(count.items()))} |"
            for name, count in zip(ENDPOINTS, counts, strict=True)
        ),
    ]
    PATH.write_text("\n".join(told) + "\n")
    print(PATH.read_text())


if __name__ == "__main__":
    main()
