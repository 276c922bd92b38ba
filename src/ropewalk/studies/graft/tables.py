"""The tables of a graft study: losses, increments over the vocabulary, boundaries and the probe.

A table is named graft/variant/table, or graft/base/table where it is about the base itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk import experiments
from ropewalk.analyses import spacing, statistics, vocabulary
from ropewalk.analyses.neutrality import neutrality
from ropewalk.analyses.result import Chart, Result
from ropewalk.corpus import Corpus, prepare, windows
from ropewalk.experiments import Inputs
from ropewalk.hf.grafting import Graft
from ropewalk.hf.opening import tokenizer_of
from ropewalk.measure import vocabulary as measured
from ropewalk.measure.windows import cut
from ropewalk.studies.graft.perplexity import perplexity
from ropewalk.studies.graft.plan import BASELINES, GROUP, GraftJob, GraftStudy, jobs
from ropewalk.studies.graft.signals import SignalTables
from ropewalk.studies.store import Entry
from ropewalk.tokens.tokenizer import ByteTokenizer, Tokenizer
from ropewalk.training.corpus_tokens import tokenize_corpus
from ropewalk.training.graft import paired, trainable

EXTREMES = 5
SOURCE = "ropewalk.studies.graft.tables"
INCREMENT_COLUMNS = {
    "row": "row",
    "mean": "mean increment",
    "std": "standard deviation in context",
    "tokens": "standard deviation over tokens",
    "end": "end of text, minus the row's mean",
}
Make = Callable[[list[GraftJob]], list[Result]]


def entries(study: GraftStudy, base: str, out: Path) -> list[Entry]:
    """Every table whose training runs are done."""
    return [entry for entry in GraftTables(study, base, out).entries() if entry.models]


@dataclass(frozen=True)
class GraftTables:
    """The tables of a study on `base` in the folder `out`."""

    study: GraftStudy
    base: str
    out: Path

    def entries(self) -> list[Entry]:
        found = [
            self._entry(f"{BASELINES[part]}/neutrality", self._of_trainable(part), self._neutrality)
            for part in self.study.trainables
        ]
        found += [
            self._entry(f"{name}/vocabulary", self._of_variant(name), self._vocabulary)
            for name, variant in self.study.variants.items()
            if variant.increments.parametrization != "constant"
        ]
        if not isinstance(self.tokenizer, ByteTokenizer):
            return found + [
                self._entry(f"{name}/signals word starts", self._of_variant(name), self._word_starts)
                for name in self.study.study.main
            ]
        for name in self.study.study.main:
            own = self._of_variant(name)
            for gold in self.study.gold:
                found.append(
                    self._entry(f"{name}/boundaries {gold}", own, partial(self._boundaries, gold=gold))
                )
                found.append(self._entry(f"{name}/signals {gold}", own, partial(self._signals, gold=gold)))
            found.append(self._entry(f"{name}/signals white space", own, self._surface_signals))
        return found

    def _entry(self, name: str, own: list[GraftJob], make: Make) -> Entry:
        models = tuple(job.folder(self.out) / paired.DONE for job in own)
        return Entry(f"{GROUP}/{name}", models, (), SOURCE, lambda: make(own))

    @cached_property
    def done(self) -> list[GraftJob]:
        return [job for job in jobs(self.study, self.base) if job.done(self.out)]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """How the base reads text."""
        return tokenizer_of(self.base)

    def _of_trainable(self, part: str) -> list[GraftJob]:
        return [job for job in self.done if job.recipe.model.trainable == part]

    def _of_variant(self, name: str) -> list[GraftJob]:
        return [job for job in self.done if job.variant == name]

    def _neutrality(self, own: list[GraftJob]) -> list[Result]:
        """Held-out losses, paired by seed, in nats per byte of text; and perplexities."""
        sides: dict[str, dict[int, paired.Side]] = {}
        for job in own:
            sides.setdefault(job.variant, {})[job.seed] = paired.Side.read(job.folder(self.out))
        baseline = BASELINES[own[0].recipe.model.trainable]
        if baseline not in sides or len(sides) < 2:
            return []
        density = self._tokens_per_byte
        losses = {
            name: {seed: s.loss * density for seed, s in by_seed.items()} for name, by_seed in sides.items()
        }
        variation = {
            name: max(map(_variation, by.values()))
            for name, by in sides.items()
            if name in self.study.variants
        }
        return [
            neutrality(losses, baseline, variation=variation, seen=own[0].size),
            perplexity(sides, baseline, own[0].size),
        ]

    def _vocabulary(self, own: list[GraftJob]) -> list[Result]:
        """Increments by row, by category or byte kind, extreme tokens, and the agreement of seeds, over held-out text."""
        found = [self._measured(job) for job in own]
        first = found[0]
        counts = np.min([v.counts for v in found], 0)
        seen = np.min([v.seen for v in found if v.seen is not None], 0)
        means = np.stack([v.increments for v in found])
        mean = replace(first, increments=means.mean(0), counts=counts, seen=seen)
        made = [self._increments(own, found), vocabulary.extreme_tokens(mean, EXTREMES)]
        if isinstance(self.tokenizer, ByteTokenizer):
            occurring = np.where((counts > 0)[:, None], means, np.nan)
            made.append(_in_context(spacing.by_byte(first.rows, occurring.transpose(0, 2, 1))))
        else:
            made.append(vocabulary.by_category(mean))
        if len(found) > 1:
            made.append(vocabulary.compare(*found[:2]))
        return made

    def _increments(self, own: list[GraftJob], found: list[vocabulary.Vocabulary]) -> Result:
        """Mean and standard deviation of every row."""
        sides = [paired.Side.read(job.folder(self.out)) for job in own]
        end = self.tokenizer.end
        rows: list[dict[str, Any]] = []
        for n, name in enumerate(found[0].rows):
            means = np.array([side.spacing[n]["mean"] for side in sides])
            row: dict[str, Any] = {"row": str(name)}
            columns = {
                "mean": means,
                "std": np.array([side.spacing[n]["std"] for side in sides]),
                "tokens": np.array([v.increments[v.kept, n].std() for v in found]),
                "end": np.array([_end(v, end, n) for v in found]),
            }
            for column, values in columns.items():
                e = statistics.paired(values)
                row |= {column: e.value, f"{column}_low": e.low, f"{column}_high": e.high}
            rows.append(row)
        return Result(
            "increments",
            f"Increments on held-out text, gap {found[0].gap}",
            INCREMENT_COLUMNS,
            tuple(rows),
            ("mean", "std", "tokens", "end"),
            chart=Chart("bars", "row", "std", base=0.0),
            notes=(
                f"{len(found)} seed(s) on one base; intervals over seeds (Student). Over tokens: standard deviation of "
                "the tokens' own means, each token counting once.",
            ),
        )

    def _boundaries(self, own: list[GraftJob], gold: str) -> list[Result]:
        """The experiment of the native models, on grafts."""
        dev, test = self._gold(gold)
        inputs = Inputs({own[0].variant: self._open(own)}, dev=dev, test=test, jieba=False)
        return experiments.get("boundaries").measure(inputs)

    def _signals(self, own: list[GraftJob], gold: str) -> list[Result]:
        return [self._signal_tables(own).between_characters(*self._gold(gold))]

    def _surface_signals(self, own: list[GraftJob]) -> list[Result]:
        return [self._signal_tables(own).white_space(np.asarray(self._bytes.validation))]

    def _word_starts(self, own: list[GraftJob]) -> list[Result]:
        return [self._signal_tables(own).word_starts(np.asarray(self._bytes.validation))]

    def _signal_tables(self, own: list[GraftJob]) -> SignalTables:
        return SignalTables(self.base, self._open(own), self.study.probe, self.study.study.sample)

    def _measured(self, job: GraftJob) -> vocabulary.Vocabulary:
        """Mean increments of every token over held-out windows, and how often training saw it."""
        graft = self._open([job])[0]
        context, size = self.study.model.context_length, graft.vocab_size
        held_out = cut(np.asarray(self._tokens.validation), context, self.study.study.windows)
        d, counts = (
            (measured.every_token(graft, size), np.bincount(held_out[:, 1:].numpy().ravel(), minlength=size))
            if graft.config.shared  # reads nothing but the token
            else measured.in_context(graft, held_out.split(8), size)
        )
        seen = np.zeros(size, np.int64)
        for step in range(job.steps):
            size_of_batch = job.recipe.train.batch_size
            batch = windows.batch(
                self._tokens.train, seed=job.seed, step=step, size=size_of_batch, context=context
            )
            seen += np.bincount(batch.numpy().ravel(), minlength=size)
        pieces = tuple(self.tokenizer.pieces(range(size)))
        return vocabulary.Vocabulary(np.arange(size), pieces, graft.rows, d, counts, graft.gap, seen)

    def _open(self, own: list[GraftJob]) -> list[Graft]:
        return [trainable.open_trained(job.recipe.model, job.folder(self.out) / "model") for job in own]

    def _gold(self, name: str) -> Any:
        return self.study.gold[name].read(self.study.study.gold_root, self.study.study.sentences)

    @cached_property
    def _bytes(self) -> Corpus:
        return prepare(self.study.corpus, progress=False)

    @cached_property
    def _tokens(self) -> Corpus:
        return tokenize_corpus(self._bytes, self.tokenizer)

    @property
    def _tokens_per_byte(self) -> float:
        """Of held-out text."""
        return len(self._tokens.validation) / len(self._bytes.validation)


def _in_context(result: Result) -> Result:
    """The published table, whose means are over held-out text here, in every layer."""
    note = (
        f"{result.notes[0]} Means over held-out text, each byte counting once; empty where one did not occur."
    )
    title = "Increment of each kind of byte, over held-out text"
    return replace(result, title=title, primary=None, notes=(note,))


def _variation(side: paired.Side) -> float:
    """The standard deviation within rows over the row's mean, root mean square over rows."""
    return float(np.sqrt(np.mean([(row["std"] / row["mean"]) ** 2 for row in side.spacing])))


def _end(table: vocabulary.Vocabulary, end: int | None, row: int) -> float:
    """The centered increment of the end of a text; NaN where it was not measured or not seen in training."""
    known = end is not None and bool(table.kept[end])
    return float(table.centered[end, row]) if known else float("nan")
