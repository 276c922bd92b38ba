"""Endpoints under their own nulls, and intervals of few seeds: scripts/false_positives.py and scripts/coverage.py, reduced."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ropewalk.analyses import statistics

SCRIPTS = Path(__file__).parent.parent.parent / "scripts"


def script(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


SLOW = (
    "agreement",
    "boundaries",
    "boundaries: gain",
    "planted",
    "scopes",
    "spacing",
    "lookback, a row per layer",
)


@pytest.mark.parametrize("name", list(script("false_positives").NULLS))
def test_an_endpoint_seldom_decides_on_noise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPLICATES", 50)
    monkeypatch.setattr(statistics, "PERMUTATIONS", 99)
    trials, allowed = (
        (10, 3) if name in SLOW else (40, 6)
    )  # at 5 % more than this happens once in a thousand runs
    assert script("false_positives").rate(name, trials, 3, start=7) * trials <= allowed


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("situation", list(script("coverage").SITUATIONS))
def test_intervals_of_few_seeds_hold_the_truth(situation: str, seeds: int) -> None:
    coverage = script("coverage").coverage
    for name in (
        "Student's t over seeds, bootstrap over sentences",
        "jackknife over models, bootstrap over sentences",
    ):
        assert coverage(name, situation, seeds, 200) >= 0.90
    if situation == "seeds alone":
        assert coverage("seeds and sentences drawn again (replaced)", situation, seeds, 200) < 0.90
