"""How often each primary endpoint decides something when there is nothing to find.

python scripts/false_positives.py [--trials 100] [--seeds 3] [--only NAME ...] [--write]

Each trial simulates the measurements of a few models under the endpoint's own null, analyses them as real ones are,
and asks whether the verdict is a decision. At 5 % about one trial in twenty may be. Where random networks are the null,
the increments are themselves random functions of activations that tell something about the answer. --write updates
docs/results/false-positives.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ropewalk.analyses import gaps as gap_analysis
from ropewalk.analyses import signal_comparison, statistics
from ropewalk.analyses.agreement import agreement
from ropewalk.analyses.boundaries import Part, boundaries
from ropewalk.analyses.dose import DOSES, dose
from ropewalk.analyses.entities import entities
from ropewalk.analyses.extrapolation import extrapolation
from ropewalk.analyses.gain import gain
from ropewalk.analyses.gold import Gold, by_planted, from_lines
from ropewalk.analyses.knockout import knockout
from ropewalk.analyses.lookback import lookback
from ropewalk.analyses.lookup import lookup
from ropewalk.analyses.neutrality import MARGIN, neutrality
from ropewalk.analyses.planted import Truth, planted
from ropewalk.analyses.result import Result
from ropewalk.analyses.scope_delimiters import DELIMITERS
from ropewalk.analyses.scopes import SIGNALS, Candidates, scopes
from ropewalk.analyses.spacing import by_byte
from ropewalk.analyses.surface import surface
from ropewalk.core.rows import Row
from ropewalk.corpus import PlantedConfig
from ropewalk.measure.entities import Entities
from ropewalk.measure.knockout import Knockouts
from ropewalk.measure.lookback import Lookback
from ropewalk.measure.lookup import Answers
from ropewalk.measure.phrases import PhraseValues
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace

PATH = Path(__file__).parent.parent / "docs" / "results" / "false-positives.md"
DRAWS = 99
LAYERS = 3
FEATURES = 6
Stream = np.random.Generator
Null = Callable[[Stream, int], bool]
"""(random stream, seeds) -> whether the endpoint decided."""
NO_DECISION = ("undecided", "one ", "two ", "too few")


def decided(result: Result) -> bool:
    """Whether the primary endpoint says anything."""
    assert result.primary is not None
    return not result.primary.verdict.startswith(NO_DECISION)


def functions(stream: Stream, features: np.ndarray, rows: int) -> np.ndarray:
    """Random functions of features (F, n): (rows, n), positive."""
    mixed = stream.normal(size=(rows, len(features))) @ features
    return np.exp(0.3 * mixed / mixed.std(1, keepdims=True))


def with_answer(stream: Stream, answer: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Features (F, n) of which some know a little of `answer` (n,)."""
    features = stream.normal(size=(FEATURES, len(answer)))
    return features + strength * stream.normal(size=(FEATURES, 1)) * answer


def traces(stream: Stream, text: str, answer: np.ndarray, seeds: int) -> tuple[list[Trace], list[Trace]]:
    """Models of one kind on a text, and their random networks: functions of the same activations."""
    tokens = np.array(encode(text))
    common = {"text": text, "tokens": tokens, "spans": byte_spans(text), "kind": "increment"}
    common |= {"unit": "token-equivalents", "gap": "before"}
    models, random = [], []
    for _ in range(seeds):
        own, drawn = [], []
        for _ in range(LAYERS):
            features = with_answer(stream, answer)
            own.append(functions(stream, features, 1))
            drawn.append(functions(stream, features, DRAWS))
        signals = {
            name: stream.gamma(2.0, size=len(tokens)) for name in ("surprisal", "entropy", "entropy_after")
        }
        rows = tuple(map(Row, range(LAYERS)))
        models.append(Trace(**common, **signals, rows=rows, values=np.concatenate(own)))
        rows = tuple(Row(layer, draw) for layer in range(LAYERS) for draw in range(DRAWS))
        random.append(Trace(**common, **signals, rows=rows, values=np.concatenate(drawn)))
    return models, random


