"""The plan of a study of native models: its recipe, and the training runs it asks for, in an order in which each finds what
it needs.

A study has groups; a group is a recipe of a training run with its variants, seeds and tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.errors import RECIPES
from ropewalk.experiments import REGISTRY
from ropewalk.studies import plan
from ropewalk.studies.native.dependencies import resolve_dependencies
from ropewalk.studies.native.variants import VARIANTS
from ropewalk.studies.plan import GoldFiles, Header, job_folder, scaled_steps
from ropewalk.system.seeds import MAX_SEED
from ropewalk.system.toml import read_toml
from ropewalk.training.loop import ProgressCallback
from ropewalk.training.native_training import train
from ropewalk.training.recipe import Recipe


class Group(BaseModel):
    """Training runs that share a recipe.

    main: the variants that the tables are about. single: variants trained with the first seed only, which get no
    verdict. tables: names of experiments. sentences: how many of each gold file. windows: how many windows of held-out
    text a table reads. speed: bytes a second to expect, for the plan only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...], Field(min_length=1)]
    variants: tuple[str, ...]
    single: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    gold: dict[str, GoldFiles] = {}
    sentences: int | None = None
    windows: int = Field(default=32, ge=2)
    speed: float = Field(gt=0)

    @field_validator("variants", "single", "main")
    @classmethod
    def _known_variants(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("variant", names, VARIANTS)

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return _known("table", names, REGISTRY)

    @field_validator("recipe")
    @classmethod
    def _of_bytes(cls, recipe: Recipe) -> Recipe:
        if recipe.corpus.tokenizer is not None:
            raise ValueError(
                "a study measures byte models; leave out corpus.tokenizer, or train by `ropewalk train` and measure by "
                "`ropewalk measure`"
            )
        return recipe

    @property
    def reads(self) -> str:
        """What the training runs read: "planted", "lookup" or "python" where their first source is built in, else "text"."""
        return self.recipe.corpus.sources[0].builtin or "text"

    @property
    def planted(self) -> bool:
        return self.reads == "planted"

    @property
    def all_variants(self) -> tuple[str, ...]:
        """The main variants, then the others, each once."""
        return tuple(dict.fromkeys((*self.main, *self.variants, *self.single)))


class Study(BaseModel):
    """Everything about a study: the tables [study] and [groups.NAME]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: Header
    groups: Annotated[dict[str, Group], Field(min_length=1)]


@dataclass(frozen=True)
class NativeJob:
    """One training run; see `studies.plan.Job`."""

    group: str
    variant: str
    seed: int
    recipe: Recipe
    unit: str = "byte"

    @property
    def name(self) -> str:
        return f"{self.group}/{self.variant}/seed-{self.seed}"

    @property
    def steps(self) -> int:
        return self.recipe.train.steps

    @property
    def bytes(self) -> int:
        return self.steps * self.recipe.train.batch_size * self.recipe.model.context_length

    @property
    def size(self) -> str:
        return f"{self.bytes / 1e6:.3g} MB"

    @property
    def corpus(self) -> CorpusConfig:
        return self.recipe.corpus

    def folder(self, out: Path) -> Path:
        return job_folder(out, self.group, self.variant, self.seed)

    def done(self, out: Path) -> bool:
        return (self.folder(out) / "model" / "config.json").is_file()

    def ready(self, out: Path) -> bool:
        needs = VARIANTS[self.variant].needs
        if needs is None:
            return True
        return (job_folder(out, self.group, needs, self.seed) / "model" / "config.json").is_file()

    def train(self, out: Path, *, resume: bool, watch: ProgressCallback | None) -> None:
        corpus = prepare(self.corpus)
        recipe = resolve_dependencies(self.recipe, out, self.group, self.variant, self.seed, corpus)
        train(recipe, corpus, self.folder(out), resume=resume, watch=watch)


def read(path: str | Path, overrides: list[str] | None = None) -> Study:
    """The study in a TOML file, with `section.key=value` overrides. Each group's [groups.X.recipe] is a recipe.

    Relative paths of a group's corpus start at the corpus's root, gold files at `study.gold_root`.
    """
    return read_toml(path, "study", overrides).validate(Study, f"see {RECIPES}/study-cpu.toml")


def jobs(study: Study, device: str = "auto") -> Iterator[NativeJob]:
    """Every run: groups in order, within a group all variants of a seed before the next seed, so that a study that is cut
    short has whole pairs; variants with one seed come after all groups. What a variant needs comes before it."""
    done: set[tuple[str, str, int]] = set()
    parts = [(name, group, group.variants, group.seeds) for name, group in study.groups.items()]
    parts += [(name, group, group.single, group.seeds[:1]) for name, group in study.groups.items()]
    for name, group, variants, seeds in parts:
        wanted = {needed for v in variants if (needed := VARIANTS[v].needs)} | set(variants)
        for seed in seeds:
            for variant in VARIANTS:
                if variant in wanted and (name, variant, seed) not in done:
                    done.add((name, variant, seed))
                    yield NativeJob(name, variant, seed, _recipe(study, group, variant, seed, device))


def table(study: Study) -> list[plan.Row]:
    """The plan in rows: group, variants, runs, megabytes each and in all, hours at the recipe's speed."""
    rows = []
    for name, group in study.groups.items():
        own = [job for job in jobs(study) if job.group == name]
        total = sum(job.bytes for job in own)
        rows.append(
            {
                "group": name,
                "variants": len({job.variant for job in own}),
                "seeds": len(group.seeds),
                "runs": len(own),
                "MB each": own[0].bytes / 1e6,
                "MB": total / 1e6,
                "hours": total / group.speed / 3600,
            }
        )
    return rows


def _recipe(study: Study, group: Group, variant: str, seed: int, device: str) -> Recipe:
    """The group's recipe with the change of the variant, the seed, the scale and the device."""
    given: dict[str, Any] = group.recipe.model_dump(exclude_unset=True)
    change, shape, train = VARIANTS[variant].model, given.get("model", {}), group.recipe.train
    given["model"] = {
        **shape,
        **change,
        "increments": {**shape.get("increments", {}), **change["increments"]},
    }
    steps = scaled_steps(train.steps, study.study.scale)
    where = train.device if device == "auto" else device
    given["train"] = {**given.get("train", {}), "seed": seed, "steps": steps, "device": where}
    warmup = min(group.recipe.optimizer.warmup, steps // 5)
    given["optimizer"] = {**given.get("optimizer", {}), "warmup": warmup}
    return Recipe.model_validate(given)


def _known(what: str, names: tuple[str, ...], known: Any) -> tuple[str, ...]:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {what} '{unknown[0]}': choose from {', '.join(known)}")
    return names
