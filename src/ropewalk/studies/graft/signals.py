"""Increments, the untouched base's sensitivities and its uncertainty, compared at the same gaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ropewalk.analyses import gaps, signal_comparison
from ropewalk.analyses.byte_kinds import SURFACE, cell_kinds, sentences
from ropewalk.analyses.draws import stack_draws
from ropewalk.analyses.gold import Gold
from ropewalk.analyses.result import Result
from ropewalk.analyses.token_kinds import token_kind
from ropewalk.analyses.vocabulary import category
from ropewalk.hf.grafting import Graft
from ropewalk.hf.opening import tokenizer_of
from ropewalk.measure import probe
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import random_networks
from ropewalk.studies.graft.plan import ProbeSettings
from ropewalk.tokens.utf8_bytes import decode
from ropewalk.traces.builder import Start
from ropewalk.traces.trace import Trace

SIGNALS = {"entropy before": "entropy", "entropy after": "entropy_after", "surprisal": "surprisal"}
RANDOM = "random networks"
STARTS, CONTINUES = ("word beginning", "function word"), "word continuation"


@dataclass(frozen=True)
class Part:
    """n gaps of a text: token, whether each is a boundary, sentence."""

    text: str
    tokens: np.ndarray
    labels: np.ndarray
    sentences: np.ndarray


@dataclass(frozen=True)
class SignalTables:
    """Grafts of one variant, one per seed, on `base`. sample: bytes of held-out text that are read."""

    base: str
    grafts: Sequence[Graft]
    settings: ProbeSettings
    sample: int = 60_000

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
        read = trace(self.grafts[0], self._held_out(tokens))
        first, kind, names = cell_kinds(read, token_kind)
        labels = np.isin(kind, [i for i, name in enumerate(names) if name in SURFACE])
        return self._in_halves(read, first, labels, "White space and punctuation against letters")

    def word_starts(self, tokens: np.ndarray) -> Result:
        """Tokens that start a word against tokens that continue one, on held-out bytes; for hosts of longer tokens."""
        read = trace(self.grafts[0], self._held_out(tokens))
        data = read.text.encode()
        pieces = [data[start:end].decode("utf-8", "replace") for start, end in read.spans.tolist()]
        kinds = np.array([category(piece) for piece in pieces])
        first = np.flatnonzero(np.isin(kinds, (*STARTS, CONTINUES)) & (read.spans[:, 0] > 0))
        return self._in_halves(
            read, first, np.isin(kinds[first], STARTS), "Start of a word against inside a word"
        )

    def _held_out(self, tokens: np.ndarray) -> str:
        return decode(tokens[: self.sample]).replace("\ufffd", "")

    def _in_halves(self, read: Trace, first: np.ndarray, labels: np.ndarray, title: str) -> Result:
        """Compares the signals at the tokens `first`: those of the first half fix sign and row, the others are scored."""
        group = sentences(read)[first]
        parts = []
        for half in (group <= np.median(group), group > np.median(group)):
            places = np.flatnonzero(half)
            chosen = places[self._choose(first[places], len(read.tokens))]
            parts.append(Part(read.text, first[chosen], labels[chosen], group[chosen]))
        return self._compare(parts, "auto", title)

    def _choose(self, tokens: np.ndarray, length: int) -> np.ndarray:
        """Which of these tokens are compared: all, or for the probe some, evenly spaced, with enough tokens around them."""
        if not self.settings.windows:
            return np.arange(len(tokens))
        last = length - max(self.settings.windows) - 1
        fits = np.flatnonzero((tokens >= self.settings.past) & (tokens < last))
        return fits[np.linspace(0, len(fits) - 1, min(len(fits), self.settings.gaps)).astype(np.int64)]

    def _compare(self, parts: list[Part], start: Start, title: str) -> Result:
        predictors = self._predictors(parts, start)
        random = predictors.pop(RANDOM)
        dev, test = parts
        return signal_comparison.compare_signals(
            predictors,
            signal_comparison.Gaps(dev.labels, test.labels, test.sentences),
            title=title,
            baselines=[name for name in predictors if name.endswith("untrained model")],
            random=random,
            notes=[
                *self._about_sensitivity(),
                "The null of the increments are random networks on the activations of the first seed. Entropies and "
                "surprisal are the base's, at the gap's right-hand token.",
            ],
        )

    def _about_sensitivity(self) -> list[str]:
        if not self.settings.windows:
            return []
        return [
            "Sensitivity: Fisher information of the gap over the next tokens, "
            f"{self.settings.past} tokens before it, {self.settings.draws} draws; over more than one token it has read "
            "further than an increment has. Its null is the same of an untrained model."
        ]

    def _predictors(self, parts: list[Part], start: Start) -> dict[str, signal_comparison.Predictor]:
        predictors: dict[str, signal_comparison.Predictor] = {}
        for window in self.settings.windows:
            for what, host in (
                ("the base", self._plain()),
                ("an untrained model", self._plain(trained=False)),
            ):
                found = [self._sensitivity(host, part, window) for part in parts]
                rows = tuple(map(str, found[0].rows))
                dev, test = _scaled([t.values for t in found])
                predictors[f"sensitivity over {window} of {what}"] = signal_comparison.Predictor(
                    rows, dev[None], test[None]
                )
        rows, late = tuple(map(str, self.grafts[0].rows)), int(self.grafts[0].gap == "after")
        texts = list(dict.fromkeys(part.text for part in parts))
        own = {t: np.stack([trace(g, t, start=start).increments for g in self.grafts]) for t in texts}
        drawn = {t: _draws(self.grafts[0], t, start) for t in texts}
        for name, values in (("increment", own), (RANDOM, drawn)):
            dev, test = (values[part.text][..., part.tokens - late] for part in parts)
            predictors[name] = signal_comparison.Predictor(rows, dev, test)
        plain = {t: trace(self._plain(), t, start=start) for t in texts}
        for name, key in SIGNALS.items():
            dev, test = (getattr(plain[part.text], key)[part.tokens] for part in parts)
            predictors[name] = signal_comparison.single(dev, test)
        return predictors

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


def _scaled(parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each row (N, n) over its mean in the first part: rows and models differ by orders of magnitude, and comparisons of
    scores have a tolerance."""
    mean = parts[0].astype(np.float64).mean(1, keepdims=True)
    return [part / np.maximum(mean, np.finfo(np.float64).tiny) for part in parts]


def _draws(graft: Graft, text: str, start: Start) -> np.ndarray:
    """(D, layers, T): random networks on the inputs of a graft's increment networks."""
    drawn = random_networks(graft, text, start=start)
    return stack_draws(drawn.values, drawn.rows)
