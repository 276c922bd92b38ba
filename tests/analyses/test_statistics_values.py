"""Statistics by hand: small inputs whose right values are known or counted plainly."""

from __future__ import annotations

import numpy as np
import pytest

from ropewalk.analyses import segmentation, statistics
from ropewalk.analyses.gaps import Characters
from ropewalk.analyses.statistics import TOLERANCE, Estimate
from ropewalk.errors import UserError

T = statistics.stats().t


def test_an_interval_of_two_parts_adds_squared_half_widths() -> None:
    e = statistics.with_interval(2.0, (0.04, 3), (0.09, 10), (float("nan"), 5), (1.0, 0))
    reach = np.sqrt((T.ppf(0.975, 3) * 0.2) ** 2 + (T.ppf(0.975, 10) * 0.3) ** 2)
    assert (e.low, e.high) == pytest.approx((2 - reach, 2 + reach))
    assert e.parts == ((0.04, 3.0), (0.09, 10.0))
    cut = statistics.with_interval(2.0, (0.04, 3), bounds=(1.9, 2.1))
    assert (cut.low, cut.high) == (1.9, 2.1)
    assert np.isnan(statistics.with_interval(2.0).low)
    assert statistics.with_interval(2.0, (0.0, 1)).low == 2.0
    one = statistics.with_interval(0.0, (1.0, 1))
    assert one.high == pytest.approx(T.ppf(0.975, 1))


def test_verdicts_exclude_the_edge() -> None:
    assert Estimate(1.0, 0.0, 2.0).verdict() == "undecided" == Estimate(-1.0, -2.0, 0.0).verdict()
    assert Estimate(1.0, 0.1, 2.0).verdict() == "above" and Estimate(-1.0, -2.0, -0.1).verdict() == "below"
    assert Estimate(1.0, 0.1, 2.0).verdict(0.5) == "undecided"
    assert (
        Estimate(1.0, TOLERANCE, 2.0).verdict() == "undecided" == Estimate(-1.0, -2.0, -TOLERANCE).verdict()
    )
    assert Estimate(1.0, 0.0, 2.0) == Estimate(1.0, 0.0, 2.0, ((1.0, 2.0),))


def test_p_of_a_single_part_is_students() -> None:
    e = statistics.with_interval(0.5, (0.04, 4))
    assert e.p() == pytest.approx(2 * T.sf(2.5, 4), rel=1e-9)
    assert e.p(0.3) == pytest.approx(2 * T.sf(1.0, 4), rel=1e-9)
    assert e.p(0.5) == 1.0 == statistics.with_interval(TOLERANCE, (0.04, 4)).p()
    assert statistics.with_interval(0.7, (0.04, 4), (0.0, 3)).p() == pytest.approx(2 * T.sf(3.5, 4), rel=1e-9)
    assert statistics.with_interval(0.002, (0.04, 4)).p() == pytest.approx(2 * T.sf(0.01, 4), rel=1e-9)
    assert statistics.with_interval(1e9, (1.0, 30)).p() == pytest.approx(1e-16, rel=1e-6, abs=0)
    still = statistics.with_interval(0.5, (0.0, 4))
    assert (still.p(), still.p(0.5)) == (0.0, 1.0)
    assert np.isnan(Estimate(0.5).p())


def test_the_interval_over_seeds_has_a_part_for_seeds_and_one_for_sentences() -> None:
    values = np.array([1.0, 2.0, 4.0])
    samples = values[:, None] + np.array([[-0.3, 0.0, 0.3, 0.0]])
    e = statistics.over_seeds(values, samples, 10)
    within = samples.mean(0).var() * 10 / 9
    assert e.value == pytest.approx(7 / 3)
    assert e.parts == pytest.approx(np.array([[values.var(ddof=1) / 3, 2], [within, 9]]))
    assert statistics.over_seeds(values, samples, 10, (0, 2.5)).high == 2.5
    alone = statistics.over_seeds(values[:1], samples[:1], 10)
    assert alone.parts == pytest.approx(np.array([[samples[0].var() * 10 / 9, 9]]))
    two = statistics.over_seeds(values[:2], samples[:2], 10)
    assert two.parts[0] == (0.25, 1)