def chinese(stream: Stream, sentences: int = 60) -> Gold:
    """Sentences of random words of one to three characters."""
    letters = [chr(int(code)) for code in stream.integers(0x4E00, 0x9FA5, 200)]
    return from_lines(
        ["".join(stream.choice(letters, stream.integers(1, 4))) for _ in range(10)] for _ in range(sentences)
    )


def parts(stream: Stream, seeds: int) -> list[Part]:
    gold = chinese(stream)
    starts = np.isin(np.arange(len(gold.text.encode())), gold.words[:, 0])
    models, random = traces(stream, gold.text, starts.astype(float), seeds)
    dev, test = gold.halves()
    return [
        Part(gap_analysis.gaps(m, gold, dev, r), gap_analysis.gaps(m, gold, test, r))
        for m, r in zip(models, random, strict=True)
    ]


def null_boundaries(stream: Stream, seeds: int) -> bool:
    return decided(boundaries(parts(stream, seeds)))


def null_gain(stream: Stream, seeds: int) -> bool:
    return decided(gain(parts(stream, seeds)))


def null_surface(stream: Stream, seeds: int) -> bool:
    words = ["".join(stream.choice(list("abcdefgh"), 4)) for _ in range(240)]
    text = " ".join(word + ("." if i % 6 == 5 else "") for i, word in enumerate(words))
    marks = np.array([letter in " ." for letter in text], float)
    return decided(surface(*traces(stream, text, marks, seeds)))


def null_agreement(stream: Stream, seeds: int) -> bool:
    """Models share features of the text and mix them at random, as random networks do."""
    text = "The cat sat. A dog ran far! It was 1987. We left early, and late.\n" * 8
    tokens = np.array(encode(text))
    shared = stream.normal(size=(FEATURES, len(tokens)))
    common = {"text": text, "tokens": tokens, "spans": byte_spans(text), "kind": "increment"}
    common |= {"unit": "token-equivalents", "gap": "before"}
    models, random = [], []
    for _ in range(max(3, seeds)):
        own = shared + 0.5 * stream.normal(size=shared.shape)
        rows = tuple(map(Row, range(LAYERS)))
        models.append(Trace(**common, rows=rows, values=functions(stream, own, LAYERS)))
        rows = tuple(Row(layer, draw) for layer in range(LAYERS) for draw in range(DRAWS))
        random.append(Trace(**common, rows=rows, values=functions(stream, own, LAYERS * DRAWS)))
    return decided(agreement(models, random))


def null_scopes(stream: Stream, seeds: int) -> bool:
    files, each = 12, 60
    n = files * each
    kind = stream.integers(0, len(DELIMITERS), n)
    byte = np.array([list(DELIMITERS.values())[k][0] for k in kind])
    labels = stream.random(n) < 0.5
    models = []
    for _ in range(seeds):
        own, drawn = [], []
        for _ in range(LAYERS):
            features = with_answer(stream, labels.astype(float))
            own.append(functions(stream, features, 1)[0])
            drawn.append(functions(stream, features, DRAWS))
        models.append(
            Candidates(
                row_names=tuple(f"L{i}" for i in range(LAYERS)),
                increments=np.stack(own),
                signals={name: stream.random(n) for name in SIGNALS.values()},
                byte=byte,
                before=stream.integers(0, 256, n),
                kind=kind,
                labels=labels,
                file=np.repeat(np.arange(files), each),
                random=np.stack(drawn, 1),
            )
        )
    return decided(scopes(models))


def null_bytes(stream: Stream, seeds: int) -> bool:
    """Trained models are drawn as untrained ones are."""
    tables = np.exp(0.1 * stream.normal(size=(seeds, 1, 257)) + 0.1 * stream.normal(size=(seeds, 1, 1)))
    untrained = np.exp(0.1 * stream.normal(size=(DRAWS, 1, 257)))
    tilt = 0.05 * stream.normal(size=seeds + DRAWS)  # random tables differ in how wide they set spaces
    for table, by in zip([*tables, *untrained], tilt, strict=True):
        table[:, [0x20, 0x0A]] += by
    return decided(by_byte([Row(0)], tables, None, untrained))


