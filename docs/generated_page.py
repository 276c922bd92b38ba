"""Writing a generated page of the documentation, or checking that it is up to date (`--check`)."""

from __future__ import annotations

import sys
from pathlib import Path


def write_or_check(path: Path, text: str) -> None:
    """Writes the page; with --check, exits with an error if it differs from what is there."""
    if "--check" not in sys.argv:
        path.write_text(text, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != text:
        sys.exit(f"docs/{path.name} is out of date; run: make docs")
