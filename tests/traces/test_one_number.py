"""One home for each number: terminal, page, picture, CSV, JSON and data frame of one trace show the same."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from samples import CHINESE, ENGLISH, sample

from ropewalk.traces.trace import Trace
from ropewalk.views import figure, page, terminal
from ropewalk.views.scene import scene


@pytest.fixture(scope="module", params=[ENGLISH, CHINESE], ids=["English", "Chinese"])
def trace(request: pytest.FixtureRequest) -> Trace:
    return sample(request.param, layers=3, seed=5)


def plain_means(trace: Trace) -> list[float]:
    """The mean gap between neighboring tokens, counted without the package: the first token has no gap before it."""
    return [sum(map(float, row[1:])) / (len(row) - 1) for row in trace.values]


def test_the_mean_of_a_row_is_the_same_everywhere(trace: Trace) -> None:
    expected = plain_means(trace)
    out = io.StringIO()
    Console(file=out, width=200).print(terminal.render(trace))
    printed = re.findall(r"^(L\d) +([\d.]+) +[\d.]+ ", out.getvalue(), re.MULTILINE)
    assert [float(mean) for _, mean in printed] == pytest.approx(expected, rel=5e-3)
    texts = [text.get_text() for axes in figure.draw(trace).axes for text in axes.texts]
    for (name, mean), value in zip(printed, expected, strict=True):
        assert name in texts and f"{value:.3g}" in texts and float(mean) == float(f"{value:.3g}")
    assert scene(trace).mean == pytest.approx(expected)


def payload(html: str) -> dict[str, Any]:
    """What a page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_page_csv_json_and_data_frame_hold_the_same_numbers(trace: Trace, tmp_path: Path) -> None:
    trace.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    trace.save(tmp_path / "t.json")
    saved = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    shown = json.loads(payload(page.html(trace))["entries"][0]["file"])
    assert shown == saved  # the page holds the file itself
    frame = trace.to_dataframe()
    count = len(trace.tokens)
    for number in range(len(trace.rows)):
        values = trace.values[number]
        part = table[number * count : (number + 1) * count]
        for numbers in (
            [float(row["increment"]) for row in part],
            saved["rows"][number]["increments"],
            frame["increment"][number * count : (number + 1) * count],
        ):
            assert np.array_equal(np.array(numbers, np.float32), values)
        positions = [float(row["position"]) for row in part]
        assert positions == pytest.approx(np.concatenate([[0.0], np.cumsum(values[1:], dtype=np.float64)]))
    for key in ("surprisal", "entropy", "entropy_after"):
        column = [float(row[key]) for row in table[:count]]
        signal = getattr(trace, key)
        assert np.array_equal(np.array(column, np.float32), signal)
        assert np.array_equal(np.array(saved[key], np.float32), signal)
    assert [int(row["token"]) for row in table[:count]] == saved["tokens"]


def test_the_pages_table_has_the_columns_of_the_file() -> None:
    """The script of the page writes its own CSV; tests/viewer compares the content in a browser."""
    from ropewalk.traces import table

    script = (Path(page.__file__).parent / "save.js").read_text(encoding="utf-8")
    names = re.search(r"const columns = \[(.*?)\];", script, re.S)
    assert names is not None
    listed = re.findall(r'"(\w+)"|(entry\.kind)', names[1])
    assert [word or "increment" for word, _ in listed] == table.columns("increment", errors=True)
