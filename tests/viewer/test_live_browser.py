"""The live page in a real browser: typing, models, a dragged gap, links, saved pages, tabs, and failures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import place
from samples import ARABIC, CHINESE
from test_live_server import Failing
from tiny import config, moved

from ropewalk.live import Live
from ropewalk.live.answers import LONGEST, Model
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder


@pytest.fixture(scope="module")
def model() -> Decoder:
    return moved(Decoder(config(), seed=3))


@pytest.fixture(scope="module")
def live(model: Decoder) -> Iterator[Live]:
    other = moved(Decoder(config(parametrization="positive", per="shared"), seed=5))
    broken: Any = Failing(RuntimeError("bad"))
    served = Live({"tiny": Model(model), "shared": Model(other), "broken": Model(broken)}, "rope walk")
    served.start()
    yield served
    served.stop()


def text_of(page: Any) -> str:
    return page.evaluate("() => window.ropewalk.entries[0].text")


def write(page: Any, text: str) -> None:
    page.locator("textarea").fill(text)
    page.wait_for_function("(text) => window.ropewalk.entries[0].text === text", arg=text)


def values(page: Any) -> list[list[float]]:
    return page.evaluate("() => window.ropewalk.entries[0].values.map((row) => [...row])")


def drag(page: Any, cell: int, row: int, far: float) -> None:
    x, y = place(page, cell, row)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + far, y, steps=6)
    page.mouse.up()
    page.locator(".result[aria-busy=false] .loss", has_text="→").wait_for()


def test_the_first_picture_is_there_at_once(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    assert text_of(page) == "rope walk" and "nats per byte" in page.locator(".result").inner_text()
    assert all(one.startswith((live.url, "data:")) for one in page.requests)


@pytest.mark.parametrize("text", ["A rope is laid.", CHINESE, ARABIC, "</script><b>x</b>\t\x01"])
def test_typing_moves_the_layers(open_page: Any, live: Live, model: Decoder, text: str) -> None:
    page = open_page(live.url)
    page.locator("textarea").fill("")
    page.locator("textarea").press_sequentially(text[:3])
    write(page, text)
    assert values(page)[0] == pytest.approx(trace(model, text).values[0].tolist(), rel=1e-6)


def test_what_is_typed_meanwhile_is_asked_last(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    page.evaluate(
        """() => { const box = document.querySelector("textarea");
          for (const text of ["a", "ab", "abc", "abcd"]) { box.value = text; box.dispatchEvent(new Event("input")); } }"""
    )
    page.wait_for_function("() => window.ropewalk.entries[0].text === 'abcd'")
    assert len([one for one in page.requests if one.endswith("trace")]) <= 2


def test_another_model_can_be_chosen(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    page.get_by_label("model", exact=True).select_option("shared")
    page.wait_for_function("() => window.ropewalk.entries[0].name === 'shared'")
    assert page.evaluate("() => window.ropewalk.stage.pictures[0].rows.map((row) => row.label)") == [
        "even",
        "all",
    ]


def test_a_failing_model_leaves_the_page_alive(open_page: Any, live: Live, capfd: Any) -> None:
    page = open_page(live.url, expect_errors=True)
    page.get_by_label("model", exact=True).select_option("broken")
    page.locator(".problem", has_text="The model failed (RuntimeError)").wait_for()
    assert text_of(page) == "rope walk"
    page.get_by_label("model", exact=True).select_option("tiny")
    write(page, "alive")
    assert not page.locator(".problem").is_visible()
    capfd.readouterr()


def test_an_empty_text_is_not_asked_about(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    page.locator("textarea").fill("")
    assert "type something" in page.locator(".problem").inner_text()
    assert text_of(page) == "rope walk"


def test_a_text_that_is_too_long_is_cut_and_content(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    page.locator("textarea").fill("x" * (LONGEST + 50))
    page.locator(".problem", has_text="Only the first 4,000 characters").wait_for()
    assert len(text_of(page)) == LONGEST


def test_a_gap_dragged_wider_changes_the_model(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    before = values(page)
    drag(page, 3, 1, 60)
    page.wait_for_function("(old) => window.ropewalk.entries[0].values[0][3] > old + 0.5", arg=before[0][3])
    after = values(page)
    assert after[1][4] != before[1][4]
    assert after[0][:3] + after[0][4:] == pytest.approx(before[0][:3] + before[0][4:], rel=1e-6)
    content = page.locator(".result").inner_text()
    assert "Later layers recompute" in content and "1 gap set by hand" in content and "was" in content


def test_a_click_on_a_letter_pins_it_and_drags_nothing(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    before = values(page)
    page.mouse.click(*place(page, 3, 1))
    assert page.evaluate("() => window.ropewalk.state.pins") == [3]
    assert values(page) == before and "→" not in page.locator(".result").inner_text()


def test_a_gap_can_be_held_alone_and_undone(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    before = values(page)
    drag(page, 3, 1, 60)
    page.get_by_label("hold every other gap").check()
    page.wait_for_function(
        "(old) => Math.abs(window.ropewalk.entries[0].values[1][4] - old) < 1e-6", arg=before[1][4]
    )
    assert "is held as it was" in page.locator(".result").inner_text()
    page.get_by_role("button", name="Undo all").click()
    page.wait_for_function("(old) => window.ropewalk.entries[0].values[0][3] === old", arg=before[0][3])
    assert "→" not in page.locator(".result").inner_text()


def test_a_gap_can_be_set_by_keys(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    before = values(page)
    page.locator(".picture").focus()
    for name in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(name)
    page.locator(".result[aria-busy=false] .loss", has_text="→").wait_for()
    assert values(page)[0][2] > before[0][2]


def test_a_link_brings_the_same_view(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    write(page, "linked text")
    drag(page, 3, 2, 40)
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy link").click()
    address = page.evaluate("() => location.href")
    assert "#" in address
    other = open_page(address)
    other.locator(".result[aria-busy=false] .loss", has_text="→").wait_for()
    assert text_of(other) == "linked text"
    assert values(other)[1][3] == pytest.approx(values(page)[1][3], rel=1e-6)


def test_a_page_can_be_saved_and_opened_without_the_server(
    open_page: Any, live: Live, model: Decoder
) -> None:
    page = open_page(live.url, accept_downloads=True)
    write(page, CHINESE)
    page.locator(".menu summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="This page").click()
    saved = open_page(Path(waiting.value.path()).read_text(encoding="utf-8"), offline=True)
    assert text_of(saved) == CHINESE
    assert values(saved)[0] == pytest.approx(trace(model, CHINESE).values[0].tolist(), rel=1e-6)


def test_tabs_do_not_disturb_each_other(open_page: Any, live: Live) -> None:
    first, second = open_page(live.url), open_page(live.url)
    write(first, "one")
    write(second, "another")
    write(first, "one more")
    assert (text_of(first), text_of(second)) == ("one more", "another")


def test_the_trace_saved_from_the_page_can_be_loaded(
    open_page: Any, live: Live, model: Decoder, tmp_path: Path
) -> None:
    from ropewalk.traces.trace import Trace

    page = open_page(live.url, accept_downloads=True)
    write(page, "rope")
    page.locator(".menu summary").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Trace (JSON)").click()
    waiting.value.save_as(tmp_path / "t.json")
    assert Trace.load(tmp_path / "t.json").hash == trace(model, "rope").hash
    assert json.loads((tmp_path / "t.json").read_text())["text"] == "rope"


def test_typing_puts_the_bars_of_a_change_away(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    drag(page, 3, 1, 60)
    page.get_by_role("button", name="change of surprisal").click()
    assert page.evaluate("() => window.ropewalk.state.strip") == "change"
    write(page, "other")
    assert page.evaluate("() => window.ropewalk.state.strip") == "none"


def test_a_dragged_last_letter_stays_on_the_canvas(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    x, y = place(page, 8, 1)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 500, y, steps=4)
    right = page.locator(".picture canvas").first.bounding_box()
    assert place(page, 8, 1)[0] <= right["x"] + right["width"]
    page.mouse.up()
    page.locator(".result[aria-busy=false] .loss", has_text="→").wait_for()


def test_a_long_text_leaves_the_picture_on_the_screen(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    write(page, "The rope walked on and on. " * 15)
    assert page.evaluate("() => document.querySelector('textarea').offsetHeight") <= 180
    assert page.evaluate("() => document.querySelector('.stage').getBoundingClientRect().top") < 700
    assert page.evaluate(
        "() => window.ropewalk.stage.pictures[0].atlas"
    )  # a heat map, as long as the text is long
    write(page, "The rope.")
    assert not page.evaluate("() => window.ropewalk.stage.pictures[0].atlas")


def test_attention_is_asked_for_when_it_is_wanted(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    assert page.evaluate("() => window.ropewalk.entries[0].attention") is None
    page.get_by_role("button", name="attention").click()
    page.wait_for_function("() => window.ropewalk.entries[0].attention")
    before = page.evaluate("() => window.ropewalk.svgOf().length")
    page.mouse.move(*place(page, 6, 1))
    assert "attends from here to" in page.locator(".detail").inner_text()
    assert page.evaluate("() => window.ropewalk.svgOf().length") > before


def test_sensitivities_come_in_and_make_way_for_typing(open_page: Any, live: Live) -> None:
    page = open_page(live.url)
    page.get_by_role("radio", name="Sensitivities").click()
    page.wait_for_function("() => window.ropewalk.entries[0].kind === 'sensitivity'")
    assert "Which gaps do a model's predictions depend on?" in page.locator("h1").inner_text()
    page.wait_for_function("() => JSON.parse(window.ropewalk.entries[0].file).context.draws === 24")
    write(page, "another rope")
    page.wait_for_function(
        "() => { const [one] = window.ropewalk.entries; return one.kind === 'sensitivity' && one.text === 'another rope'; }"
    )
    page.get_by_role("radio", name="Gaps").click()
    assert page.evaluate("() => window.ropewalk.entries[0].kind") == "increment"
