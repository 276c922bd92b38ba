"""The plan of a graft study: one pretrained base, variants of grafting increments onto it, each with its baseline.

A recipe names the base, the variants and the seeds; every variant is trained on the same data for the same steps as its
baseline, which learns the same without increments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import Corpus, CorpusConfig, prepare
from ropewalk.errors import RECIPES
from ropewalk.hf.opening import tokenizer_of
from ropewalk.studies import plan
from ropewalk.studies.plan import GoldFiles, Header, job_folder, scaled_steps
from ropewalk.system.seeds import MAX_SEED
from ropewalk.system.toml import read_toml
from ropewalk.training.corpus_tokens import tokenize_corpus
from ropewalk.training.graft import paired
from ropewalk.training.graft.recipe import GraftConfig, GraftRecipe, Trainable, rates
from ropewalk.training.loop import ProgressCallback
from ropewalk.training.recipe import TrainConfig

GROUP = "graft"
BASELINES: dict[Trainable, str] = {"increments": "base", "lora": "lora", "full": "full"}
"""What is trained -> the name of the baseline, which is trained alike without increments; the base itself is not trained."""


class GraftHeader(Header):
    """base: a Hugging Face model, or a native one with integer RoPE, which is exported first. main: the variants whose
    boundaries are measured. sentences: how many of each gold file. speed: tokens a second to expect, for the plan.
    windows: how many held-out windows the tables of tokens are measured on; sample: bytes of held-out text on which increments
    are compared with other signals."""

    base: str
    seeds: Annotated[tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...], Field(min_length=1)]
    main: tuple[str, ...] = ()
    sentences: int | None = None
    speed: float = Field(default=4000, gt=0)
    windows: int = Field(default=256, ge=1)
    sample: int = Field(default=60_000, ge=100)


class Shape(BaseModel):
    """context_length: tokens in a window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_length: int = Field(default=256, ge=2)
    lora_rank: int = Field(default=8, ge=1)


class GraftVariant(BaseModel):
    """What learns besides the increments, which increments, and their peak learning rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainable: Trainable
    increments: IncrementConfig
    rate: float = Field(default=1e-3, gt=0)


class ProbeSettings(BaseModel):
    """gaps: how many of each part. windows: how many tokens after a gap are predicted; none leave the probe out. See
    `measure.probe`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gaps: int = Field(default=600, ge=10)
    windows: tuple[Annotated[int, Field(ge=1)], ...] = (1, 12)
    past: int = Field(default=32, ge=1)
    draws: int = Field(default=8, ge=2)


