"""Look-up by a host that knows the answers, by one that does not, and random networks in place of a parametrization."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch

from ropewalk.core.host import Output, increments_of
from ropewalk.corpus.lookup import LookupConfig, generate
from ropewalk.errors import UserError
from ropewalk.measure.lookup import SEED, answer_questions
from ropewalk.measure.random_networks import RandomNetworks, random_networks, untrained
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.utf8_bytes import decode

TASK = LookupConfig(pairs=5, hops=2)


class Oracle:
    """Answers questions of up to `steps` steps by following the pairs, from the text before the answer alone."""

    rows, context_length, gap = (), 64, "before"

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, tokens: torch.Tensor) -> Output:
        logits = torch.zeros(*tokens.shape, 257)
        for i, row in enumerate(tokens):
            text = decode(row[1:])
            leads = {pair[0]: pair[1] for pair in text.split("\n")[0].split(" ")}
            for t in range(2, len(row)):
                before = decode(row[1 : t + 1])
                if (
                    "\n" in before
                    and before[-1] in leads
                    and before[-2] in "12"
                    and int(before[-2]) <= self.steps
                ):
                    letter = before[-1]
                    for _ in range(int(before[-2])):
                        letter = leads[letter]
                    logits[i, t, ord(letter)] = 9.0
        return Output(logits, ())


def test_a_host_that_follows_the_pairs_is_right_and_another_guesses() -> None:
    whole, half = answer_questions(Oracle(2), TASK, 12), answer_questions(Oracle(1), TASK, 12)  # type: ignore[arg-type]
    assert whole.right.all() and (whole.nats < 0.01).all()
    assert half.right[half.hops == 1].all()
    np.testing.assert_allclose(half.nats[half.hops == 2], np.log(half.pairs[half.hops == 2] - 1), rtol=1e-5)
    asked = [next(generate(TASK, SEED))]
    assert half.distance[: len(asked[0].questions)].tolist() == [q.distance for q in asked[0].questions]
    assert set(whole.pairs) == {3, 4, 5} and len(whole.right) == len(half.right)


def test_an_untrained_model_is_at_chance_and_a_short_context_is_refused() -> None:
    model = Decoder(tiny.config("bounded", decoder={"context_length": 64})).eval()
    found = answer_questions(model, TASK, 60)
    assert found.right.mean() == pytest.approx((1 / (found.pairs - 1)).mean(), abs=0.08)
    with pytest.raises(UserError, match="takes 88 bytes"):
        answer_questions(model, LookupConfig(), 2)


def test_random_networks_are_a_host_that_leaves_the_model_as_it_is() -> None:
    model, tokens = tiny.moved(Decoder(tiny.config("bounded"))), tiny.tokens(2, 20)
    drawn = RandomNetworks(model, draws=3)
    with torch.no_grad():
        own, other = model(tokens), drawn(tokens, activations=["residual.1"])
    assert torch.equal(own.logits, other.logits) and set(other.activations) == {"residual.1"}
    d = increments_of(other)
    assert [str(row) for row in drawn.rows] == ["L0.h0", "L0.h1", "L0.h2", "L1.h0", "L1.h1", "L1.h2"]
    assert d.shape == (2, 6, 20) and d.std(-1).min() > 1e-3 and not torch.equal(d[:, 0], d[:, 1])
    again = random_networks(model, "a text", draws=3)
    np.testing.assert_array_equal(again.values, random_networks(model, "a text", draws=3).values)
    assert again.provenance["parametrization"] == "random bounded"
    assert not np.array_equal(again.values, random_networks(model, "a text", draws=3, seed=1).values)
    integer = RandomNetworks(tiny.moved(Decoder(tiny.config("integer"))), draws=2)
    assert integer.parametrization == "bounded" and len(integer.rows) == 2


def test_an_untrained_model_has_spread_from_the_start() -> None:
    model = tiny.moved(Decoder(tiny.config("positive", per="shared")))
    fresh = untrained(model, 5)
    with torch.no_grad():
        d = increments_of(fresh(torch.arange(257)[:, None]))
    assert fresh.config.hidden_size == model.config.hidden_size and 0 < d.std() < 0.1
