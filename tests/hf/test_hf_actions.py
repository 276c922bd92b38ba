"""Random sequences of what people do with a grafted model: after each, it predicts what one pass without a cache predicts.

A dropped running sum, a copy that shares increments with its original, or a padded row that moves breaks these tests.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from families import host, perturb
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ropewalk.hf import graft, graft_of, load

CLOSE = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("actions")


class Actions(RuleBasedStateMachine):
    """A grafted model, its cache, and the tokens (1, T) that the cache has read."""

    folder: Path
    saved = 0

    @initialize(
        name=st.sampled_from(["llama", "gemma3"]),
        per=st.sampled_from(["layer", "shared"]),
        gap=st.sampled_from(["before", "after"]),
    )
    def begin(self, name: str, per: Any, gap: Any) -> None:
        self.model, self.name = host(name), name
        perturb(graft(self.model, per=per, gap=gap))
        self.expected: Any = None
        self.forget()

    def forget(self) -> None:
        self.cache: Any = None
        self.seen = torch.zeros(1, 0, dtype=torch.int64)

    @torch.no_grad()
    def whole(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model(ids, use_cache=False).logits

    @rule(ids=st.lists(st.integers(3, 96), min_size=1, max_size=5))
    def read(self, ids: list[int]) -> None:
        new = torch.tensor([ids])
        with torch.no_grad():
            output = self.model(new, past_key_values=self.cache, use_cache=True)
        self.cache, self.seen = output.past_key_values, torch.cat([self.seen, new], 1)
        assert (output.logits - self.whole(self.seen)[:, -len(ids) :]).abs().max() < CLOSE

    @precondition(lambda self: self.cache is not None and self.seen.shape[1] > 1 and self.name == "llama")
    @rule()
    def crop(self) -> None:
        self.cache.crop(-1)
        self.seen = self.seen[:, :-1]

    @rule(length=st.integers(1, 3))
    def generate(self, length: int) -> None:
        prompt = torch.cat([self.seen, torch.tensor([[5, 9]])], 1)
        options = {"max_new_tokens": length, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        mask = torch.ones_like(prompt)
        cached = self.model.generate(prompt, attention_mask=mask, **options)
        plain = self.model.generate(prompt, attention_mask=mask, use_cache=False, **options)
        assert torch.equal(cached, plain)

    @rule(seed=st.integers(0, 3))
    def copy(self, seed: int) -> None:
        """Goes on with a deep copy; the original's increments change and must not matter."""
        original, self.model = self.model, copy.deepcopy(self.model)
        before = self.whole(torch.tensor([[4, 7, 11]]))
        own = graft_of(original)
        assert own is not None
        perturb(own, seed=seed + 10)
        assert torch.equal(self.whole(torch.tensor([[4, 7, 11]])), before)
        self.cache = copy.deepcopy(self.cache)

    @rule()
    def save_and_load(self) -> None:
        """Takes the increments off into a folder and puts them back: the same predictions."""
        ids = torch.tensor([[4, 7, 11]])
        before, own = self.whole(ids), graft_of(self.model)
        assert own is not None
        Actions.saved += 1
        path = own.save(self.folder / str(Actions.saved))
        self.model = own.detach()
        assert graft_of(self.model) is None
        load(self.model, path)
        assert torch.equal(self.whole(ids), before)

    @rule()
    def detach_and_graft(self) -> None:
        """A fresh graft changes nothing; then its increments are moved, which makes the cache worthless."""
        own = graft_of(self.model)
        assert own is not None
        config, ids = own.config, torch.tensor([[4, 7, 11]])
        bare = own.detach()
        plain = self.whole(ids)
        again = graft(bare, config)
        assert torch.equal(self.whole(ids), plain)
        perturb(again)
        self.forget()

    @rule(padding=st.integers(1, 4))
    def pad(self, padding: int) -> None:
        long = torch.cat([torch.full((1, padding), 8), self.seen, torch.tensor([[6, 12]])], 1)
        short = long[:, padding:]
        mask = torch.ones(2, long.shape[1], dtype=torch.int64)
        mask[0, :padding] = 0
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        with torch.no_grad():
            both = self.model(torch.cat([long, long]), attention_mask=mask, position_ids=positions).logits
        assert (both[:1, padding:] - self.whole(short)).abs().max() < CLOSE

    @precondition(lambda self: self.cache is not None and self.seen.shape[1] > 0)
    @rule()
    def batch(self) -> None:
        """Two rows from one cache go on as one does."""
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(2)
        new = torch.tensor([[10], [20]])
        with torch.no_grad():
            output = self.model(new, past_key_values=cache).logits
        for row in range(2):
            expected = self.whole(torch.cat([self.seen, new[row : row + 1]], 1))[:, -1]
            assert (output[row : row + 1, -1] - expected).abs().max() < CLOSE

    @invariant()
    def increments_are_there(self) -> None:
        assert not hasattr(self, "model") or graft_of(self.model) is not None


def test_any_sequence_of_actions(folder: Path) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Actions.folder = folder
    run_state_machine_as_test(
        Actions,
        settings=settings(
            max_examples=3, stateful_step_count=6, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
