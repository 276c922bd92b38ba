"""The registry: every experiment says what it is, its tables say which code made them, and stale ones are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from ropewalk import experiments
from ropewalk.analyses.result import Result
from ropewalk.errors import UserError
from ropewalk.experiments import REGISTRY, Inputs, _source
from ropewalk.measure import random_networks
from ropewalk.native.decoder import Decoder
from ropewalk.studies.store import outdated

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", list(REGISTRY))
def test_an_experiment_says_what_it_is(name: str) -> None:
    experiment = REGISTRY[name]
    assert experiment.name == name and experiment.help.endswith(".") and len(experiment.documentation) > 100
    assert experiment.primary and experiment.null
    modules = _source.closure(experiment.source)
    assert any(module.startswith("ropewalk.analyses.") for module in modules)


def test_an_unknown_experiment_is_refused_with_the_names_of_the_others() -> None:
    with pytest.raises(UserError, match=r"'nothing'; choose one of agreement, boundaries"):
        experiments.get("nothing")


def test_a_table_says_which_code_made_it_and_is_stale_when_that_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(random_networks, "DRAWS", 2)
    model = tiny.moved(Decoder(tiny.config(init="random")))
    made, _ = experiments.get("bytes").measure(Inputs({"models": [model]}))
    assert made.provenance["source"] == "ropewalk.experiments.bytes"
    made.save(tmp_path / "bytes.json")
    saved = Result.load(tmp_path / "bytes.json").to_json()
    assert outdated([saved]) == []
    assert outdated([{**saved, "provenance": {}}]) == ["bytes"]
    _source.source_hash.cache_clear()
    read = _source._source
    changed = {"ropewalk.analyses.statistics": "LEVEL = 0.1"}
    monkeypatch.setattr(_source, "_source", lambda name: changed.get(name) or read(name))
    assert outdated([saved]) == ["bytes"]
    _source.source_hash.cache_clear()


def test_how_a_text_is_read_does_not_make_a_table_stale() -> None:
    modules = _source.closure("ropewalk.experiments.boundaries")
    assert "ropewalk.measure.random_networks" in modules and "ropewalk.analyses.gold" in modules
    assert not modules & _source.NEUTRAL
    assert all(
        (ROOT / "src" / f"{name.replace('.', '/')}.py").is_file()
        for name in _source.NEUTRAL - {"ropewalk.measure"}
    )


def test_comments_docstrings_and_empty_lines_are_no_change() -> None:
    plain = "def f(x):\n    return x\n"
    described = '"""A module."""\n\n# A comment.\ndef f(x):\n    """What it does.\n\n    At length."""\n\n    return x\n'
    assert _source.code_lines(plain) == _source.code_lines(described).replace("\n\n", "\n")
    assert _source.code_lines(plain) != _source.code_lines(plain.replace("return x", "return -x"))


def test_models_of_different_kinds_are_refused() -> None:
    shared, layered = (Decoder(tiny.config(per=per)) for per in ("shared", "layer"))
    with pytest.raises(UserError, match="different rows"):
        experiments.get("bytes").measure(Inputs({"models": [shared, layered]}))
    with pytest.raises(UserError, match="at least one model"):
        experiments.get("bytes").measure(Inputs({}))


def test_published_verdicts_are_by_the_code_of_today() -> None:
    """docs/results: every table outside the first edition, whose verdicts are withdrawn."""
    for path in sorted((ROOT / "docs" / "results").rglob("*.json")):
        saved = json.loads(path.read_text(encoding="utf-8"))
        tables = saved.get("tables", [saved] if "primary" in saved else [])
        if path.parent.name == "first-edition":
            assert {t["primary"]["verdict"] for t in tables if t["primary"]} == {"withdrawn"}
        else:
            assert outdated(tables) == [], f"{path}: measure these again"
