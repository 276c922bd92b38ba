"""Processes of their own that start quickly: a server imports the libraries once, and is forked for each process."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import subprocess
import sys
import traceback
import warnings
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

PATIENCE = 300  # seconds until a process that does not end counts as one that hangs


def context() -> ForkServerContext:
    """A context whose processes are forks of the server."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["preloaded"])
    before = os.environ.get("PYTHONPATH")
    # Before Python 3.12.8 the server does not look for modules where this process does.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), before]))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return found


class Program:
    """A program that runs in a process of its own, with `folder` as its working directory.

    strict: a warning is an error. environment: variables besides those of this process.
    """

    def __init__(
        self, source: str, folder: Path, *arguments: str, strict: bool = False, **environment: str
    ) -> None:
        name = f".program{environment.get('RANK', '')}"
        file, *self.said = (folder / f"{name}{suffix}" for suffix in (".py", ".out", ".err"))
        file.write_text(source, encoding="utf-8")
        self.process = context().Process(target=_run, args=(file, arguments, strict, environment, *self.said))
        self.process.start()

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Waits for its end. A process that hangs is ended, with the status of one that was killed."""
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()
        out, err = (path.read_text() if path.exists() else "" for path in self.said)
        return subprocess.CompletedProcess([], self.process.exitcode or 0, out, err)


def run(
    source: str, folder: Path, *arguments: str, strict: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; arguments as of `Program`."""
    return Program(source, folder, *arguments, strict=strict, **environment).finish()


def _run(
    file: Path, arguments: tuple[str, ...], strict: bool, environment: dict[str, str], out: Path, err: Path
) -> None:
    os.chdir(file.parent)
    os.environ.update(environment)
    sys.stdout = open(out, "w", buffering=1)  # noqa: SIM115
    sys.stderr = open(err, "w", buffering=1)  # noqa: SIM115
    warnings.simplefilter("error" if strict else "default")
    sys.argv = [str(file), *arguments]
    code = 1
    try:
        runpy.run_path(str(file), run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
