"""Look-up answers with known accuracy: it is found, by steps and pairs, and a difference needs several seeds."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from ropewalk.analyses.lookup import lookup
from ropewalk.corpus.lookup import LookupConfig, generate
from ropewalk.errors import UserError
from ropewalk.measure.lookup import Answers

DOCUMENTS = list(islice(generate(LookupConfig()), 60))
ASKED = np.array(
    [(i, len(d.letters), q.hops, q.distance) for i, d in enumerate(DOCUMENTS) for q in d.questions]
).T


def answers(one: float, two: float, seed: int = 0) -> Answers:
    """Answers that know `one` of the questions of one step and `two` of those of two; the rest is guessed."""
    stream = np.random.default_rng([seed, 5])
    _, pairs, hops, _ = ASKED
    known = stream.random(len(hops)) < np.where(hops == 1, one, two)
    right = known | (stream.random(len(hops)) < 1 / (pairs - 1))
    return Answers(*ASKED, right, np.where(right, 0.1, 3.0))


def test_what_is_known_is_found_and_what_is_guessed_is_chance() -> None:
    content = lookup({"models": {s: answers(0.8, 0.0, s) for s in range(3)}})
    one, two = (content.find(variant="models", questions=q) for q in ("1 step", "2 steps"))
    assert one["accuracy_low"] > one["chance_level"] + 0.5
    assert two["accuracy_low"] < two["chance_level"] < two["accuracy_high"]
    assert content.primary.verdict == "above chance" and content.primary.null == pytest.approx(
        one["chance_level"], abs=0.02
    )
    few, many = (content.find(questions=f"{n} pairs") for n in (3, 8))
    assert few["chance_level"] == 0.5 and many["chance_level"] == pytest.approx(1 / 7)
    assert sum(str(row["questions"]).startswith("distance") for row in content.rows) == 3
    nothing = [lookup({"m": {s: answers(0.0, 0.0, s)}}).primary.verdict for s in range(5)]
    assert nothing.count("above chance") <= 1


def test_variants_are_compared_over_paired_seeds() -> None:
    kinds = {
        "good": {s: answers(0.9, 0.3, s) for s in (1, 2, 3)},
        "rope": {s: answers(0.5, 0.1, s + 10) for s in (1, 2, 3)},
        "same": {s: answers(0.5, 0.1, s + 20) for s in (1, 2, 3)},
        "alone": {1: answers(0.9, 0.3, 31)},
    }
    content = lookup(kinds, "rope", "1 MB")
    good, same, alone = (content.find(variant=v, questions="all") for v in ("good", "same", "alone"))
    assert good["difference"] == pytest.approx(0.24, abs=0.06) and good["verdict"] == "better"
    assert good["holm"] < 0.05 < same["holm"] and same["verdict"] == "undecided at 1 MB"
    assert alone["verdict"] == "one pair, no verdict at 1 MB" and alone["difference_low"] is None
    assert content.find(variant="rope", questions="all")["difference"] is None
    assert content.primary.estimate.value == good["difference"] and "good minus rope" in content.primary.what
    assert content.to_json() == lookup(kinds, "rope", "1 MB").to_json()


def test_other_questions_are_refused() -> None:
    other = answers(0.5, 0.5)
    fewer = Answers(*(getattr(other, name)[:9] for name in Answers.__dataclass_fields__))
    with pytest.raises(UserError, match="different questions"):
        lookup({"a": {1: other}, "b": {1: fewer}})
