"""Traces of many rows or tokens: folded in the terminal, a heat map in figures, refused where absurd."""

import io
import time

import numpy as np
import pytest
from planted import byte_trace
from rich.cells import cell_len
from rich.console import Console
from samples import sample

from ropewalk.errors import UserError
from ropewalk.views.figure import draw, save
from ropewalk.views.rows import read_layers
from ropewalk.views.shades import heat_limits, heat_share
from ropewalk.views.sparklines import most_varied, sparkline
from ropewalk.views.terminal import render


def test_thirty_layers_are_folded_and_the_most_varied_written_in_full() -> None:
    lines = str(render(sample(layers=30), width=100)).splitlines()
    assert len(lines) < 60 and max(map(cell_len, lines)) <= 100
    assert sum(line.startswith("L29 ") for line in lines) == 1
    assert sum(line.startswith("L0 ") for line in lines) == 2
    assert any(line.startswith("• Layer") for line in lines)
    assert "L29" not in str(render(sample(layers=30), layers=[0, 1]))


def test_printing_is_linear_in_the_length_of_the_text() -> None:
    def seconds(count: int, folded: bool) -> float:
        trace = sample("The rope walked on and on. " * count)
        best = []
        for _ in range(2):
            began = time.process_time()
            Console(file=io.StringIO(), width=100, force_terminal=True).print(render(trace, folded=folded))
            best.append(time.process_time() - began)
        return min(best)

    for folded in (True, False):
        short, long = seconds(100, folded), seconds(800, folded)
        assert long < 8 * 1.8 * short + 0.1


def test_a_sparkline_marks_what_is_beyond_its_scale_and_what_is_missing() -> None:
    gaps = np.array([np.nan, 1, 1, 3, 2, 9])
    assert "".join(mark for mark, _ in sparkline(gaps, 6, 3.0)) == " ▁▁█▅▲"
    assert len(sparkline(np.ones(1000), 40, 2.0)) == 40
    assert most_varied(np.array([[1, 1], [1, 5], [1, 2]]), 2) == [1, 2]


def test_a_heat_map_is_drawn_above_8_rows_and_is_small(tmp_path) -> None:
    figure = draw(sample(layers=30))
    assert len(figure.axes[0].images) == 1 and figure.axes[0].images[0].get_array().shape[:2] == (30, 29)
    assert figure.get_figheight() < 7
    written = " ".join(text.get_text() for part in (figure, *figure.axes) for text in part.texts)
    assert "By the model “a model”. Layer" in " ".join(written.split())
    assert draw(sample(layers=30), layers=[1, 2]).axes[0].images[:] == draw(sample()).axes[0].images[:] == []
    save(sample("The rope walked on. " * 100), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 1_000_000


def test_unmeasured_squares_are_gray_and_outliers_marked() -> None:
    values = np.ones((9, 40))
    values[:, 20], values[2, 5], values[3, :4] = 2, 400, np.nan
    figure = draw(byte_trace("x" * 40, values, kind="sensitivity", unit="nats"))
    image = figure.axes[0].images[0].get_array()
    assert np.allclose(image[3, 1], 0xD5 / 255) and not np.allclose(image[4, 1], 0xD5 / 255)
    (marks,) = figure.axes[0].lines
    assert len(marks.get_xdata()) >= 1


def test_a_picture_that_no_one_could_read_is_refused() -> None:
    long = byte_trace("x" * 9000)
    with pytest.raises(UserError, match=r"at most 8,000 characters .* ropewalk show --file FILE --html"):
        draw(long)
    with pytest.raises(UserError, match="draw a heat map instead"):
        draw(byte_trace("x" * 2000), heat_map=False)


def test_the_scale_of_a_heat_map_keeps_the_mean_in_its_middle() -> None:
    gaps = np.array([[np.nan, 0.5, 1.0, 1.5, 3.0]])
    for logarithmic in (False, True):
        low, high = heat_limits(gaps, logarithmic)
        shares = heat_share(gaps, low, high, logarithmic)[0]
        assert (
            np.isnan(shares[0])
            and shares[2] == pytest.approx(0.5)
            and shares[1] < 0.5 < shares[3] < shares[4]
        )


def test_layers_are_read_from_text() -> None:
    assert read_layers("0-3,12, 2") == [0, 1, 2, 3, 12]
    for wrong in ("", "a", "1-", "-1", "1--2"):
        with pytest.raises(UserError, match='such as "0-5,12"'):
            read_layers(wrong)


def test_findings_speak_of_the_chosen_layers_only() -> None:
    text = str(render(sample(layers=6), layers=[4, 5]))
    assert "• Layer 4" in text and "Layer 0" not in text
