"""Dose response: pairs are equal but for the boundary, and a planted difference is found."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from ropewalk import experiments
from ropewalk.analyses.dose import CALIPER, DOSES, dose, match_gaps
from ropewalk.analyses.gold import from_lines
from ropewalk.errors import UserError
from ropewalk.experiments import Inputs
from ropewalk.native.decoder import Decoder


def test_pairs_share_token_and_surprisal_and_use_no_gap_twice() -> None:
    stream = np.random.default_rng(0)
    labels, first = stream.random(400) < 0.5, stream.integers(0, 3, 400)
    surprisal, allowed = stream.gamma(2.0, size=400), stream.random(400) < 0.9
    pairs = match_gaps(labels, first, surprisal, allowed, count=1_000)
    assert len(pairs) > 50 and len(set(pairs.ravel().tolist())) == pairs.size
    boundary, other = pairs.T
    assert labels[boundary].all() and not labels[other].any() and allowed[pairs].all()
    assert (first[boundary] == first[other]).all()
    assert (np.abs(surprisal[boundary] - surprisal[other]) <= CALIPER).all()
    assert len(match_gaps(labels, first, surprisal, allowed, count=7)) == 7
    assert match_gaps(labels, first, surprisal, np.zeros(400, bool), count=7).shape == (0, 2)


def test_a_planted_difference_is_found_at_its_dose() -> None:
    stream = np.random.default_rng(1)
    found = [stream.normal(0.1, 0.02, (90, 2, len(DOSES))) for _ in range(3)]
    for model in found:
        model[:, 0, DOSES.index(2.0)] += 0.05
    result = dose(found, np.repeat(np.arange(30), 3))
    assert result.primary is not None and result.primary.verdict == "boundaries cost more"
    assert result.primary.estimate.value == pytest.approx(0.05, abs=0.005)
    assert result.find(dose=2.0)["verdict"] == "boundaries cost more"
    assert [result.find(dose=d)["verdict"] for d in (0.5, 0.75, 1.5)] == ["undecided"] * 3


def test_the_experiment_runs_on_gold_sentences() -> None:
    sentences = [
        ["我们", "在", "北京", "大学", "学习"],
        ["今天", "天气", "很", "好"],
        ["他", "的", "书", "在", "桌子", "上"],
    ]
    gold = from_lines(sentences * 4)
    model = tiny.moved(Decoder(tiny.config()))
    (result,) = experiments.get("dose").measure(Inputs({"models": [model]}, dev=gold))
    assert len(result.rows) == len(DOSES) and "pairs of a word boundary" in result.notes[0]
    assert experiments.get("dose").run(Inputs({"models": [model]}, dev=gold))[0].rows == result.rows


def test_too_few_sentences_for_a_match_are_refused() -> None:
    gold = from_lines([["我们", "在", "北京", "大学", "学习"]])
    model = tiny.moved(Decoder(tiny.config()))
    with pytest.raises(UserError, match="give more segmented sentences"):
        experiments.get("dose").run(Inputs({"models": [model]}, dev=gold))
