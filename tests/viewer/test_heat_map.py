"""Large traces on the page: a heat map, its brush, filters, findings, links, keyboard, printing and sharing."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import token_trace
from samples import CHINESE, sample

from ropewalk.traces import table
from ropewalk.traces.trace import Trace
from ropewalk.views import page
from ropewalk.views.findings import findings
from ropewalk.views.rows import choose
from ropewalk.views.scene import scene
from ropewalk.views.shades import heat_limits


def probe(count: int) -> Trace:
    words = ("The old rope maker of New York walked on , and on . " * 200).split(" ")[:count]
    pieces = [words[0], *[" " + word for word in words[1:]]]
    values = np.exp(np.random.default_rng(0).normal(0, 1, (30, count)))
    values[:, :5] = np.nan
    unit = "squared nats per token and squared token-equivalent"
    return token_trace(
        "".join(pieces), pieces, values, kind="sensitivity", unit=unit, error=np.abs(values) / 5
    )


def test_sixty_tokens_of_thirty_layers_fit_a_screen(open_page: Any) -> None:
    html = page.html(probe(60))
    opened = open_page(html, width=1280, height=800)
    assert len(html.encode()) < 400_000
    assert opened.get_by_role("radio", name="Heat map").get_attribute("aria-checked") == "true"
    assert opened.evaluate("() => document.querySelector('.stage').getBoundingClientRect().bottom") <= 800
    assert "The warmer a square" in opened.locator(".lead").inner_text()
    assert opened.get_by_role("radio", name="One scale").count() == 0  # squares have one scale


def test_1477_tokens_are_less_than_three_screens(open_page: Any) -> None:
    opened = open_page(page.html(probe(1477)), width=1280, height=800)
    assert opened.evaluate("() => document.querySelector('.stage').getBoundingClientRect().height") < 3 * 800


def test_a_brush_opens_rows_quickly(open_page: Any) -> None:
    opened = open_page(page.html(probe(300)))
    box = opened.locator("canvas").first.bounding_box()
    opened.mouse.move(box["x"] + 80, box["y"] + 40)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 300, box["y"] + 60, steps=4)
    opened.mouse.up()
    opened.locator(".part").wait_for()
    rows = opened.evaluate("() => window.ropewalk.stage.pictures[1].rows.length")
    assert rows == 9


def test_the_scale_of_the_page_is_that_of_figures(open_page: Any) -> None:
    trace = probe(60)
    opened = open_page(page.html(trace))
    found = opened.evaluate("() => window.ropewalk.stage.pictures[0].limits")
    low, high = heat_limits(scene(choose(trace)).gaps, logarithmic=True)
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))


def test_a_page_begins_with_the_layers_that_were_asked_for(open_page: Any) -> None:
    trace = sample(layers=12)
    opened = open_page(page.html(trace, layers=[2, 5, 7]))
    rows = "() => window.ropewalk.stage.pictures[0].rows.slice(1).map(({ label }) => label)"
    assert opened.evaluate(rows) == ["L2", "L5", "L7"]
    assert not opened.evaluate("() => window.ropewalk.stage.pictures[0].atlas")  # three rows are no heat map
    assert findings(choose(trace, [2, 5, 7]))[0].text in opened.locator(".findings").inner_text()
    opened.locator(".options summary").click()
    opened.get_by_label("layers shown").fill("")
    opened.get_by_label("layers shown").press("Enter")
    assert len(opened.evaluate(rows)) == 12
    assert opened.evaluate("() => window.ropewalk.stage.pictures[0].atlas")


def test_layers_are_filtered_and_sorted(open_page: Any) -> None:
    trace = sample(layers=12)
    opened = open_page(page.html(trace))
    labels = "() => window.ropewalk.stage.pictures[0].rows.slice(1).map((row) => row.label)"
    opened.locator(".options summary").click()
    opened.get_by_label("layers shown").fill("0-2,7")
    opened.get_by_label("layers shown").press("Enter")
    assert opened.evaluate(labels) == ["L0", "L1", "L2", "L7"]
    opened.get_by_role("button", name="most varied first").click()
    shown = [0, 1, 2, 7]
    std = {n: np.std(trace.values[n, 1:]) / np.mean(trace.values[n, 1:]) for n in shown}
    assert opened.evaluate(labels) == [f"L{n}" for n in sorted(shown, key=lambda n: -std[n])]


def test_the_findings_are_pythons_and_lead_to_their_place(open_page: Any) -> None:
    trace = sample()
    opened = open_page(page.html(trace))
    told = opened.locator(".findings li").all_inner_texts()
    assert told == [one.text for one in findings(trace)]
    opened.locator(".finding").first.click()
    assert opened.evaluate("() => window.ropewalk.state.focus.cell") == findings(trace)[0].cell


def test_radios_follow_the_arrow_keys(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    opened.get_by_role("radio", name="Scale per row").focus()
    opened.keyboard.press("ArrowRight")
    assert opened.evaluate("() => [window.ropewalk.state.scale, document.activeElement.dataset.value]") == [
        "same",
        "same",
    ]
    opened.keyboard.press("ArrowLeft")
    assert opened.evaluate("() => window.ropewalk.state.scale") == "row"


def test_heads_unfold_by_a_key(open_page: Any) -> None:
    opened = open_page(page.html(sample(layers=2, heads=3)))
    opened.locator(".picture").focus()
    opened.keyboard.press("h")
    assert opened.evaluate("() => window.ropewalk.stage.pictures[0].rows.length") == 5


def test_the_text_can_be_found_and_is_whole(open_page: Any) -> None:
    opened = open_page(page.html(sample("def f(x):\n    return x\n")))
    assert (
        opened.evaluate("() => document.querySelector('.fulltext pre').textContent")
        == "def f(x):\n    return x\n"
    )
    panels = opened.evaluate("() => window.ropewalk.stage.pictures[0].panels.map((p) => p.end)")
    assert panels[0] == len("def f(x):\n")


def test_the_state_is_in_the_address(open_page: Any) -> None:
    opened = open_page(page.html(sample(layers=10)))
    opened.get_by_role("radio", name="Rows", exact=True).click()
    opened.keyboard.press("2")
    opened.wait_for_function(
        "() => location.hash.includes('scale=same') && location.hash.includes('layout=rows')"
    )
    opened.reload()
    opened.wait_for_function("() => window.ropewalk")
    assert opened.evaluate("() => [window.ropewalk.state.scale, window.ropewalk.state.layout]") == [
        "same",
        "rows",
    ]


def test_everything_is_painted_for_print(open_page: Any) -> None:
    opened = open_page(page.html(sample("The rope walked on. " * 14, layers=6)), width=500)
    blank = """() => [...document.querySelectorAll("canvas")].filter((c) => {
          const empty = Object.assign(document.createElement("canvas"), { width: c.width, height: c.height });
          return c.toDataURL() === empty.toDataURL();
        }).length"""
    assert opened.evaluate(blank) > 0  # panels off the screen are not painted
    opened.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    assert opened.evaluate(blank) == 0


def test_exaggeration_stretches_what_differs_and_says_so(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    before = opened.evaluate("() => [...window.ropewalk.stage.pictures[0].now.x[1]]")
    opened.locator(".options summary").click()
    opened.get_by_label("exaggerate").fill("5")
    after = opened.evaluate("() => [...window.ropewalk.stage.pictures[0].now.x[1]]")
    even = np.arange(len(before))
    np.testing.assert_allclose(np.array(after) - even, 5 * (np.array(before) - even), atol=1e-6)
    assert "not to scale" in opened.locator(".legend").inner_text()


def test_a_comparison_has_one_legend_and_aligned_panels(open_page: Any) -> None:
    pair = [sample("The rope went on. " * 6, seed=n) for n in (0, 4)]
    opened = open_page(page.html(pair))
    tops, ends = opened.evaluate(
        "() => [window.ropewalk.stage.pictures.map((p) => p.tops), window.ropewalk.stage.pictures.map((p) => p.panels.map((q) => q.end).join())]"
    )
    assert tops[0] == tops[1] and ends[0] == ends[1]


def test_the_table_of_the_page_is_pythons(open_page: Any) -> None:
    trace = sample("=" + CHINESE + "e\u0301,\n", layers=2, heads=2)
    opened = open_page(page.html(trace), accept_downloads=True)
    opened.locator(".menu summary").click()
    with opened.expect_download() as waiting:
        opened.get_by_role("button", name="Numbers (CSV)").click()
    got = Path(waiting.value.path()).read_bytes().decode()
    want = table.csv_bytes(trace).decode()
    first, second = (list(csv.reader(io.StringIO(text))) for text in (got, want))
    assert first[0] == second[0] and len(first) == len(second)
    for a, b in zip(first[1:], second[1:], strict=True):
        assert a[:9] == b[:9] and [float(x or 0) for x in a[9:]] == pytest.approx(
            [float(x or 0) for x in b[9:]]
        )


def test_the_tour_is_walked_by_keyboard(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    opened.get_by_role("button", name="Tour").focus()
    opened.keyboard.press("Enter")
    for step in range(5):
        assert f"{step + 1} / 5" in opened.locator("dialog").inner_text()
        opened.keyboard.press("ArrowRight")
    assert not opened.locator("dialog").is_visible()
