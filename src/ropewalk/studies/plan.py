"""Parts that all study plans share: a title, files of segmented sentences, and training runs in folders of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from ropewalk.analyses import gold
from ropewalk.corpus import CorpusConfig
from ropewalk.training.loop import ProgressCallback


class GoldFiles(BaseModel):
    """Segmented sentences: `dev` and `test` files, or `dev` alone, which is then split by the hash of its sentences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dev: Path
    test: Path | None = None

    def read(self, root: Path, limit: int | None) -> tuple[gold.Gold, gold.Gold | None]:
        """Both files, each up to `limit` sentences; relative paths start at `root`."""
        test = None if self.test is None else gold.read(root / self.test, limit)
        return gold.read(root / self.dev, limit), test


class Header(BaseModel):
    """title: the report's. scale: the share of the recipe's length that is trained, below 1 for a trial run.
    gold_root: the folder that relative gold files start from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    scale: float = Field(default=1.0, gt=0, le=1)
    gold_root: Path = Path(".")


class Job(Protocol):
    """One training run of a study."""

    @property
    def name(self) -> str:
        """Group, variant and seed."""
        ...

    @property
    def steps(self) -> int: ...

    @property
    def size(self) -> str:
        """How much it reads, with the unit."""
        ...

    @property
    def unit(self) -> str:
        """What its loss is counted by: "byte" or "token"."""
        ...

    @property
    def corpus(self) -> CorpusConfig: ...

    def folder(self, out: Path) -> Path: ...

    def done(self, out: Path) -> bool:
        """Whether its model is there."""
        ...

    def ready(self, out: Path) -> bool:
        """Whether the models that it needs are there."""
        ...

    def train(self, out: Path, *, resume: bool, watch: ProgressCallback | None) -> None: ...


def job_folder(out: Path, group: str, variant: str, seed: int) -> Path:
    """The folder of one training run in a study's folder."""
    return out / "runs" / group / variant.replace(" ", "-") / f"seed-{seed}"


def scaled_steps(steps: int, scale: float) -> int:
    """The steps of a training run at a share of its length, at least two."""
    return max(2, round(steps * scale))


Row = dict[str, Any]
"""A row of a plan: names, counts, and "hours" at the recipe's speed."""
