"""Start-up: whole processes, from nothing to the shown sentence, against `import torch` alone.

python bench/startup.py [--rounds N] [--busy]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import harness

BASE, SHOW = "import torch", "ropewalk show, one sentence"


def process(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    harness.refuse_if_busy()
    sentence = "The quick brown fox jumps over the lazy dog."
    runs = {
        BASE: process("-c", "import torch"),
        "import ropewalk": process("-c", "import ropewalk"),
        SHOW: process("-m", "ropewalk.cli", "show", sentence),
        "ropewalk --help": process("-m", "ropewalk.cli", "--help"),
    }
    table = harness.interleave("start-up", runs, base=BASE, rounds=7, warm=1)
    harness.report(
        "startup",
        {
            "tables": {"whole processes": table},
            "targets": [["ropewalk show over import torch", table[SHOW]["ratio"], "<=", 1.3]],
        },
    )


if __name__ == "__main__":
    main()
