"""Trainings spread over devices: all of them done, one that fails holds up no other, a killed process is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ropewalk.cli.study import say
from ropewalk.errors import UserError
from ropewalk.studies import plan
from ropewalk.studies.execute import done, execute
from ropewalk.studies.plan import Job
from ropewalk.training.loop import ProgressCallback

STUDY = """
[study]
title = "Small"
[groups.planted]
seeds = [1]
variants = ["rope", "permuted", "constant"]
speed = 1000
[groups.planted.recipe.corpus]
sources = [{ builtin = "planted", planted = { sentences = 5 } }]
documents = 30
validation_documents = 10
[groups.planted.recipe.model]
width = 8
heads = 2
layers = 1
context = 32
[groups.planted.recipe.train]
steps = 3
batch = 2
compile = false
validation_bytes = 64
"""


@pytest.fixture
def jobs(monkeypatch, tmp_path) -> list[Job]:
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "study.toml").write_text(STUDY)
    return list(plan.jobs(plan.read(tmp_path / "study.toml"), "cpu"))


def killed(job: Job, state: str) -> ProgressCallback | None:
    if state == "start":
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def test_runs_spread_over_processes_and_one_that_fails_holds_up_only_what_needs_it(jobs, tmp_path, capfd):
    out = tmp_path / "out"
    shared = next(job for job in jobs if job.variant == "shared")
    shared.folder(out).mkdir(parents=True)
    (shared.folder(out) / "recipe.json").write_text("{")
    failed = execute(jobs, out, say, ("cpu", "cpu"))
    assert sorted(job.variant for job in failed) == ["permuted", "shared"]
    assert sorted(job.variant for job in jobs if done(job, out)) == ["constant", "rope"]
    assert "planted/shared/seed-1 failed: " in capfd.readouterr().err
    (shared.folder(out) / "recipe.json").unlink()
    assert execute(jobs, out, say, ("cpu", "cpu")) == [] and all(done(job, out) for job in jobs)
    assert len(capfd.readouterr().err.split("training ")) == 3  # two were left


def test_a_killed_process_ends_the_study_with_a_sentence(jobs, tmp_path):
    with pytest.raises(UserError, match=r"was killed.*the same command goes on"):
        execute(jobs, tmp_path / "out", killed, ("cpu", "cpu"))


def test_on_one_device_a_failed_run_holds_up_no_other(jobs, tmp_path):
    out = tmp_path / "out"
    first: Path = jobs[0].folder(out)
    first.mkdir(parents=True)
    (first / "recipe.json").write_text("{")
    assert execute(jobs, out, say) == [jobs[0]]
