from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.analyses import statistics
from ropewalk.errors import UserError


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_auc_is_the_share_of_pairs_in_order(items):
    scores, labels, weights = (np.array(column) for column in zip(*items, strict=True))
    pairs = [
        (weights[i] * weights[j], 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
        for i in range(len(scores))
        for j in range(len(scores))
        if labels[i] and not labels[j]
    ]
    total = sum(w for w, _ in pairs)
    got = statistics.Ranking(scores.astype(float), labels).auc(weights.astype(float))
    if total == 0:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(sum(w * v for w, v in pairs) / total)


def alone(found: tuple[float, np.ndarray], clusters: int) -> statistics.Estimate:
    value, samples = found
    return statistics.over_seeds(np.array([value]), samples[None], clusters)


def test_the_interval_of_a_mean_covers_the_truth_19_times_of_20():
    stream = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        effects = stream.normal(0, 1, 60)
        clusters = np.repeat(np.arange(60), 5)
        values = 0.3 + effects[clusters] + stream.normal(0, 0.2, 300)
        estimate = alone(
            statistics.mean(values, clusters, statistics.draw_resample_counts(60, 300, seed=trial)), 60
        )
        covered += estimate.low <= 0.3 <= estimate.high
    assert 178 <= covered <= 200


def test_drawing_single_gaps_would_be_too_sure():
    stream = np.random.default_rng(1)
    clusters = np.repeat(np.arange(40), 25)
    values = stream.normal(0, 1, 40)[clusters]
    whole = alone(statistics.mean(values, clusters, statistics.draw_resample_counts(40)), 40)
    gaps = alone(statistics.mean(values, np.arange(1000), statistics.draw_resample_counts(1000)), 1000)
    assert whole.high - whole.low > 3 * (gaps.high - gaps.low)


def test_seeds_that_disagree_widen_the_interval():
    same = np.tile(np.random.default_rng(0).normal(0.6, 0.01, 500), (5, 1))
    differ = same + np.array([[-0.1], [-0.05], [0.0], [0.05], [0.1]])
    wide, narrow = (statistics.over_seeds(v.mean(1), v, 50) for v in (differ, same))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_of_few_seeds_cover_pure_seed_variation(seeds):
    """Resampling seeds covers 75 % with three and 84 % with five."""
    stream = np.random.default_rng(seeds)
    covered = 0
    for _ in range(400):
        values = stream.normal(0, 1, seeds)
        e = statistics.over_seeds(values, np.tile(values[:, None], (1, 50)), 50)
        covered += e.low <= 0 <= e.high
    assert covered / 400 >= 0.92


def test_the_jackknife_is_students_interval_where_the_statistic_is_a_mean():
    values = np.random.default_rng(0).normal(0, 1, 5)
    left_out = np.array([np.delete(values, i).mean() for i in range(5)])
    e = statistics.jackknife(values.mean(), left_out, np.full(10, values.mean()), 30)
    expected = statistics.paired(values)
    assert (e.low, e.high) == pytest.approx((expected.low, expected.high))


def rank_p(value: float, null_sample: np.ndarray) -> float:
    """Two-sided p of `value` among the values of random networks."""
    tail = min((null_sample >= value).sum(), (null_sample <= value).sum())
    return float(min(1.0, 2 * (1 + tail) / (1 + len(null_sample))))


def test_a_rank_test_needs_draws():
    stream = np.random.default_rng(0)
    nineteen, many = stream.normal(0, 1, 19), stream.normal(0, 1, 99)
    assert rank_p(9.0, nineteen) == 0.1 and rank_p(9.0, many) == 0.02
    assert statistics.null_threshold(9.0, nineteen, 0.0) == np.inf
    assert statistics.null_threshold(9.0, many, 0.0) == np.sort(many)[-2]
    assert statistics.null_threshold(-9.0, many, 0.0) == np.sort(many)[1]
    assert statistics.null_threshold(9.0, np.empty(0), 0.5) == 0.5
    for value in stream.normal(0, 2, 50):
        threshold = statistics.null_threshold(value, many, 0.0)
        beyond = value > threshold if value >= 0 else value < threshold
        assert beyond == (rank_p(value, many) <= 0.05)


def test_permutations_are_all_of_them_where_they_are_few():
    assert (
        len(list(statistics.orders(4))) == 23
        and len(list(statistics.orders(12))) == statistics.PERMUTATIONS == 2000
    )
    assert statistics.permutation_p(1.0, np.array([0.1, -1.0, 0.3])) == 0.5


def test_equivalence_and_difference_are_two_questions():
    tight = np.array([0.0010, 0.0012, 0.0009, 0.0011, 0.0010])
    estimate = statistics.paired(tight)
    assert statistics.paired_tost_p(tight, 0.003) < 0.05 and estimate.verdict() == "above"
    wide = np.array([0.02, -0.03, 0.01, -0.02, 0.025])
    assert statistics.paired_tost_p(wide, 0.003) > 0.05 and statistics.paired(wide).verdict() == "undecided"
    far = tight + 0.01
    assert statistics.paired_tost_p(far, 0.003) > 0.95
    assert np.isnan(statistics.paired_tost_p(tight[:1], 0.003)) and np.isnan(statistics.paired(tight[:1]).low)
    assert statistics.paired_tost_p(np.zeros(3), 0.003) == 0.0


def test_equivalence_agrees_with_the_90_percent_interval():
    stream = np.random.default_rng(5)
    for _ in range(100):
        d = stream.normal(0.001, 0.002, 5)
        t = statistics.stats().t.ppf(0.95, 4)
        reach = t * d.std(ddof=1) / np.sqrt(5)
        inside = d.mean() - reach > -0.003 and d.mean() + reach < 0.003
        assert inside == (statistics.paired_tost_p(d, 0.003) < 0.05)


def test_an_estimate_within_the_margin_is_what_equivalence_of_its_differences_is():
    stream = np.random.default_rng(6)
    for size in (0.001, 0.004):
        d = stream.normal(0.001, size, 6)
        expected = statistics.paired_tost_p(d, 0.003) if abs(d.mean()) < 0.003 else 1.0
        assert statistics.tost_p(statistics.paired(d), 0.003) == pytest.approx(expected, rel=1e-6)
    assert statistics.tost_p(statistics.paired(d + 0.01), 0.003) == 1.0
    assert np.isnan(statistics.tost_p(statistics.Estimate(0.0), 0.003))


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    adjusted = statistics.holm([0.01, float("nan"), 0.9])
    assert adjusted[0] == pytest.approx(0.02) and np.isnan(adjusted[1]) and adjusted[2] == pytest.approx(0.9)


def test_holm_keeps_the_family_error_where_nothing_is_there():
    stream = np.random.default_rng(9)
    false = sum(min(statistics.holm(list(stream.random(12)))) < 0.05 for _ in range(1000))
    assert false < 75


def test_signed_rank_of_no_difference_is_one():
    assert statistics.signed_rank(np.zeros(5)) == statistics.signed_rank(np.full(5, 4e-8)) == 1.0
    assert statistics.signed_rank(np.arange(1.0, 20.0)) < 0.001


def test_draws_are_the_same_every_time_and_refuse_nothing():
    assert np.array_equal(statistics.draw_resample_counts(7, 10), statistics.draw_resample_counts(7, 10))
    assert (statistics.draw_resample_counts(7, 10).sum(1) == 7).all()
    with pytest.raises(UserError, match="at least one sentence"):
        statistics.draw_resample_counts(0)


def test_a_p_agrees_with_its_interval():
    stream = np.random.default_rng(2)
    for _ in range(50):
        e = statistics.paired(stream.normal(0.5, 1, 5))
        assert (e.p(0.0) < 0.05) == (e.verdict(0.0) != "undecided")
    assert np.isnan(statistics.Estimate(1.0).p(0.0))