class GraftStudy(BaseModel):
    """Everything about a graft study: the tables [study], [variants.NAME], [gold], [probe], [corpus], [model], [train]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: GraftHeader
    variants: Annotated[dict[str, GraftVariant], Field(min_length=1)]
    gold: dict[str, GoldFiles] = {}
    probe: ProbeSettings = ProbeSettings()
    corpus: CorpusConfig
    model: Shape = Shape()
    train: TrainConfig

    @field_validator("variants")
    @classmethod
    def _learned(cls, variants: dict[str, GraftVariant]) -> dict[str, GraftVariant]:
        for name, variant in variants.items():
            if variant.increments.parametrization == "integer" or name in BASELINES.values():
                raise ValueError(
                    f"'{name}' is no variant: it needs a learned parametrization and a name of its own"
                )
        return variants

    @property
    def trainables(self) -> list[Trainable]:
        """What is trained, in the order of the variants, each once."""
        return list(dict.fromkeys(variant.trainable for variant in self.variants.values()))


@dataclass(frozen=True)
class GraftJob:
    """One training run: a variant, or the baseline that is named base, lora or full; see
    `studies.plan.Job`."""

    variant: str
    seed: int
    recipe: GraftRecipe
    unit: str = "token"

    @property
    def name(self) -> str:
        return f"{GROUP}/{self.variant}/seed-{self.seed}"

    @property
    def steps(self) -> int:
        return self.recipe.train.steps

    @property
    def tokens(self) -> int:
        return self.steps * self.recipe.train.batch_size * self.recipe.model.context_length

    @property
    def size(self) -> str:
        return f"{self.tokens / 1e6:.3g} M tokens"

    @property
    def corpus(self) -> CorpusConfig:
        return self.recipe.corpus

    def folder(self, out: Path) -> Path:
        return job_folder(out, GROUP, self.variant, self.seed)

    def done(self, out: Path) -> bool:
        return (self.folder(out) / paired.DONE).is_file()

    def ready(self, out: Path) -> bool:
        return True

    def train(self, out: Path, *, resume: bool, watch: ProgressCallback | None) -> None:
        corpus = _corpus_tokens(self.corpus, self.recipe.model.base)
        paired.train_side(self.recipe, corpus, self.folder(out), resume=resume, watch=watch)


def read(path: str | Path, overrides: list[str] | None = None) -> GraftStudy:
    """The graft study in a TOML file, with `section.key=value` overrides. UserError for anything else."""
    return read_toml(path, "study", overrides).validate(GraftStudy, f"see {RECIPES}/graft.toml")


def base(study: GraftStudy, out: Path) -> str:
    """The base's name or folder; a native model becomes a plain Llama in `out`/base, once."""
    from ropewalk.hf import llama_export
    from ropewalk.loading import kind_of
    from ropewalk.native.checkpoint import load_decoder

    if kind_of(study.study.base) != "native":
        return study.study.base
    folder = out / "base"
    return str(folder if folder.exists() else llama_export.export(load_decoder(study.study.base), folder))


def jobs(study: GraftStudy, base: str, device: str = "auto") -> Iterator[GraftJob]:
    """Every training run, seeds outermost, so that a study that is cut short has whole pairs."""
    integer = IncrementConfig(parametrization="integer")
    baselines: dict[str, GraftVariant] = {
        BASELINES[part]: GraftVariant(trainable=part, increments=integer) for part in study.trainables
    }
    for seed in study.study.seeds:
        for name, variant in {**baselines, **study.variants}.items():
            yield GraftJob(name, seed, _recipe(study, base, variant, seed, device))


def table(study: GraftStudy) -> list[plan.Row]:
    """The plan in rows: what is trained, how many training runs, million tokens each, hours at the study's speed."""
    rows = []
    for part in study.trainables:
        own = [job for job in jobs(study, study.study.base) if job.recipe.model.trainable == part]
        trained = [job for job in own if job.variant != BASELINES["increments"]]  # that baseline is only read
        rows.append(
            {
                "trainable": part,
                "variants": len({job.variant for job in own}),
                "seeds": len(study.study.seeds),
                "runs": len(trained),
                "M tokens each": own[0].tokens / 1e6,
                "hours": own[0].tokens * len(trained) / study.study.speed / 3600,
            }
        )
    return rows


def _recipe(study: GraftStudy, base: str, variant: GraftVariant, seed: int, device: str) -> GraftRecipe:
    steps = scaled_steps(study.train.steps, study.study.scale)
    usual = rates(variant.trainable, steps)
    shape: dict[str, Any] = {"base": base, "trainable": variant.trainable, "increments": variant.increments}
    train = {
        "seed": seed,
        "steps": steps,
        "device": study.train.device if device == "auto" else device,
        "compile": False,
        "keep": study.train.keep
        if "keep" in study.train.model_fields_set
        else 1,  # those of a whole base are large
    }
    return GraftRecipe(
        corpus=study.corpus,
        model=GraftConfig(
            context_length=study.model.context_length, lora_rank=study.model.lora_rank, **shape
        ),
        optimizer=usual.model_copy(update={"increments_lr_multiplier": variant.rate / usual.lr}),
        train=study.train.model_copy(update=train),
    )


@lru_cache(maxsize=1)
def _corpus_tokens(corpus: CorpusConfig, base: str) -> Corpus:
    """The corpus as the base's tokenizer reads it."""
    return tokenize_corpus(prepare(corpus), tokenizer_of(base))
