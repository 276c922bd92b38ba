"""What macOS and Windows lack or do otherwise, simulated: modules, locks, signals, folders that cannot be flushed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ropewalk.system import available_memory, files, folders, locks, text_files

WITHOUT_POSIX = """
import builtins, sys
real = builtins.__import__
def missing(name, *rest, **more):
    if name.partition(".")[0] in {"fcntl", "resource", "pwd", "grp", "termios", "posix_ipc"}:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    return real(name, *rest, **more)
for name in ("fcntl", "resource", "termios"):
    sys.modules.pop(name, None)
builtins.__import__ = missing
from ropewalk.cli import main
sys.argv = ["ropewalk", "show", "The cat.", "--json", sys.argv[1]]
main()
"""


def test_a_text_is_shown_without_modules_of_posix(tmp_path: Path) -> None:
    """The first command on Windows: it needs neither file locks nor limits of resources."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, str(tmp_path / "t.json")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "t.json").exists() and "t.json" in ran.stderr


def test_memory_without_limits_of_resources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/statm").write_text("10 5 1")
    assert available_memory._address_space(tmp_path) == float("inf")


def test_folders_that_cannot_be_opened_are_not_flushed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Windows refuses to open a folder; files are opened for writing there, or they cannot be flushed."""
    real, modes = os.open, []

    def refuse(path: object, flags: int, *rest: object, **more: object) -> int:
        if os.path.isdir(str(path)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        modes.append(flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR))
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    files.write_atomically(tmp_path / "a", b"x")
    folders.write_folder(tmp_path / "f", lambda folder: (folder / "inner").mkdir())
    folders.write_folder(tmp_path / "f", lambda folder: (folder / "b").write_text("y") and None)
    assert (tmp_path / "a").read_bytes() == b"x" and (tmp_path / "f" / "b").read_text() == "y"


def test_folders_are_exchanged_in_two_steps_where_there_is_no_other_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for text in ("old", "new"):
        folders.write_folder(
            tmp_path / "f", lambda folder, text=text: (folder / "a").write_text(text) and None
        )
    assert (tmp_path / "f" / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_failed_exchange_brings_the_old_folder_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ropewalk.errors import UserError

    monkeypatch.setattr(sys, "platform", "win32")
    folders.write_folder(tmp_path / "f", lambda folder: (folder / "a").write_text("old") and None)
    real, calls = os.replace, []

    def busy(a: object, b: object) -> None:
        calls.append(b)
        if len(calls) == 2:
            raise PermissionError(errno.EACCES, "in use by another process")
        real(a, b)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(UserError, match="in use"):
        folders.write_folder(tmp_path / "f", lambda folder: (folder / "a").write_text("new") and None)
    assert (tmp_path / "f" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_locks_of_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One byte of a file; folders have none."""

    class Msvcrt:
        LK_LOCK, LK_NBLCK = 1, 2
        held: set[object] = set()  # noqa: RUF012

        @classmethod
        def locking(cls, handle: int, mode: int, size: int) -> None:
            place = os.fstat(handle).st_ino
            if place in cls.held:
                raise OSError(errno.EDEADLK, "resource deadlock avoided")
            cls.held.add(place)

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt)
    held = locks.lock(tmp_path / "a")
    assert held.held and held.names(tmp_path / "a")
    with pytest.raises(BlockingIOError):
        locks.lock(tmp_path / "a")
    held.close()
    monkeypatch.setattr(os, "name", "nt")
    assert not locks.lock(str(tmp_path)).held


def test_signals_that_a_system_lacks_are_left_out() -> None:
    from ropewalk.system.signals import SIGNALS

    assert signal.SIGINT in SIGNALS and signal.SIGTERM in SIGNALS
    program = (
        "import signal\n"
        "for name in ('SIGHUP', 'SIGKILL', 'SIGPROF'):\n"
        "    if hasattr(signal, name): delattr(signal, name)\n"
        "from ropewalk.system.signals import DeferredInterrupt, SIGNALS\n"
        "with DeferredInterrupt() as interrupt: print(len(SIGNALS), interrupt.asked)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["2", "False"]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_terminal_without_unicode_gets_an_answer(tmp_path: Path, encoding: str) -> None:
    """Windows' consoles may know a few hundred characters only."""
    (tmp_path / "a.txt").write_text("北京 é", encoding="utf-8")
    known = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "ropewalk", "show", "--file", str(tmp_path / "a.txt")]
    ran = subprocess.run(command, env=known, capture_output=True)
    assert b"Traceback" not in ran.stderr, ran.stderr.decode("latin-1")
    assert ran.returncode == 0 and ran.stdout, ran.stderr.decode("latin-1")


def test_line_ends_and_paths_of_windows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo")
    assert text_files.read_text(tmp_path / "a.txt") == "one\r\ntwo"  # a text is its bytes
    assert text_files.conversion("C:\\letters\\a b.docx") == (
        "pandoc 'C:\\letters\\a b.docx' --to plain --wrap none --output 'C:\\letters\\a b.txt'"
    )
