"""docs/results/report.md says what the tables beside it say, opens with ten sentences, and its contents lead somewhere."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def results() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "scripts"))
    import results

    yield results
    sys.path.remove(str(ROOT / "scripts"))


def test_the_page_is_what_the_tables_give(results: ModuleType) -> None:
    found = results.page(FOLDER)
    assert found == (FOLDER / "report.md").read_text(encoding="utf-8"), "run python scripts/results.py"
    lines = found.splitlines()
    assert [line.split(".")[0] for line in lines[2:12]] == [str(n) for n in range(1, 11)]
    heads = {results.anchor(line.lstrip("# ")) for line in lines if line.startswith("## ")}
    links = re.findall(r"^- \[.*?\]\(#(.*?)\)$", found, flags=re.M)
    assert len(links) > 8 and set(links) == heads
    assert "nan" not in found.lower().split("## ")[0] and "None" not in found


def test_published_results_are_small() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert (FOLDER / "report.md").stat().st_size < 1_000_000


def test_a_curve_keeps_the_mean_of_what_it_leaves_out(results: ModuleType, tmp_path: Path) -> None:
    lines = [
        {"step": n, "increments": [{"row": "L0", "mean": 1 + n / 100, "std": 0.5}]} for n in range(1, 101)
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in [{"step": 0, "validation_loss": 2.0}, *lines]))
    found = results.thinned(path)
    assert len(found) == results.POINTS and found[-1]["step"] == 100
    assert found[0] == {"step": 4, "row": "L0", "mean": 1.025, "std": 0.5}
    results.write_curve(path, tmp_path / "curve.csv")
    assert results.curve(tmp_path / "curve.csv").count("\n") == 1 + results.POINTS
