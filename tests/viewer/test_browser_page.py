"""The page in a real browser: scales, hover, pins, keys, overlays, sizes, scripts, long and hostile texts."""

from pathlib import Path
from typing import Any

import pytest
from browsing import place
from samples import ARABIC, CHINESE, ENGLISH, FAMILY, sample

from ropewalk.views import overlays, page


def xs(opened: Any, row: int = 1) -> list[float]:
    return opened.evaluate("(r) => [...window.ropewalk.stage.pictures[0].now.x[r]]", row)


def detail(opened: Any) -> str:
    return opened.locator(".detail").inner_text()


def test_it_opens_offline_and_asks_nothing(open_page: Any) -> None:
    opened = open_page(page.html(sample()), offline=True)
    opened.wait_for_timeout(50)
    assert [one for one in opened.requests if not one.startswith(("file:", "data:"))] == []
    assert opened.locator("canvas").count() >= 1


def test_something_is_painted_in_both_themes(open_page: Any) -> None:
    for scheme in ("light", "dark"):
        opened = open_page(page.html(sample()), color_scheme=scheme)
        inked = opened.evaluate(
            """() => {
              const c = document.querySelector("canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
              let n = 0;
              for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
              return n;
            }"""
        )
        assert inked > 2000


def test_scales_change_by_button_and_by_key(open_page: Any) -> None:
    trace = sample()
    opened = open_page(page.html(trace))
    own = xs(opened)
    opened.get_by_role("radio", name="Even spacing").click()
    assert xs(opened) == [float(n) for n in range(len(trace.cells()))]
    opened.keyboard.press("2")
    assert opened.get_by_role("radio", name="One scale").get_attribute("aria-checked") == "true"
    opened.keyboard.press("1")
    assert xs(opened) == own


def test_the_change_of_scale_glides(open_page: Any) -> None:
    opened = open_page(page.html(sample()), reduced_motion="no-preference")
    seen = opened.evaluate(
        """async () => {
          const { stage } = window.ropewalk, picture = stage.pictures[0], last = picture.now.x[1].length - 1, seen = [];
          document.querySelectorAll(".choice button")[2].click();
          while (picture.moving || !seen.length) {
            await new Promise(requestAnimationFrame);
            seen.push(picture.now.x[1][last]);
          }
          return [seen[0], seen.length, picture.now.x[1][last]];
        }"""
    )
    assert seen[1] > 2 and seen[2] == len(ENGLISH) - 1


def test_hovering_tells_the_numbers(open_page: Any) -> None:
    trace = sample()
    opened = open_page(page.html(trace))
    opened.mouse.move(*place(opened, 4, 1))
    content = detail(opened)
    assert "U+006F" in content and "6F" in content and "token 4" in content
    value = f"{float(f'{trace.increments[0, 4]:.3g}'):g}"
    assert value in content and f"{float(f'{trace.surprisal[4]:.3g}'):g} nats" in content
    opened.mouse.move(5, 5)
    assert "Point at a character" in detail(opened)


def test_two_pins_measure_every_layer(open_page: Any) -> None:
    trace = sample()
    opened = open_page(page.html(trace))
    opened.mouse.click(*place(opened, 4, 2))
    assert "Pin another" in detail(opened)
    opened.mouse.click(*place(opened, 9, 3))
    content = detail(opened)
    assert "5 tokens apart" in content
    far = trace.positions[0, 9] - trace.positions[0, 4]
    assert f"{float(f'{far:.4g}'):g}" in content
    opened.get_by_role("button", name="Clear pins").click()
    assert "apart" not in detail(opened)


