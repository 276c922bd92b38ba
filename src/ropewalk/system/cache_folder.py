"""The one folder in which ropewalk keeps what it can make or fetch again: prepared corpora, downloads, compiled code."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$ROPEWALK_CACHE`, else `$XDG_CACHE_HOME/ropewalk`, else `~/.cache/ropewalk`."""
    if chosen := os.environ.get("ROPEWALK_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ropewalk"
