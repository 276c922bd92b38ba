"""How long OpenMP threads spin while they wait for work.

Without this a training step takes a quarter longer, and threads that spin on without end make it fifteen times slower on
shared cores. Call `limit_spinning` at the start of a program, before torch is imported, which reads the variables once.
"""

from __future__ import annotations

import os


def limit_spinning() -> None:
    """Lets waiting threads spin for about ten microseconds and then sleep, unless OMP_WAIT_POLICY is set already.

    Changes the environment of the process, so only programs call it: the command line, the benchmarks, the tests.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
