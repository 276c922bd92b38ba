"""Every sort of page passes axe's rules for WCAG 2.2, levels A and AA, in both themes."""

from collections.abc import Iterator
from typing import Any

import pytest
from samples import sample
from tiny import config, moved

from ropewalk.live import Live
from ropewalk.live.answers import Model
from ropewalk.native.decoder import Decoder
from ropewalk.views import overlays, page

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def violations(opened: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(opened, options=RULES).response
    assert found["passes"]
    return [f"{one['id']}: {node['html'][:120]}" for one in found["violations"] for node in one["nodes"]]


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    served = Live({"tiny": Model(moved(Decoder(config(), seed=3)))}, "rope walk")
    served.start()
    yield served
    served.stop()


def pages() -> dict[str, str]:
    trace = sample()
    return {
        "rows": page.html(trace, [overlays.entropy(trace)]),
        "heat map": page.html(sample(layers=12)),
        "side by side": page.html([trace, sample(seed=1)]),
        "film": page.film([trace, sample(seed=1)], ["first", "last"]),
    }


@pytest.mark.parametrize("name", ["rows", "heat map", "side by side", "film"])
def test_a_page_can_be_used_by_everyone(open_page: Any, name: str) -> None:
    opened = open_page(pages()[name], color_scheme="dark" if name == "heat map" else "light")
    opened.locator(".options summary").click()
    opened.locator(".picture").first.focus()
    opened.keyboard.press("ArrowRight")
    assert violations(opened) == []


def test_the_live_page_can_be_used_by_everyone(open_page: Any, live: Live) -> None:
    opened = open_page(live.url, color_scheme="dark")
    assert violations(opened) == []


def test_a_page_without_names_is_found_out(open_page: Any) -> None:
    opened = open_page(page.html(sample()))
    opened.evaluate("() => document.querySelector('.layers, .menu summary').replaceChildren()")
    opened.evaluate("() => document.getElementById('app').append(document.createElement('button'))")
    assert any("button-name" in one for one in violations(opened))
