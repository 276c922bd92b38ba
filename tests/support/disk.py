"""A disk that can lose its power between any two operations: what a folder may look like afterwards.

Names (creating, renaming, removing) reach the disk in order, but late: after a cut they may stand as they stood at any
moment since the last fsync. Contents that were not flushed by fsync are whole, missing, half there, or zeros. That is
what journalling file systems promise, and no more.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHANGES = ("replace", "rename", "mkdir", "rmdir", "unlink", "remove", "open", "fsync")
LOSSES: dict[str, Callable[[bytes], bytes]] = {
    "whole": lambda data: data,
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}

Names = dict[str, int]  # path below the folder -> number of the file, -1 for a folder
State = dict[str, bytes | None]  # path below the folder -> content, None for a folder


class Disk:
    """Watches a folder while something is written into it; `states` are all that a cut can leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moments = 0
        self.states: dict[tuple[tuple[str, bytes | None], ...], str] = {}
        self._held: dict[int, int] = {}  # keeps the numbers of removed files from being given to new ones
        self._flushed: dict[int, bytes] = {}
        self._seen: list[Names] = [self._names()]
        for number in set(self._seen[0].values()) - {-1}:
            self._flushed[number] = self._content(number)

    def cut(self, what: str) -> None:
        """Remembers every state that a power loss at this moment can leave."""
        self.moments += 1
        names = self._names()
        if names != self._seen[-1]:
            self._seen.append(names)
        contents = {n: self._content(n) for names in self._seen for n in names.values() if n >= 0}
        for names in self._seen:
            for loss, kept in LOSSES.items():
                state = {
                    path: None if number < 0 else self._left(number, contents[number], kept)
                    for path, number in names.items()
                }
                self.states.setdefault(tuple(sorted(state.items())), f"{self.moments} {what}, {loss}")

    def _left(self, number: int, content: bytes, kept: Callable[[bytes], bytes]) -> bytes:
        """What a file holds after a cut: what was flushed stays, if it was only added to."""
        flushed = self._flushed.get(number, b"")
        safe = flushed if content.startswith(flushed) else b""
        return safe + kept(content[len(safe) :])

    def flush(self, path: Path) -> None:
        """What fsync does: this file's content and all names so far are on the disk for good."""
        if path.is_file():
            number = self._hold(path)
            self._flushed[number] = self._content(number)
        self._seen = [self._names()]

    def put(self, state: tuple[tuple[str, bytes | None], ...], folder: Path) -> None:
        """Makes `folder` what the state says."""
        folder.mkdir()
        for path, data in state:  # folders sort before what is in them
            if data is None:
                (folder / path).mkdir()
            else:
                (folder / path).write_bytes(data)

    def close(self) -> None:
        for handle in self._held.values():
            os.close(handle)

    def _names(self) -> Names:
        found: Names = {}
        for path in sorted(self.folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                found[str(path.relative_to(self.folder))] = -1 if path.is_dir() else self._hold(path)
        return found

    def _hold(self, path: Path) -> int:
        number = path.stat().st_ino
        if number not in self._held:
            self._held[number] = OPEN(path, os.O_RDONLY)
        return number

    def _content(self, number: int) -> bytes:
        handle = self._held[number]
        return os.pread(handle, os.fstat(handle).st_size, 0)


@contextlib.contextmanager
def failing(after: int, number: int) -> Iterator[list[str]]:
    """A disk that takes nothing more after so many operations: each fails with this errno; removing still works.

    What failed is in the list.
    """
    left, failed = [after], list[str]()

    def found_content(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] >= 0:
                return real(*args, **kwargs)
            failed.append(name)
            raise OSError(number, os.strerror(number), str(args[0]))

        def opened(*args: Any, **kwargs: Any) -> Any:
            writes = set(str(args[1] if len(args) > 1 else kwargs.get("mode", "r"))) & set("wax+")
            return (call if writes else real)(*args, **kwargs)

        return opened if name == "open" else call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "rename", "mkdir", "fsync"):
            patch.setattr(os, name, found_content(name, getattr(os, name)))
        patch.setattr("builtins.open", found_content("open", open))
        patch.setattr("io.open", found_content("open", open))
        yield failed


OPEN = os.open


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Disk]:
    """A Disk that is told of every operation that this process does while it is entered."""
    disk, busy = Disk(folder), [False]

    def found_content(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if busy[0]:
                return real(*args, **kwargs)
            busy[0] = True
            try:
                disk.cut(name)
                if name == "fsync":
                    disk.flush(Path(os.readlink(f"/proc/self/fd/{args[0]}")))
                done = real(*args, **kwargs)
                disk.cut(f"after {name}")
                return done
            finally:
                busy[0] = False

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, found_content(name, getattr(os, name)))
        patch.setattr("builtins.open", found_content("open", open))
        patch.setattr("io.open", found_content("open", open))
        try:
            yield disk
            disk.cut("at the end")
        finally:
            busy[0] = True
            disk.close()
