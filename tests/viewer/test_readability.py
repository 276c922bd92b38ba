"""What people see at first: words, legends, contrasts and places, on pages of every kind and size."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import place
from planted import byte_trace, token_trace
from samples import ARABIC, CHINESE, sample

from ropewalk.views import overlays, page


def luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def palettes() -> list[dict[str, str]]:
    """The colors of the light and of the two dark themes."""
    style = Path(page.__file__).with_name("style.css").read_text("utf-8")
    found = [
        dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", style)
    ]
    assert len(found) == 3 and found[1] == found[2]
    return found


@pytest.mark.parametrize("theme", palettes()[:2], ids=["light", "dark"])
def test_letters_and_lines_are_legible_on_every_tint(theme: dict[str, str]) -> None:
    for n in range(5):
        assert contrast(theme["ink"], theme[f"ramp-{n}"]) >= 4.5, n
    for ground in ("paper", "card"):
        assert contrast(theme["ink"], theme[ground]) >= 7 and contrast(theme["soft"], theme[ground]) >= 4.5
    assert contrast(theme["accent"], theme["paper"]) >= 4.5
    for n in range(4):
        assert contrast(theme[f"mark-{n}"], theme["paper"]) >= 3


def test_a_gap_above_the_mean_is_never_lighter_than_the_paper() -> None:
    light = palettes()[0]
    steps = [luminance(light[name]) for name in ("paper", *(f"ramp-{n}" for n in range(5)))]
    assert steps == sorted(steps, reverse=True)


def test_what_is_large_is_a_heat_map_whose_labels_do_not_overlap(open_page: Any) -> None:
    words = [
        "The",
        *(" " + word for word in ("extraordinarily", "long", "words", "of", "a", "tokenizer") * 9),
    ]
    values = np.exp(np.random.default_rng(0).normal(0, 1, (30, len(words))))
    opened = open_page(page.html(token_trace("".join(words), words, values)), width=1280)
    picture = opened.evaluate(
        "() => { const { atlas, turned, square } = window.ropewalk.stage.pictures[0]; return [atlas, turned, square]; }"
    )
    assert picture[0] and picture[1] and picture[2] >= 9


def test_one_outlier_does_not_make_the_scale_of_all_rows(open_page: Any) -> None:
    values = np.ones((4, 300)) + np.random.default_rng(0).uniform(0, 1, (4, 300))
    values[1, 50] = 500.0
    opened = open_page(page.html(byte_trace("x" * 300, values, kind="sensitivity", unit="nats")))
    assert opened.evaluate("() => window.ropewalk.stage.pictures[0].tops") < 5
    assert "or more" in opened.locator(".legend").inner_text()


def test_an_outlier_does_not_break_the_rows_of_many_layers(open_page: Any) -> None:
    words = ["The", *(" " + word for word in ("old", "rope", "maker", "of", "New", "York") * 5)]
    values = np.exp(np.random.default_rng(0).normal(0, 0.5, (30, len(words))))
    values[3, 20] = 500.0
    trace = token_trace("".join(words), words, values, kind="sensitivity", unit="nats")
    opened = open_page(page.html(trace), width=1280)
    opened.get_by_role("radio", name="Rows").click()
    drawn = opened.evaluate(
        """() => {
          const [picture] = window.ropewalk.stage.pictures, { panels, scenes, now } = picture;
          const [x, left] = [now.x[4][20], now.left[4][20]];
          return [Math.min(...panels.slice(0, -1).map(({ start, end }) => end - start)), x - left, scenes.row.gap[4][20]];
        }"""
    )
    assert drawn[0] >= 6 and drawn[1] == pytest.approx(8) and drawn[2] > 25  # the numbers stay what they are
    assert "// above 8× the mean: cut short" in opened.locator(".legend").inner_text()


def test_a_page_of_sensitivities_never_speaks_of_distances(open_page: Any) -> None:
    trace = sample(
        kind="sensitivity",
        unit="squared nats",
        surprisal=np.empty(0),
        entropy=np.empty(0),
        entropy_after=np.empty(0),
    )
    trace = type(trace)(**{name: getattr(trace, name) for name in ("text", "tokens", "spans", "rows", "values", "kind", "unit", "gap", "provenance")}, error=trace.values / 7)  # fmt: skip
    opened = open_page(page.html(trace))
    opened.mouse.move(*place(opened, 4, 1))
    text = opened.locator("#app").inner_text()
    assert (
        "Which gaps do a model's predictions depend on?" in text
        and "It does not say which distance would be better" in text
    )
    assert (
        "far apart" not in text
        and "surprisal" not in text
        and "standard error" in opened.locator(".detail").inner_text()
    )
    assert f"±{float(f'{trace.error[0, 4]:.2g}'):g}" in opened.locator(".detail").inner_text()


def test_a_difference_says_what_its_bars_are(open_page: Any) -> None:
    opened = open_page(page.html([sample(), sample(seed=1)]))
    side = opened.locator(".lead").inner_text()
    opened.get_by_role("radio", name="Difference").click()
    lead = opened.locator(".lead").inner_text()
    assert lead != side and "a bar goes up where A's gap is wider" in lead
    assert "up: wider in A" in opened.locator(".legend").inner_text()


def test_lines_of_code_are_rows_of_their_own(open_page: Any) -> None:
    opened = open_page(page.html(sample("def f(x):\n    return x\n\nf(1)\n", layers=2)))
    breaks = opened.evaluate("() => window.ropewalk.stage.pictures[0].panels.map(({ end }) => end)")
    assert breaks == [10, 24, 29]  # the empty line stays with the one before it


def test_three_digits_tell_a_small_effect(open_page: Any) -> None:
    values = [[1.0, 1.04, 0.96, 1.13, 0.87, 1.0]]
    opened = open_page(page.html(sample("abcdef", layers=1, values=values)))
    opened.mouse.move(*place(opened, 3, 1))
    assert "1.13" in opened.locator(".detail").inner_text()
    assert re.search(r"1×\s+1\.2×", opened.locator(".legend").inner_text())


def test_the_first_screen_explains_its_words(open_page: Any) -> None:
    trace = sample()
    opened = open_page(page.html(trace, [overlays.entropy(trace)]), width=1280, height=800)
    text = opened.locator("#app").inner_text()
    assert "␣ space" in text and "top row: even spacing, as in an ordinary model" in text
    assert "1 is the fixed distance between neighboring tokens in an ordinary model" in text
    assert "× the gap of an ordinary model" in opened.locator(".findings").inner_text()
    for jargon in ("Integer", "own scales"):
        assert jargon not in text
    assert (
        opened.evaluate("() => document.querySelector('.stage canvas').getBoundingClientRect().bottom") <= 800
    )


def test_the_picture_is_on_the_first_screen_of_a_phone(open_page: Any) -> None:
    opened = open_page(page.html(sample()), width=390, height=844, has_touch=True, is_mobile=True)
    assert opened.evaluate("() => document.querySelector('.stage').getBoundingClientRect().top") < 560


def test_marks_leave_wide_letters_alone(open_page: Any) -> None:
    text = CHINESE
    mark = overlays.Overlay("cuts", text, (3,))
    opened = open_page(page.html(sample(text, layers=2, values=np.ones((2, len(text.encode())))), [mark]))
    crossing = opened.evaluate(
        """() => {
          const picture = window.ropewalk.stage.pictures[0], { sizes } = picture;
          const dashless = [...window.ropewalk.svgOf().matchAll(/<path d="([^"]+)" fill="none" stroke="([^"]+)" stroke-width="1.5"/g)];
          const middles = picture.rows.map((_, r) => sizes.top + sizes.strip + (r + 0.5) * sizes.pitch);
          return dashless.flatMap(([, d]) => [...d.matchAll(/M([\\d.-]+) ([\\d.-]+)L([\\d.-]+) ([\\d.-]+)/g)])
            .filter(([, , y1, , y2]) => middles.some((y) => Number(y1) < y - 4 && Number(y2) > y + 4)).length;
        }"""
    )
    assert crossing == 0


def test_a_word_written_leftward_moves_no_number(open_page: Any) -> None:
    opened = open_page(page.html(sample(ARABIC, layers=2)))
    assert opened.locator(".findings bdi").count() >= 1


def test_touch_targets_and_font_size(open_page: Any) -> None:
    opened = open_page(page.html([sample(heads=2), sample(heads=2, seed=1)]), has_touch=True)
    opened.locator(".options summary").click()
    small = opened.evaluate(
        """() => [...document.querySelectorAll("button, select, summary, input")].filter((one) => one.offsetParent)
          .filter((one) => { const { width, height } = one.getBoundingClientRect(); return Math.min(width, height) < (one.type === "range" ? 16 : 24); })
          .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert small == []
    before = opened.evaluate("() => window.ropewalk.stage.pictures[0].sizes.size")
    opened.evaluate(
        "() => { document.documentElement.style.fontSize = '32px'; dispatchEvent(new Event('resize')); }"
    )
    opened.get_by_role("button", name="larger").click()
    opened.get_by_role("button", name="smaller").click()
    assert opened.evaluate("() => window.ropewalk.stage.pictures[0].sizes.size") == pytest.approx(2 * before)


def test_the_legend_survives_forced_colors(open_page: Any) -> None:
    opened = open_page(page.html(sample()), forced_colors="active")
    assert "gradient" in opened.evaluate(
        "() => getComputedStyle(document.querySelector('.legend .ramp')).backgroundImage"
    )


def test_a_reader_of_the_screen_hears_what_stands_out(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    label = opened.locator(".picture").get_attribute("aria-label")
    assert "Layer 0 puts its widest gap before" in label
    opened.locator(".picture").focus()
    opened.keyboard.press("ArrowRight")
    assert re.search(r"gap before it [\d.]+", opened.locator(".spoken").inner_text())
