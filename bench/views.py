"""The acceptance figures of pages, in a real Chromium: sizes, heights, the brush, a key on the live page, the gallery.

python bench/views.py [--rounds N] [--busy] [--model FOLDER]

With --busy times are processor time: of the page's main thread, and of the thread that answers the live page. --model: a
Hugging Face folder for the figures of the live page on a model of one's own.
"""

from __future__ import annotations

import base64
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import numpy as np
import torch

import ropewalk
from ropewalk.core.rows import Row
from ropewalk.live.answers import Answers, Model
from ropewalk.measure.attention import NONE, read_attention
from ropewalk.tokens.host_text import encode_for
from ropewalk.tokens.utf8_bytes import byte_spans, encode
from ropewalk.traces.trace import Trace
from ropewalk.views import gallery, page
from ropewalk.views.page import details

SENTENCE = "The old bridge over New York was closed. Nobody knew why."
WORDS = "The old rope maker of New York walked on , and on . "
ROUNDS = harness.GIVEN.rounds or 15
TIMES = {"key": 0.1, "brush": 0.05, "gallery": 1.0}
harness.OPTIONS.add_argument("--model")
MODEL = harness.OPTIONS.parse_known_args()[0].model


def words_trace(count: int, layers: int) -> Trace:
    """A made-up probe of `count` words."""
    pieces = (WORDS * (count // 11 + 1)).split(" ")[:count]
    text = " ".join(pieces)
    ends = np.cumsum([len(piece) + 1 for piece in pieces]) - 1
    spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], 1)
    values = np.exp(np.random.default_rng(0).normal(0, 1, (layers, count)))
    return Trace(
        text=text, tokens=np.arange(count), spans=spans, rows=tuple(Row(n) for n in range(layers)), values=values,
        kind="sensitivity", unit="squared nats per token and squared token-equivalent", gap="before", error=values / 5,
    )  # fmt: skip


def made_attention(count: int, layers: int) -> dict[str, Any]:
    """Made-up attention of eight tokens each, in the page's format."""
    draw = np.random.default_rng(0)
    packed = lambda array: base64.b64encode(array.tobytes()).decode()  # noqa: E731
    places = draw.integers(0, count, (layers, count, 8)).astype("<u2")
    weights = [packed(draw.integers(0, 255, places.shape).astype(np.uint8)) for _ in range(2)]
    return {"count": 8, "tokens": packed(places), "weights": weights[0], "even": weights[1]}


@contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = os.environ.get("ROPEWALK_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, headless=True, args=flags)
        yield browser
        browser.close()


class Page:
    """A page of 1280 x 800 pixels whose main thread is timed."""

    def __init__(self, browser: Any, html: str, folder: Path) -> None:
        context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        self.page = context.new_page()
        path = folder / "page.html"
        path.write_text(html, encoding="utf-8")
        self.page.set_default_timeout(180_000)
        self.page.goto(path.as_uri())
        self.page.wait_for_function("() => window.ropewalk")
        self.session = context.new_cdp_session(self.page)
        domain = "threadTicks" if harness.SHARED else "timeTicks"
        self.session.send("Performance.enable", {"timeDomain": domain})

    def seconds(self, script: str, argument: Any = None) -> float:
        """Time of the main thread's tasks while `script` runs and the next two frames are painted."""
        script = f"async (given) => {{ {script}; await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); }}"
        before = self._tasks()
        self.page.evaluate(script, argument)
        return self._tasks() - before

    def _tasks(self) -> float:
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def thread_seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    clock = time.thread_time if harness.SHARED else time.perf_counter
    began = clock()
    found = run()
    return clock() - began, found


def typed(answers: Answers, text: str, rounds: int, opened: Page) -> list[float]:
    """Seconds from each of the last keys of `text` to its new rows: the answer, and the page's work with it."""
    taken = []
    for n in range(rounds):
        now = text[: len(text) - rounds + n + 1]
        spent, answer = thread_seconds(lambda now=now: answers.answer({"model": "m", "text": now}))
        taken.append(spent + opened.seconds("window.ropewalk.take(given)", answer["entry"]))
    return taken


def live_html(answers: Answers, text: str) -> str:
    """The live page's picture without a server: what is typed arrives by `ropewalk.take`."""
    return page.document(
        {"mode": "page", "entries": [answers.answer({"model": "m", "text": text})["entry"]]}, module=page.PAGE
    )


def error_of_attention(model: Any) -> float:
    """The largest difference between the page's 8-bit weights and torch's, for the bundled model."""
    tokens = encode_for(model, SENTENCE)
    found = read_attention(model, tokens)
    packed = details.attention(found)
    kept = np.frombuffer(base64.b64decode(packed["weights"]), np.uint8).reshape(found.weights.shape) / 255
    layers = len(model.layers)
    with torch.inference_mode():
        whole = model(
            torch.from_numpy(tokens.sequence)[None], activations=[f"attention.{n}" for n in range(layers)]
        )
    want = np.stack([whole.activations[f"attention.{n}"][0].mean(0)[1:].numpy() for n in range(layers)])
    rows, places, most = np.nonzero(found.tokens != NONE)
    return float(
        np.abs(kept[rows, places, most] - want[rows, places, found.tokens[rows, places, most] + 1]).max()
    )


def own_model(opened: Page) -> list[list[Any]]:
    """The live page on a Hugging Face model: its first answer, and a key at 60 tokens."""
    answers = Answers({"m": Model(ropewalk.load(MODEL))})
    text = (WORDS * 6)[: 60 * 5]
    first, _ = thread_seconds(lambda: answers.answer({"model": "m", "text": text}))
    keys = [
        thread_seconds(lambda n=n: answers.answer({"model": "m", "text": text[:-n]}))[0] for n in range(1, 6)
    ]
    return [
        ["own model: seconds to the first predictions", first, "<=", 3.0],
        [
            "own model: keypress to new predictions, about 60 tokens, seconds",
            statistics.median(keys),
            "<=",
            0.5,
        ],
    ]


def main() -> None:
    harness.refuse_if_busy()
    torch.set_num_threads(1 if harness.SHARED else 2)
    model = ropewalk.load("flagship")
    answers = Answers({"m": Model(model)})
    text = ("The old bridge over New York was closed. Nobody knew why it was.")[:60]
    large, deep = words_trace(60, 30), words_trace(1477, 30)
    sentence = page.html(ropewalk.trace(model, SENTENCE))
    with_attention = page.html(large, more=[{"attention": made_attention(60, 30)}])
    hundred = [_letters(n) for n in range(100)]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        height = "() => document.querySelector('.stage').getBoundingClientRect()"
        wide = Page(browser, with_attention, Path(folder))
        bottom = wide.page.evaluate(height)["bottom"]
        long = Page(browser, page.html(deep), Path(folder))
        screens = long.page.evaluate(height)["height"] / 800
        brush = [
            wide.seconds("window.ropewalk.openPart(...given)", [n % 20, n % 20 + 30]) for n in range(ROUNDS)
        ]
        live = Page(browser, live_html(answers, text[:-ROUNDS]), Path(folder))
        keys = typed(answers, text, ROUNDS, live)
        shown = Page(browser, gallery.html(hundred), Path(folder))
        listed = [shown.seconds("window.ropewalk.draw()") for _ in range(5)]
        own = own_model(live) if MODEL else []
    medians = {
        "key": statistics.median(keys),
        "brush": statistics.median(brush),
        "gallery": statistics.median(listed),
    }
    names = {
        "key": "keypress to redraw, 60 characters",
        "brush": "opening the rows of a part of the text",
        "gallery": "listing 100,000 gaps",
    }
    targets = [
        ["a page of one sentence, kB", len(sentence.encode()) / 1000, "<=", 120],
        [
            "a page of 60 tokens x 30 layers with attention, kB",
            len(with_attention.encode()) / 1000,
            "<=",
            400,
        ],
        ["a heat map of 60 tokens x 30 layers ends at, pixels of 800", bottom, "<=", 800],
        ["a heat map of 1,477 tokens x 30 layers, screens", screens, "<=", 3],
        ["attention in 8 bits, largest difference from torch", error_of_attention(model), "<=", 0.005],
        *([f"{names[name]}, seconds", medians[name], "<=", limit] for name, limit in TIMES.items()),
        *own,
    ]
    table = {names[name]: {"seconds": seconds} for name, seconds in medians.items()}
    for one in targets:
        print(*one)
    harness.report("views", {"tables": {"pages": table}, "targets": targets})


def _letters(seed: int) -> Trace:
    text = "The rope went on and on. " * 40
    data = encode(text)
    values = np.exp(np.random.default_rng(seed).normal(0, 0.3, (6, len(data))))
    return Trace(
        text=text, tokens=np.array(data), spans=byte_spans(text), rows=tuple(Row(n) for n in range(6)), values=values,
        kind="increment", unit="token-equivalents", gap="before",
    )  # fmt: skip


if __name__ == "__main__":
    main()