def null_entities(stream: Stream, seeds: int) -> bool:
    """Second words have tastes of their own in each layer, whichever first word comes before them."""
    count = 60
    rows = tuple(map(Row, range(LAYERS)))
    drawn = tuple(Row(layer, draw) for layer in range(LAYERS) for draw in range(DRAWS))
    features = [stream.normal(size=(3, LAYERS, FEATURES, count)) for _ in ("en", "zh")]
    read, random = [], []
    for _ in range(seeds):
        own: dict[str, Entities] = {}
        drawn_values: dict[str, Entities] = {}
        mix = stream.normal(size=(LAYERS, 1 + DRAWS, FEATURES))
        for language, words in zip(("en", "zh"), features, strict=True):
            found = 1 + 0.1 * np.einsum("ldf,wlfp->wpld", mix, words)
            ones = np.ones(count)
            kinds = [PhraseValues(x[..., 0], x[..., 0], ones, ones) for x in found]
            own[language] = Entities(*kinds, np.ones(count, bool))
            flat = [x[..., 1:].reshape(count, -1) for x in found]
            kinds = [PhraseValues(x, x, ones, ones) for x in flat]
            drawn_values[language] = Entities(*kinds, np.ones(count, bool))
        read.append(own)
        random.append(drawn_values)
    return decided(entities(rows, read, drawn, random))


def null_planted(stream: Stream, seeds: int) -> bool:
    settings = PlantedConfig(script="unspaced", sentences=5)
    truth = Truth(*by_planted(settings, 6, seed=int(stream.integers(1_000_000))))
    nothing = np.zeros(len(truth.gold.text.encode()))
    models, random = traces(stream, truth.gold.text, nothing, seeds)
    return decided(planted(models, truth, random))


def null_lookback(stream: Stream, seeds: int, heads: int = 4, layers: int = 6) -> bool:
    """Depth shapes increments and attention in every training run alike, and nothing else relates them."""
    depth = stream.normal(size=(2, layers, 1))
    found = []
    for _ in range(seeds):
        d, far = (depth[i] + 0.3 * stream.normal(size=(layers, heads)) for i in (0, 1))
        noise = stream.normal(0, 0.05, (2, 8, layers, heads))
        found.append(Lookback(20 + far + noise[0], d + noise[1]))
    return decided(lookback(found))


def null_lookback_layers(stream: Stream, seeds: int) -> bool:
    return null_lookback(stream, seeds, heads=1)


def by_window(stream: Stream, seeds: int, windows: int = 32, scale: float = 0.02) -> np.ndarray:
    """(S, W): seeds differ, windows differ, and both together."""
    return scale * (
        stream.normal(size=(seeds, 1))
        + stream.normal(size=(1, windows))
        + stream.normal(size=(seeds, windows))
    )


def null_knockout(stream: Stream, seeds: int) -> bool:
    costs = by_window(stream, seeds)
    key = ("shuffled within kind", "all", False)
    return decided(knockout([Knockouts(np.full(32, 1.5), {key: cost}, {None: 0.3}) for cost in costs]))


def null_extrapolation(stream: Stream, seeds: int) -> bool:
    """The segments of a window differ by noise alone."""
    first, last = (2 + by_window(stream, seeds, 16) for _ in range(2))
    losses = [
        np.concatenate([np.tile(a[:, None], 32), np.tile(b[:, None], 32)], 1)
        for a, b in zip(first, last, strict=True)
    ]
    return decided(extrapolation({"m": losses}, 32))


def null_dose(stream: Stream, seeds: int) -> bool:
    pairs = 60
    sentence = np.repeat(np.arange(20), 3)
    effect = 0.01 * stream.normal(size=20)[sentence]
    found = []
    for _ in range(seeds):
        f = 0.02 * stream.normal(size=(pairs, 2, len(DOSES)))
        f[:, 0] += effect[:, None] + 0.005 * stream.normal()
        found.append(f)
    return decided(dose(found, sentence))


def losses(
    stream: Stream, seeds: int, shift: float, noise: float, variants: int
) -> dict[str, dict[int, float]]:
    base = {s: 1.5 + 0.01 * stream.normal() for s in range(seeds)}
    found = {f"v{i}": {s: base[s] + shift + noise * stream.normal() for s in base} for i in range(variants)}
    return {**found, "rope": base}


