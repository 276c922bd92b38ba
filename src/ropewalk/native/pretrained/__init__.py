"""The models that come with the package, by name. Swapping in a better one is replacing its folder.

Knows folders, not what is in them.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from ropewalk.errors import UserError

HOME = Path(str(files("ropewalk.native.pretrained")))
DEFAULT = "per-layer"


def model_names() -> list[str]:
    """The names of the bundled models."""
    return (
        sorted(path.name for path in HOME.iterdir() if (path / "config.json").is_file())
        if HOME.is_dir()
        else []
    )


def find_model(model: str | Path) -> Path:
    """The folder of a model: a path to one, or a bundled name."""
    if str(model) in model_names():
        return HOME / str(model)
    path = Path(model)
    if not os.path.isdir(path):  # unlike Path.is_dir, also quiet about names that no folder can have
        what = "is a file" if os.path.isfile(path) else "does not exist"
        raise UserError(
            f"'{str(model)[:200]}' {what}; name a model folder or one of the bundled models: "
            f"{', '.join(model_names()) or '(none)'}."
        )
    return path
