"""Paper and screen draw the same scene: both are compared with one that is stored."""

import json
from typing import Any

import numpy as np
import pytest
from golden import HERE

from ropewalk.traces.trace import Trace
from ropewalk.views import page
from ropewalk.views.scene import SCALES, scene

GOLDEN = json.loads(HERE.read_text(encoding="utf-8"))
TRACE = Trace.loads(GOLDEN["trace"].encode())


@pytest.mark.parametrize("scale", SCALES)
def test_the_scene_of_figures_is_the_stored_one(scale: str) -> None:
    drawn = scene(TRACE, scale)
    for name in ("x", "left", "end"):
        np.testing.assert_allclose(getattr(drawn, name), GOLDEN["scenes"][scale][name], rtol=0, atol=1e-9)


def test_the_scene_of_the_page_is_the_stored_one(open_page: Any) -> None:
    opened = open_page(page.html(TRACE))
    for scale in SCALES:
        found = opened.evaluate(
            """(scale) => {
              const { state, entries, displayRows, sceneOf } = window.ropewalk;
              for (const layer of [0, 1, 2]) state.unfolded.add(layer);
              const rows = displayRows(entries[0]), drawn = sceneOf(entries[0], rows, scale), plain = (row) => [...row];
              return { x: drawn.x.slice(1).map(plain), left: drawn.left.slice(1).map(plain), end: drawn.end.slice(1) };
            }""",
            scale,
        )
        for name in ("x", "left", "end"):
            np.testing.assert_allclose(found[name], GOLDEN["scenes"][scale][name], rtol=0, atol=1e-9)


def test_rows_of_folded_heads_stand_where_the_figure_puts_their_mean(open_page: Any) -> None:
    from ropewalk.views.rows import choose

    opened = open_page(page.html(TRACE))
    found = opened.evaluate(
        "() => { const p = window.ropewalk.stage.pictures[0]; return p.scenes.same.x.slice(1).map((row) => [...row]); }"
    )
    np.testing.assert_allclose(found, scene(choose(TRACE), "same").x, rtol=0, atol=1e-9)


def test_both_use_the_same_colors(open_page: Any) -> None:
    from ropewalk.views import shades

    opened = open_page(page.html(TRACE), color_scheme="light")
    stops = opened.evaluate(
        "() => [0, 1, 2, 3, 4].map((n) => getComputedStyle(document.documentElement).getPropertyValue(`--ramp-${n}`).trim())"
    )
    assert stops == list(shades.STOPS)


@pytest.mark.parametrize("scale", ["row", "same"])
def test_both_end_their_colors_at_the_same_gap(open_page: Any, scale: str) -> None:
    from ropewalk.views import shades
    from ropewalk.views.rows import choose

    opened = open_page(page.html(TRACE))
    opened.keyboard.press({"row": "1", "same": "2"}[scale])
    found = opened.evaluate("() => window.ropewalk.stage.pictures[0].tops")
    assert found == pytest.approx(shades.top(scene(choose(TRACE), scale).gaps), abs=1e-9)
