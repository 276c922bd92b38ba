"""The boundary table by hand: every column of every row, the notes and the verdict, from small parts made directly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ropewalk.analyses import segmentation, statistics
from ropewalk.analyses.boundaries import (
    Part,
    aucs_of_draws,
    boundaries,
    first_token_rates,
    null_sample_of,
    score,
)
from ropewalk.analyses.gaps import TEXT_SEEN, Characters, Gaps
from ropewalk.errors import UserError

SENTENCES, LENGTH = 6, 7


@pytest.fixture(autouse=True)
def _few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPLICATES", 40)


def gaps(
    seed: int, effects: tuple[float, ...], words: int, draws: int = 0, sentences: int = SENTENCES
) -> Gaps:
    """Sentences of Chinese characters only; rows know the boundaries of `words` by `effects`."""
    stream, count = np.random.default_rng(seed), sentences * LENGTH
    candidate = np.arange(count) % LENGTH > 0
    gold = (np.random.default_rng(words).random(count) < 0.4) | ~candidate
    labels = gold[candidate]
    known = Characters(
        3 * np.arange(count), np.repeat(np.arange(sentences), LENGTH), gold, ~candidate, candidate
    )
    noise = stream.normal(size=(len(effects), len(labels)))
    return Gaps(
        labels,
        known.sentence[candidate],
        {name: stream.normal(size=len(labels)) + 0.2 * i * labels for i, name in enumerate(TEXT_SEEN)},
        tuple(f"L{i}" for i in range(len(effects))),
        noise + np.array(effects)[:, None] * labels,
        stream.integers(0, 3, len(labels)),
        known,
        np.arange(len(effects)) / 10 + seed,
        stream.normal(size=(draws, len(effects), len(labels))) if draws else None,
    )


def part(seed: int, draws: int = 0) -> Part:
    """A development part of other words, more sentences and rows of other names than its test part."""
    dev = gaps(seed, (0.2, -2.0, 0.5), 1, draws, SENTENCES + 1)
    return Part(replace(dev, row_names=("x", "y", "z")), gaps(seed + 50, (0.0, -1.5, 0.5), 2, draws))


PARTS = [part(0, 39), part(1, 39)]
CHOICE = np.arange(SENTENCES * (LENGTH - 1)) % 2 == 0


def expected(signals: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The columns of one predictor, given its development and test values for each model."""
    counts, test = statistics.draw_resample_counts(SENTENCES), PARTS[0].test
    dev_aucs, aucs, samples, f1s, words, word_samples = [], [], [], [], [], []
    for dev, values in signals:
        forward = statistics.auc(dev, PARTS[0].dev.labels)
        sign = 1 if forward >= 0.5 else -1
        ranking = statistics.Ranking(sign * values, test.labels)
        choice = sign * values >= segmentation.best_threshold(sign * dev, PARTS[0].dev.labels)
        dev_aucs.append(max(forward, 1 - forward))
        aucs.append(ranking.auc())
        samples.append(ranking.samples(test.sentence, counts))
        f1s.append(2 * (choice & test.labels).sum() / (choice.sum() + test.labels.sum()))
        f1, drawn = statistics.ratio(
            segmentation.word_counts(test.characters, choice), counts, segmentation.f1
        )
        words.append(f1)
        word_samples.append(drawn)
    auc = statistics.over_seeds(np.array(aucs), np.stack(samples), SENTENCES, (0, 1))
    word = statistics.over_seeds(np.array(words), np.stack(word_samples), SENTENCES, (0, 1))
    return {
        "dev": float(np.mean(dev_aucs)),
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
        "boundary_f1": float(np.mean(f1s)),
        "word_f1": word.value,
        "word_f1_low": word.low,
        "word_f1_high": word.high,
    }


