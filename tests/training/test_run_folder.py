"""A run folder that is moved, deleted, or holds a run that never began."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny

from ropewalk.errors import UserError
from ropewalk.training.loop import Progress
from ropewalk.training.native_training import train


@pytest.mark.parametrize("change", ["moved", "deleted"])
def test_a_folder_that_goes_away_stops_the_training_and_is_not_made_again(
    tmp_path: Path, change: str
) -> None:
    folder = tmp_path / "run"

    def watch(progress: Progress) -> None:
        if progress.step == 2:
            shutil.move(folder, tmp_path / "elsewhere") if change == "moved" else shutil.rmtree(folder)

    with pytest.raises(UserError, match="moved or deleted"):
        train(tiny.recipe(steps=6, log_every=1), tiny.corpus(), folder, watch=watch)
    assert not folder.exists()
    if change == "moved":
        (tmp_path / "elsewhere").rename(folder)
        train(tiny.recipe(steps=6, log_every=1), tiny.corpus(), folder, resume=True)
        assert (folder / "model").is_dir()


def test_a_second_training_in_the_place_of_a_moved_one_is_its_own(tmp_path: Path) -> None:
    folder, calls = tmp_path / "run", []

    def watch(progress: Progress) -> None:
        if progress.step == 2 and not calls:
            calls.append(folder.rename(tmp_path / "elsewhere"))
            train(tiny.recipe(steps=3, seed=5, log_every=1), tiny.corpus(), folder)

    with pytest.raises(UserError, match="moved or deleted"):
        train(tiny.recipe(steps=6, log_every=1), tiny.corpus(), folder, watch=watch)
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert (
        max(steps) == 3 and max(path.name for path in (folder / "checkpoints").iterdir()) == "step-00000003"
    )


def test_a_run_that_failed_at_its_start_can_be_begun_with_another_recipe(tmp_path: Path, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise UserError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr("ropewalk.training.native_training.Decoder", fails)
        with pytest.raises(UserError, match="no memory"):
            train(tiny.recipe(steps=2), tiny.corpus(), tmp_path / "run")
    assert (tmp_path / "run" / "recipe.json").exists()
    train(tiny.recipe(steps=3), tiny.corpus(), tmp_path / "run")
    with pytest.raises(UserError, match="already holds a run"):
        train(tiny.recipe(steps=2), tiny.corpus(), tmp_path / "run")
