"""The book: every table of a study, made once from the trained models and kept beside them.

A table is named group/variant/table. It is made again only when its models changed or when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from ropewalk.analyses import gold as golds
from ropewalk.analyses.learning_curve import Point, curve
from ropewalk.analyses.result import Result
from ropewalk.corpus import Corpus, LookupConfig, prepare
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.errors import UserError
from ropewalk.native.checkpoint import load_decoder, read_config
from ropewalk.native.decoder import Decoder
from ropewalk.studies import tables
from ropewalk.studies.plan import Group, Study, place
from ropewalk.studies.variants import BASELINE
from ropewalk.system.files import sha256
from ropewalk.tokens.utf8_bytes import decode

SAMPLE = 60_000  # bytes of held-out text for spacing and agreement
CONTROLS = ("constant", "permuted", "random")
HEADS = ("shared per-head", "per-layer per-head")  # whose heads walk by themselves
POINTS = 5
PLANTED_DOCUMENTS = 30

Kinds = dict[str, list[Decoder]]


@dataclass(frozen=True)
class Entry:
    """A table to make: its name, the models it is of (folders, or files known by their hash), how."""

    id: str
    models: tuple[Path, ...]
    make: Callable[[], list[Result]]


def entries(study: Study, out: Path) -> list[Entry]:
    """Every table that the study's recipe asks for and whose models are trained."""
    return [
        entry for name, group in study.groups.items() for entry in _Group(study, name, group, out).entries()
    ]


def compute(
    found: list[Entry], out: Path, command: str, tell: Callable[[str], None], only: str | None = None
) -> None:
    """Makes what is missing or out of date; only: one table, made in any case. UserError for an unknown one."""
    if only is not None and only not in {entry.id for entry in found}:
        raise UserError(f"the study has no table '{only}'; its tables are {', '.join(e.id for e in found)}.")
    for entry in found:
        hashes = [sha256(m) if m.is_file() else read_config(m)["weights"]["sha256"] for m in entry.models]
        if entry.id != only and (only is not None or _fresh(entry.id, out, hashes)):
            continue
        tell(entry.id)
        for result in entry.make():
            path = out / "tables" / entry.id / f"{result.name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            told = {**result.provenance, "models": hashes}
            replace(result, command=f"{command} --table '{entry.id}'", provenance=told).save(path)


def results(found: list[Entry], out: Path) -> dict[str, list[Result]]:
    """What is made so far, by name."""
    made = {entry.id: _kept(entry.id, out) for entry in found}
    return {name: kept for name, kept in made.items() if kept}


def _fresh(name: str, out: Path, hashes: list[str]) -> bool:
    """True for tables that are whole and made from these models."""
    try:
        kept = _kept(name, out)
    except UserError:
        return False
    return bool(kept) and all(result.provenance.get("models") == hashes for result in kept)


def _kept(name: str, out: Path) -> list[Result]:
    return [Result.load(path) for path in sorted((out / "tables" / name).glob("*.json"))]


