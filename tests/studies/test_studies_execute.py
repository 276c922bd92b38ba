"""Trainings spread over devices: all of them done, one that fails holds up no other, a killed process is reported."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from ropewalk.cli.study_output import report_job
from ropewalk.errors import UserError
from ropewalk.studies.executor import execute, parse_devices
from ropewalk.studies.native import plan
from ropewalk.studies.native.plan import NativeJob
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
hidden_size = 8
num_heads = 2
num_layers = 1
context_length = 32
[groups.planted.recipe.train]
steps = 3
batch_size = 2
compile = false
validation_tokens = 64
"""


@pytest.fixture
def jobs(monkeypatch, tmp_path) -> list[NativeJob]:
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "study.toml").write_text(STUDY)
    return list(plan.jobs(plan.read(tmp_path / "study.toml"), "cpu"))


def damage(folder: Path) -> None:
    """A run that was interrupted and whose recipe cannot be read."""
    (folder / "checkpoints" / "step-0000001").mkdir(parents=True)
    (folder / "recipe.json").write_text("{")


def killed(job: Job, state: str) -> ProgressCallback | None:
    if state == "start":
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def test_runs_spread_over_processes_and_one_that_fails_holds_up_only_what_needs_it(jobs, tmp_path, capfd):
    out = tmp_path / "out"
    shared = next(job for job in jobs if job.variant == "shared")
    damage(shared.folder(out))
    failed = execute(jobs, out, report_job, ("cpu", "cpu"))
    assert sorted(job.variant for job in failed) == ["permuted", "shared"]
    assert sorted(job.variant for job in jobs if job.done(out)) == ["constant", "rope"]
    assert "planted/shared/seed-1 failed: " in capfd.readouterr().err
    shutil.rmtree(shared.folder(out))
    assert execute(jobs, out, report_job, ("cpu", "cpu")) == [] and all(job.done(out) for job in jobs)
    assert len(capfd.readouterr().err.split("training ")) == 3  # two were left


def test_a_killed_process_ends_the_study_with_a_sentence(jobs, tmp_path):
    with pytest.raises(UserError, match=r"was killed.*the same command to continue"):
        execute(jobs, tmp_path / "out", killed, ("cpu", "cpu"))


def test_on_one_device_a_failed_run_holds_up_no_other(jobs, tmp_path):
    out = tmp_path / "out"
    damage(jobs[0].folder(out))
    assert execute(jobs, out, report_job) == [jobs[0]]


def test_devices_are_read_from_one_word() -> None:
    assert parse_devices("cuda:0, cuda:1") == ["cuda:0", "cuda:1"]
    assert parse_devices("cpu:3") == ["cpu"] * 3 and parse_devices("auto") == ["auto"]
    for wrong in ("cpu:0", "cpu:x"):
        with pytest.raises(UserError, match=r"a number of processes after 'cpu:'"):
            parse_devices(wrong)