def test_every_column_of_every_predictor() -> None:
    result, names = boundaries(PARTS), [f"increment L{i}" for i in range(3)]
    by_row = [expected([(p.dev.increments[i], p.test.increments[i]) for p in PARTS]) for i in range(3)]
    for i, columns in enumerate(by_row):
        row = dict(result.find(predictor=names[i]))
        assert row.pop("saturated") == pytest.approx(np.mean([p.test.saturated[i] for p in PARTS]))
        assert (
            row.pop("text_seen") == "same"
            and row.pop("predictor") == names[i]
            and row.pop("holm") is not None
        )
        assert row == pytest.approx(columns)
    chosen = dict(result.find(predictor="increment, row chosen on development"))
    assert {key: chosen[key] for key in by_row[1]} == pytest.approx(by_row[1])
    for name, seen in TEXT_SEEN.items():
        row = result.find(predictor=name)
        columns = expected([(p.dev.signals[name], p.test.signals[name]) for p in PARTS])
        assert row["text_seen"] == seen and {key: row[key] for key in columns} == pytest.approx(columns)
    columns = expected([first_token_rates(p) for p in PARTS])
    row = result.find(predictor="first byte")
    assert {key: row[key] for key in columns} == pytest.approx(columns)


def test_p_values_are_adjusted_for_the_rows() -> None:
    result, counts = boundaries(PARTS), statistics.draw_resample_counts(SENTENCES)
    p = []
    for i in range(3):
        scored = [score(one, one.dev.increments[i], one.test.increments[i], counts) for one in PARTS]
        values, samples = np.array([s.auc for s in scored]), np.stack([s.samples for s in scored])
        p.append(statistics.over_seeds(values, samples, SENTENCES, (0, 1)).p(0.5))
    found = [result.find(predictor=f"increment L{i}")["holm"] for i in range(3)]
    assert found == pytest.approx(statistics.holm(p)) and min(p) < min(found)


def test_random_networks_give_the_threshold_and_two_rows() -> None:
    result = boundaries(PARTS)
    sample = np.mean([aucs_of_draws(p) for p in PARTS], axis=0)
    assert len(sample) == 39 and result.primary is not None
    for name, value in (("mean", sample.mean()), ("97.5th percentile", np.quantile(sample, 0.975))):
        row = result.find(predictor=f"random networks, {name} of 39 draws")
        assert row["auc"] == pytest.approx(value) and row["text_seen"] == "same"
    e = result.primary.estimate
    assert result.primary.null == statistics.null_threshold(e.value, sample, 0.5) > 0.5
    assert result.primary.verdict == statistics.decide(e, result.primary.null, 0.5)
    without = boundaries([Part(*(replace(g, random=None) for g in (PARTS[0].dev, PARTS[0].test)))])
    assert without.primary is not None and (without.primary.null, without.primary.verdict) == (0.5, "above")
    assert without.chart.base == 0.5
    assert not any("random networks" in str(row["predictor"]) for row in without.rows)


def test_what_the_notes_say() -> None:
    two, one = boundaries(PARTS).notes, boundaries(PARTS[:1]).notes
    count, share = len(CHOICE), PARTS[0].test.labels.mean()
    for notes, models, cover in ((two, 2, " and models"), (one, 1, "")):
        assert notes[1].startswith(
            f"{count} gaps between two Chinese characters in {SENTENCES} sentences, {share:.1%} of them word "
            f"boundaries; {models} model(s). Intervals cover sentences{cover}. "
        )
    counts = statistics.draw_resample_counts(SENTENCES)
    pairs = {name: [(p.dev.signals[name], p.test.signals[name]) for p in PARTS] for name in TEXT_SEEN}
    pairs = {name: pair for name, pair in pairs.items() if TEXT_SEEN[name] != "more"}
    pairs["first byte"] = [first_token_rates(p) for p in PARTS]
    best = max(pairs, key=lambda name: expected(pairs[name])["dev"])
    own = [score(p, p.dev.increments[1], p.test.increments[1], counts) for p in PARTS]
    rival = [score(p, *pair, counts) for p, pair in zip(PARTS, pairs[best], strict=True)]
    d = statistics.over_seeds(
        np.array([a.auc - b.auc for a, b in zip(own, rival, strict=True)]),
        np.stack([a.samples - b.samples for a, b in zip(own, rival, strict=True)]),
        SENTENCES,
    )
    assert two[0].startswith(
        "Rows chosen: L1, L1. Against the best signal of the development part that has read no more "
        f"({best}): AUC {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}], "
    )
    hiding = [replace(p, test=replace(p.test, hidden=3)) for p in PARTS]
    assert "3 more gaps lie inside a token" in boundaries(hiding).notes[1]
    assert "inside a token" not in two[1]


