"""Experiments: one file for each measurement, with its inputs, its run, its primary endpoint and its null.

`REGISTRY` maps names to `Experiment`s; commands, studies, reports and docs iterate it. A new experiment is one module
here that defines `EXPERIMENT`, named like the module, and one test. A module is imported when its experiment is
looked up, so that listing names stays quick. Modules with a leading underscore are helpers.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from ropewalk.errors import UserError
from ropewalk.experiments._base import Experiment, Inputs, Need

__all__ = ["REGISTRY", "Experiment", "Inputs", "Need", "get"]


class Registry(Mapping[str, Experiment]):
    """Name -> experiment, in alphabetical order."""

    def __init__(self) -> None:
        found = (module.name for module in pkgutil.iter_modules(__path__))
        self._names = tuple(sorted(name for name in found if not name.startswith("_")))

    def __getitem__(self, name: str) -> Experiment:
        if name not in self._names:
            raise KeyError(name)
        return importlib.import_module(f"{__name__}.{name}").EXPERIMENT

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


REGISTRY = Registry()


def get(name: str) -> Experiment:
    """The experiment of this name. UserError when there is none."""
    if name not in REGISTRY:
        raise UserError(f"there is no experiment '{name}'; choose one of {', '.join(REGISTRY)}.")
    return REGISTRY[name]
