"""All benchmarks in turn, then docs/performance.md: python bench [--busy] [--device cuda] [--rounds N]"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import harness

HERE = Path(__file__).parent
CPU = (
    "training_step",
    "small_batches",
    "graft_step",
    "tracing",
    "decoding",
    "preparation",
    "startup",
    "memory",
    "views",
)
CUDA = ("gpu", "training_step", "tracing", "decoding", "memory")


def main() -> None:
    harness.refuse_if_busy()
    for name in CUDA if harness.DEVICE == "cuda" else CPU:
        print(f"\n{name}", flush=True)
        subprocess.run([sys.executable, str(HERE / f"{name}.py"), *sys.argv[1:]], check=True)
    subprocess.run([sys.executable, str(HERE.parent / "docs" / "performance.py")], check=True)


if __name__ == "__main__":
    main()
