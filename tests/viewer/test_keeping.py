"""What people take away and come back to: pictures with their words, the theme, films, notebooks, reports, galleries."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import CHINESE, sample
from test_page import payload

from ropewalk.cli import demo_report
from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views import film, gallery, notebook, page


def saved(opened: Any, name: str) -> bytes:
    opened.locator(".menu summary").click()
    with opened.expect_download() as waiting:
        opened.get_by_role("button", name=name).click()
    return Path(waiting.value.path()).read_bytes()


def test_a_saved_picture_says_what_it_is(open_page: Any) -> None:
    opened = open_page(page.html(sample(name="some model")), accept_downloads=True)
    svg = saved(opened, "Picture (SVG)").decode()
    assert "<title>How far apart does a model think its tokens are? · some model</title>" in svg
    assert "1× is the mean, the warmest tint" in svg and "<desc>Layer 0 puts its widest gap" in svg
    shared = Image.open(io.BytesIO(saved(opened, "Picture to share (PNG)")))
    assert shared.size == (1200, 630) and len(shared.convert("RGB").getcolors(1 << 20) or []) > 20


def test_the_theme_outlives_the_page(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    opened.locator(".options summary").click()
    for _ in range(2):
        opened.get_by_role("button", name=re.compile("◐")).click()
    opened.wait_for_url("**theme=dark**")  # a link to this view keeps it
    opened.goto(opened.url.split("#")[0])  # and so does the browser
    opened.wait_for_function("() => window.ropewalk")
    assert opened.evaluate("() => document.documentElement.dataset.theme") == "dark"


def test_the_last_frame_of_a_film_has_the_colors_of_its_own_picture_and_its_loss(open_page: Any) -> None:
    last = sample(layers=2)
    wild = replace(last, values=last.values**3)
    html = film.page_of([wild, last], ["step 1", "step 2"])
    names = [one["name"] for one in payload(html)["entries"]]
    assert names[1] == f"step 2 · {last.surprisal.mean():.2f} nats per byte"
    opened, alone = open_page(html), open_page(page.html(last))
    tops = "() => window.ropewalk.stage.pictures[0].tops"
    assert opened.evaluate(tops) == pytest.approx(alone.evaluate(tops))


def test_a_notebook_keeps_a_still_picture() -> None:
    found = Image.open(io.BytesIO(sample()._repr_png_()))
    assert found.format == "PNG" and found.width > 500
    assert notebook.png(sample("x" * 20_000, layers=1)) is None


def test_a_page_in_a_notebook_follows_the_notebooks_theme(open_page: Any) -> None:
    book = f'<!doctype html><body data-jp-theme-light="false"><script>window.ropewalk=1</script>{sample()._repr_html_()}'
    opened = open_page(book, color_scheme="light")
    frame = next(frame for frame in opened.frames if frame != opened.main_frame)
    frame.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    opened.wait_for_function("() => document.querySelector('iframe').style.height !== '420px'")


def test_a_widget_shows_another_trace_and_tells_what_was_chosen() -> None:
    pytest.importorskip("anywidget")
    shown = notebook.widget(sample())
    first = shown.html
    shown.trace = sample(CHINESE)
    assert shown.trace.text == CHINESE and payload(shown.html)["entries"][0]["cells"][0][2] == CHINESE[0]
    assert first != shown.html and shown.chosen == {} and "export default" in str(shown._esm)


def test_the_demos_report_is_the_page_itself(open_page: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    metrics = [
        {"loss": 1, "bits_per_byte": b, "step": s, "bytes": 9, "bytes_per_second": 3}
        for b, s in ((8, 1), (3, 9))
    ]
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(map(json.dumps, metrics)))
    shown, frames = (
        {"English": sample(), "Chinese": sample(CHINESE)},
        [sample("a b\n.", seed=n) for n in (1, 2)],
    )
    demo_report.write(tmp_path, {"name": "m", "hash": "h"}, shown, frames, 1000)
    html = (tmp_path / "report.html").read_text("utf-8").replace("<script>", "<script>window.ropewalk=1;", 1)
    opened = open_page(html, width=390)
    pictures, player = opened.frame_locator("iframe >> nth=0"), opened.frame_locator("iframe >> nth=1")
    assert pictures.get_by_role("button", name="Tour").is_visible() and player.locator(".player").is_visible()
    pictures.get_by_label("trace A").select_option("1")
    assert "图" in pictures.locator(".fulltext pre").text_content()
    assert opened.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0


def archive() -> list[Trace]:
    return [sample("New York and New Jersey.", layers=2, seed=n) for n in range(3)] + [
        sample(CHINESE, layers=2)
    ]


def test_a_gallery_lists_the_widest_gaps_beside_its_controls(open_page: Any) -> None:
    traces = archive()
    same, other = traces, [replace(one, values=1 / one.values) for one in traces]
    opened = open_page(gallery.html(traces, {"another seed": same, "random network": other}))
    gaps, _ = gallery.collect(traces)
    row = opened.locator(".context").first.locator("xpath=..").inner_text()
    widest = float(np.nanmax(gaps.values[0]))
    assert row.count(f"{float(f'{widest:.3g}'):g}×") == 2
    trust = opened.locator("details", has_text="Can it be trusted?").inner_text()
    assert "1.00" in trust and "-1.00" in trust
    opened.get_by_label("search the texts").fill("York")
    opened.get_by_text("“York” stands in the texts 3 times").wait_for()
    listed = opened.evaluate("() => window.ropewalk.chosen().length")
    assert listed == 3 * 4


def test_a_gallery_without_controls_says_so_and_lists_a_hundred_thousand_gaps(open_page: Any) -> None:
    traces = [sample("The rope walked on and on. " * 37, layers=1, seed=n) for n in range(100)]
    opened = open_page(gallery.html(traces))
    assert "No control was given" in opened.locator(".message").inner_text()
    assert opened.evaluate("() => window.ropewalk.chosen().length") == 100 * (999 - 1)


def test_a_control_of_other_texts_is_refused() -> None:
    with pytest.raises(UserError, match="'seed 2' is of other texts"):
        gallery.html(archive(), {"seed 2": [sample("x")] * 4})
    with pytest.raises(UserError, match="at least one trace"):
        gallery.html([])
