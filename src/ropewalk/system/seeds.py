"""Seeds of random numbers: whole numbers from 0 that fit into 63 bits, which torch and NumPy both take."""

from __future__ import annotations

from ropewalk.errors import UserError

MAX_SEED = 2**63 - 1


def check_seed(seed: int) -> int:
    """The seed; UserError for one that random number generators do not take."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise UserError(f"a seed is a whole number from 0 to {MAX_SEED}, got {seed!r}; choose another one.")
    return seed
