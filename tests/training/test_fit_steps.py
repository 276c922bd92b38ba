"""A time instead of a number of steps: measured once, recorded, kept on resume."""

import json
import os
import signal
from pathlib import Path

import pytest
import tiny

from ropewalk.errors import UserError
from ropewalk.training import fit_steps
from ropewalk.training.fit_steps import Rate, steps_that_fit
from ropewalk.training.loop import Progress
from ropewalk.training.native_training import train


def test_the_steps_leave_time_for_validations() -> None:
    assert steps_that_fit(Rate(0.01, 0.0), 100.0, 1000) == 9700
    assert steps_that_fit(Rate(0.01, 1.0), 100.0, 100) == 4800
    assert steps_that_fit(Rate(10.0, 1.0), 1.0, 100) == 1


@pytest.mark.parametrize("graphs", [False, True])
def test_minutes_set_the_steps_and_a_resume_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graphs: bool
) -> None:
    monkeypatch.setattr(fit_steps, "steps_that_fit", lambda rate, seconds, every: 7 if rate.step > 0 else 0)
    recipe = tiny.recipe(steps=1000, minutes=0.05, checkpoint_minutes=9, cuda_graphs=graphs)

    def stop(progress: Progress) -> None:
        assert progress.steps == 7
        if progress.step == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tiny.corpus(), tmp_path, watch=stop)
    recorded = json.loads((tmp_path / "recipe.json").read_text())["recipe"]["train"]
    assert (recorded["steps"], recorded["minutes"]) == (7, 0.05)
    monkeypatch.setattr(
        fit_steps, "measure_rate", lambda *_, **__: pytest.fail("a resumed run measures nothing")
    )
    seen: list[int] = []
    train(recipe, tiny.corpus(), tmp_path, resume=True, watch=lambda progress: seen.append(progress.step))
    assert seen == [5, 6, 7]


def test_the_same_steps_give_the_same_run_with_or_without_minutes(tmp_path: Path) -> None:
    losses: list[list[float]] = [[], []]
    train(
        tiny.recipe(steps=8, minutes=0.1),
        tiny.corpus(),
        tmp_path / "a",
        watch=lambda p: losses[0].append(p.loss),
    )
    train(tiny.recipe(steps=8), tiny.corpus(), tmp_path / "b", watch=lambda p: losses[1].append(p.loss))
    assert losses[0] == losses[1] and len(losses[0]) == 8


def test_too_little_time_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is too short for one step"):
        train(tiny.recipe(steps=1000, minutes=1e-6), tiny.corpus(), tmp_path)