def test_few_sentences_give_no_part() -> None:
    assert np.isnan(statistics.over_seeds(np.array([1.0]), np.array([[1.0, 2.0]]), 1).low)
    assert np.isnan(statistics.over_seeds(np.array([1.0]), np.array([[1.0, np.nan]]), 9).low)
    two = statistics.over_seeds(np.array([1.0]), np.array([[1.0, 2.0, np.nan]]), 2)
    assert two.parts == ((0.5, 1.0),)


def test_the_jackknife_needs_three_models() -> None:
    samples = np.array([0.9, 1.1])
    inside = samples.var() * 5 / 4
    assert statistics.jackknife(1.0, np.array([0.9, 1.1]), samples, 5).parts == pytest.approx(
        np.array([[inside, 4]])
    )
    left_out = np.array([0.8, 1.0, 1.3])
    between = 2 / 3 * ((left_out - left_out.mean()) ** 2).sum()
    assert statistics.jackknife(1.0, left_out, samples, 5).parts == pytest.approx(
        np.array([[between, 2], [inside, 4]])
    )


def test_means_of_drawn_sentences_are_counted_plainly() -> None:
    values, clusters = np.array([1.0, 3.0, 8.0]), np.array([0, 0, 1])
    value, samples = statistics.mean(values, clusters, np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]]))
    assert value == 4.0 and samples.tolist() == [4.0, 2.0, 8.0]
    whole = statistics.window_mean(np.array([[1.0, 3.0], [2.0, 4.0]]), np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert whole.value == 2.5
    assert whole.parts == pytest.approx(np.array([[0.25, 1], [np.var([2.5, 1.5]) * 2, 1]]))
    total, drawn = statistics.ratio(
        np.array([[1.0, 2.0], [3.0, 4.0]]),
        np.array([[1.0, 1.0], [0.0, 2.0]]),
        lambda c: c[..., 0] / c[..., 1],
    )
    assert total == pytest.approx(4 / 6) and drawn == pytest.approx([4 / 6, 6 / 8])


def test_draws_of_a_seed() -> None:
    assert statistics.draw_resample_counts(5).shape == (statistics.REPLICATES, 5) == (1000, 5)
    assert not np.array_equal(
        statistics.draw_resample_counts(5, 20), statistics.draw_resample_counts(5, 20, seed=1)
    )
    assert statistics.draw_resample_counts(4, 4000).mean(0) == pytest.approx(np.ones(4), abs=0.06)
    assert statistics.draw_resample_counts(1, 3).tolist() == [[1.0]] * 3


def test_scores_of_a_ranking() -> None:
    scores, labels = np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, False, True, False])
    ranking = statistics.Ranking(scores, labels)
    assert ranking.auc() == (1 + 1 + 1 + 0.5) / 4
    assert ranking.auc(np.array([0.0, 1.0, 1.0, 1.0])) == (1 + 0.5) / 2
    assert np.isnan(ranking.auc(np.array([0.0, 1.0, 0.0, 1.0])))
    assert statistics.auc(np.array([1.0, 2.0]), np.array([False, True])) == 1.0
    drawn = ranking.samples(np.array([0, 1, 1, 0]), np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert drawn.tolist() == [ranking.auc(), 1.0]
    with pytest.raises(UserError, match="finite"):
        statistics.Ranking(np.array([1.0, np.nan]), labels[:2])


def test_equivalence_by_hand() -> None:
    d = np.array([0.1, 0.2, 0.3, 0.2])
    error = d.std(ddof=1) / 2
    high, low = T.sf((0.2 + 0.5) / error, 3), T.cdf((0.2 - 0.5) / error, 3)
    assert statistics.paired_tost_p(d, 0.5) == pytest.approx(max(high, low))
    assert statistics.paired_tost_p(-d, 0.5) == pytest.approx(max(high, low))
    assert statistics.paired_tost_p(np.full(3, 0.5), 0.5) == 1.0
    assert statistics.paired_tost_p(np.full(3, 0.25), 0.5) == 0.0
    assert np.isnan(statistics.paired_tost_p(np.ones(1), 2.0))
    assert statistics.paired_tost_p(np.array([0.1, 0.3]), 0.5) == pytest.approx(T.sf(3.0, 1))
    with pytest.raises(UserError, match="share a seed"):
        statistics.paired(np.empty(0))


def test_an_estimate_within_a_margin_is_tested_on_both_sides() -> None:
    for value in (0.4, -0.4):
        e = statistics.with_interval(value, (0.01, 4))
        assert statistics.tost_p(e, 0.5) == pytest.approx(T.sf(1.0, 4), rel=1e-6)
        assert statistics.tost_p(e, 0.4) == 1.0 == statistics.tost_p(e, 0.3)
    assert statistics.tost_p(statistics.with_interval(0.0, (0.01, 4)), 0.5) == pytest.approx(
        T.sf(5.0, 4), rel=1e-6
    )
    assert np.isnan([statistics.tost_p(Estimate(value), 0.5) for value in (0.1, 0.9)]).all()


def test_a_threshold_is_the_second_value_from_either_end() -> None:
    null_sample = np.arange(39.0)
    assert (
        statistics.null_threshold(40.0, null_sample, 0.5) == 38.0
        and statistics.null_threshold(-9.0, null_sample, 0.5) == 0.0
    )
    assert statistics.null_threshold(0.5, null_sample, 0.5) == 38.0
    assert (
        statistics.null_threshold(40.0, null_sample, 50.0) == 0.0
        and statistics.null_threshold(60.0, null_sample, 50.0) == 50.0
    )
    assert statistics.null_threshold(-9.0, null_sample - 20, -30.0) == 18.0
    assert statistics.null_threshold(-9.0, np.arange(38.0), 0.0) == -np.inf


def test_a_decision_takes_both_the_interval_and_the_threshold() -> None:
    def word(value: float, low: float, high: float, threshold: float) -> str:
        return statistics.decide(Estimate(value, low, high), threshold, 0.5)

    assert word(0.8, 0.6, 0.9, 0.7) == "above" and word(0.2, 0.1, 0.4, 0.3) == "below"
    assert word(0.8, 0.5, 0.9, 0.7) == "undecided" == word(0.7, 0.6, 0.9, 0.7)
    assert word(0.2, 0.1, 0.5, 0.3) == "undecided" == word(0.3, 0.1, 0.4, 0.3)
    assert word(0.7 + TOLERANCE, 0.6, 0.9, 0.7) == "undecided" == word(0.3 - TOLERANCE, 0.1, 0.4, 0.3)


def test_permutations() -> None:
    values = np.array([0.1, -0.4, np.nan, 0.4, 0.2])
    assert statistics.permutation_p(0.4, values) == 3 / 5 and statistics.permutation_p(-0.5, values) == 1 / 5
    assert np.isnan(statistics.permutation_p(np.nan, values))
    assert np.isnan(statistics.permutation_p(0.1, np.array([np.nan])))
    three = [order.tolist() for order in statistics.orders(3)]
    assert three == [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert len(list(statistics.orders(3, most=6))) == 5 and len(list(statistics.orders(3, most=5))) == 5
    random = [order.tolist() for order in statistics.orders(4, most=5)]
    assert len(random) == 5 and all(sorted(order) == [0, 1, 2, 3] for order in random)
    assert random != [order.tolist() for order in statistics.orders(4, seed=1, most=5)]
    near = [statistics.permutation_p(1.0, np.array([1 - less])) for less in (1e-12, 1.5e-12)]
    assert near == [1.0, 0.5]  # equal but for rounding counts


def test_of_ten_all_permutations_may_be_asked_for_and_of_more_random_ones() -> None:
    assert next(statistics.orders(10, most=4_000_000)).tolist() == [*range(8), 9, 8]
    assert next(statistics.orders(11, most=40_000_000)).tolist() != [*range(9), 10, 9]
    assert next(statistics.orders(12)).tolist() == [10, 2, 1, 0, 5, 7, 6, 8, 4, 3, 9, 11]


def test_spearman_and_the_signed_rank_test_agree_with_scipy() -> None:
    stream = np.random.default_rng(0)
    a, b = stream.normal(size=(3, 9)), stream.normal(size=(3, 9))
    b[2] = 7.0
    found = statistics.spearman(a, b)
    for i in range(2):
        assert found[i] == pytest.approx(statistics.stats().spearmanr(a[i], b[i]).statistic)
    assert np.isnan(found[2])
    assert statistics.spearman(np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([[3.0, 9.0], [9.0, 3.0]])).tolist() == [
        pytest.approx(1.0), pytest.approx(-1.0)
    ]  # fmt: skip
    d = np.array([0.3, -0.1, 0.4, 0.2, 0.6, -0.05, 5e-7])
    expected = statistics.stats().wilcoxon(np.append(d[:-1], 0.0)).pvalue
    assert statistics.signed_rank(d) == pytest.approx(expected)
    assert statistics.signed_rank(-d) == pytest.approx(expected)
    assert statistics.signed_rank(np.full(5, TOLERANCE)) == 1.0


def test_holm_is_monotone_and_at_most_one() -> None:
    assert statistics.holm([0.02, 0.019, 0.5]) == pytest.approx([0.057, 0.057, 0.5])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0] and statistics.holm([]) == []
    assert statistics.holm([0.04]) == [0.04]


CHARACTERS = Characters(
    starts=np.arange(6) * 3,
    sentence=np.array([0, 0, 0, 0, 1, 1]),
    gold=np.array([True, False, True, False, True, True]),
    rule=np.array([True, False, False, True, True, False]),
    candidate=np.array([False, True, True, False, False, True]),
)


def test_words_are_right_when_both_ends_are() -> None:
    # gold: ab|cd  e|f; proposed cuts at c (right), d (rule), f (right): ab, c, d | e, f
    counts = segmentation.word_counts(CHARACTERS, np.array([False, True, True]))
    assert counts.tolist() == [[1, 3, 2], [2, 2, 2]]
    none = segmentation.word_counts(CHARACTERS, np.array([False, False, False]))
    assert none.tolist() == [[0, 2, 2], [0, 1, 2]]
    own = segmentation.word_counts(CHARACTERS, CHARACTERS.gold, everywhere=True)
    assert own.tolist() == [[2, 2, 2], [2, 2, 2]]
    whole = segmentation.word_counts(CHARACTERS, np.zeros(6, bool), everywhere=True)
    assert whole.tolist() == [[0, 1, 2], [0, 1, 2]]  # a sentence starts a word, proposed or not
    assert CHARACTERS.rule.tolist() == [True, False, False, True, True, False]


def test_boundaries_are_counted_by_sentence() -> None:
    labels, chosen = np.array([True, False, True]), np.array([True, True, False])
    counts = segmentation.boundary_counts(labels, chosen, np.array([0, 0, 2]), 3)
    assert counts.tolist() == [[1, 2, 1], [0, 0, 0], [0, 0, 1]]
    assert segmentation.f1(np.array([1.0, 2.0, 2.0])) == 0.5 and np.isnan(segmentation.f1(np.zeros(3)))


def test_the_threshold_is_the_best_of_all_and_the_highest_of_equal_ones() -> None:
    stream = np.random.default_rng(1)
    for _ in range(30):
        scores, labels = stream.integers(0, 6, 20).astype(float), stream.random(20) < 0.4

        def quality(line: float, scores: np.ndarray = scores, labels: np.ndarray = labels) -> float:
            chosen = scores >= line
            return 2 * (chosen & labels).sum() / (chosen.sum() + labels.sum())

        lines = sorted(set(scores), reverse=True)
        best = max(quality(line) for line in lines)
        line = next(x for x in lines if quality(x) == best)
        assert segmentation.best_threshold(scores, labels) == pytest.approx(line, abs=1e-6)


def test_the_threshold_lies_half_of_the_rounding_below_the_score() -> None:
    found = segmentation.best_threshold(np.array([1.0, 2.0]), np.array([False, True]))
    assert found == pytest.approx(2 - TOLERANCE / 2, rel=0, abs=1e-9)


def test_every_other_character_starts_a_word() -> None:
    known = Characters(*[np.zeros(7)] * 4, candidate=np.array([False, True, True, True, False, True, True]))
    assert segmentation.every_other(known).tolist() == [False, True, False, False, True]


def test_a_boolean_in_a_saved_result_is_no_number() -> None:
    from ropewalk.analyses.result import Endpoint, Result

    saved = Result("t", "T", {"x": "x"}, (), primary=Endpoint("e", Estimate(1.0), 0.0, "undecided")).to_json()
    assert Result.from_json(saved).primary is not None
    for key in ("value", "null", "p"):
        changed = {**saved, "primary": {**saved["primary"], key: True}}
        with pytest.raises(UserError, match="true or false where a number belongs"):
            Result.from_json(changed)