def test_first_tokens_of_one_part_only() -> None:
    dev, test = PARTS[0].dev, PARTS[0].test
    tests = np.where(test.first_tokens == 1, 5, test.first_tokens)  # 1 is only in development, 5 only in test
    rates = first_token_rates(Part(dev, replace(test, first_tokens=tests)))
    for token in (0, 1, 2, 5):
        seen = dev.first_tokens == token
        rate = (dev.labels[seen].sum() + dev.labels.mean()) / (seen.sum() + 1)
        assert rates[0][seen] == pytest.approx(rate) and rates[1][tests == token] == pytest.approx(rate)
    assert (dev.first_tokens == 1).any() and (tests == 5).any()


def test_draws_of_both_parts_belong_together() -> None:
    one = PARTS[0]
    few = Part(replace(one.dev, random=one.dev.random[:2]), one.test)  # type: ignore[index]
    none = Part(replace(one.dev, random=None), replace(one.test, random=one.test.random[:1]))  # type: ignore[index]
    for wrong in (few, none):
        with pytest.raises(ValueError, match="zip"):
            null_sample_of([wrong])


def test_baselines_and_segmenters() -> None:
    test = PARTS[0].test
    cut = replace(test.characters, gold=np.arange(SENTENCES * LENGTH) % 2 == 0)
    result = boundaries(PARTS, {"other": cut})

    def f1s(choice: np.ndarray) -> dict[str, float]:
        words = segmentation.word_counts(test.characters, choice).sum(0)
        boundary = 2 * (choice & test.labels).sum() / (choice.sum() + test.labels.sum())
        return {"boundary_f1": boundary, "word_f1": 2 * words[0] / (words[1] + words[2])}

    choices = {
        "every character": np.ones(len(test.labels), bool),
        "two characters": segmentation.every_other(test.characters),
        "other": cut.gold[cut.candidate],
    }
    for name, choice in choices.items():
        row = result.find(predictor=name)
        assert row["text_seen"] == "no model" and {k: row[k] for k in f1s(choice)} == pytest.approx(
            f1s(choice)
        )
    words = segmentation.word_counts(test.characters, cut.gold, everywhere=True).sum(0)
    own = result.find(predictor="other, its own cuts everywhere")
    assert own["word_f1"] == pytest.approx(2 * words[0] / (words[1] + words[2]))


def test_intervals_stay_between_0_and_1() -> None:
    labels = PARTS[0].test.labels
    right = Part(
        replace(PARTS[0].dev, increments=1.0 * PARTS[0].dev.labels[None].repeat(3, 0)), PARTS[0].test
    )
    nearly = labels + np.where(np.arange(len(labels)) == np.flatnonzero(labels)[0], -1.5, 0)
    for sign, edge in ((1.0, "high"), (-1.0, "low")):
        values = sign * np.stack([labels + 0.0, nearly, nearly])
        parts = [
            replace(right, test=replace(right.test, increments=values)),
            replace(right, test=replace(right.test, increments=values[::-1])),
        ]
        row = boundaries(parts).find(predictor="increment L0")
        assert row[f"auc_{edge}"] == (1.0 if edge == "high" else 0.0) != row["auc"]


def test_signs_where_development_says_nothing_and_rounding() -> None:
    one, counts = PARTS[0], statistics.draw_resample_counts(SENTENCES)
    flat, labels = np.zeros(len(one.dev.labels)), one.test.labels
    assert (
        score(one, flat, 1.0 * labels, counts).auc == 1.0
        and score(one, flat, 1.0 * labels, counts).dev == 0.5
    )
    for sign in (1.0, -1.0):
        assert score(one, sign * one.dev.labels, 4e-7 * labels, counts).auc == 0.5
    threshold = segmentation.best_threshold(1.0 * one.dev.labels, one.dev.labels)
    at = score(one, 1.0 * one.dev.labels, np.full(len(labels), threshold), counts)
    assert at.boundaries[:, 1].sum() == len(labels)
    random = np.stack([np.stack([flat] * 3)])
    same = Part(
        replace(one.dev, random=random), replace(one.test, random=np.stack([np.stack([1.0 * labels] * 3)]))
    )
    assert aucs_of_draws(same) == [1.0]


def test_models_of_other_rows_or_gaps_are_refused() -> None:
    one = PARTS[0]
    renamed = replace(one, test=replace(one.test, row_names=("a", "b", "c")))
    other = replace(one, test=replace(one.test, labels=~one.test.labels))
    for wrong in (renamed, other):
        with pytest.raises(UserError, match="models of one kind"):
            boundaries([one, wrong])
