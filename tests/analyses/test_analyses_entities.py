from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny

from ropewalk.analyses import name_pairs
from ropewalk.analyses.entities import entities
from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace
from ropewalk.measure.entities import Entities, choose_controls, read_entities
from ropewalk.measure.phrases import PhraseValues, read_phrases
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.utf8_bytes import encode

ROWS = tuple(Row(i) for i in range(4))


def made(effect: float, seed: int, count: int = 60) -> dict[str, Entities]:
    """Line 3 of names is smaller by `effect` at the second word than in both controls."""
    rng = np.random.default_rng(seed)

    def reading(shift: float) -> PhraseValues:
        second = rng.normal(1, 0.2, (count, 4))
        second[:, 2:] -= shift
        return PhraseValues(rng.normal(1, 0.2, (count, 4)), second, np.ones(count), np.ones(count))

    return {
        language: Entities(reading(effect), reading(0), reading(0), rng.random(count) < 0.8)
        for language in ("en", "zh")
    }


def test_the_list_is_long_and_no_word_occurs_twice():
    assert name_pairs.repeated() == []
    found = name_pairs.pairs()
    assert sum(p.language == "en" for p in found) >= 100 and sum(p.language == "zh" for p in found) >= 100
    assert all(
        template.count("{}") == 1 for templates in name_pairs.TEMPLATES.values() for template in templates
    )
    assert all(len(p.first) > 1 and len(p.second) > 1 and " " not in p.first for p in found)
    assert found[0].joined() == "New York" and found[0].joined("car") == "New car"
    assert name_pairs.Pair("北京", "大学", "zh").joined() == "北京大学"


def test_a_planted_effect_is_found_where_it_is_and_not_elsewhere():
    result = entities(ROWS, [made(0.3, s) for s in range(5)])
    assert result.primary.verdict == "smaller than the control"
    row = result.find(comparison="equal surprisal, second word", language="all", row="L3")
    assert row["share"] > 0.75 and row["holm"] < 0.01 and row["difference"] < -0.2 and row["pairs"] < 100
    gap = result.find(comparison="reversed order, inner gap", language="all", row="L3")
    assert gap["holm"] > 0.05 and gap["share_low"] < 0.5 < gap["share_high"]


DRAWS = 39


def random(effect: float, seed: int) -> dict[str, Entities]:
    """What `DRAWS` random networks on each of four layers read: names are smaller by `effect`."""

    def drawn(language: str, place: int) -> PhraseValues:
        rng = np.random.default_rng([seed, place, language == "zh"])
        second = rng.normal(1, 0.2, (60, 4, DRAWS))
        second -= effect * (place == 0)
        return PhraseValues(second.reshape(60, -1), second.reshape(60, -1), np.ones(60), np.ones(60))

    matched = {language: e.matched for language, e in made(0.0, seed).items()}
    return {
        language: Entities(drawn(language, 0), drawn(language, 1), drawn(language, 2), matched[language])
        for language in ("en", "zh")
    }


def test_an_effect_must_clear_random_networks():
    drawn = tuple(Row(layer, draw) for layer in range(4) for draw in range(DRAWS))
    read = [made(0.1, s) for s in range(5)]
    assert entities(ROWS, read).primary.verdict == "smaller than the control"
    weak = entities(ROWS, read, drawn, [random(0.0, s) for s in range(5)])
    assert weak.primary.null < 0.65
    strong = entities(ROWS, read, drawn, [random(0.4, s) for s in range(5)])
    assert strong.primary.verdict == "undecided" and strong.primary.null > 0.8
    row = strong.find(comparison="equal surprisal, second word", language="all", row="L3")
    assert row["threshold"] > 0.8
    assert strong.find(comparison="equal surprisal, second word", language="en", row="L3")["threshold"] > 0.8
    assert any(note.startswith("en alone: ") for note in strong.notes)


def test_rounding_is_no_difference():
    still = {}
    for language, e in made(0.0, 0).items():
        rounded = [
            replace(r, second=np.ones_like(r.second) - 4e-8 * i) for i, r in enumerate((e.real, e.control))
        ]
        still[language] = replace(e, real=rounded[1], control=rounded[0])
    row = entities(ROWS, [still, still]).find(
        comparison="equal surprisal, second word", language="all", row="L3"
    )
    assert row["share"] == 0.5 and row["p"] == 1.0


def test_no_effect_gives_no_verdict():
    verdicts = [entities(ROWS, [made(0.0, s)]).primary.verdict for s in range(8)]
    assert verdicts.count("undecided") >= 7
    with pytest.raises(UserError, match="no model"):
        entities(ROWS, [])


def test_reading_agrees_with_a_trace_of_the_whole_sentence():
    model = tiny.moved(Decoder(tiny.config(init="random")))
    got = read_phrases(model, [("New", " ", "York"), ("ab", "", "c")], ["See {} now."])
    t = trace(model, "See New York now.")
    at = b"See New".__len__()
    np.testing.assert_allclose(got.gap[0], t.increments[:, at], rtol=1e-5)
    np.testing.assert_allclose(got.second[0], t.increments[:, at + 1], rtol=1e-5)
    assert got.surprisal[0] == pytest.approx(t.surprisal[at + 1], rel=1e-4)
    assert got.word[0] == pytest.approx(t.surprisal[at + 1 : at + 5].sum(), rel=1e-4)
    np.testing.assert_array_equal(got.gap[1], got.second[1])


def test_a_control_keeps_the_first_word_so_the_inner_gap_is_the_same():
    model = tiny.moved(Decoder(tiny.config(init="random")))
    words = [(p.first, p.second) for p in name_pairs.pairs()[:12]]
    chosen = choose_controls(model, words, " ", ["We saw {}."])
    found = read_entities(model, words, " ", ["We saw {}."], chosen)
    np.testing.assert_allclose(found.real.gap, found.control.gap, rtol=1e-4, atol=1e-5)
    assert not np.isclose(found.real.second, found.control.second, rtol=0, atol=1e-6).all(1).any()
    first = [(encode(own)[0], encode(other)[0]) for (_, own), other in zip(words, chosen, strict=True)]
    assert all(
        own != other for own, other in first
    )  # the same byte would have the same increment, by causality
    apart = np.abs(found.control.surprisal - found.real.surprisal)
    assert (apart[found.matched] <= 0.5).all() and np.median(apart) < 2
