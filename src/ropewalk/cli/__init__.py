"""The command line: one file per group of commands; each function parses, calls and prints."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. Under torchrun or accelerate the process ends without cleaning up: threads that still wait
    for other processes can abort an orderly exit."""
    if "WORLD_SIZE" not in os.environ:
        return _run()
    import traceback

    status = 1
    try:
        _run()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run() -> None:
    try:
        os.getcwd()
    except OSError:  # libraries cannot be loaded from there
        print("ropewalk: the current folder no longer exists; change to another one.", file=sys.stderr)
        sys.exit(1)
    try:
        from ropewalk.system.thread_waiting import limit_spinning

        limit_spinning()  # before torch is imported
        from ropewalk.cli.run import run
    except KeyboardInterrupt:  # while the libraries load
        print("ropewalk: interrupted.", file=sys.stderr)
        sys.exit(130)
    run()
