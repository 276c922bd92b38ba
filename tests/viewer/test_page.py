"""The page as a file: whole, small, safe, and asking nothing of any network."""

import base64
import hashlib
import html as escaping
import json
import re

import numpy as np
import pytest
from planted import byte_trace
from samples import ARABIC, CHINESE, ENGLISH, sample

from ropewalk.errors import UserError
from ropewalk.traces.trace import Trace
from ropewalk.views import page
from ropewalk.views.overlays import Overlay

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> \u2028 {{title}} {{script}} \x00\x1b[31m"


def payload(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])


def test_a_page_of_300_characters_and_6_layers_is_under_a_megabyte() -> None:
    assert len(page.html(sample("rope walk " * 30)).encode()) < 1_000_000


def test_nothing_in_the_page_points_elsewhere() -> None:
    html = page.html(sample())
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}[^\s'\"]*", html))
    assert {one for one in addresses if "w3.org" not in one} == set()  # names of svg, never fetched
    assert not re.search(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=[\"'](?!data:)", html)


def test_the_policy_names_the_hash_of_the_script_that_is_there() -> None:
    html = page.html(sample())
    script = re.findall(r"<script>(.*?)</script>", html, re.S)[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe-inline" not in policy


def test_text_cannot_leave_the_data() -> None:
    trace = sample(HOSTILE, name="</script><b>model")
    html = page.html(trace, title="</title><script>alert(2)</script>")
    assert html.count("</script>") == 2
    assert "<img" not in html and "<b>model" not in html and "<script>alert" not in html
    assert payload(html)["entries"][0]["name"] == "</script><b>model"
    assert Trace.loads(payload(html)["entries"][0]["file"].encode()).text == HOSTILE


def test_a_link_to_the_page_says_what_stands_out() -> None:
    html = page.html(byte_trace('a"<b> c', [[1, 1, 3, 1, 1, 1, 1]]))
    assert '<meta property="og:title" content="How far apart does a model think its tokens are?">' in html
    assert (
        'property="og:description" content="Layer 0 puts its widest gap before “&lt;” after “&quot;”: 3 × the gap of'
        in html
    )


def test_the_trace_in_the_page_is_the_trace() -> None:
    trace = sample(CHINESE, heads=2)
    assert Trace.loads(payload(page.html(trace))["entries"][0]["file"].encode()).hash == trace.hash


def test_an_endless_grapheme_gets_a_short_label() -> None:
    trace = sample("a" + "\u0301" * 10_000 + "b", layers=1)
    (start, end, text, label), after = page.entry(trace)["cells"]
    assert (start, end, len(text)) == (0, 20_001, 10_001)
    assert len(label) <= page.LONGEST_LABEL + 1
    assert after[3] == "b"


def test_text_that_runs_leftward_is_content() -> None:
    assert page.entry(sample(ARABIC))["leftward"] and not page.entry(sample(ENGLISH))["leftward"]


def test_an_overlay_lies_on_the_traces_of_its_own_text() -> None:
    mark = Overlay("words", CHINESE, (6, 9))
    first, second = payload(page.html([sample(CHINESE), sample(ENGLISH)], [mark]))["entries"]
    assert first["overlays"] == [{"name": "words", "offsets": [6, 9], "note": ""}]
    assert second["overlays"] == []


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(UserError, match="at least one trace"):
        page.html([])
    with pytest.raises(UserError, match="expected 2 names, one per trace, got 1"):
        page.html([sample(), sample()], names=["one"])


def test_a_film_needs_frames_of_one_text() -> None:
    with pytest.raises(UserError, match="frames of one text"):
        page.film([sample(ENGLISH), sample(CHINESE)], ["a", "b"])


def test_a_notebook_shows_the_page_in_a_frame_of_its_own() -> None:
    trace = sample(HOSTILE)
    shown = trace._repr_html_()
    frame, script = shown.split("</iframe>")
    assert frame.startswith("<iframe ") and "allow-same-origin" not in shown
    assert script.startswith("<script>") and script.count("</script>") == 1
    inner = escaping.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1])
    assert payload(inner)["mode"] == "note"
    assert frame.count("<") == 1


@pytest.mark.parametrize("kind", ["increment", "position", "sensitivity", "forget"])
def test_every_kind_has_its_own_words(kind: str) -> None:
    gap = None if kind in ("position", "forget") else "before"
    words = payload(page.html(sample(kind=kind, gap=gap, unit="nats")))["entries"][0]["words"]
    others = {one for other in ("increment", "position", "sensitivity", "forget") if other != kind
              for one in [page.entry(sample(kind=other, gap=None if other in ("position", "forget") else "before"))["words"]["lead"]]}  # fmt: skip
    assert words["lead"] not in others and words["noun"] and words["plural"]


def test_a_trace_without_signals_has_none_in_the_page() -> None:
    trace = sample(surprisal=np.empty(0), entropy=np.empty(0), entropy_after=np.empty(0))
    assert isinstance(trace, Trace)
    assert json.loads(payload(page.html(trace))["entries"][0]["file"])["surprisal"] == [None] * len(
        trace.tokens
    )
