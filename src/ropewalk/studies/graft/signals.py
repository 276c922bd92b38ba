"""Increments, the untouched base's sensitivities and its uncertainty, compared at the same gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ropewalk.analyses import gaps, signal_comparison
from ropewalk.analyses.byte_kinds import SURFACE, each, sentences
from ropewalk.analyses.draws import stack_draws
from ropewalk.analyses.gold import Gold
from ropewalk.analyses.result import Result
from ropewalk.hf.grafting import Graft
from ropewalk.hf.opening import tokenizer_of
from ropewalk.measure import probe
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import random_networks
from ropewalk.studies.graft.plan import ProbeSettings
from ropewalk.tokens.utf8_bytes import decode
from ropewalk.traces.builder import Start
from ropewalk.traces.trace import Trace

SAMPLE = 60_000
"""Bytes of held-out text."""
SIGNALS = {"entropy before": "entropy", "entropy after": "entropy_after", "surprisal": "surprisal"}
RANDOM = "random networks"


@dataclass(frozen=True)
class Part:
    """n gaps of a text: token, whether each is a boundary, sentence."""

    text: str
    tokens: np.ndarray
    labels: np.ndarray
    sentences: np.ndarray


@dataclass(frozen=True)
class SignalTables:
    """Grafts of one variant, one per seed, on `base`."""

    base: str
    grafts: Sequence[Graft]
    settings: ProbeSettings

    def between_characters(self, dev: Gold, test: Gold | None) -> Result:
        """At gaps between Chinese characters."""
        halves = dev.halves() if test is None else (None, None)
        parts = []
        for gold, half in zip((dev, test or dev), halves, strict=True):
            known = gaps.gaps(trace(self.grafts[0], gold.text, start="none"), gold, half)
            starts = known.characters.starts[known.characters.candidate]
            chosen = self._choose(starts, len(gold.text.encode()))
            parts.append(Part(gold.text, starts[chosen], known.labels[chosen], known.sentence[chosen]))
        return self._compare(parts, "none", "Word boundaries between Chinese characters")

    def white_space(self, tokens: np.ndarray) -> Result:
        """White space and punctuation against letters, on held-out bytes."""
        text = decode(tokens[:SAMPLE]).replace("\ufffd", "")
        read = trace(self.grafts[0], text)
        first, kind, names = each(read)
        labels = np.isin(kind, [i for i, name in enumerate(names) if name in SURFACE])
        group = sentences(read)[first]
        parts = []
        for half in (group <= np.median(group), group > np.median(group)):
            places = np.flatnonzero(half)
            chosen = places[self._choose(first[places], len(read.tokens))]
            parts.append(Part(text, first[chosen], labels[chosen], group[chosen]))
        return self._compare(parts, "auto", "White space and punctuation against letters")

    def _choose(self, tokens: np.ndarray, length: int) -> np.ndarray:
        """Which of these tokens are probed: evenly spaced, with enough tokens before and after."""
        last = length - max(self.settings.windows) - 1
        fits = np.flatnonzero((tokens >= self.settings.past) & (tokens < last))
        return fits[np.linspace(0, len(fits) - 1, min(len(fits), self.settings.gaps)).astype(np.int64)]

    def _compare(self, parts: list[Part], start: Start, title: str) -> Result:
        readers = self._readers(parts, start)
        random = readers.pop(RANDOM)
        dev, test = parts
        return signal_comparison.compare_signals(
            readers,
            signal_comparison.Gaps(dev.labels, test.labels, test.sentences),
            title=title,
            chance=[name for name in readers if name.endswith("untrained model")],
            random=random,
            notes=[
                "Sensitivity: Fisher information of the gap over the next tokens, "
                f"{self.settings.past} tokens before it, {self.settings.draws} draws; over more than one token it has "
                "read further than an increment has. Its null is the same of an untrained model; that of the increments "
                "are random networks on the activations of the first seed. Entropies and surprisal are the base's, at the "
                "gap's right-hand token."
            ],
        )

    def _readers(self, parts: list[Part], start: Start) -> dict[str, signal_comparison.Reader]:
        readers: dict[str, signal_comparison.Reader] = {}
        for window in self.settings.windows:
            for what, host in (
                ("the base", self._plain()),
                ("an untrained model", self._plain(trained=False)),
            ):
                found = [self._sensitivity(host, part, window) for part in parts]
                rows = tuple(map(str, found[0].rows))
                dev, test = (t.values[None] for t in found)
                readers[f"sensitivity over {window} of {what}"] = signal_comparison.Reader(rows, dev, test)
        rows = tuple(map(str, self.grafts[0].rows))
        dev, test = (
            np.stack([trace(g, part.text, start=start).increments[:, part.tokens] for g in self.grafts])
            for part in parts
        )
        readers["increment"] = signal_comparison.Reader(rows, dev, test)
        dev, test = (_draws(self.grafts[0], part, start) for part in parts)
        readers[RANDOM] = signal_comparison.Reader(rows, dev, test)
        plain = [trace(self._plain(), part.text, start=start) for part in parts]
        for name, key in SIGNALS.items():
            dev, test = (getattr(t, key)[part.tokens] for t, part in zip(plain, parts, strict=True))
            readers[name] = signal_comparison.single(dev, test)
        return readers

    def _sensitivity(self, host: Graft, part: Part, window: int) -> Trace:
        s = self.settings
        return probe.probe(
            host, part.text, probe.ProbePlan(window, s.past, s.draws, tuple(part.tokens.tolist()))
        ).trace

    def _plain(self, trained: bool = True) -> Graft:
        """The base as it is, or its shape with fresh weights, with a row in every layer."""
        from transformers import AutoModelForCausalLM

        from ropewalk.hf import graft
        from ropewalk.hf.loading import open_config, open_model

        if trained:
            model = open_model(self.base, dtype=torch.float32)
        else:
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(open_config(self.base), dtype=torch.float32).eval()
        model.requires_grad_(False)
        return graft(model, parametrization="integer", tokenizer=tokenizer_of(self.base))


def _draws(graft: Graft, part: Part, start: Start) -> np.ndarray:
    """(D, layers, n): random networks on the inputs of a graft's increment networks, at the part's gaps."""
    drawn = random_networks(graft, part.text, start=start)
    return stack_draws(drawn.values, drawn.rows)[..., part.tokens]
