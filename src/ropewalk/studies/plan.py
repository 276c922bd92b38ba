"""The plan: a study's recipe read, and the runs it asks for, in an order in which each finds what it needs.

A study is groups; a group is a recipe of a training, its variants, its seeds and its tables. Knows recipes and
folders; trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ropewalk.studies.variants import VARIANTS
from ropewalk.system.toml import read_toml
from ropewalk.training.recipe import Recipe

Table = Literal[
    "neutrality", "bytes", "spacing", "boundaries", "entities", "knockout", "lookback", "agreement",
    "extrapolation", "curve", "lookup", "scopes", "planted",
]  # fmt: skip


class Gold(BaseModel):
    """One segmented text: `dev` and `test` files, or `dev` alone, which is then split by the hash of its lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dev: Path
    test: Path | None = None


class Group(BaseModel):
    """Trainings that share a recipe.

    speed: bytes a second to expect, for the plan only. main: the variants that the tables are about. single:
    variants trained with the first seed only, which get no verdict. sentences: so many of each gold file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    variants: tuple[str, ...]
    single: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    gold: dict[str, Gold] = {}
    sentences: int | None = None
    windows: int = Field(default=32, ge=2)
    speed: float = Field(gt=0)

    @field_validator("variants", "single", "main")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in VARIANTS]
        if unknown:
            raise ValueError(f"unknown variant '{unknown[0]}': choose from {', '.join(VARIANTS)}")
        return names

    @property
    def reads(self) -> str:
        """What the trainings read: "planted", "lookup" or "python" where their first source is built in, else
        "text"."""
        return self.recipe.corpus.sources[0].builtin or "text"

    @property
    def planted(self) -> bool:
        return self.reads == "planted"


class Header(BaseModel):
    """title: the report's. scale: the share of the recipe's length that is trained, below 1 for a rehearsal.
    gold_root: the folder that relative gold files start from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    scale: float = Field(default=1.0, gt=0, le=1)
    gold_root: Path = Path(".")


class Study(BaseModel):
    """Everything about a study: the tables [study] and [groups.NAME]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: Header
    groups: Annotated[dict[str, Group], Field(min_length=1)]


@dataclass(frozen=True)
class Job:
    """One training: its place is group/variant/seed-N in the study's folder."""

    group: str
    variant: str
    seed: int
    recipe: Recipe

    def folder(self, out: Path) -> Path:
        return place(out, self.group, self.variant, self.seed)

    @property
    def bytes(self) -> int:
        return self.recipe.train.steps * self.recipe.train.batch_size * self.recipe.model.context_length


def place(out: Path, group: str, variant: str, seed: int) -> Path:
    """The folder of one training."""
    return out / "runs" / group / variant.replace(" ", "-") / f"seed-{seed}"


def read(path: Path, overrides: list[str] | None = None) -> Study:
    """The study in a TOML file, with `section.key=value` overrides. Each group's [groups.X.recipe] is a recipe.

    Relative paths of a group's corpus start at the corpus' own root, gold files at `study.gold_root`.
    """
    return read_toml(path, "study", overrides).validate(Study, "correct the file")


def jobs(study: Study, device: str = "auto") -> Iterator[Job]:
    """Every training: groups in order, in a group seeds outermost, so that a study that is cut short has whole
    pairs; the variants of one seed come last of all. What a variant needs comes before it."""
    given: set[tuple[str, str, int]] = set()
    for main in (True, False):
        for name, group in study.groups.items():
            for seed in group.seeds if main else group.seeds[:1]:
                variants = group.variants if main else group.single
                wanted = {needed for v in variants if (needed := VARIANTS[v].needs)} | set(variants)
                for variant in VARIANTS:
                    if variant in wanted and (name, variant, seed) not in given:
                        given.add((name, variant, seed))
                        yield Job(name, variant, seed, _recipe(study, group, variant, seed, device))


def _recipe(study: Study, group: Group, variant: str, seed: int, device: str) -> Recipe:
    told: dict[str, Any] = group.recipe.model_dump(exclude_unset=True)
    change, shape, train = VARIANTS[variant].model, told.get("model", {}), group.recipe.train
    told["model"] = {**shape, **change, "increments": {**shape.get("increments", {}), **change["increments"]}}
    steps = max(2, round(train.steps * study.study.scale))
    where = train.device if device == "auto" else device
    told["train"] = {**told.get("train", {}), "seed": seed, "steps": steps, "device": where}
    warmup = min(group.recipe.optimizer.warmup, steps // 5)
    told["optimizer"] = {**told.get("optimizer", {}), "warmup": warmup}
    return Recipe.model_validate(told)


def table(study: Study) -> list[dict[str, Any]]:
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
