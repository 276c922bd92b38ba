"""Rounding is no signal: numbers that differ by 1e-8, however neatly, decide nothing wherever signs or ranks count.

The differences are planted where a decision would look for them, so that a comparison without a tolerance decides.
"""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from ropewalk.analyses import gaps as gap_analysis
from ropewalk.analyses import logistic, segmentation, statistics
from ropewalk.analyses.agreement import agreement
from ropewalk.analyses.boundaries import Part, boundaries
from ropewalk.analyses.gain import gain
from ropewalk.analyses.knockout import knockout
from ropewalk.analyses.lookback import lookback, permutation_p
from ropewalk.analyses.vocabulary import Vocabulary, compare
from ropewalk.core.rows import Row
from ropewalk.measure.knockout import Knockouts
from ropewalk.measure.lookback import Lookback
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace

NOISE = 4e-8


def test_boundaries_and_gain_of_constant_increments() -> None:
    gold = made.gold(160)
    content = made.trace(gold, {})
    parts = []
    for half in gold.halves():
        read = gap_analysis.gaps(content, gold, half)
        parts.append(replace(read, increments=np.tile(1 + NOISE * read.labels, (len(read.increments), 1))))
    part = Part(*parts)
    found = boundaries([part])
    assert found.primary is not None and found.primary.estimate.value == 0.5
    assert found.primary.verdict == "undecided"
    assert {row["auc"] for row in found.rows if str(row["predictor"]).startswith("increment")} == {0.5}
    assert gain([part]).find(added="nothing", model="increments")["gain"] == pytest.approx(0, abs=1e-6)


def test_a_threshold_never_lies_between_equal_scores() -> None:
    labels = np.array([True, False, True, False, True])
    scores = 1 + NOISE * labels
    assert (scores >= segmentation.best_threshold(scores, labels)).all()
    assert (scores - NOISE >= segmentation.best_threshold(scores, labels)).all()


def test_costs_that_are_rounding() -> None:
    costs = {
        key: NOISE * np.linspace(0.9, 1.1, 40)
        for key in (("shuffled within kind", "all", False), ("constant 1", "all", False))
    }
    found = knockout([Knockouts(np.full(40, 1.5), costs, {0: 0.3})])
    assert found.primary is not None and found.primary.verdict == "undecided"
    assert found.find(replacement="constant 1")["holm"] == 1.0
    assert found.find(replacement="constant 1")["verdict"] == "undecided"
    level = statistics.Estimate(0.5 + NOISE, 0.5 + NOISE / 2, 0.5 + 2 * NOISE, ((NOISE**2, 9),))
    assert statistics.decide(level, 0.5, 0.5) == "undecided"
    assert statistics.decide(replace(level, value=0.6, low=0.55, high=0.7), 0.6 - NOISE, 0.5) == "undecided"


def test_heads_that_share_a_row_share_it_but_for_rounding() -> None:
    stream = np.random.default_rng(0)
    distance = stream.normal(20, 5, (12, 4, 3))
    d = np.broadcast_to(stream.uniform(0.5, 2, (1, 4, 1)), distance.shape)
    one, rounded = (
        Lookback(distance, d + noise * np.argsort(np.argsort(-distance.mean(0), 1), 1))
        for noise in (0, NOISE)
    )
    assert permutation_p([rounded]) == permutation_p([one])
    expected, found = lookback([one]), lookback([rounded])
    assert found.notes == expected.notes and "undefined" in found.notes[0]
    assert found.primary is not None and expected.primary is not None
    assert found.primary.estimate.value == pytest.approx(expected.primary.estimate.value)
    flat = Lookback(distance, 1 + NOISE * distance)
    assert lookback([flat]).primary is None


def test_rows_that_are_constant_agree_on_nothing() -> None:
    text = "The cat sat. A dog ran far! It was 1987. We left early, and late.\n" * 4
    tokens = np.array(encode(text))
    same = np.random.default_rng(0).normal(size=(2, len(tokens)))

    def constant(draws: int) -> Trace:
        rows = tuple(Row(0, i) for i in range(draws))
        values = 1 + NOISE * np.resize(same, (draws, len(tokens)))
        return Trace(text, tokens, byte_spans(text), rows, values, "increment", "x", "before")

    found = agreement([constant(2)] * 3, [constant(39)] * 3)
    assert {row["r"] for row in found.rows} == {0.0} == {row["first"] for row in found.rows}
    assert found.primary is not None and found.primary.verdict == "undecided" and found.primary.null == 0.0


def test_a_feature_that_is_rounding_gets_no_weight() -> None:
    labels = np.arange(40) % 3 == 0
    fitted = logistic.fit(1 + NOISE * labels[:, None].astype(np.float64), labels)
    assert abs(float(fitted.weights[0])) < 1e-6
    assert np.abs(logistic.squares(np.full((3, 1), 1 + NOISE), np.ones((3, 1)))[:, 1]).max() < 1e-12


def test_vocabularies_that_are_constant_have_no_pattern_in_common() -> None:
    d = 1 + NOISE * np.arange(6.0)[:, None]
    table = Vocabulary(np.arange(6), tuple("abcdef"), (Row(0),), d, np.ones(6, np.int64), "before")
    found = compare(table, table).rows[0]
    assert (found["pearson"], found["spearman"]) == (None, None)
