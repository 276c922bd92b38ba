from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console

from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.statistics import Estimate
from ropewalk.errors import UserError


def result(**more) -> Result:
    rows = (
        {"row": "L0", "auc": np.float32(0.5), "auc_low": 0.4, "auc_high": 0.6},
        {"row": "L1 | x", "auc": float("nan"), "auc_low": None, "auc_high": None},
    )
    content = {
        "primary": Endpoint("AUC of L0", Estimate(0.5, 0.4, 0.6), 0.5, "undecided"),
        "chart": Chart("bars", "row", "auc", base=0.5),
        "notes": ("A note.",),
        "command": "ropewalk measure x y",
        "provenance": {"seed": 1},
        **more,
    }
    return Result("x", "A [title]", {"row": "line", "auc": "AUC"}, rows, ("auc",), **content)


def test_a_saved_result_comes_back_the_same(tmp_path):
    result().save(tmp_path / "x.json")
    again = Result.load(tmp_path / "x.json")
    assert again == result()
    again.save(tmp_path / "y.json")
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "y.json").read_bytes()
    assert json.loads((tmp_path / "x.json").read_text())["rows"][1]["auc"] is None


def test_a_primary_without_interval_survives_json(tmp_path):
    bare = result(primary=Endpoint("loss", Estimate(1.0), 0.0, "undecided"))
    bare.save(tmp_path / "x.json")
    back = Result.load(tmp_path / "x.json").primary
    assert back is not None and back.estimate.value == 1.0 and math.isnan(back.estimate.low)


def test_markdown_and_terminal_show_value_interval_verdict_and_command():
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(result())
    for text in (result().markdown(), console.export_text()):
        assert "0.5000 [0.4000, 0.6000], against 0.5000: undecided" in text
        assert "ropewalk measure x y" in text and "A note." in text
    assert "L1 \\| x" in result().markdown()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', "not json"])
def test_what_is_no_result_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError):
        Result.load(tmp_path / "x.json")


def test_a_missing_row_is_named():
    with pytest.raises(UserError, match="no row"):
        result().find(row="L9")
    assert result().find(row="L0")["auc"] == 0.5


def test_the_figure_is_the_same_every_time_and_refused_where_there_is_none(tmp_path):
    from ropewalk.views import chart

    assert chart.render(result()) == chart.render(result())
    chart.save(result(), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="without a figure"):
        chart.draw(result(chart=None))
    with pytest.raises(UserError, match="ending in"):
        chart.save(result(), tmp_path / "x.gif")