def null_different(stream: Stream, seeds: int) -> bool:
    """Any of eight variants is called better or worse."""
    result = neutrality(losses(stream, seeds, 0.0, 0.003, 8), "rope")
    return any(row["different"] for row in result.rows)


def null_equivalent(stream: Stream, seeds: int) -> bool:
    """A variant that is exactly one margin worse is called equivalent."""
    return bool(neutrality(losses(stream, seeds, MARGIN, 0.001, 1), "rope").rows[0]["equivalent"])


def null_lookup(stream: Stream, seeds: int) -> bool:
    """Any of four variants is called better or worse."""
    documents = np.repeat(np.arange(20), 3)
    asked = (documents, np.full(60, 5), np.full(60, 1), np.arange(60))

    def answers() -> Answers:
        right = stream.random(60) < np.clip(0.6 + 0.05 * stream.normal(), 0, 1)
        return Answers(*asked, right, np.where(right, 0.1, 3.0))

    kinds = {name: {s: answers() for s in range(seeds)} for name in ("a", "b", "c", "d", "rope")}
    words = [row["verdict"] for row in lookup(kinds, "rope").rows if row["difference"] is not None]
    return any(word in ("better", "worse") for word in words)


def null_signals(stream: Stream, seeds: int) -> bool:
    labels = [stream.random(n) < 0.4 for n in (150, 150)]
    mix = stream.normal(size=(seeds + DRAWS, LAYERS, FEATURES))
    features = with_answer(stream, np.concatenate(labels).astype(float))
    dev, test = (np.einsum("slf,fn->sln", mix, f) for f in np.split(features, 2, axis=1))
    rows = tuple(f"L{i}" for i in range(LAYERS))
    predictors = {"increment": signal_comparison.Predictor(rows, dev[:seeds], test[:seeds])}
    random = signal_comparison.Predictor(rows, dev[seeds:], test[seeds:])
    gaps = signal_comparison.Gaps(*labels, np.arange(150) // 5)
    return decided(signal_comparison.compare_signals(predictors, gaps, title="", random=random))


NULLS: dict[str, Null] = {
    "agreement": null_agreement,
    "boundaries": null_boundaries,
    "boundaries: gain": null_gain,
    "bytes": null_bytes,
    "dose": null_dose,
    "entities": null_entities,
    "extrapolation": null_extrapolation,
    "knockout": null_knockout,
    "lookback, a row per head": null_lookback,
    "lookback, a row per layer": null_lookback_layers,
    "lookup, any of four variants": null_lookup,
    "neutrality, any of eight variants different": null_different,
    "neutrality, equivalent at the margin": null_equivalent,
    "planted": null_planted,
    "scopes": null_scopes,
    "signals": null_signals,
    "spacing": null_surface,
}


def rate(name: str, trials: int, seeds: int, start: int = 0) -> float:
    """The share of trials in which an endpoint decides under its null."""
    null = NULLS[name]
    found = [null(np.random.default_rng([start, trial, seeds]), seeds) for trial in range(trials)]
    return float(np.mean(found))


def write(rows: dict[str, str]) -> None:
    """Puts rows into the published table, beside those that are there."""
    known = PATH.read_text(encoding="utf-8").splitlines() if PATH.exists() else []
    for line in known:
        if line.startswith("| ") and not line.startswith("| endpoint"):
            rows.setdefault(line.split(" | ")[0].removeprefix("| "), line)
    ordered = [rows[name] for name in NULLS if name in rows]
    PATH.write_text("\n".join([HEAD, *ordered]) + "\n", encoding="utf-8")


HEAD = """# Decisions on noise

The share of simulated studies without any effect in which a primary endpoint decides, by `python
scripts/false_positives.py --only ENDPOINT --trials N --seeds S --write`. The level is 5 %: with 100 trials a rate of 5 %
has a standard error of 2.2 points.

| endpoint | seeds | trials | decided |
|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=NULLS, nargs="+")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    statistics.REPLICATES, statistics.PERMUTATIONS = 200, 400
    for name in given.only or NULLS:
        row = f"| {name} | {given.seeds} | {given.trials} | {rate(name, given.trials, given.seeds):.1%} |"
        print(row, flush=True)
        if given.write:
            write({name: row})


if __name__ == "__main__":
    main()
