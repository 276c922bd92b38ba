"""The static site in a real browser, served as plain files: first picture, numbers, no other request."""

import functools
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from samples import CHINESE, FAMILY
from test_live_browser import drag, text_of, values, write
from tiny import config, moved

from ropewalk.core.host import Host
from ropewalk.errors import UserError
from ropewalk.export import onnx_graph, runtime, site
from ropewalk.export.lessons import LESSONS
from ropewalk.live import gaps
from ropewalk.measure.capture import trace
from ropewalk.native.decoder import Decoder
from ropewalk.views import page
from ropewalk.views.labels import visible


@pytest.fixture(scope="module")
def model() -> Decoder:
    return moved(Decoder(config(per_head=True, decoder={"num_kv_heads": 2}), seed=3))


@pytest.fixture(scope="module")
def address(chromium: Any, model: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        runtime.package()
    except UserError as error:
        pytest.skip(f"the browser's runtime is not here and cannot be fetched: {error}")
    folder = tmp_path_factory.mktemp("public") / "site"
    site(folder, model)  # type: ignore[arg-type]

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return None

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def opened(open_page: Any, address: str) -> Any:
    return open_page(address)


def signals(opened: Any) -> list[list[float]]:
    return opened.evaluate(
        "() => { const e = window.ropewalk.entries[0]; return [[...e.surprisal], [...e.entropy], [...e.entropyAfter]]; }"
    )


@pytest.mark.parametrize("text", ["A rope is laid.", CHINESE + "é", FAMILY, "on and on, " * 20, "x"])
def test_the_numbers_equal_pytorchs(opened: Any, model: Decoder, text: str) -> None:
    write(opened, text)
    want = trace(model, text)
    atol = onnx_graph.TOLERANCE["increments"]
    np.testing.assert_allclose(values(opened), want.values, rtol=0, atol=atol)
    for got, name in zip(signals(opened), ("surprisal", "entropy", "entropy_after"), strict=True):
        np.testing.assert_allclose(got, getattr(want, name), rtol=0, atol=onnx_graph.TOLERANCE["logits"])
    cells = opened.evaluate(
        "() => window.ropewalk.entries[0].cells.map((c) => [c.start, c.end, c.text, c.label])"
    )
    assert cells == page.entry(want)["cells"]


@pytest.mark.parametrize("hold", [False, True])
def test_a_dragged_gap_gives_pytorchs_numbers(opened: Any, model: Decoder, hold: bool) -> None:
    write(opened, "rope walk")
    before = trace(model, "rope walk")
    drag(opened, 3, 1, 60)
    if hold:
        opened.get_by_label("hold every other gap").check()
        opened.locator(".result", has_text="is held as it was").wait_for()
        opened.wait_for_function(
            "(old) => Math.abs(window.ropewalk.entries[0].values[2][4] - old) < 1e-4",
            arg=float(before.values[2, 4]),
        )
    else:
        opened.wait_for_function(
            "(old) => Math.abs(window.ropewalk.entries[0].values[2][4] - old) > 1e-4",
            arg=float(before.values[2, 4]),
        )
    got = values(opened)
    wanted = tuple(gaps.Gap(row, 3, got[n][3]) for n, row in enumerate(model.rows) if row.layer == 0)
    want = trace(model, "rope walk", edit=gaps.edit(wanted, -1, before if hold else None))
    np.testing.assert_allclose(got, want.values, rtol=0, atol=1e-3)


def test_stored_examples_are_shown_with_their_lessons_and_need_no_model(open_page: Any, address: str) -> None:
    page = open_page(address)
    for lesson in LESSONS:
        page.get_by_role("button", name=lesson.title, exact=True).click()
        assert text_of(page) == lesson.text and page.locator("textarea").input_value() == lesson.text
        assert page.locator(".lesson").inner_text().startswith(lesson.opening)
    page.wait_for_function("() => !document.querySelector('.problem:not([hidden])')")
    ours = [one for one in page.requests if not one.startswith("data:")]
    assert all(one.startswith((address, f"blob:{address}")) for one in ours)


def test_opened_as_a_file_it_still_shows_the_stored_example(open_page: Any, model: Decoder) -> None:
    from ropewalk.export.site import index

    page = open_page(index(model, "tiny", 1))
    page.locator(".problem", has_text="Serve the folder").wait_for()
    assert text_of(page) == LESSONS[0].text and page.locator("canvas").count()


def test_labels_and_directions_agree_with_pythons(opened: Any) -> None:
    texts = [
        "a b\tc\r\nd\x07\x7f\u2028",
        "\u0301x",
        "\u202eevil\u2066",
        "كتاب وردة لا ء",
        "שלום",
        "नमस्ते",
        "\u3000\xa0\xad\ufeff",
        FAMILY,
    ]
    for text in texts:
        opened.locator("textarea").fill("")
        write(opened, text.replace("\r\n", "\n"))
        got = opened.evaluate(
            "() => [window.ropewalk.entries[0].leftward, window.ropewalk.entries[0].cells.map((c) => c.label)]"
        )
        from samples import sample

        want = page.entry(sample(text.replace("\r\n", "\n"), layers=1))
        assert got == [want["leftward"], [cell[3] for cell in want["cells"]]]
    assert visible("\n") == "⏎"
