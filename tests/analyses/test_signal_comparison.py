"""Signals compared by hand: every row and the chosen one, their intervals, and what the verdict is measured against."""

from __future__ import annotations

import numpy as np
import pytest

from ropewalk.analyses import statistics
from ropewalk.analyses.signal_comparison import Gaps, Predictor, compare_signals, single
from ropewalk.errors import UserError

DEV = np.arange(30) % 3 == 0
TEST = np.arange(40) % 4 == 1
SENTENCES = np.repeat([3, 5, 9, 11, 12], 8)
GAPS = Gaps(DEV, TEST, SENTENCES)
CLUSTERS = np.repeat(np.arange(5), 8)


@pytest.fixture(autouse=True)
def _few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPLICATES", 50)


def predictor(knows: list[float], models: int = 2, seed: int = 0) -> Predictor:
    """Rows whose values at boundaries are larger by `knows`, on development and test alike."""
    stream, effect = np.random.default_rng(seed), np.array(knows)[:, None]
    dev, test = (stream.normal(size=(models, len(knows), len(part))) + effect * part for part in (DEV, TEST))
    return Predictor(tuple("abcd"[: len(knows)]), dev, test)


def expected(given: Predictor, rows: list[int]) -> tuple[float, statistics.Estimate]:
    """The mean development AUC and the test AUC of one row for each model, their signs chosen on development."""
    counts, developed, values, samples = statistics.draw_resample_counts(5), [], [], []
    for dev, test, i in zip(given.dev, given.test, rows, strict=True):
        forward = statistics.auc(dev[i], DEV)
        ranking = statistics.Ranking(test[i] if forward >= 0.5 else -test[i], TEST)
        developed.append(max(forward, 1 - forward))
        values.append(ranking.auc())
        samples.append(ranking.samples(CLUSTERS, counts))
    return float(np.mean(developed)), statistics.over_seeds(np.array(values), np.stack(samples), 5, (0, 1))


def test_every_row_and_the_chosen_one() -> None:
    given = predictor([0.3, -1.5, 0.0])
    result = compare_signals(
        {"increment": given, "surprisal": single(given.dev[0, 0], given.test[0, 0])}, GAPS, title="A title"
    )
    best = [int(np.argmax([abs(statistics.auc(row, DEV) - 0.5) for row in model])) for model in given.dev]
    picks = {"a": [0, 0], "b": [1, 1], "c": [2, 2], "row chosen on development": best}
    assert len(result.rows) == 5 and (result.name, result.title) == ("signals", "A title")
    for name, rows in picks.items():
        developed, e = expected(given, rows)
        assert result.find(predictor=f"increment {name}") == pytest.approx(
            {
                "predictor": f"increment {name}",
                "models": 2,
                "dev": developed,
                "auc": e.value,
                "auc_low": e.low,
                "auc_high": e.high,
            }
        )
    assert result.find(predictor="surprisal")["models"] == 1
    assert result.primary is not None and result.primary.estimate == expected(given, best)[1]
    assert (result.primary.null, result.chart.base) == (0.5, 0.5)
    assert result.notes == (
        "30 gaps fix sign and row, 40 are scored, 25.0% of them boundaries; intervals cover sentences, and models where "
        "there are several. Every row but the primary endpoint is exploratory.",
    )


def test_a_signal_of_one_row_and_its_sign() -> None:
    one = single(DEV, TEST)
    assert one.row_names == ("",) and np.array_equal(one.dev, [[DEV]]) and np.array_equal(one.test, [[TEST]])

    def test_auc(dev: np.ndarray, test: np.ndarray) -> float:
        return compare_signals({"x": single(dev, test)}, GAPS, title="t").find(predictor="x")["auc"]

    assert (
        test_auc(DEV, TEST) == 1.0 == test_auc(-1.0 * DEV, -1.0 * TEST) and test_auc(DEV, -1.0 * TEST) == 0.0
    )
    assert test_auc(np.zeros(30), TEST) == 1.0  # a signal that says nothing on development keeps its sign
    assert test_auc(DEV, 4e-7 * TEST) == 0.5 == test_auc(-1.0 * DEV, 4e-7 * TEST)  # rounding


def test_the_first_signal_must_clear_the_baselines_that_are_named() -> None:
    signals = {
        "x": predictor([3.0]),
        "better": predictor([9.0], seed=1),
        "unnamed": predictor([20.0], seed=2),
    }
    best = compare_signals({"better": signals["better"]}, GAPS, title="t").primary
    assert best is not None
    plain = compare_signals(signals, GAPS, title="t").primary
    clear = compare_signals(signals, GAPS, title="t", baselines=["better"], notes=["A note."])
    assert plain is not None and (plain.null, plain.verdict) == (0.5, "above")
    assert clear.primary is not None and clear.primary.null == best.estimate.value > plain.estimate.value
    assert clear.primary.verdict == "undecided" and clear.notes[0] == "A note." and len(clear.notes) == 2


def test_random_networks_are_what_increments_must_clear_and_no_other_signal() -> None:
    random, given = predictor([0.1, -0.2], models=39, seed=5), predictor([2.0, 0.0])
    best = [int(np.argmax([abs(statistics.auc(row, DEV) - 0.5) for row in model])) for model in random.dev]
    signs = [1 if statistics.auc(d[i], DEV) >= 0.5 else -1 for d, i in zip(random.dev, best, strict=True)]
    drawn = np.array(
        [statistics.auc(s * t[i], TEST) for s, t, i in zip(signs, random.test, best, strict=True)]
    )
    for name in ("increment", "sensitivity"):
        result = compare_signals({name: given}, GAPS, title="t", random=random)
        assert result.find(predictor="random networks, mean of 39 draws")["auc"] == pytest.approx(
            drawn.mean()
        )
        assert result.primary is not None and result.find(predictor=f"{name} row chosen on development")
        threshold = statistics.null_threshold(result.primary.estimate.value, drawn, 0.5)
        assert result.primary.null == (threshold if name == "increment" else 0.5) and threshold > 0.5


@pytest.mark.parametrize("labels", [np.zeros(4, bool), np.ones(4, bool)])
def test_gaps_of_one_kind_are_refused(labels: np.ndarray) -> None:
    both = np.array([True, False, True, True])
    Gaps(both, ~both, np.zeros(4))
    for dev, test in ((labels, both), (both, labels)):
        with pytest.raises(UserError, match="gaps with a boundary and gaps without one"):
            Gaps(dev, test, np.zeros(4))
