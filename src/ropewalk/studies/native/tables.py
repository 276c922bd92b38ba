"""The tables of a study of native models: which experiment is run on which models, group by group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ropewalk import experiments
from ropewalk.analyses import gold as golds
from ropewalk.analyses.result import Result
from ropewalk.corpus import prepare
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.experiments import Experiment, Inputs
from ropewalk.native.checkpoint import load_decoder
from ropewalk.native.decoder import Decoder
from ropewalk.studies.native.plan import Group, Study
from ropewalk.studies.native.variants import BASELINE, CONTROLS, VARIANTS
from ropewalk.studies.plan import job_folder
from ropewalk.studies.store import Entry
from ropewalk.tokens.utf8_bytes import decode

SAMPLE = 60_000
"""Bytes of held-out text that experiments on a text read."""
POINTS = 5
"""Checkpoints of each training run on a learning curve."""
PLANTED_DOCUMENTS = 30


def entries(study: Study, out: Path) -> list[Entry]:
    """Every table that the study's recipe asks for and whose models are trained."""
    found = []
    for name, group in study.groups.items():
        tables = GroupTables(name, group, study.study.gold_root, out)
        for table in group.tables:
            found += tables.entries(experiments.get(table))
    return [entry for entry in found if entry.models]


@dataclass(frozen=True)
class GroupTables:
    """The tables of one group in the study's folder `out`."""

    name: str
    group: Group
    gold_root: Path
    out: Path

    def entries(self, experiment: Experiment) -> list[Entry]:
        """The tables of one experiment: one of all variants, or one of each main variant (and gold file)."""
        if experiment.compares:
            return self._comparisons(experiment)
        by_head = [v for v in self.group.all_variants if VARIANTS[v].per_head] if experiment.per_head else []
        found = []
        for variant in dict.fromkeys((*self.group.main, *by_head)):
            if len(self._folders(variant)) < experiment.min_models:
                continue
            if experiment.name == "curve":
                found += self._curves(experiment, variant)
            elif "gold" in experiment.needs:
                found += [self._gold_entry(experiment, variant, gold) for gold in self._gold_names]
                if experiment.name == "boundaries" and self.group.gold:
                    found.append(self._gold_entry(experiment, variant, self._gold_names[0], by_jieba=True))
            else:
                found.append(self._entry(experiment, f"{variant}/{experiment.name}", variant, self._inputs))
        return found

    def _entry(
        self,
        experiment: Experiment,
        name: str,
        variant: str,
        inputs: Callable[[Experiment], Inputs],
    ) -> Entry:
        """A table about one variant, beside the baseline where the experiment can use it."""
        own = self._folders(variant)
        compared = self._folders(BASELINE) if "baseline" in experiment.optional else ()

        def make() -> list[Result]:
            variants = {variant: self._load(own), BASELINE: self._load(compared)}
            kept = {v: models for v, models in variants.items() if models}
            return experiment.measure(replace(inputs(experiment), variants=kept, baseline=BASELINE))

        return Entry(f"{self.name}/{name}", own, compared, experiment.source, make)

    def _gold_entry(self, experiment: Experiment, variant: str, gold: str, by_jieba: bool = False) -> Entry:
        """by_jieba: the published protocol, whose words are jieba's."""

        def inputs(experiment: Experiment) -> Inputs:
            dev, test = self._gold(gold)
            if by_jieba:
                dev, test = golds.by_jieba(dev), None if test is None else golds.by_jieba(test)
            score_jieba = not self.group.planted and not by_jieba
            return replace(self._inputs(experiment), dev=dev, test=test, jieba=score_jieba)

        name = f"{variant}/{experiment.name} {gold}{' by jieba' if by_jieba else ''}"
        return self._entry(experiment, name, variant, inputs)

    def _comparisons(self, experiment: Experiment) -> list[Entry]:
        """All variants against the baseline; for the loss, the main ones also against what has no content."""
        trained = {v: paths for v in self.group.all_variants if (paths := self._folders(v))}
        found = []
        if "baseline" not in experiment.needs or (BASELINE in trained and len(trained) > 1):
            found.append(self._comparison(experiment, experiment.name, trained, BASELINE))
        for control in CONTROLS if experiment.name == "neutrality" else ():
            variants = {v: trained[v] for v in (*self.group.main, control) if v in trained}
            if control in variants and len(variants) > 1 and control in self.group.variants:
                found.append(
                    self._comparison(experiment, f"content against {control}", variants, control, "content")
                )
        return found

    def _comparison(
        self,
        experiment: Experiment,
        name: str,
        variants: dict[str, tuple[Path, ...]],
        baseline: str,
        rename: str | None = None,
    ) -> Entry:
        def make() -> list[Result]:
            loaded = {variant: self._load(paths) for variant, paths in variants.items()}
            inputs = replace(self._inputs(experiment), variants=loaded, baseline=baseline)
            made = experiment.measure(inputs)
            return [replace(result, name=rename or result.name) for result in made]

        paths = tuple(path for members in variants.values() for path in members)
        return Entry(f"{self.name}/{name}", paths, (), experiment.source, make)

    def _curves(self, experiment: Experiment, variant: str) -> list[Entry]:
        """Checkpoints of every seed, evenly spread, on the first gold file."""
        chosen: list[Path] = []
        for folder in self._folders(variant):
            steps = sorted(folder.parent.glob("checkpoints/step-*"))
            chosen += [steps[i] for i in sorted({round(k) for k in np.linspace(0, len(steps) - 1, POINTS)})]

        def make(gold: str) -> list[Result]:
            dev, test = self._gold(gold)
            variants = {variant: [load_decoder(path) for path in chosen]}
            return experiment.measure(Inputs(variants, dev=dev, test=test))

        return [
            Entry(
                f"{self.name}/{variant}/curve {gold}",
                tuple(chosen),
                (),
                experiment.source,
                partial(make, gold),
            )
            for gold in self._gold_names[:1]
        ]

    def _inputs(self, experiment: Experiment) -> Inputs:
        """The held-out text and tokens, as far as the experiment reads them; no corpus text is quoted."""
        wanted = {*experiment.needs, *experiment.optional}
        tokens = np.asarray(prepare(self.group.recipe.corpus, progress=False).validation) if wanted else None
        text = ""
        if tokens is not None and "text" in wanted:
            text = decode(tokens[:SAMPLE]).replace("�", "")
        return Inputs({}, text=text, quote=False, tokens=tokens, windows=self.group.windows)

    @property
    def _gold_names(self) -> list[str]:
        return ["planted"] if self.group.planted else list(self.group.gold)

    def _gold(self, name: str) -> tuple[golds.Gold, golds.Gold | None]:
        if not self.group.planted:
            return self.group.gold[name].read(self.gold_root, self.group.sentences)
        language = self.group.recipe.corpus.sources[0].planted or PlantedConfig()
        dev, test = (golds.by_planted(language, PLANTED_DOCUMENTS, seed)[0] for seed in (1_001, 1_002))
        return dev, test

    def _folders(self, variant: str) -> tuple[Path, ...]:
        folders = [job_folder(self.out, self.name, variant, seed) / "model" for seed in self.group.seeds]
        return tuple(folder for folder in folders if (folder / "config.json").is_file())

    @staticmethod
    def _load(paths: Sequence[Path]) -> list[Decoder]:
        return [_loaded(path) for path in paths]


@lru_cache(maxsize=64)
def _loaded(path: Path) -> Decoder:
    return load_decoder(path)
