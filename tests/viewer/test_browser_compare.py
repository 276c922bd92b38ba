"""Traces side by side and as a difference, and the film, in a real browser."""

from typing import Any

import numpy as np
from browsing import place
from samples import CHINESE, sample

from ropewalk.traces.trace import Trace
from ropewalk.views import page
from ropewalk.views.scene import scene


def pair() -> list[Trace]:
    return [sample(name="before"), sample(seed=4, name="after")]


def test_two_traces_stand_side_by_side_and_answer_together(open_page: Any) -> None:
    opened = open_page(page.html(pair()))
    assert opened.locator(".picture").count() == 2
    opened.mouse.move(*place(opened, 4, 1))
    content = opened.locator(".detail").inner_text()
    assert "before" in content and "after" in content


def test_a_difference_is_that_of_the_scenes(open_page: Any) -> None:
    first, second = pair()
    opened = open_page(page.html([first, second]))
    opened.get_by_role("radio", name="Difference").click()
    found = opened.evaluate(
        "() => window.ropewalk.stage.pictures[0].differences.slice(1).map((row) => [...row].slice(1))"
    )
    np.testing.assert_allclose(found, (scene(first).gaps - scene(second).gaps)[:, 1:], atol=1e-9)
    opened.mouse.move(*place(opened, 4, 1))
    assert "A − B" in opened.locator(".detail").inner_text()


def test_identical_traces_do_not_differ(open_page: Any) -> None:
    opened = open_page(page.html([sample(), sample()]))
    opened.get_by_role("radio", name="Difference").click()
    assert opened.evaluate(
        "() => window.ropewalk.stage.pictures[0].differences.slice(1).flatMap((r) => [...r].slice(1)).every((v) => v === 0)"
    )


def test_increments_and_a_probe_compare_as_patterns(open_page: Any) -> None:
    probe = sample(
        kind="sensitivity", unit="nats per token-equivalent", values=-3 * sample().values, name="probe"
    )
    opened = open_page(page.html([sample(), probe]))
    opened.get_by_role("radio", name="Difference").click()
    far = opened.evaluate(
        "() => Math.max(...window.ropewalk.stage.pictures[0].differences.slice(1).flatMap((r) => [...r].slice(1)).map(Math.abs))"
    )
    assert far < 1e-5


def test_what_has_no_difference_says_why_and_stands_side_by_side(open_page: Any) -> None:
    for other, reason in (
        (sample(CHINESE), "different texts"),
        (sample(layers=3), "rows do not correspond"),
    ):
        opened = open_page(page.html([sample(), other]))
        opened.get_by_role("radio", name="Difference").click()
        assert reason in opened.locator(".message").inner_text()
        assert opened.locator(".picture").count() == 2


def test_another_pair_can_be_chosen(open_page: Any) -> None:
    opened = open_page(page.html([*pair(), sample(CHINESE, name="third")]))
    opened.get_by_label("trace B").select_option("2")
    assert opened.evaluate("() => window.ropewalk.stage.pictures[1].entry.name") == "third"


def test_pins_of_one_text_do_not_measure_another(open_page: Any) -> None:
    opened = open_page(page.html([sample(), sample(CHINESE)]))
    opened.mouse.click(*place(opened, 2, 1))
    opened.mouse.click(*place(opened, 3, 1, picture=1))
    assert opened.evaluate("() => window.ropewalk.state.pins") == [3]


def test_the_film_plays_to_its_end_and_can_be_wound(open_page: Any) -> None:
    frames = [sample(values=1 + (sample().values - 1) * part) for part in (0.0, 0.5, 1.0)]
    opened = open_page(page.film(frames, ["step 0", "step 1", "step 2"]))
    at = "() => [...window.ropewalk.stage.pictures[0].entry.values[0]]"
    assert opened.evaluate(at) == [1.0] * len(frames[0].tokens)
    opened.get_by_role("button", name="Play").click()
    opened.wait_for_function("() => document.querySelector('.player output').textContent === 'step 2'")
    opened.get_by_role("button", name="Play").wait_for()
    np.testing.assert_allclose(opened.evaluate(at), frames[2].values[0], rtol=1e-6)
