"""A folder of compiled code for each process, filled from a verified store that all of them share.

torch's own compiler cache is written in place: a killed compiler leaves files in it that stop every later run. Here a
process compiles in a folder of its own, which starts as a copy of the store and is put into the store, whole and with
the hash of every file, when the process ends in good order. What a killed process leaves is deleted by the next one. A
store that does not match its hashes is deleted and made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
from multiprocessing import util
from pathlib import Path
from typing import Any

import torch

from ropewalk.system.cache_folder import cache_folder
from ropewalk.system.files import sha256
from ropewalk.system.folders import write_folder
from ropewalk.system.locks import held_elsewhere, lock

MAX_BYTES = 1 << 30
"""A larger store is not kept: the next process starts with an empty folder."""
VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
MANIFEST = "files.json"


class CompilerCache:
    """The compiled code of this process. `folder` is where torch writes; None where it keeps its own (see `open_cache`)."""

    def __init__(self, root: Path) -> None:
        self.store = root / _machine()
        self.folder = root / f".{os.getpid()}-{secrets.token_hex(4)}"
        self.sound = True
        self._process = os.getpid()
        self.folder.mkdir(parents=True)
        self._lock = lock(self.folder)
        self._seed()
        self._use(self.folder)

    def restart(self) -> None:
        """Continue with an empty folder, after a failure that may come from a file in this one."""
        empty = self.folder / secrets.token_hex(4)
        empty.mkdir()
        self.sound = False
        self._use(empty)

    def close(self) -> None:
        """Put this folder into the store unless something went wrong in it, and delete it."""
        if os.getpid() != self._process:
            return  # a forked child
        try:
            if self.sound:
                self._publish()
        except Exception as error:  # a cache that cannot be kept costs time, no result
            print(f"ropewalk: the compiled code is not kept ({error}).", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _seed(self) -> None:
        if not (self.store / MANIFEST).is_file():
            return
        if verified(self.store):
            shutil.copytree(self.store, self.folder, dirs_exist_ok=True)
            (self.folder / MANIFEST).unlink()
        else:
            shutil.rmtree(self.store, ignore_errors=True)

    def _publish(self) -> None:
        files = _files(self.folder)
        known = _manifest(self.store)
        if not files or files.keys() <= known.keys() or sum(files.values()) > MAX_BYTES:
            return
        if any(size == 0 and name.endswith(".so") for name, size in files.items()):
            return

        def fill(temporary: Path) -> None:
            shutil.copytree(self.folder, temporary, dirs_exist_ok=True)
            hashes = {name: sha256(temporary / name) for name in files}
            (temporary / MANIFEST).write_text(json.dumps(hashes))

        write_folder(self.store, fill)

    def _use(self, folder: Path) -> None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        os.environ["TRITON_CACHE_DIR"] = str(folder / "triton")


_open: CompilerCache | None = None


def open_cache() -> CompilerCache | None:
    """This process's compiler cache, in use from now on. None where TORCHINDUCTOR_CACHE_DIR names another folder, or where
    the cache folder cannot be written to."""
    global _open
    if _open is not None or _chosen_by_user():
        return _open
    root = cache_folder() / "compiled"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        _open = CompilerCache(root)
    except OSError as error:
        print(f"ropewalk: no folder for compiled code ({error}); torch's own is used.", file=sys.stderr)
        return None
    util.Finalize(None, _open.close, exitpriority=0)  # at the end of workers too, where atexit does nothing
    return _open


def verified(store: Path) -> bool:
    """Whether a store holds exactly the files of its manifest, unchanged."""
    hashes = _manifest(store)
    found = _files(store)
    found.pop(MANIFEST, None)
    try:
        return found.keys() == hashes.keys() and all(sha256(store / name) == hashes[name] for name in found)
    except Exception:
        return False


def _chosen_by_user() -> bool:
    """torch puts its default into the environment itself, so that one is no choice."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    chosen = os.environ.get(VARIABLES[0])
    return chosen is not None and chosen != default_cache_dir() and f"{os.sep}compiled{os.sep}." not in chosen


def _machine() -> str:
    """What compiled code depends on besides its source: torch, Python, the processor, the compiler's name."""
    try:
        info = Path("/proc/cpuinfo").read_text()
        flags = next((line for line in info.splitlines() if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    parts = (torch.__version__, sys.version, platform.machine(), flags, os.environ.get("CXX", ""))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _files(folder: Path) -> dict[str, int]:
    """The size of every file below a folder, by its path there; locks aside."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and "locks" not in path.parts and path.suffix != ".lock"
    }


def _manifest(store: Path) -> dict[str, Any]:
    try:
        found = json.loads((store / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _sweep(root: Path) -> None:
    """Delete the folders of processes that were killed."""
    for folder in root.glob(".*-*"):
        if not held_elsewhere(folder):
            shutil.rmtree(folder, ignore_errors=True)
