"""How often the 95 % intervals of `ropewalk.analyses.statistics` hold the truth, by simulation.

python scripts/coverage.py [--trials 1000] [--write]

A statistic is the mean of 30 sentences, measured with 2, 3 and 5 seeds. What varies: seeds alone, sentences alone
(the same ones for every seed), both, and both with noise of their own for each seed and sentence. Beside the intervals
in use stands the one they replaced, which drew seeds and sentences again. --write writes docs/results/coverage.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np

from ropewalk.analyses import statistics

PATH = Path(__file__).parent.parent / "docs" / "results" / "coverage.md"
SENTENCES = 30
SEEDS = (2, 3, 5)
SITUATIONS: dict[str, tuple[float, float, float]] = {
    "seeds alone": (1.0, 0.0, 0.0),
    "sentences alone": (0.0, 1.0, 0.0),
    "seeds, and sentences a little": (1.0, 1.0, 0.0),
    "seeds and sentences": (0.3, 1.0, 0.0),
    "seeds, sentences, and both together": (0.3, 1.0, 1.0),
}
"""Standard deviations of the effects of seed, sentence, and their interaction."""
Measured = np.ndarray
"""(seeds, sentences), with the true mean 0."""


def hierarchical(measured: Measured, weights: np.ndarray) -> statistics.Estimate:
    """The interval in use."""
    return statistics.window_mean(measured, weights)


def resampled(measured: Measured, weights: np.ndarray) -> statistics.Estimate:
    """The interval that was in use before: percentiles over sentences and seeds that are drawn again."""
    samples = measured @ weights.T / measured.shape[1]
    picked = np.random.default_rng(1).integers(0, len(samples), size=samples.shape)
    low, high = np.percentile(np.take_along_axis(samples, picked, axis=0).mean(0), [2.5, 97.5])
    return statistics.Estimate(float(measured.mean()), float(low), float(high))


def jackknife(measured: Measured, weights: np.ndarray) -> statistics.Estimate:
    """Agreement of pairs: here the mean over pairs of models of the mean of both, left out model by model."""
    models = range(len(measured))

    def pairs(kept: list[int]) -> np.ndarray:
        return np.mean([(measured[a] + measured[b]) / 2 for a, b in combinations(kept, 2)], 0)

    whole = pairs(list(models))
    left_out = [pairs([m for m in models if m != model]).mean() for model in models]
    samples = whole @ weights.T / measured.shape[1]
    return statistics.jackknife(float(whole.mean()), np.array(left_out), samples, measured.shape[1])


INTERVALS: dict[str, Callable[[Measured, np.ndarray], statistics.Estimate]] = {
    "Student's t over seeds, bootstrap over sentences": hierarchical,
    "jackknife over models, bootstrap over sentences": jackknife,
    "seeds and sentences drawn again (replaced)": resampled,
}


def coverage(name: str, situation: str, seeds: int, trials: int) -> float:
    """The share of simulated studies whose interval holds the truth."""
    by_seed, by_sentence, by_both = SITUATIONS[situation]
    weights = statistics.draw_resample_counts(SENTENCES, 200)
    held = 0
    for trial in range(trials):
        stream = np.random.default_rng([trial, seeds])
        measured = (
            by_seed * stream.normal(size=(seeds, 1))
            + by_sentence * stream.normal(size=(1, SENTENCES))
            + by_both * stream.normal(size=(seeds, SENTENCES))
        )
        e = INTERVALS[name](measured, weights)
        held += e.low <= 0 <= e.high
    return held / trials


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    lines = [
        "# Coverage of intervals\n",
        f"`python scripts/coverage.py --trials {given.trials} --write`: the share of simulated studies whose 95 % interval",
        f"holds the truth. The standard error of a share of 95 % is {(0.05 * 0.95 / given.trials) ** 0.5:.1%}.\n",
        "| interval | what varies | " + " | ".join(f"{seeds} seeds" for seeds in SEEDS) + " |",
        "|---" * (2 + len(SEEDS)) + "|",
    ]
    for name in INTERVALS:
        for situation in SITUATIONS:
            counts = [seeds for seeds in SEEDS if seeds > 2 or INTERVALS[name] is not jackknife]
            shares = {seeds: f"{coverage(name, situation, seeds, given.trials):.1%}" for seeds in counts}
            cells = " | ".join(shares.get(seeds, "no verdict") for seeds in SEEDS)
            lines.append(f"| {name} | {situation} | {cells} |")
            print(lines[-1], flush=True)
    if given.write:
        PATH.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
