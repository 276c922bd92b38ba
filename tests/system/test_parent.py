"""Workers end with their parent, also when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from ropewalk.system.parent import end_with_parent

def work(folder):
    from ropewalk.system.signals import DeferredInterrupt
    with DeferredInterrupt() as interrupt:
        open(os.path.join(folder, str(os.getpid())), "w").close()
        while not interrupt.asked:
            time.sleep(0.05)
        time.sleep(0.5)
        open(os.path.join(folder, f"{os.getpid()}.saved"), "w").close()

def idle(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=end_with_parent)
    pool.submit(work if sys.argv[2] == "work" else idle, sys.argv[1])
    time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["work", "idle"])
def test_a_worker_saves_and_ends_when_its_parent_is_gone(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    script, folder = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(PARENT)
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, script, folder, kind])
    deadline = time.monotonic() + 60
    while not (pids := list(folder.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.1)
    pid = int(pids[0].name)
    parent.send_signal(number)
    parent.wait()
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(pid)
    assert (folder / f"{pid}.saved").exists() == (kind == "work")
    assert os.listdir(folder)
