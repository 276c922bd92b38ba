"""The command line: one file per group of commands; each function parses, calls and prints."""

from __future__ import annotations

import os
import sys
import traceback

from ropewalk.system.thread_waiting import limit_spinning


def main() -> None:
    """Run the command line. Under torchrun or accelerate the process ends without cleaning up: threads that still wait
    for other processes can abort an orderly exit."""
    limit_spinning()  # before torch is imported
    if "WORLD_SIZE" not in os.environ:
        return _run()
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
        from ropewalk.cli.run import run
    except KeyboardInterrupt:  # while the libraries load
        print("ropewalk: interrupted.", file=sys.stderr)
        sys.exit(130)
    run()
