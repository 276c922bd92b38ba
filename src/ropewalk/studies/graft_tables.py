"""The graft study's book: losses, spread, vocabulary, boundaries and the probe, as tables of the studies' form.

A table is named graft/way/table, or graft/frozen/table where it is of the base itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.analyses import gaps, gold, signal_comparison, spacing, statistics, vocabulary
from ropewalk.analyses.byte_kinds import SURFACE, each, sentences
from ropewalk.analyses.neutrality import neutrality
from ropewalk.analyses.result import Chart, Result
from ropewalk.corpus import Corpus, prepare, windows
from ropewalk.hf.grafting import Graft
from ropewalk.measure import probe, random_networks
from ropewalk.measure import vocabulary as measured
from ropewalk.measure.capture import trace
from ropewalk.measure.windows import cut
from ropewalk.studies import tables
from ropewalk.studies.graft_plan import GROUP, GraftStudy, Job, jobs
from ropewalk.studies.result_store import SAMPLE, Entry
from ropewalk.tokens.utf8_bytes import VOCAB_SIZE, decode
from ropewalk.traces.trace import Trace
from ropewalk.training.graft import paired, trainable
from ropewalk.training.graft.corpus_tokens import read_corpus, reader_of

WINDOWS = 256  # held-out windows for the vocabulary
MOVERS = 5
SIGNALS = ("entropy before", "entropy after", "surprisal")


def entries(study: GraftStudy, base: str, out: Path) -> list[Entry]:
    """Every table whose trainings are done."""
    return _Book(study, base, out).entries()


class _Book:
    def __init__(self, study: GraftStudy, base: str, out: Path) -> None:
        self.study, self.base, self.out = study, base, out
        self.done = [job for job in jobs(study, base) if job.done(out)]
        self.reader = reader_of(base)

    def entries(self) -> list[Entry]:
        hows = list(dict.fromkeys(way.how for way in self.study.ways.values()))
        found = [self._entry(f"{how}/neutrality", self._jobs(how=how), self._neutrality) for how in hows]
        found += [
            self._entry(f"{way}/vocabulary", self._jobs(way=way), self._vocabulary) for way in self.study.ways
        ]
        if self.reader.tokenizer is None:
            for way in self.study.study.main:
                of = self._jobs(way=way)
                for name in self.study.gold:
                    found.append(
                        self._entry(f"{way}/boundaries {name}", of, partial(self._boundaries, name=name))
                    )
                    found.append(self._entry(f"{way}/sensed {name}", of, partial(self._sensed, name=name)))
                found.append(self._entry(f"{way}/sensed white space", of, self._sensed_marks))
        return [entry for entry in found if entry.models]

    def _entry(self, name: str, of: list[Job], make: Any) -> Entry:
        models = tuple(job.folder(self.out) / paired.DONE for job in of)
        return Entry(f"{GROUP}/{name}", models, lambda: make(of))

    def _jobs(self, *, how: str | None = None, way: str | None = None) -> list[Job]:
        return [job for job in self.done if how == job.recipe.model.how or way == job.variant]

    def _neutrality(self, of: list[Job]) -> list[Result]:
        """Held-out losses, paired by seed, in nats per byte of text."""
        losses: dict[str, dict[int, float]] = {}
        moved: dict[str, float] = {}
        for job in of:
            side = paired.Side.read(job.folder(self.out))
            losses.setdefault(job.variant, {})[job.seed] = side.loss * self._density
            if job.variant in self.study.ways:
                square = np.mean([(row["mean"] - 1) ** 2 + row["std"] ** 2 for row in side.spacing])
                moved[job.variant] = max(moved.get(job.variant, 0.0), float(np.sqrt(square)))
        how, train = of[0].recipe.model.how, of[0].recipe.train
        seen = f"{train.steps * train.batch_size * self.study.model.context_length / 1e6:.3g} M tokens"
        return [neutrality(losses, how, moved=moved, seen=seen)] if how in losses and len(losses) > 1 else []

    def _vocabulary(self, of: list[Job]) -> list[Result]:
        """Spread, categories, movers and the agreement of seeds, over held-out text."""
        found = [self._measured(job) for job in of]
        first = found[0]
        counts = np.min([v.counts for v in found], 0)
        seen = np.min([v.seen for v in found if v.seen is not None], 0)
        means = np.stack([v.d for v in found])
        mean = vocabulary.Vocabulary(
            first.ids, first.pieces, first.rows, means.mean(0), counts, first.gap, seen
        )
        made = [self._spread(of, found), vocabulary.movers(mean, MOVERS)]
        if self.reader.tokenizer is None:
            measured_ones = np.where((counts > 0)[:, None], means, np.nan)
            made.append(_in_context(spacing.by_byte(first.rows, measured_ones.transpose(0, 2, 1))))
        else:
            made.append(vocabulary.by_category(mean))
        if len(found) > 1:
            made.append(vocabulary.compare(*found[:2]))
        return made

    def _spread(self, of: list[Job], found: list[vocabulary.Vocabulary]) -> Result:
        sides = [paired.Side.read(job.folder(self.out)) for job in of]
        end = self.reader.end
        rows: list[dict[str, Any]] = []
        for n, line in enumerate(found[0].rows):
            means = np.array([side.spacing[n]["mean"] for side in sides])
            row: dict[str, Any] = {"line": str(line)}
            columns = {
                "mean": means,
                "std": np.array([side.spacing[n]["std"] for side in sides]),
                "tokens": np.array([v.d[v.kept, n].std() for v in found]),
                "end": np.array([v.centred[end, n] for v in found]) if end is not None else means * np.nan,
            }
            for name, values in columns.items():
                e = statistics.paired(values)
                row |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
            rows.append(row)
        headings = {
            "line": "line",
            "mean": "mean increment",
            "std": "spread in context",
            "tokens": "spread over tokens",
            "end": "end of text, less the line's mean",
        }
        return Result(
            "spread",
            f"Increments on held-out text, gap {found[0].gap}",
            headings,
            tuple(rows),
            ("mean", "std", "tokens", "end"),
            chart=Chart("bars", "line", "std", base=0.0),
            notes=(
                f"{len(found)} seed(s) on one base; intervals over seeds (Student). Spread over tokens: standard "
                "deviation of the tokens' own means, each token counting once.",
            ),
        )

    def _boundaries(self, of: list[Job], name: str) -> list[Result]:
        """The native models' table and gain, on grafts."""
        return tables.boundaries(self._open(of), *self._gold(name), jieba=False)  # type: ignore[arg-type]

    def _sensed(self, of: list[Job], name: str) -> list[Result]:
        """Increments, the untouched base's sensitivities and its uncertainty at the same gaps between characters."""
        dev, test = self._gold(name)
        halves = dev.halves() if test is None else (None, None)
        grafts, readers = self._open(of), {}
        parts = []
        for g, half in zip((dev, test or dev), halves, strict=True):
            known = gaps.gaps(trace(grafts[0], g.text, start="text"), g, half)
            starts = known.characters.starts[known.characters.candidate]
            chosen = self._spread_out(starts, len(g.text.encode()))
            parts.append((g.text, starts[chosen], known.labels[chosen], known.sentence[chosen]))
        readers = self._readers(grafts, [(text, tokens) for text, tokens, _, _ in parts])
        (_, _, own, _), (_, _, labels, numbers) = parts
        return [self._told(readers, own, labels, numbers, "Word boundaries between Chinese characters")]

    def _sensed_marks(self, of: list[Job]) -> list[Result]:
        """The same for white space and punctuation against letters, on held-out text."""
        text = decode(np.asarray(self._bytes.validation)[:SAMPLE]).replace("\ufffd", "")
        grafts = self._open(of)
        read = trace(grafts[0], text)
        first, kind, names = each(read)
        labels = np.isin(kind, [i for i, name in enumerate(names) if name in SURFACE])
        group = sentences(read)[first]
        parts = []
        for half in (group <= np.median(group), group > np.median(group)):
            places = np.flatnonzero(half)
            chosen = places[self._spread_out(first[places], len(read.tokens))]
            parts.append((first[chosen], labels[chosen], group[chosen]))
        readers = self._readers(grafts, [(text, tokens) for tokens, _, _ in parts], start="document")
        (_, own, _), (_, scored, numbers) = parts
        return [self._told(readers, own, scored, numbers, "White space and punctuation against letters")]

    def _told(self, readers: dict, own: Any, labels: Any, numbers: Any, title: str) -> Result:
        untrained = [name for name in readers if name.endswith("untrained model")]
        asked = self.study.probe
        note = (
            f"Sensitivity: Fisher information of the gap over the next tokens, {asked.past} tokens before it, "
            f"{asked.draws} draws; over more than one token it has read further than an increment has. Its null is the "
            "same of a model that was not trained; that of the increments are random networks, which read what those "
            "of the first seed read. Entropies and surprisal are the base's, at the gap's right-hand token."
        )
        random = readers.pop("random networks")
        return signal_comparison.compare_signals(
            readers, own, labels, numbers, title=title, chance=untrained, random=random, notes=[note]
        )

    def _readers(
        self, grafts: list[Graft], parts: list[tuple[str, np.ndarray]], start: Any = "text"
    ) -> dict[str, signal_comparison.Reader]:
        read = [[trace(graft, text, start=start) for text, _ in parts] for graft in grafts]
        rows = tuple(map(str, grafts[0].rows))
        increments = [
            np.stack([traces[i].increments[:, tokens] for traces in read])
            for i, (_, tokens) in enumerate(parts)
        ]
        readers: dict[str, signal_comparison.Reader] = {}
        for window in self.study.probe.windows:
            for what, host in (
                ("the base", self._plain()),
                ("an untrained model", self._plain(trained=False)),
            ):
                found = [self._sensitivity(host, text, tokens, window) for text, tokens in parts]
                name = f"sensitivity over {window} of {what}"
                readers[name] = signal_comparison.Reader(
                    tuple(map(str, found[0].rows)), *(t.values[None] for t in found)
                )
        readers["increment"] = signal_comparison.Reader(rows, *increments)
        drawn = [_draws(grafts[0], text, start)[..., tokens] for text, tokens in parts]
        readers["random networks"] = signal_comparison.Reader(rows, *drawn)
        plain = [trace(self._plain(), text, start=start) for text, _ in parts]
        for name in SIGNALS:
            key = "entropy" if name == "entropy before" else name.replace(" ", "_")
            readers[name] = signal_comparison.one(
                *(getattr(t, key)[tokens] for t, (_, tokens) in zip(plain, parts, strict=True))
            )
        return readers

    def _sensitivity(self, host: Graft, text: str, tokens: np.ndarray, window: int) -> Trace:
        asked = self.study.probe
        plan = probe.Plan(window, asked.past, asked.draws, tuple(tokens.tolist()))
        return probe.probe(host, text, plan).trace

    def _spread_out(self, tokens: np.ndarray, length: int) -> np.ndarray:
        """So many of these tokens as the probe is asked for, evenly spaced, with room before and after."""
        asked = self.study.probe
        room = np.flatnonzero((tokens >= asked.past) & (tokens < length - max(asked.windows) - 1))
        picked = np.linspace(0, len(room) - 1, min(len(room), asked.gaps)).astype(np.int64)
        return room[picked]

    def _plain(self, trained: bool = True) -> Graft:
        """The base as it is, or its shape with fresh weights, with a line in every layer."""
        import torch
        from transformers import AutoModelForCausalLM

        from ropewalk.hf import graft
        from ropewalk.hf.loading import open_config, open_model

        if trained:
            model = open_model(self.base, dtype=torch.float32)
        else:
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(open_config(self.base), dtype=torch.float32).eval()
        model.requires_grad_(False)
        return graft(model, parametrization="integer", per="layer")

    def _measured(self, job: Job) -> vocabulary.Vocabulary:
        graft = self._open([job])[0]
        size = VOCAB_SIZE if self.reader.tokenizer is None else int(graft.anatomy.config.vocab_size)
        held_out = cut(np.asarray(self._corpus.validation), self.study.model.context_length, WINDOWS)
        d, counts = measured.in_context(graft, held_out.split(8), size)
        seen = np.zeros(size, np.int64)
        train = job.recipe.train
        for step in range(train.steps):
            batch = windows.batch(
                self._corpus.train,
                seed=job.seed,
                step=step,
                size=train.batch_size,
                context=self.study.model.context_length,
            )
            seen += np.bincount(batch.numpy().ravel(), minlength=size)
        pieces = tuple(self.reader.pieces(list(range(size))))
        return vocabulary.Vocabulary(np.arange(size), pieces, graft.rows, d, counts, graft.gap, seen)

    def _open(self, of: list[Job]) -> list[Graft]:
        return [trainable.reopened(job.recipe.model, job.folder(self.out) / "model") for job in of]

    def _gold(self, name: str) -> tuple[gold.Gold, gold.Gold | None]:
        told, root, limit = self.study.gold[name], self.study.study.gold_root, self.study.study.sentences
        test = None if told.test is None else gold.read(root / told.test, limit)
        return gold.read(root / told.dev, limit), test

    @cached_property
    def _bytes(self) -> Corpus:
        return prepare(self.study.corpus, progress=False)

    @cached_property
    def _corpus(self) -> Corpus:
        return read_corpus(self._bytes, self.reader)

    @property
    def _density(self) -> float:
        """Tokens of held-out text per byte."""
        return len(self._corpus.validation) / len(self._bytes.validation)


def _draws(graft: Graft, text: str, start: Any) -> np.ndarray:
    """(D, N, T): D random networks in place of each of a graft's increment_modules."""
    drawn = random_networks.random_networks(graft, text, start=start)
    return drawn.values.reshape(len(graft.increment_inputs[0]), -1, len(drawn.tokens)).transpose(1, 0, 2)


def _in_context(result: Result) -> Result:
    """The published table, whose means are over held-out text here and reach into every layer."""
    note = (
        f"{result.notes[0]} Means over held-out text, each byte counting once; empty where one did not occur."
    )
    return replace(
        result, title="Increment of each kind of byte, over held-out text", primary=None, notes=(note,)
    )
