"""Locks end with their process, tell of a moved folder, and say where there are none."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ropewalk.errors import UserError
from ropewalk.system import locks

HOLD = "import sys, time; from ropewalk.system.locks import lock; held = lock(sys.argv[1]); print(1, flush=True); time.sleep(600)"


def test_a_lock_excludes_others_and_ends_with_its_process(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "a"], stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(BlockingIOError):
        locks.lock(tmp_path / "a")
    assert locks.held_elsewhere(tmp_path / "a")
    process.kill()
    process.wait()
    process.stdout.close()
    assert not locks.held_elsewhere(tmp_path / "a")
    locks.lock(tmp_path / "a").close()


def test_folders_can_be_locked(tmp_path: Path) -> None:
    held = locks.lock(tmp_path)
    assert held.held and locks.held_elsewhere(tmp_path)
    held.close()
    assert locks.locks_work(tmp_path)


@pytest.mark.parametrize("change", ["moved", "deleted", "replaced"])
def test_a_folder_that_went_away_is_noticed(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    held = locks.lock(folder / ".lock")
    locks.require_unmoved(held, folder / ".lock", folder)
    os.rename(folder, tmp_path / "other")
    if change == "replaced":
        folder.mkdir()
        (folder / ".lock").touch()
    with pytest.raises(UserError, match="moved or deleted"):
        locks.require_unmoved(held, folder / ".lock", folder)
    held.close()


def test_where_there_are_no_locks_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    held = locks.lock(tmp_path / "a")
    assert not held.held and locks.held_elsewhere(tmp_path / "a") and not locks.locks_work(tmp_path)
    held.close()
