from __future__ import annotations

from dataclasses import replace

import made
import numpy as np
import pytest

from ropewalk.analyses import gaps as gap_analysis
from ropewalk.analyses import logistic, statistics
from ropewalk.analyses.boundaries import Part, boundaries
from ropewalk.analyses.gain import gain
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace

GOLD = made.gold(240)
DRAWS = 39


@pytest.fixture(autouse=True)
def _few_replicates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPLICATES", 100)


def part(knows: dict[int, float], *, seed: int = 0, entropy: float = 0.0, with_random: bool = False) -> Part:
    trace = made.trace(GOLD, knows, seed=seed, entropy=entropy)
    random = None
    if with_random:
        drawn = made.trace(GOLD, {}, rows=2 * DRAWS, seed=seed + 50)
        random = Trace(
            **{
                name: getattr(drawn, name)
                for name in ("text", "tokens", "spans", "values", "kind", "unit", "gap")
            },
            rows=tuple(Row(i % 2, i // 2) for i in range(2 * DRAWS)),
        )
    dev, test = GOLD.halves()
    return Part(gap_analysis.gaps(trace, GOLD, dev, random), gap_analysis.gaps(trace, GOLD, test, random))


def test_the_row_that_knows_is_chosen_with_its_sign_and_the_others_are_nothing():
    for strength in (1.0, -1.0):
        result = boundaries([part({1: strength}, with_random=True)])
        row = result.find(predictor="increment L1")
        assert row["auc"] == pytest.approx(0.76, abs=0.04) and row["holm"] < 0.05
        assert row["auc_low"] < row["auc"] < row["auc_high"]
        assert result.primary.verdict == "above" and "Rows chosen: L1" in result.notes[0]
        assert result.primary.estimate.value == row["auc"] and "better" in result.notes[0]
        assert result.find(predictor="increment L0")["holm"] > 0.05


def merged(trace: Trace) -> Trace:
    """The trace as a model of longer tokens reads it: some characters are one token with the character before them."""
    starts = np.cumsum([0, *(len(letter.encode()) for letter in trace.text)])[:-1]
    kept = np.searchsorted(trace.spans[:, 0], starts[np.arange(len(starts)) % 5 != 4])
    first = trace.spans[kept, 0]
    own = {name: getattr(trace, name)[kept] for name in ("tokens", "surprisal", "entropy", "entropy_after")}
    spans = np.stack([first, np.append(first[1:], len(trace.text.encode()))], 1)
    return replace(trace, spans=spans, values=trace.values[:, kept], **own)


def test_gaps_inside_longer_tokens_are_no_candidates_and_are_counted():
    whole = made.trace(GOLD, {1: 3.0})
    parts = [gap_analysis.gaps(merged(whole), GOLD, half) for half in GOLD.halves()]
    of_bytes = [gap_analysis.gaps(whole, GOLD, half) for half in GOLD.halves()]
    for part_, all_ in zip(parts, of_bytes, strict=True):
        assert part_.hidden > 0 and part_.hidden + len(part_.labels) == len(all_.labels)
        assert part_.characters.candidate.sum() == len(part_.labels)
    result = boundaries([Part(*parts)], {"gold": gap_analysis.characters(GOLD).of(GOLD.halves()[1])})
    assert f"{parts[1].hidden} more gaps lie inside a token" in result.notes[1]
    found = result.find(predictor="gold")["word_f1"]
    assert 0.5 < found < 1.0  # words that begin inside a token cannot be found


def test_the_character_before_a_gap_is_read_at_the_token_that_holds_it():
    trace = merged(made.trace(GOLD, {}))
    trace = replace(trace, entropy=np.arange(len(trace.tokens), dtype=np.float32))
    change = gap_analysis.gaps(trace, GOLD).signals["entropy change"]
    assert (change == 1.0).all()  # the token before is another one


def test_nothing_is_found_in_shuffled_increments():
    verdicts = [boundaries([part({}, seed=seed, with_random=True)]).primary.verdict for seed in range(6)]
    assert "above" not in verdicts


def test_a_signal_that_knows_more_is_said_to():
    result = boundaries([part({1: 0.4}, entropy=3.0)])
    assert result.find(predictor="entropy before")["auc"] > 0.85
    assert "(entropy before)" in result.notes[0] and "worse" in result.notes[0]


def test_two_runs_agree_exactly_and_seeds_are_averaged():
    parts = [part({1: 1.0}, seed=s) for s in range(3)]
    together = boundaries(parts)
    assert together.to_json() == boundaries(parts).to_json()
    single = [boundaries([p]).find(predictor="increment L1")["auc"] for p in parts]
    assert together.find(predictor="increment L1")["auc"] == pytest.approx(np.mean(single))
    with pytest.raises(UserError, match="one kind"):
        boundaries([parts[0], Part(parts[1].dev, parts[1].dev)])


def test_other_segmenters_are_rows_and_gold_itself_is_perfect():
    known = part({}).test.characters
    beside = boundaries([part({})], {"gold": known})
    row = beside.find(predictor="gold")
    assert row["boundary_f1"] == 1.0 and row["word_f1"] > 0.97
    assert beside.find(predictor="gold, its own cuts everywhere")["word_f1"] == 1.0
    every = boundaries([part({})]).find(predictor="every character")
    assert 0 < every["word_f1"] < 0.9


def test_gain_sees_news_and_no_news():
    content = gain([part({1: 1.0}, with_random=True)])
    assert content.primary.verdict == "above" and content.primary.estimate.value > 0.05
    nothing = gain([part({}, entropy=2.0, with_random=True)])
    assert nothing.primary.verdict != "above"
    assert nothing.find(added="nothing", model="signals and first byte")["verdict"] == "above"


def test_few_draws_decide_nothing():
    p = part({1: 1.0}, with_random=True)
    few = [Part(*(replace(g, random=g.random[:19]) for g in (p.dev, p.test)))]
    assert boundaries(few).primary.verdict == gain(few).primary.verdict == "undecided"


def test_a_copy_of_a_signal_is_no_gain():
    p = part({}, entropy=2.0)
    same = [Part(*(made_same(g) for g in (p.dev, p.test)))]
    assert abs(gain(same).primary.estimate.value) < 0.003


def made_same(g: gap_analysis.Gaps) -> gap_analysis.Gaps:
    return replace(g, increments=np.stack([g.signals["entropy before"]] * 3))


def test_the_logistic_model_finds_its_own_weights():
    stream = np.random.default_rng(4)
    x = stream.normal(size=(20_000, 2))
    labels = stream.random(20_000) < 1 / (1 + np.exp(-(0.5 + 2 * x[:, 0] - 1 * x[:, 1])))
    model = logistic.fit(x, labels)
    assert model.weights / model.scale == pytest.approx([2, -1], abs=0.1)
    best = np.logaddexp(0, np.where(labels, -1, 1) * (0.5 + 2 * x[:, 0] - x[:, 1])).mean()
    assert model.loss(x, labels).mean() == pytest.approx(best, abs=1e-3)
    separable = logistic.fit(x, x[:, 0] > 0)
    assert np.isfinite(separable.weights).all()
