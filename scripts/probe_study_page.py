"""The page of the study of the probe: what was decided, in sentences, then the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from probe_study_sentences import (
    CHARACTERS,
    CHINESE,
    CODE,
    ENGLISH,
    GROUPS,
    IN_NAME,
    INSIDE,
    NAMES,
    PUNCTUATION,
    START,
)

from ropewalk.analyses import statistics

UNTRAINED = "randomly initialized"
CONTRASTS = (
    (ENGLISH, INSIDE, START),
    (ENGLISH, PUNCTUATION, START),
    (NAMES, IN_NAME, START),
    (CODE, INSIDE, START),
    (CODE, PUNCTUATION, START),
    (CHINESE, INSIDE, START),
    (CHINESE, PUNCTUATION, START),
    (CHARACTERS, INSIDE, START),
)
SIGNALS = {
    "entropy": "entropy before the token",
    "surprisal": "surprisal of the token",
    "place": "place in the sentence",
}
SMALL = 0.25


class Group:
    """The gaps of one group of sentences, side by side."""

    def __init__(self, record: dict[str, Any], name: str) -> None:
        self.rows = record["rows"]
        self.sentences = [entry for entry in record["sentences"] if entry["group"] == name]
        self.kinds = np.concatenate([entry["kinds"] for entry in self.sentences])
        sizes = [len(entry["kinds"]) for entry in self.sentences]
        self.sentence = np.repeat(np.arange(len(sizes)), sizes)

    def sensitivities(self, name: str) -> np.ndarray:
        """(rows, gaps), each row over its own mean: rows differ by orders of magnitude, and ranks have a tolerance."""
        values = np.concatenate([np.array(entry[name]) for entry in self.sentences], 1)
        return np.asarray(values / values.mean(1, keepdims=True))

    def signal(self, name: str) -> np.ndarray:
        return np.concatenate([np.array(entry[name], np.float64) for entry in self.sentences])


def table(group: Group, first: str, second: str) -> dict[str, Any]:
    """AUCs of one contrast: of the row chosen on every other sentence, scored on the rest, with intervals over those."""
    used = np.isin(group.kinds, (first, second))
    labels, dev = group.kinds == first, group.sentence % 2 == 1
    test = used & ~dev
    clusters = np.unique(group.sentence[test], return_inverse=True)[1]
    counts = statistics.draw_resample_counts(int(clusters.max()) + 1)
    found: dict[str, Any] = {"gaps": {name: int((group.kinds == name).sum()) for name in (first, second)}}
    samples: dict[str, np.ndarray] = {}

    def score(name: str, values: np.ndarray, **more: Any) -> None:
        ranking = statistics.Ranking(values[test], labels[test])
        samples[name] = ranking.samples(clusters, counts)
        found[name] = {**more, **_estimate(ranking.auc(), samples[name], counts.shape[1], (0.0, 1.0))}

    for name in ("trained", UNTRAINED):
        values = group.sensitivities(name)
        aucs = [statistics.auc(row[used & dev], labels[used & dev]) for row in values]
        best = int(np.argmax(np.abs(np.array(aucs) - 0.5)))
        sign = 1 if aucs[best] >= 0.5 else -1
        score(name, sign * values[best], row=group.rows[best], sign=sign)
    for name in SIGNALS:
        values = group.signal(name)
        sign = 1 if statistics.auc(values[used & dev], labels[used & dev]) >= 0.5 else -1
        score(name, sign * values, sign=sign)
    for name in (UNTRAINED, *SIGNALS):
        less = found["trained"]["value"] - found[name]["value"]
        both = samples["trained"] - samples[name]
        found[name]["difference"] = _estimate(less, both, counts.shape[1], (-1.0, 1.0))
    return found


def _estimate(
    value: float, samples: np.ndarray, clusters: int, bounds: tuple[float, float]
) -> dict[str, float]:
    """The value with its interval over sentences; a resample without gaps of both kinds says nothing."""
    known = samples[np.isfinite(samples)]
    e = statistics.over_seeds(np.array([value]), known[None], clusters, bounds)
    return {"value": e.value, "low": e.low, "high": e.high}


def page(record: dict[str, Any], title: str) -> str:
    """The page in Markdown."""
    groups = {name: Group(record, name) for name in GROUPS if record["wanted"].get(name)}
    made = {key: table(groups[key[0]], *key[1:]) for key in CONTRASTS if key[0] in groups}
    lines = [f"# The probe on {title}", ""]
    lines += [f"- {_sentence(key, found)}" for key, found in made.items()]
    lines += [f"- {_agreement(record)}", *([f"- {_dose_sentence(record)}"] if "dose" in record else [])]
    lines += ["", _read(record, groups), ""]
    lines += ["## Contrasts", "", *_contrasts(made), "", _method(), ""]
    lines += ["## Layers", "", *_layers(groups), ""]
    if "dose" in record:
        lines += ["## Gaps made wider and narrower", "", *_dose(record), ""]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines += [
        f"Measured by `scripts/probe_study.py` in float32 on one CPU core, seed {record['seed']}; weights "
        f"`{record['hash'][:12]}`, {versions}. The numbers of every gap are beside this page.",
    ]
    return "\n".join(lines) + "\n"


def _sentence(key: tuple[str, str, str], found: dict[str, Any]) -> str:
    """What the data decide about one contrast."""
    group, first, second = key
    own, null, entropy = found["trained"], found[UNTRAINED]["difference"], found["entropy"]["difference"]
    auc = f"AUC {_interval(own['value'], own, '.2f')}"
    if own["low"] <= 0.5:
        return f"{group}: no layer is decidedly more or less sensitive to the gap {_before(first)} than to one {_before(second)} ({auc})."
    sides = "more" if own["sign"] > 0 else "less"
    learned = "more than" if null["low"] > 0 else "not decidedly more than"
    better = (
        "more than"
        if entropy["low"] > 0
        else "less than"
        if entropy["high"] < 0
        else "not decidedly more than"
    )
    return (
        f"{group}: layer {own['row'][1:]} is {sides} sensitive to the gap {_before(first)} than to one {_before(second)} ({auc}); this tells them "
        f"apart {learned} the same in a randomly initialized copy ({_interval(null['value'], null, '+.2f')}), and {better} the "
        f"entropy before the token ({_interval(entropy['value'], entropy, '+.2f')})."
    )


def _before(kind: str) -> str:
    return {START: "before a word", PUNCTUATION: "before punctuation"}.get(kind, kind)


def _agreement(record: dict[str, Any]) -> str:
    means = []
    for name in ("trained", UNTRAINED):
        found = [entry[f"{name} agreement"] for entry in record["sentences"]]
        means.append(float(np.mean([value for value in found if value is not None])))
    return (
        f"Two halves of the {record['draws']} draws rank the gaps of a sentence alike with a mean correlation of {means[0]:.2f} in the "
        f"trained model and {means[1]:.2f} in the randomly initialized one."
    )


def _read(record: dict[str, Any], groups: dict[str, Group]) -> str:
    """Which sentences were read, and what tokens leave out."""
    counts = ", ".join(
        f"{len(group.sentences)} of {record['wanted'][name]} ({name}: {len(group.kinds)} gaps)"
        for name, group in groups.items()
    )
    first = "has one, after the start symbol" if _first(record) == 0 else "has none"
    text = (
        f"Sentences, each read by itself: {counts}. A gap belongs to the token after it, its kind to the first character of that "
        f"token; the first token of a sentence {first}."
    )
    if CHINESE not in groups:
        return f"{text} No Chinese sentences were read."
    group = groups[CHINESE]
    wanted = {kind: sum(e["characters"].get(kind, 0) for e in group.sentences) for kind in (INSIDE, START)}
    inner = [np.array(e["kinds"])[1 - e["first"] :] for e in group.sentences]
    covered = {kind: sum(int((kinds == kind).sum()) for kinds in inner) for kind in (INSIDE, START)}
    return (
        f"{text} Chinese words are those of {record['gold']}, of which nothing is stored here; of {sum(wanted.values())} gaps between "
        f"characters ({wanted[START] / sum(wanted.values()):.0%} at the start of a word) {sum(covered.values())} lie between the "
        f"model's own tokens ({covered[START] / sum(covered.values()):.0%} at the start of a word). "
        "Read with one token for each character, every gap is measured, in tokens that the model is not used to."
    )


def _first(record: dict[str, Any]) -> int:
    return int(record["sentences"][0]["first"])


def _contrasts(made: dict[tuple[str, str, str], dict[str, Any]]) -> list[str]:
    lines = [
        "| group | gaps | trained: layer, AUC | randomly initialized: layer, AUC | entropy before the token | surprisal of the token | "
        "place in the sentence |",
        "|---|---|---|---|---|---|---|",
    ]
    for (group, first, second), found in made.items():
        counts = found["gaps"]
        cells = [group, f"{counts[first]} {first}, {counts[second]} {second}"]
        cells += [
            f"{_side(found[name])} {found[name].get('row', '')} {_interval(found[name]['value'], found[name], '.2f')}".replace(
                "  ", " "
            )
            for name in ("trained", UNTRAINED, *SIGNALS)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _side(entry: dict[str, Any]) -> str:
    return "more" if entry["sign"] > 0 else "less"


def _method() -> str:
    return (
        "AUC: the chance that a gap of the first kind lies on the named side of one of the second. Layer and side are chosen on every "
        "other sentence, the rest are scored; intervals (95 %) are over the scored sentences, by Student's t, so that few of them give a wide one."
    )


def _layers(groups: dict[str, Group]) -> list[str]:
    """Exploratory: all sentences, no choice."""
    shown = {name: group for name, group in groups.items() if name != NAMES}
    rows = next(iter(shown.values())).rows
    columns = []
    for group in shown.values():
        used, labels = np.isin(group.kinds, (INSIDE, START)), group.kinds == INSIDE
        for name in ("trained", UNTRAINED):
            values = group.sensitivities(name)
            columns.append([statistics.auc(row[used], labels[used]) for row in values])
    heads = [f"{name}, {side}" for name in shown for side in ("trained", UNTRAINED)]
    lines = [
        "AUC of a gap inside a word against one before a word, over all sentences; above 0.5 a layer is more sensitive inside words. "
        "Nothing is chosen here, and nothing corrected for the number of layers.",
        "",
        f"| layer | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for n, row in enumerate(rows):
        lines.append(f"| {row[1:]} | {' | '.join(f'{column[n]:.2f}' for column in columns)} |")
    return lines


def _changes(record: dict[str, Any]) -> dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]:
    """By layer and factor: the divergence that half the sensitivity times the squared change foretells, and the measured one."""
    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for row, factor, sensitivity, divergence in record["dose"]["changes"]:
        found.setdefault((row, factor), []).append((sensitivity * (factor - 1) ** 2 / 2, divergence))
    return {key: (np.array(pairs)[:, 0], np.array(pairs)[:, 1]) for key, pairs in found.items()}


def _rank(foretold: np.ndarray, measured: np.ndarray) -> float:
    return float(statistics.spearman(foretold[None], measured[None])[0])


def _dose_sentence(record: dict[str, Any]) -> str:
    small: list[float] = []
    large: list[float] = []
    ratios = []
    for (_, factor), (foretold, measured) in _changes(record).items():
        (small if abs(factor - 1) <= SMALL else large).append(_rank(foretold, measured))
        if abs(factor - 1) <= SMALL:
            ratios.append(measured.sum() / foretold.sum())
    return (
        f"Where one gap of one layer is a quarter wider or narrower, sensitivities and the divergence of the predictions rank gaps alike with a "
        f"correlation of {min(small):.2f} to {max(small):.2f}, and the divergence is {min(ratios):.2f} to {max(ratios):.2f} times the one "
        f"that they foretell; where a gap is doubled, the correlation is {min(large):.2f} to {max(large):.2f}."
    )


def _dose(record: dict[str, Any]) -> list[str]:
    lines = [
        f"Every gap of {record['dose']['sentences']} English sentences, multiplied in one layer at a time. Foretold: half the sensitivity times the "
        "squared change. Divergence: Kullback-Leibler, mean over the tokens from the gap on, nats, mean over gaps.",
        "",
        "| layer | gap times | gaps | foretold | measured | rank correlation over gaps |",
        "|---|---|---|---|---|---|",
    ]
    for (row, factor), (foretold, measured) in sorted(
        _changes(record).items(), key=lambda entry: (int(entry[0][0][1:]), entry[0][1])
    ):
        lines.append(
            f"| {row[1:]} | {factor:g} | {len(measured)} | {foretold.mean():.3g} | {measured.mean():.3g} | {_rank(foretold, measured):.2f} |"
        )
    return lines


def _interval(value: float, ends: dict[str, float], form: str) -> str:
    return f"{value:{form}} [{ends['low']:{form}}, {ends['high']:{form}}]"