class _Group:
    """The tables of one group."""

    def __init__(self, study: Study, name: str, group: Group, out: Path) -> None:
        self.study, self.name, self.group, self.out = study, name, group, out
        self.models = cache(load_decoder)

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        for table in self.group.tables:
            if table == "neutrality":
                found += self._losses()
            elif table == "lookup":
                kinds = {v: self._folders(v) for v in self._variants}
                found.append(self._entry("lookup", {v: p for v, p in kinds.items() if p}, self._lookup))
            elif table == "extrapolation":
                kinds = {v: self._folders(v) for v in (*self.group.main, BASELINE)}
                made = partial(tables.extrapolation, tokens=self._tokens, count=self.group.windows)
                found.append(self._entry("extrapolation", {v: p for v, p in kinds.items() if p}, made))
            else:
                by_head = HEADS if table == "lookback" else ()
                for variant in (*self.group.main, *(v for v in by_head if v in self._variants)):
                    found += self._of(table, variant)
        return [entry for entry in found if entry.models]

    def _entry(self, name: str, kinds: dict[str, list[Path]], make: Callable[[Kinds], list[Result]]) -> Entry:
        paths = tuple(path for members in kinds.values() for path in members)
        return Entry(
            f"{self.name}/{name}",
            paths,
            lambda: make({v: self._load(members) for v, members in kinds.items()}),
        )

    def _losses(self) -> list[Entry]:
        """The loss of every variant against the baseline, and of the main ones against what has no content."""
        trained = {v: p for v in self._variants if (p := self._folders(v))}
        made = []
        if BASELINE in trained and len(trained) > 1:
            compare = partial(self._neutrality, baseline=BASELINE)
            made.append(self._entry("neutrality", trained, compare))
        for control in CONTROLS:
            kinds = {v: trained[v] for v in (*self.group.main, control) if v in trained}
            if control in kinds and len(kinds) > 1 and control in self.group.variants:
                against = partial(self._neutrality, baseline=control, name="content")
                made.append(self._entry(f"content against {control}", kinds, against))
        return made

    def _of(self, table: str, variant: str) -> list[Entry]:
        """One table, or one per gold text, of one variant."""
        paths, count = self._folders(variant), self.group.windows
        if table == "agreement" and len(paths) < 2:
            return []

        def entry(name: str, make: Callable[[list[Decoder]], list[Result]]) -> Entry:
            return self._entry(f"{variant}/{name}", {variant: paths}, lambda kinds: make(kinds[variant]))

        names = self._gold_names()
        if table == "boundaries":
            found = [entry(f"boundaries {name}", partial(self._boundaries, name=name)) for name in names]
            if self.group.gold:
                as_published = partial(self._boundaries, name=names[0], by_jieba=True)
                found.append(entry(f"boundaries {names[0]} by jieba", as_published))
            return found
        if table == "curve":
            return [
                entry(f"curve {name}", partial(self._curve, variant=variant, name=name)) for name in names[:1]
            ]
        make: dict[str, Callable[[list[Decoder]], list[Result]]] = {
            "bytes": tables.bytes_,
            "spacing": lambda m: [*tables.spacing_(m, self._text)[:2], tables.extremes(m[0])],
            "entities": tables.entities,
            "knockout": lambda m: tables.knockout(
                m, self._tokens, self._load(self._folders(BASELINE)), count
            ),
            "lookback": lambda m: tables.lookback(m, self._tokens, count),
            "agreement": lambda m: tables.agreement_(m, self._text),
            "scopes": lambda m: tables.scopes(m, self._sources),
            "planted": lambda m: tables.planted(m, self._planted),
        }
        return [entry(table, make[table])]

    @property
    def _variants(self) -> dict[str, None]:
        """The main variants, then the others, each once."""
        return dict.fromkeys((*self.group.main, *self.group.variants, *self.group.single))

    def _neutrality(self, kinds: Kinds, baseline: str, name: str = "neutrality") -> list[Result]:
        return tables.neutrality(kinds, baseline, self._tokens, name)

    def _lookup(self, kinds: Kinds) -> list[Result]:
        known = self.group.recipe.corpus.sources[0].lookup or LookupConfig()
        return tables.lookup(kinds, BASELINE if BASELINE in kinds else None, known)

    @property
    def _sources(self) -> list[str]:
        """Held-out files of Python source."""
        held_out = self.group.recipe.corpus.validation_documents
        return tables.library(min(tables.FILES, held_out))

    @property
    def _planted(self) -> PlantedConfig:
        return self.group.recipe.corpus.sources[0].planted or PlantedConfig()

    def _gold_names(self) -> list[str]:
        return ["planted"] if self.group.planted else list(self.group.gold)

    def _gold(self, name: str) -> tuple[golds.Gold, golds.Gold | None]:
        if self.group.planted:
            dev, test = (
                golds.by_planted(self._planted, PLANTED_DOCUMENTS, seed)[0] for seed in (1_001, 1_002)
            )
            return dev, test
        told, root, limit = self.group.gold[name], self.study.study.gold_root, self.group.sentences
        return golds.read(root / told.dev, limit), None if told.test is None else golds.read(
            root / told.test, limit
        )

    def _boundaries(self, models: list[Decoder], name: str, by_jieba: bool = False) -> list[Result]:
        dev, test = self._gold(name)
        if by_jieba:
            dev, test = golds.by_jieba(dev), None if test is None else golds.by_jieba(test)
        return tables.boundaries(models, dev, test, jieba=not self.group.planted and not by_jieba)

    def _curve(self, models: list[Decoder], variant: str, name: str) -> list[Result]:
        points = []
        for seed, path in zip(self.group.seeds, self._folders(variant), strict=False):
            steps = sorted(path.parent.glob("checkpoints/step-*"))
            chosen = [steps[i] for i in sorted({round(k) for k in np.linspace(0, len(steps) - 1, POINTS)})]
            for folder in chosen:
                model = load_decoder(folder)
                megabytes = tables.seen(model)[1] / 1e6
                points.append(Point(seed, megabytes, tables.part(model, *self._gold(name), draws=0)))
        return [curve(points, variant)]

    def _folders(self, variant: str) -> list[Path]:
        folders = [place(self.out, self.name, variant, seed) / "model" for seed in self.group.seeds]
        return [folder for folder in folders if (folder / "config.json").is_file()]

    def _load(self, paths: list[Path]) -> list[Decoder]:
        return [self.models(path) for path in paths]

    @property
    def _corpus(self) -> Corpus:
        return prepare(self.group.recipe.corpus, progress=False)

    @property
    def _tokens(self) -> np.ndarray:
        return np.asarray(self._corpus.validation)

    @property
    def _text(self) -> str:
        return decode(self._tokens[:SAMPLE]).replace("�", "")
