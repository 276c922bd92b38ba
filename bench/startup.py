"""Start-up: whole processes, from nothing to the shown sentence, against `import torch` alone.

python bench/startup.py [--rounds N] [--busy]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable

import harness

BASE, SHOW, PRINT = "import torch", "ropewalk show, written as JSON", "ropewalk show, printed, without torch"


def process(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)


def main() -> None:
    harness.refuse_if_busy()
    sentence = "The quick brown fox jumps over the lazy dog."
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            BASE: process("-c", "import torch"),
            "import ropewalk": process("-c", "import ropewalk"),
            SHOW: process("-m", "ropewalk.cli", "show", sentence, "--json", f"{folder}/trace.json"),
            PRINT: process("-m", "ropewalk.cli", "show", sentence),
            "ropewalk --help": process("-m", "ropewalk.cli", "--help"),
        }
        table = harness.interleave("start-up", runs, base=BASE, rounds=7, warm=1)
    targets = [
        ["ropewalk show over import torch", table[SHOW]["ratio"], "<=", 1.3],
        ["ropewalk show without torch, seconds", table[PRINT]["seconds"], "<=", 1.0],
    ]
    harness.report("startup", {"tables": {"whole processes": table}, "targets": targets})


if __name__ == "__main__":
    main()