def test_the_keyboard_advances_pins_and_lets_go(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    opened.locator(".picture").focus()
    for name in ("ArrowRight", "ArrowRight", "ArrowDown", "Enter", "End", "Enter"):
        opened.keyboard.press(name)
    assert opened.evaluate("() => window.ropewalk.state.pins") == [2, len(ENGLISH) - 1]
    assert "token" in opened.locator(".spoken").inner_text()
    opened.keyboard.press("Escape")
    assert opened.evaluate("() => [window.ropewalk.state.pins.length, window.ropewalk.state.focus]") == [
        0,
        None,
    ]


def test_every_control_has_a_name(open_page: Any) -> None:
    opened = open_page(page.html([sample(), sample(seed=1)]))
    nameless = opened.evaluate(
        """() => [...document.querySelectorAll("button, select, summary, input, [tabindex]")]
          .filter((one) => !(one.textContent || one.getAttribute("aria-label") || "").trim()).length"""
    )
    assert nameless == 0


def test_overlays_are_drawn_until_put_away_and_bars_when_asked_for(open_page: Any) -> None:
    trace = sample()
    opened = open_page(page.html(trace, [overlays.entropy(trace)]))
    marked = opened.evaluate("() => window.ropewalk.svgOf()")
    opened.get_by_role("button", name="entropy peaks").click()
    plain = opened.evaluate("() => window.ropewalk.svgOf()")
    assert marked.count("<path") > plain.count("<path")
    assert "stroke-dasharray" not in plain
    opened.get_by_role("button", name="surprisal").click()
    assert opened.evaluate("() => window.ropewalk.svgOf()").count("<rect") > plain.count("<rect")


def test_heads_unfold_at_the_name_of_their_layer(open_page: Any) -> None:
    opened = open_page(page.html(sample(layers=2, heads=4)))
    count = "() => window.ropewalk.stage.pictures[0].rows.length"
    assert opened.evaluate(count) == 3
    y = place(opened, 0, 1)[1]
    box = opened.locator("canvas").first.bounding_box()
    opened.mouse.click(box["x"] + 12, y)
    assert opened.evaluate(count) == 6
    opened.mouse.click(box["x"] + 12, y)
    assert opened.evaluate(count) == 3


@pytest.mark.parametrize("width", [320, 390, 760, 1600])
def test_no_width_makes_the_page_scroll_sideways(open_page: Any, width: int) -> None:
    opened = open_page(page.html(sample("The rope went on. " * 8), names=["x" * 90]), width=width)
    for scale in ("1", "2", "3"):
        opened.keyboard.press(scale)
        assert opened.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        inside = opened.evaluate(
            """() => {
              const { stage, placeOf } = window.ropewalk, p = stage.pictures[0];
              const right = p.holder.getBoundingClientRect().right;
              return p.entry.cells.every((_, c) => p.rows.every((_, r) => placeOf(p, c, r)[0] <= right));
            }"""
        )
        assert inside


def test_resizing_wraps_anew_and_loses_no_character(open_page: Any) -> None:
    trace = sample("The rope went on. " * 8)
    opened = open_page(page.html(trace))
    parts = "() => window.ropewalk.stage.pictures[0].panels.map((p) => [p.start, p.end])"
    wide = opened.evaluate(parts)
    opened.set_viewport_size({"width": 500, "height": 800})
    opened.wait_for_function("(n) => window.ropewalk.stage.pictures[0].panels.length > n", arg=len(wide))
    narrow = opened.evaluate(parts)
    assert [start for start, _ in narrow] == [0] + [end for _, end in narrow[:-1]]
    assert narrow[-1][1] == len(trace.cells())


def test_a_phone_taps_and_pins(open_page: Any) -> None:
    opened = open_page(page.html(sample()), width=390, height=800, has_touch=True, is_mobile=True)
    opened.touchscreen.tap(*place(opened, 5, 0))
    assert "token 5" in detail(opened)
    opened.get_by_role("button", name="Pin", exact=True).click()
    assert opened.evaluate("() => window.ropewalk.state.pins") == [5]
    opened.get_by_role("button", name="close").click()
    assert "Tap a character" in detail(opened)


def test_text_that_runs_leftward_is_laid_out_leftward(open_page: Any) -> None:
    opened = open_page(page.html(sample(ARABIC, layers=2)))
    assert place(opened, 0, 1)[0] > place(opened, 5, 1)[0]
    assert "right to left" in opened.locator(".notes").inner_text()
    opened.locator(".picture").focus()
    opened.keyboard.press("ArrowLeft")
    assert opened.evaluate("() => window.ropewalk.state.focus.cell") == 1


@pytest.mark.parametrize("text", [CHINESE, ARABIC, FAMILY, "नमस्ते ไทย 한국어 שלום"])
def test_people_see_characters_never_broken_bytes(open_page: Any, text: str) -> None:
    trace = sample(text, layers=2)
    opened = open_page(page.html(trace))
    labels = opened.evaluate("() => window.ropewalk.entries[0].cells.map((cell) => cell.label)")
    assert len(labels) == len(trace.cells()) and not any("\ufffd" in label for label in labels)


HOSTILE = {
    "markup": "</script><script>window.caught=1</script><img src=x onerror=window.caught=1>&lt;b&gt; \" ' `${1}`",
    "control": "".join(map(chr, range(1, 32))) + "\x7f\x85\u200e\u202eevil\u202c\u2066\ufeff\ufff9\U000e0041",
    "marks": "a" + "\u0301" * 10_000 + " and on",
    "only marks": "\u0301\u0302" * 40,
    "wide": "\ufdfd\u12031" * 20 + "꧅𒐫",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_shown_harmlessly(open_page: Any, text: str) -> None:
    opened = open_page(page.html(sample(text, layers=2, name=text[:40]), title=text[:40]))
    for cell in range(min(3, opened.evaluate("() => window.ropewalk.entries[0].cells.length"))):
        opened.mouse.move(*place(opened, cell, 1))
        assert detail(opened)
    assert opened.evaluate(
        "() => [window.caught, document.querySelectorAll('#app img, #app script').length]"
    ) == [None, 0]
    assert opened.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    svg = opened.evaluate(
        "() => new DOMParser().parseFromString(window.ropewalk.svgOf(), 'image/svg+xml').querySelector('parsererror')"
    )
    assert svg is None


def test_2000_characters_paint_only_what_is_seen(open_page: Any) -> None:
    trace = sample("The rope walked on and on. " * 75)
    opened = open_page(page.html(trace))
    opened.get_by_role("radio", name="Rows", exact=True).click()
    counts = opened.evaluate(
        "() => { const { panels } = window.ropewalk.stage.pictures[0]; return [panels.length, panels.filter((p) => p.seen).length]; }"
    )
    assert counts[0] > 10 and counts[1] < counts[0] / 2
    opened.mouse.move(*place(opened, 2000, 2))
    assert "token 2000" in detail(opened)


def test_what_cannot_be_printed_is_said(open_page: Any) -> None:
    values = [[5.0, 0.01] * 30]
    trace = sample("ab" * 30, layers=1, values=values)
    opened = open_page(page.html(trace))
    assert "too close" in opened.locator(".notes").inner_text()


def test_gaps_at_the_ceiling_are_content(open_page: Any) -> None:
    trace = sample("ab cd", layers=1, values=[[1.0, 1.0, 9.99, 1.0, 1.0]])
    opened = open_page(page.html(trace))
    assert "largest increment, 10: 1 in L0" in opened.locator(".notes").inner_text()
    opened.mouse.move(*place(opened, 2, 1))
    assert "9.99*" in detail(opened)


def test_files_can_be_taken_away(open_page: Any) -> None:
    from ropewalk.traces.trace import Trace

    trace = sample(CHINESE, layers=2)
    opened = open_page(page.html(trace), accept_downloads=True)
    for name, check in (
        ("Trace (JSON)", lambda data: Trace.loads(data).hash == trace.hash),
        ("Numbers (CSV)", lambda data: data.decode().count("\n") == 1 + 2 * len(trace.tokens)),
        ("Picture (SVG)", lambda data: "图" in data.decode() and "<svg" in data.decode()),
    ):
        opened.locator(".menu summary").click()
        with opened.expect_download() as waiting:
            opened.get_by_role("button", name=name).click()
        assert check(Path(waiting.value.path()).read_bytes())


def test_notebook_outputs_are_independent(open_page: Any) -> None:
    book = (
        "<!doctype html><script>window.ropewalk=1</script>"
        + sample()._repr_html_()
        + sample(CHINESE)._repr_html_()
    )
    opened = open_page(book)
    frames = [frame for frame in opened.frames if frame != opened.main_frame]
    assert len(frames) == 2
    for frame, text in zip(frames, (ENGLISH, CHINESE), strict=True):
        frame.wait_for_function("() => window.ropewalk && window.ropewalk.entries")
        assert frame.evaluate("() => window.ropewalk.entries[0].text") == text


@pytest.mark.parametrize("text", ["a", "我", "\n", "👩‍👩‍👧"])
def test_a_single_character_is_a_picture_too(open_page: Any, text: str) -> None:
    opened = open_page(page.html(sample(text)))
    opened.mouse.move(*place(opened, 0, 1))
    assert "position" in detail(opened)


def test_equal_gaps_and_backward_steps_are_drawn(open_page: Any) -> None:
    trace = sample("abcd", layers=2, values=[[1.0] * 4, [1.0, 2.0, -1.5, 2.0]])
    opened = open_page(page.html(trace))
    assert "backwards" in opened.locator(".legend").inner_text()
    assert place(opened, 2, 2)[0] < place(opened, 1, 2)[0]


def test_rows_of_no_extent_are_drawn(open_page: Any) -> None:
    opened = open_page(page.html(sample("abcd", layers=1, values=[[0.0] * 4])))
    assert opened.evaluate("() => [...window.ropewalk.stage.pictures[0].now.x[1]]") == [0, 0, 0, 0]
