"""Random sequences of public calls give what the plain computation gives: no wrong number without an error.

The plain computation reads a text in one pass, byte by byte in Python, and never shares anything with the calls under
test but the model's own forward pass.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tiny import config, moved

import ropewalk
from ropewalk.analyses import spacing
from ropewalk.measure.archive import trace_shards
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.native.generate import generate
from ropewalk.tokens.utf8_bytes import END
from ropewalk.traces import archive, importers
from ropewalk.traces.trace import Trace

CONTEXT = 64
MODEL = moved(Decoder(config(per_head=True, decoder={"context_length": CONTEXT}), seed=4), scale=0.2)
TEXTS = st.text(st.sampled_from("ab é中\n🙂"), min_size=1, max_size=10)
CLOSE = {"rtol": 0, "atol": 3e-5, "equal_nan": True}


@torch.no_grad()
def plain(model: Decoder, text: str) -> dict[str, np.ndarray]:
    """Increments, positions and signals of a text that fits into one pass."""
    ids = [END, *text.encode()]
    output = model(torch.tensor([ids]))
    increments = torch.cat([1 + r[0].double() for r in output.r], 1)[1:].T.numpy()
    log = output.logits[0].double().log_softmax(-1).numpy()
    entropy = -(np.exp(log) * log).sum(1)
    positions = np.zeros_like(increments)
    for token in range(1, increments.shape[1]):
        positions[:, token] = positions[:, token - 1] + increments[:, token]
    return {
        "values": increments,
        "positions": positions,
        "surprisal": np.array([-log[i, ids[i + 1]] for i in range(len(ids) - 1)]),
        "entropy": entropy[:-1],
        "entropy_after": entropy[1:],
    }


def same(found: Trace, expected: dict[str, np.ndarray]) -> None:
    for name, numbers in expected.items():
        assert np.allclose(getattr(found, name), numbers, **CLOSE), name


class Calls(RuleBasedStateMachine):
    """Each rule is a public call on one of two hosts; `traces` are all that were made, with their texts."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name)
        checkpoint.save_decoder(self.folder / "model", MODEL, {})
        self.hosts: list[Any] = [
            ropewalk.load(self.folder / "model"),
            ropewalk.load(str(self.folder / "model"), backend="numpy"),
        ]
        self.known: dict[str, dict[str, np.ndarray]] = {}
        self.traces: list[Trace] = []

    def teardown(self) -> None:
        self.place.cleanup()

    def _expected(self, text: str) -> dict[str, np.ndarray]:
        if text not in self.known:
            self.known[text] = plain(MODEL, text)
        return self.known[text]

    @rule(text=TEXTS, number=st.integers(0, 1), size=st.sampled_from([1, 7, 4096]))
    def trace(self, text: str, number: int, size: int) -> None:
        self.traces.append(ropewalk.trace(self.hosts[number], text, tokens_per_pass=size))
        same(self.traces[-1], self._expected(text))

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=4), copies=st.integers(1, 2), turn=st.booleans())
    def trace_many(self, texts: list[str], copies: int, turn: bool) -> None:
        """Shuffled and repeated texts share passes, and know nothing of each other."""
        given = (texts * copies)[:: -1 if turn else 1]
        found = list(ropewalk.trace_many(self.hosts[0], given))
        assert [one.text for one in found] == given
        for one in found:
            same(one, self._expected(one.text))
        self.traces += found

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=3), name=st.integers(0, 99))
    def archive(self, texts: list[str], name: int) -> None:
        folder = self.folder / f"archive-{name}-{len(list(self.folder.iterdir()))}"
        for _ in range(2):  # the second time everything is there already
            list(trace_shards(self.hosts[0], archive.shards(texts, size=8), folder))
        found = list(archive.read(str(folder)))
        assert [one.text for one in found] == texts
        for one in found:
            same(one, self._expected(one.text))

    @rule(which=st.integers(0, 99), suffix=st.sampled_from([".json", ".json.gz"]))
    def save_and_load(self, which: int, suffix: str) -> None:
        if self.traces:
            one = self.traces[which % len(self.traces)]
            one.save(self.folder / f"t{suffix}")
            again = Trace.load(self.folder / f"t{suffix}")
            assert again.hash == one.hash
            same(again, self._expected(again.text))

    @rule(which=st.integers(0, 99))
    def import_numbers(self, which: int) -> None:
        """A trace's own numbers as another method's: the same increments, and positions as their sum."""
        if self.traces:
            one = self.traces[which % len(self.traces)]
            if any(start == end for start, end in one.spans) or len(one.text) != len(one.text.encode()):
                return
            heads = MODEL.config.kv_heads
            numbers = one.values.T.reshape(len(one.tokens), -1, heads)
            made = importers.from_numbers(
                numbers, pieces=list(one.text), kind="increment", unit="token-equivalents", method="m",
                gap="before", surprisal=one.surprisal,
            )  # fmt: skip
            assert np.array_equal(made.values, one.values)
            assert np.allclose(made.positions, self._expected(one.text)["positions"], **CLOSE)

    @rule(text=TEXTS, length=st.integers(1, 6), others=st.integers(0, 2))
    def generate(self, text: str, length: int, others: int) -> None:
        """Greedy continuation with a cache, alone or beside longer prompts, against one full pass per token."""
        prompts = [[END, *text.encode()], *([[END, *b"ab" * (n + 1)] for n in range(others)])]
        found = generate(self.hosts[0], prompts, length=length)
        for prompt, written in zip(prompts, found, strict=True):
            tokens = list(prompt)
            for token in written:
                with torch.no_grad():
                    logits = MODEL(torch.tensor([tokens])).logits[0, -1]
                assert logits[token] >= logits.max() - 1e-4
                tokens.append(token)

    @rule(which=st.integers(0, 99))
    def measure(self, which: int) -> None:
        """The spacing of a trace does not depend on its place among others, or on how often it is asked."""
        if self.traces:
            one = self.traces[which % len(self.traces)]
            if len(set(one.text)) > 3:
                first, again = spacing.extremes(one), spacing.extremes(one)
                assert first.to_json() == again.to_json()

    @invariant()
    def nothing_changes_afterwards(self) -> None:
        for one in self.traces[-3:]:
            one.verify()
        assert not MODEL.training and all(parameter.grad is None for parameter in MODEL.parameters())


Calls.TestCase.settings = settings(max_examples=6, stateful_step_count=10)
TestRandomCalls = Calls.TestCase
