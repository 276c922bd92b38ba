"""A run folder: its lock, recipe, metrics and checkpoints.

Of several processes that train together the first one has the folder; the others have a `Follower` instead.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

import ropewalk
from ropewalk.core.increments import Frozen
from ropewalk.corpus import Corpus
from ropewalk.errors import UserError
from ropewalk.native.checkpoint import read_tensors
from ropewalk.native.decoder import Decoder
from ropewalk.system.files import write_atomically
from ropewalk.system.locks import Lock, lock, require_unmoved
from ropewalk.training.distributed import ProcessGroup
from ropewalk.training.optimizer import rate_fraction
from ropewalk.training.recipe import Recipe

CONTENT = ("bytes", "digests")  # what a corpus' index says of its tokens


class Run:
    """The folder of one training run, locked while it is open so that two processes never write into it.

    resume: continue the run in the folder, or begin one where there is none.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, plan: dict[str, Any], corpus: Corpus, *, resume: bool
    ) -> None:
        self.folder, self.recipe, self.plan, self.corpus = folder, recipe, plan, corpus
        self.described = recipe.model_dump(mode="json", exclude={"corpus": {"root"}})
        self._metrics: FileIO | None = None
        try:
            (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            raise UserError(
                f"cannot write into {folder}: {error.strerror}; name a writable folder."
            ) from error
        try:
            if resume and self.recipe_path.exists() and not self._empty:
                self._same_recipe()
                self._sweep()
            else:
                self._begin()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._metrics is not None:
            self._metrics.close()
        self._lock.close()

    @property
    def metrics_path(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def recipe_path(self) -> Path:
        return self.folder / "recipe.json"

    def note(self, text: str) -> None:
        """Prints one sentence to standard error."""
        print(text, file=sys.stderr)

    def log(self, **entry: Any) -> None:
        """Appends one line to metrics.jsonl."""
        line = json.dumps(entry).encode() + b"\n"
        self.require_place()
        with self._writing():
            if self._metrics is None:
                self._metrics = open(self.metrics_path, "ab", buffering=0)  # noqa: SIM115
            if self._metrics.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Flushes the metrics to the disk, so that no checkpoint is ahead of them."""
        with self._writing():
            if self._metrics is not None:
                os.fsync(self._metrics.fileno())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write {self.metrics_path}: {error.strerror}; free some space, then --resume."
            ) from error

    def forget_after(self, step: int) -> None:
        """Drops metrics of steps that are about to be done again, and a line that was cut off."""
        kept = []
        if self.metrics_path.exists():
            for line in self.metrics_path.read_text(encoding="utf-8", errors="replace").split("\n"):
                try:
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
        write_atomically(self.metrics_path, "".join(kept).encode())

    def checkpoint_folder(self, step: int) -> Path:
        return checkpoint_folder(self.folder, step)

    def checkpoints(self) -> list[Path]:
        """Complete checkpoint folders, newest first."""
        return sorted((self.folder / "checkpoints").glob("step-*"), reverse=True)

    def prune(self) -> None:
        """Deletes all but the newest checkpoints, as far as the disk lets it."""
        for old in self.checkpoints()[self.recipe.train.keep :]:
            with suppress(OSError):
                os.replace(old, old.with_name(f".{old.name}-old"))
        self._sweep()

    def _sweep(self) -> None:
        """Deletes what interrupted writes left."""
        for left in (*self.folder.glob("checkpoints/.step-*"), *self.folder.glob(".model-*")):
            shutil.rmtree(left, ignore_errors=True)
        for file in self.folder.glob(".*.tmp"):
            file.unlink(missing_ok=True)

    def check_corpus(self, provenance: dict[str, Any]) -> None:
        """UserError when a checkpoint was trained on other data than what this run would continue with."""
        recorded, found = provenance.get("corpus", {}), self.corpus.info
        if any(recorded.get(key, found[key]) != found[key] for key in CONTENT):
            raise UserError(
                f"the corpus is not the one that {self.folder} was started with (its content changed); "
                "bring the old files back, or name a new folder."
            )

    def check_plan(self, recorded: dict[str, Any]) -> None:
        """Says so when a resumed run cannot be bit-equal because it executes differently."""
        differing = [name for name, value in recorded.items() if self.plan.get(name) != value]
        if differing:
            was = ", ".join(f"{name} was {recorded[name]} and is {self.plan.get(name)}" for name in differing)
            self.note(f"resuming under another plan ({was}): the run continues, but not bit for bit.")

    def provenance(self, **more: Any) -> dict[str, Any]:
        """Where weights of this run come from: plain json values. UserError if the corpus changed meanwhile."""
        self.corpus.check()
        self.require_place()
        return {
            "version": ropewalk.__version__,
            "torch": torch.__version__,
            "recipe": self.described,
            "corpus": {"hash": self.corpus.hash, **{key: self.corpus.info[key] for key in CONTENT}},
            "plan": self.plan,
            **more,
        }

    def _begin(self) -> None:
        if self.recipe_path.exists() and not self._empty:
            raise UserError(
                f"{self.folder} already holds a run; add --resume to continue it, or name another folder."
            )
        provenance = {"version": ropewalk.__version__, "plan": self.plan, "recipe": self.described}
        write_atomically(self.recipe_path, json.dumps(provenance, indent=1).encode())

    def _same_recipe(self) -> None:
        try:
            saved = json.loads(self.recipe_path.read_text(encoding="utf-8"))
            recorded = dict(saved["recipe"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{self.recipe_path} is damaged; start again in a new folder.") from error
        changed = sorted(key for key in recorded if not _agree(recorded[key], self.described.get(key)))
        if changed and not self._only_ends_elsewhere(recorded):
            raise UserError(
                f"{self.folder} was started with another recipe (section {', '.join(changed)} differs); "
                "resume with the same recipe, or name a new folder."
            )
        if changed:
            write_atomically(
                self.recipe_path, json.dumps({**saved, "recipe": self.described}, indent=1).encode()
            )

    def _only_ends_elsewhere(self, recorded: dict[str, Any]) -> bool:
        """True when a "wsd" run gets another end or another decay, and every step already done keeps its rate."""
        now = self.recipe
        try:
            steps = int(recorded["train"]["steps"])
            before = now.optimizer.model_copy(
                update={"decay_steps": int(recorded["optimizer"]["decay_steps"])}
            )
        except (KeyError, TypeError, ValueError):
            return False
        moved = {
            **recorded,
            "train": {**recorded["train"], "steps": now.train.steps},
            "optimizer": {**recorded["optimizer"], "decay_steps": now.optimizer.decay_steps},
        }
        done = max((int(folder.name.removeprefix("step-")) for folder in self.checkpoints()), default=0)
        return (
            now.optimizer.schedule == "wsd"
            and all(_agree(value, self.described.get(key)) for key, value in moved.items())
            and done <= now.train.steps
            and all(
                rate_fraction(before, step, steps) == rate_fraction(now.optimizer, step, now.train.steps)
                for step in range(done)
            )
        )

    def _locked(self) -> Lock:
        try:
            found = lock(self.folder / ".lock")
        except BlockingIOError as error:
            raise UserError(
                f"another process is training in {self.folder}; wait for it or name another folder."
            ) from error
        if not found.held:
            self.note(f"{self.folder}: no locks here; make sure that only one process trains in this folder.")
        return found

    def require_place(self) -> None:
        """UserError once the folder was moved or deleted."""
        require_unmoved(self._lock, self.folder / ".lock", self.folder)

    @property
    def _empty(self) -> bool:
        """Whether nothing was trained here yet: a run that failed at its start may be begun with another recipe."""
        try:
            measured = self.metrics_path.stat().st_size > 0
        except OSError:
            measured = False
        return not (measured or self.checkpoints() or (self.folder / "model").exists())


class Follower:
    """Stands for a `Run` in the processes that leave the folder to the first one; it does nothing."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.plan = folder, plan

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def note(self, text: str) -> None:
        return None

    def log(self, **entry: Any) -> None:
        return None

    def sync(self) -> None:
        return None

    def prune(self) -> None:
        return None

    def checkpoints(self) -> list[Path]:
        return []

    def checkpoint_folder(self, step: int) -> Path:
        return checkpoint_folder(self.folder, step)

    def provenance(self, **more: Any) -> dict[str, Any]:
        return more


def open_run(
    team: ProcessGroup, folder: Path, recipe: Any, plan: dict[str, Any], corpus: Corpus, *, resume: bool
) -> Run | Follower:
    """The run for the first process of a team, and a `Follower` for the others."""
    described = plan | {"processes": team.ranks}
    run = Run(folder, recipe, described, corpus, resume=resume) if team.first else Follower(folder, described)
    team.everyone(0.0)  # no process continues before the first one has the folder
    return run


def checkpoint_folder(folder: str | Path, step: int) -> Path:
    """Where a run keeps the checkpoint of a step."""
    folder = Path(folder)
    return folder / "checkpoints" / f"step-{step:08d}"


def fill_frozen(model: Decoder, path: Path | None) -> None:
    """Gives frozen parametrizations their tables: a safetensors file with `increments.I` (V, G) of r, one for each increment module."""
    increment_modules = [
        parametrization for parametrization in model.increment_modules if isinstance(parametrization, Frozen)
    ]
    if not increment_modules:
        return
    if path is None or not path.is_file():
        raise UserError(
            f"the frozen parametrization needs model.increments.table, a file made by `ropewalk token-table`; got {path}."
        )
    tables = read_tensors(path)
    for i, parametrization in enumerate(increment_modules):
        if f"increments.{i}" not in tables:
            raise UserError(
                f"{path} has {len(tables)} tables but the model has {len(increment_modules)} increment modules; match their `per`."
            )
        parametrization.fill(tables[f"increments.{i}"])


def _agree(recorded: Any, now: Any) -> bool:
    """True when two json values are equal, but for keys that the version which recorded one did not know."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        return all(key in now and _agree(value, now[key]) for key, value in recorded.items())
    if isinstance(recorded, list) and isinstance(now, list):
        return len(recorded) == len(now) and all(map(_agree, recorded, now))
    return bool(recorded == now)
