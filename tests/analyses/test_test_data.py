"""Nothing is chosen on test data: rows, signs, thresholds and fits come from the development part alone.

The two parts are made to disagree, so that whatever is chosen on the wrong one gives another number.
"""

from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from ropewalk.analyses import gaps as gap_analysis
from ropewalk.analyses import segmentation, statistics
from ropewalk.analyses.boundaries import Part, aucs_of_draws, boundaries, first_token_rates
from ropewalk.analyses.gain import gain
from ropewalk.analyses.signal_comparison import Gaps, Predictor, compare_signals
from ropewalk.core.rows import Row
from ropewalk.traces.trace import Trace


@pytest.fixture(autouse=True)
def _few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPLICATES", 50)


GOLD = made.gold(160)
DEV, TEST = GOLD.halves()


def drawn(knows: dict[int, float], seed: int) -> Trace:
    """Two draws of random networks with two rows each; rows 0 and 1 are the first draw's."""
    content = made.trace(GOLD, knows, rows=4, seed=seed)
    names = ("text", "tokens", "spans", "values", "kind", "unit", "gap")
    rows = tuple(Row(i % 2, i // 2) for i in range(4))
    return Trace(**{name: getattr(content, name) for name in names}, rows=rows)


@pytest.fixture(scope="module")
def part() -> Part:
    """Development: row 0 knows most, wider at boundaries. Test: it is narrower there, and row 1 knows most."""
    dev = made.trace(GOLD, {0: 1.0, 1: 0.3}, seed=1, entropy=1.0)
    test = made.trace(GOLD, {0: -1.0, 1: 2.0}, seed=2, entropy=-1.0)
    return Part(
        gap_analysis.gaps(dev, GOLD, DEV, drawn({0: 1.0, 1: 0.2, 2: -1.0, 3: 0.2}, 3)),
        gap_analysis.gaps(test, GOLD, TEST, drawn({0: -1.0, 1: 2.0, 2: -1.0, 3: 2.0}, 4)),
    )


def test_row_and_sign_come_from_development(part: Part) -> None:
    result = boundaries([part])
    expected = statistics.auc(part.test.increments[0], part.test.labels)
    assert expected < 0.3 and result.primary.estimate.value == pytest.approx(expected)
    assert result.notes[0].startswith("Rows chosen: L0.")
    for i, name in enumerate(("increment L0", "increment L1", "increment L2")):
        row, forward = result.find(predictor=name), statistics.auc(part.dev.increments[i], part.dev.labels)
        on_test = statistics.auc(part.test.increments[i], part.test.labels)
        assert row["dev"] == pytest.approx(max(forward, 1 - forward))
        assert row["auc"] == pytest.approx(on_test if forward >= 0.5 else 1 - on_test)
    assert result.find(predictor="entropy before")["auc"] < 0.4


def test_each_model_has_a_row_of_its_own(part: Part) -> None:
    other = Part(
        replace(part.dev, increments=part.dev.increments[::-1]),
        replace(part.test, increments=part.test.increments[::-1]),
    )
    result = boundaries([part, other])
    assert result.notes[0].startswith("Rows chosen: L0, L2.")
    expected = statistics.auc(part.test.increments[0], part.test.labels)
    assert result.primary.estimate.value == pytest.approx(expected)


def test_the_threshold_comes_from_development(part: Part) -> None:
    row = boundaries([part]).find(predictor="increment L1")
    threshold = segmentation.best_threshold(part.dev.increments[1], part.dev.labels)
    choice = part.test.increments[1] >= threshold
    right, proposed, true = (choice & part.test.labels).sum(), choice.sum(), part.test.labels.sum()
    assert row["boundary_f1"] == pytest.approx(2 * right / (proposed + true))
    own = segmentation.best_threshold(part.test.increments[1], part.test.labels)
    best = part.test.increments[1] >= own
    assert row["boundary_f1"] < 2 * (best & part.test.labels).sum() / (best.sum() + true)


def test_first_tokens_are_counted_on_development(part: Part) -> None:
    _, test = first_token_rates(part)
    mean = part.dev.labels.mean()
    for token in np.unique(part.test.first_tokens)[:40]:
        seen = part.dev.first_tokens == token
        rate = (part.dev.labels[seen].sum() + mean) / (seen.sum() + 1)
        assert test[part.test.first_tokens == token] == pytest.approx(rate)


def test_random_networks_are_chosen_as_the_increments_are(part: Part) -> None:
    first, second = aucs_of_draws(part)
    assert first == pytest.approx(statistics.auc(part.test.random[0, 0], part.test.labels)) and first < 0.35
    assert second == pytest.approx(1 - statistics.auc(part.test.random[1, 0], part.test.labels))
    assert second > 0.65


def test_the_rival_is_chosen_on_development(part: Part) -> None:
    """Surprisal is the better signal of the test part, entropy that of the development part."""
    signals = dict(part.test.signals)
    signals["surprisal"] = part.test.labels + np.linspace(0, 0.1, len(part.test.labels))
    changed = Part(part.dev, replace(part.test, signals=signals))
    assert "(entropy before)" in boundaries([changed]).notes[0]


def test_models_are_fitted_on_development(part: Part) -> None:
    """What was learned on development is wrong on the test part, so that it costs nats there."""
    result = gain([part])
    assert result.primary.estimate.value < -0.01
    assert result.find(added="nothing", model="increments")["gain"] < 0


def test_signals_are_compared_by_the_row_and_sign_of_development() -> None:
    stream = np.random.default_rng(0)
    dev, test = stream.random(300) < 0.4, stream.random(400) < 0.4
    noise = stream.normal(size=(2, 2, 400))
    predictor = Predictor(
        ("a", "b"),
        np.stack([noise[0, :, :300] + np.array([[1.5], [-0.5]]) * dev] * 2),
        np.stack([noise[1] + np.array([[-1.0], [-2.0]]) * test] * 2),
    )
    result = compare_signals(
        {"increment": predictor}, Gaps(dev, test, np.arange(400) // 8), title="t", random=predictor
    )
    expected = statistics.auc(predictor.test[0, 0], test)
    assert expected < 0.4
    assert result.primary.estimate.value == pytest.approx(expected)
    assert result.find(predictor="increment row chosen on development")["auc"] == pytest.approx(expected)
    assert result.find(predictor="increment a")["auc"] == pytest.approx(expected)
    assert result.find(predictor="increment b")["auc"] == pytest.approx(
        1 - statistics.auc(predictor.test[0, 1], test)
    )
    assert result.find(predictor="random networks, mean of 2 draws")["auc"] == pytest.approx(expected)
    assert result.find(predictor="increment a")["dev"] == pytest.approx(
        statistics.auc(predictor.dev[0, 0], dev)
    )


def test_shuffling_the_test_part_changes_no_choice(part: Part) -> None:
    order = np.random.default_rng(0).permutation(len(part.test.labels))
    shuffled = Part(
        part.dev,
        replace(
            part.test,
            increments=part.test.increments[:, order],
            signals={name: signal[order] for name, signal in part.test.signals.items()},
            first_tokens=part.test.first_tokens[order],
        ),
    )
    before, after = boundaries([part]), boundaries([shuffled])
    predictors = [row["predictor"] for row in before.rows if row["dev"] is not None]
    assert len(predictors) > 8
    assert [before.find(predictor=r)["dev"] for r in predictors] == [
        after.find(predictor=r)["dev"] for r in predictors
    ]
    assert after.notes[0].startswith("Rows chosen: L0.")
