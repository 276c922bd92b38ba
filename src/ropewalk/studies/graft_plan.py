"""Graft studies: one pretrained base, ways of grafting increments onto it, each beside its baseline.

A recipe names the base, the ways and the seeds; every way is trained on the same data for the same steps as its
baseline, which learns the same without increments. Knows recipes and folders; measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.studies.plan import Gold, Header, place
from ropewalk.system.toml import read_toml
from ropewalk.training.graft import paired
from ropewalk.training.graft.corpus_tokens import read_corpus, reader_of
from ropewalk.training.graft.recipe import GraftConfig, GraftRecipe, How, rates
from ropewalk.training.loop import ProgressCallback
from ropewalk.training.recipe import TrainConfig

GROUP = "graft"


class GraftHeader(Header):
    """base: a Hugging Face model, or a native one with integer RoPE, which is exported first. main: the ways whose
    boundaries are measured. sentences: so many of each gold file. speed: tokens a second to expect, for the plan."""

    base: str
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    main: tuple[str, ...] = ()
    sentences: int | None = None
    speed: float = Field(default=4000, gt=0)


class Shape(BaseModel):
    """context_length: tokens in a window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_length: int = Field(default=256, ge=2)
    lora_rank: int = Field(default=8, ge=1)


class Way(BaseModel):
    """One way of grafting: what learns beside the increments, which increments, and their peak rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: How
    increments: IncrementConfig
    rate: float = Field(default=1e-3, gt=0)


class Probing(BaseModel):
    """gaps: so many of each part. windows: how many tokens after a gap are predicted. See `measure.probe`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gaps: int = Field(default=600, ge=10)
    windows: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 12)
    past: int = Field(default=32, ge=1)
    draws: int = Field(default=8, ge=2)


class GraftStudy(BaseModel):
    """Everything about a graft study: the tables [study], [ways.NAME], [gold], [probe], [corpus], [model], [train]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: GraftHeader
    ways: Annotated[dict[str, Way], Field(min_length=1)]
    gold: dict[str, Gold] = {}
    probe: Probing = Probing()
    corpus: CorpusConfig
    model: Shape = Shape()
    train: TrainConfig

    @field_validator("ways")
    @classmethod
    def _learned(cls, ways: dict[str, Way]) -> dict[str, Way]:
        for name, way in ways.items():
            if way.increments.parametrization == "integer" or name in ("frozen", "lora", "full"):
                raise ValueError(
                    f"'{name}' is no way of grafting: it needs a learned parametrization and a name of its own"
                )
        return ways


@dataclass(frozen=True)
class Job:
    """One training: a way, or the baseline that is named after what learns (frozen, lora, full)."""

    variant: str
    seed: int
    recipe: GraftRecipe

    def folder(self, out: Path) -> Path:
        return place(out, GROUP, self.variant, self.seed)

    def done(self, out: Path) -> bool:
        return (self.folder(out) / paired.DONE).is_file()


def read(path: Path, overrides: list[str] | None = None) -> GraftStudy:
    """The graft study in a TOML file, with `section.key=value` overrides. UserError for anything else."""
    return read_toml(path, "study", overrides).validate(GraftStudy, "correct the file")


def base(study: GraftStudy, out: Path) -> str:
    """The base's name or folder; a native model becomes a plain Llama in `out`/base, once."""
    from ropewalk.hf import llama_export
    from ropewalk.loading import is_native
    from ropewalk.native.checkpoint import load_decoder

    if not is_native(study.study.base):
        return study.study.base
    folder = out / "base"
    return str(folder if folder.exists() else llama_export.export(load_decoder(study.study.base), folder))


def jobs(study: GraftStudy, base: str, device: str = "auto") -> Iterator[Job]:
    """Every training, seeds outermost, so that a study that is cut short has whole pairs."""
    unit = IncrementConfig(parametrization="integer")
    for seed in study.study.seeds:
        sides: dict[str, Way] = {way.how: Way(how=way.how, increments=unit) for way in study.ways.values()}
        for variant, way in (sides | study.ways).items():
            yield Job(variant, seed, _recipe(study, base, way, seed, device))


def _recipe(study: GraftStudy, base: str, way: Way, seed: int, device: str) -> GraftRecipe:
    steps = max(2, round(study.train.steps * study.study.scale))
    where = study.train.device if device == "auto" else device
    usual = rates(way.how, steps)
    shape: dict[str, Any] = {"base": base, "how": way.how, "increments": way.increments}
    return GraftRecipe(
        corpus=study.corpus,
        model=GraftConfig(
            context_length=study.model.context_length, lora_rank=study.model.lora_rank, **shape
        ),
        optimizer=usual.model_copy(update={"increments_lr": way.rate / usual.lr}),
        train=study.train.model_copy(
            update={"seed": seed, "steps": steps, "device": where, "compile": False}
        ),
    )


def execute(jobs: list[Job], out: Path, tell: Callable[[Job, str], ProgressCallback | None]) -> None:
    """Trains what is not done, in order; goes on with what was cut off. `tell` hears "start" or "resume"."""
    left = [job for job in jobs if not job.done(out)]
    if not left:
        return
    corpus = read_corpus(prepare(left[0].recipe.corpus), reader_of(left[0].recipe.model.base))
    for job in left:
        resume = (job.folder(out) / "recipe.json").is_file()
        paired.one(
            job.recipe,
            corpus,
            job.folder(out),
            resume=resume,
            watch=tell(job, "resume" if resume else "start"),
        )


def table(study: GraftStudy) -> list[dict[str, Any]]:
    """The plan in rows: what learns, how many trainings, million tokens each and in all, hours at the study's speed."""
    rows = []
    for how in dict.fromkeys(way.how for way in study.ways.values()):
        own = [job for job in jobs(study, study.study.base) if job.recipe.model.how == how]
        trained = [job for job in own if how != "frozen" or job.variant != "frozen"]
        train = own[0].recipe.train
        each = train.steps * train.batch_size * study.model.context_length
        rows.append(
            {
                "what learns": how,
                "variants": len({job.variant for job in own}),
                "seeds": len(study.study.seeds),
                "trainings": len(trained),
                "M tokens each": each / 1e6,
                "hours": each * len(trained) / study.study.speed / 3600,
            }
        )
    return rows
