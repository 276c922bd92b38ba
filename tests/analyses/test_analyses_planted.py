"""Planted pairs: a smaller inner gap is found by its line; what is only more expected, and shuffled truth, are not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ropewalk.analyses import gold
from ropewalk.analyses.planted import Truth, gap_offsets, planted
from ropewalk.core.rows import Row
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace


@cache
def truth(script: str = "unspaced") -> Truth:
    return Truth(*gold.by_planted(PlantedConfig.model_validate({"script": script}), 25, seed=5))


def trace(of: Truth, effect: float, *, seed: int = 0, rows: int = 4) -> Trace:
    """Increments follow the surprisal, which is low inside pairs; line 3 takes `effect` off there besides."""
    stream = np.random.default_rng([seed, 9])
    tokens = np.array(encode(of.gold.text))
    inner = np.concatenate(list(gap_offsets(of).pairs.values()))
    surprisal = stream.gamma(2.0, size=len(tokens))
    surprisal[inner] *= 0.5
    values = 1 + 0.2 * surprisal + 0.1 * stream.normal(size=(rows, len(tokens)))
    values[3, inner] -= effect
    return Trace(
        of.gold.text, tokens, byte_spans(of.gold.text), tuple(map(Row, range(rows))), values, "increment",
        "token-equivalents", "before", surprisal=surprisal, entropy=surprisal, entropy_after=surprisal,
    )  # fmt: skip


DRAWS = 39


def random_networks(of: Truth, seed: int) -> Trace:
    plain = trace(of, 0.0, seed=seed, rows=4 * DRAWS)
    return replace(plain, rows=tuple(Row(i // DRAWS, i % DRAWS) for i in range(4 * DRAWS)))


@pytest.mark.parametrize("script", ["spaced", "unspaced"])
def test_gaps_lie_where_the_language_says(script: str) -> None:
    of = truth(script)
    found, data = gap_offsets(of), of.gold.text.encode()
    for kind, spans in (("phrase", of.phrases), ("entity", of.entities)):
        assert len(found.pairs[kind]) == len(spans)
        words = {data[start:end] for start, end in spans.tolist()}
        assert found.names[kind].max() + 1 == len(words)
    starts = set(of.gold.words[:, 0].tolist())
    assert set(found.controls["between words"].tolist()) <= starts - set(of.gold.sentences[:, 0].tolist())
    within = found.controls["within a word"]
    assert not set(within.tolist()) & starts
    if script == "unspaced":
        assert all(data[at] & 0xC0 == 0xC0 for at in within.tolist())
    stops = of.gold.sentences[:, 1] - len("。".encode() if script == "unspaced" else b".")
    assert not set(found.controls["between words"].tolist()) & set(stops.tolist())


def test_a_smaller_inner_gap_is_found_by_its_row() -> None:
    of = truth()
    content = planted(
        [trace(of, 0.15, seed=s) for s in range(1, 5)], of, [random_networks(of, s) for s in range(8, 12)]
    )
    assert content.primary.verdict == "smaller than between words"
    for kind in ("entity", "phrase"):
        row = content.find(pair=kind, control="between words", row="L3")
        assert row["share_low"] > 0.7 and row["holm"] < 0.01
        assert row["difference"] == pytest.approx(-0.15, abs=0.02)
        assert content.find(pair=kind, control="between words", row="L0")["holm"] > 0.05
    wide = planted([trace(of, -0.15, seed=s) for s in range(1, 5)], of)
    assert wide.primary.verdict == "larger than between words"


def test_what_is_only_expected_and_shuffled_truth_are_no_effect() -> None:
    of = truth()
    verdicts = [
        planted([trace(of, 0.0, seed=s)], of, [random_networks(of, s + 30)]).primary for s in range(6)
    ]
    assert [v.verdict for v in verdicts].count("undecided") >= 5
    known = gap_offsets(of).controls["between words"]
    stream = np.random.default_rng(1)
    words = of.gold.words
    chosen = stream.choice(np.flatnonzero(np.isin(words[:, 0], known)), len(of.entities), replace=False)
    false = np.stack([words[np.maximum(chosen - 1, 0), 0], words[chosen, 1]], 1)
    shuffled = Truth(of.gold, of.phrases, false[np.argsort(false[:, 0])])
    assert planted([trace(of, 0.15, seed=3)], shuffled).find(pair="entity", row="L3")["holm"] > 0.05


def test_two_runs_agree_and_other_texts_are_refused() -> None:
    of = truth()
    assert planted([trace(of, 0.1)], of).to_json() == planted([trace(of, 0.1)], of).to_json()
    with pytest.raises(UserError, match="planted text"):
        planted([trace(truth("spaced"), 0.1)], of)
