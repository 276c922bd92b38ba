import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import byte_trace, token_trace

from ropewalk.core.rows import Row
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import encode
from ropewalk.traces.trace import Trace
from ropewalk.views import fonts
from ropewalk.views.figure import draw, save
from ropewalk.views.scene import scene
from ropewalk.views.shades import STOPS

EVERY_SCRIPT = "Rope 绳子 ロープ 밧줄 שלום مرحبا नमस्ते ก é👨‍👩‍👧 $x^2$ \x1b[31m\n\u202e"


def letters(figure, row: int) -> list:
    """The Text objects of a row's cells in the first panel, left to right; row 0 has integer spacing."""
    texts = figure.axes[0].texts[2:]  # without title and subtitle
    rows = {round(text.get_position()[1] + 0.36 * text.get_size(), 3) for text in texts}
    height = sorted(rows, reverse=True)[row]
    found = [t for t in texts if round(t.get_position()[1] + 0.36 * t.get_size(), 3) == height]
    return sorted((t for t in found if t.get_ha() == "center"), key=lambda t: t.get_position()[0])


@pytest.fixture
def bare(monkeypatch):
    """A machine without fonts of its own: only what matplotlib brings."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [e for e in manager.ttflist if "mpl-data" in e.fname])
    manager._findfont_cached.cache_clear()
    yield monkeypatch
    manager._findfont_cached.cache_clear()


def test_letters_stand_where_the_scene_puts_them() -> None:
    trace = byte_trace("rope walk", [[1, 0.8, 1.1, 0.9, 4, 2, 1, 1, 1]])
    figure = draw(trace)
    row = letters(figure, 1)
    assert "".join(text.get_text() for text in row) == "rope␣walk"
    x = np.array([text.get_position()[0] for text in row])
    expected = scene(trace).x[0]
    assert np.allclose((x - x[0]) / (x[-1] - x[0]), expected / expected[-1])
    integer = np.array([text.get_position()[0] for text in letters(figure, 0)])
    assert np.allclose(np.diff(integer), integer[1] - integer[0])


def test_the_widest_gap_has_the_darkest_tint_and_narrow_gaps_none() -> None:
    trace = byte_trace("rope walk", [[1, 1, 1, 1, 6, 2, 1, 1, 1]])
    figure = draw(trace)
    threads, bands = figure.axes[0].collections
    assert len(threads.get_segments()) == 9
    places = [path.get_extents() for path in bands.get_paths()]
    assert len(places) == 2
    row = letters(figure, 1)
    assert np.allclose([places[0].x0, places[0].x1], [row[n].get_position()[0] for n in (3, 4)])
    from matplotlib.colors import to_hex

    assert to_hex(bands.get_facecolors()[0]) == STOPS[-1] != to_hex(bands.get_facecolors()[1])


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_files_are_written_whole_and_alike_each_time(tmp_path, suffix: str) -> None:
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    trace = byte_trace("Rope 绳")
    for name in ("a", "b"):
        save(trace, tmp_path / f"{name}{suffix}")
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert data.startswith(starts[suffix.lower()])
    assert data == (tmp_path / f"b{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_an_svg_holds_paths_and_no_writing(tmp_path) -> None:
    save(byte_trace("Rope 绳 <b>&"), tmp_path / "a.svg")
    data = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "<path" in data and "<text" not in data and "font-family" not in data


def test_another_suffix_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match=r"ending in \.png, \.svg, \.pdf, got a\.jpg; rename it"):
        save(byte_trace("ab"), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())


def test_every_script_is_drawn_without_a_font_on_the_machine(bare, tmp_path) -> None:
    figure = draw(byte_trace(EVERY_SCRIPT))
    written = [text.get_text() for text in figure.axes[0].texts]
    assert "绳" in written and "밧" in written and "␣" in written and "⏎" in written
    assert "1F4\n68" in written and "00\n1B" in written  # no glyph here: the number in a box
    assert "Boxed numbers" in " ".join(written)
    save(byte_trace(EVERY_SCRIPT), tmp_path / "a.png")  # a missing glyph would warn, and warnings fail


def test_an_installed_chinese_font_comes_first(bare) -> None:
    from dataclasses import replace

    from matplotlib import font_manager

    assert fonts.for_text("绳").families == ("DejaVu Sans", "Noto Sans CJK JP")
    entries = font_manager.fontManager.ttflist
    noto = next(entry for entry in entries if entry.name == "Noto Sans CJK JP")
    bare.setattr(font_manager.fontManager, "ttflist", [*entries, replace(noto, name="Noto Sans CJK SC")])
    assert fonts.for_text("绳").families == ("DejaVu Sans", "Noto Sans CJK SC")


def test_without_any_chinese_font_the_extra_is_named(bare) -> None:
    bare.setattr(fonts, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"Chinese, Japanese or Korean .* pip install 'ropewalk\[pictures\]'"):
        draw(byte_trace("Rope 绳"))
    assert fonts.for_text("Rope مرحبا").missing == frozenset()


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for attempt in (lambda: draw(byte_trace("ab")), lambda: save(byte_trace("ab"), tmp_path / "a.png")):
        with pytest.raises(UserError, match=r"needs matplotlib.*pip install 'ropewalk\[pictures\]'"):
            attempt()


def test_drawing_needs_neither_pyplot_nor_the_font_package_itself(tmp_path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/support')\n"
        "from planted import byte_trace\nfrom ropewalk.views.figure import save\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"save(byte_trace('绳'), {str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib' in sys.modules\n"
        "print(sorted({'matplotlib.pyplot', 'notojp_matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_long_texts_are_wrapped_into_panels_and_the_caption_says_so() -> None:
    text = "a walk along the rope " * 8
    figure = draw(byte_trace(text))
    shown = [t.get_text() for t in figure.axes[0].texts]
    assert shown.count("even") == 3
    assert "Wrapped into 3 panels" in " ".join(shown)
    centered = [t.get_text() for t in figure.axes[0].texts if t.get_ha() == "center"]
    assert len(centered) == 2 * len(text)


def test_arabic_runs_from_right_to_left_with_joined_letters() -> None:
    figure = draw(byte_trace("مرحبا"))
    row = letters(figure, 1)
    assert row[-1].get_text() == "م\u200d"
    assert row[0].get_text() == "\u200dا"
    assert "right to left" in " ".join(text.get_text() for text in figure.axes[0].texts)


def test_heads_layers_scales_and_titles_can_be_chosen() -> None:
    rows = tuple(Row(layer, head) for layer in range(2) for head in range(2))
    trace = byte_trace("abc", [[1, 2, 1], [1, 4, 1], [1, 1, 1], [1, 1, 3]], rows=rows)

    def writing(**options) -> list[str]:
        return [text.get_text() for text in draw(trace, **options).axes[0].texts]

    assert {"L0", "L1"} < set(writing()) and "mean of its 2 heads" in " ".join(writing())
    assert {"L1.h0", "L1.h1"} < set(writing(heads=True, layers=[1]))
    assert "L0.h0" not in writing(heads=True, layers=[1])
    titled = writing(title="Two $words$\n here")
    assert titled[0] == "Two $words$ here" and "By the model “planted”." in " ".join(titled)
    assert "all rows on one scale" in writing(scale="same")
    assert "gap in token-equivalents" in writing(scale="same")
    assert "every row scaled to mean 1 per character" in writing(placement="last")


def test_one_scale_compares_with_integer_spacing() -> None:
    figure = draw(byte_trace("abcd", [[3, 3, 3, 3], [1, 1, 1, 1]]), scale="same")
    integer, wide, plain = (
        np.ptp([text.get_position()[0] for text in letters(figure, row)]) for row in range(3)
    )
    assert wide == pytest.approx(3 * integer) and plain == pytest.approx(integer)


@pytest.mark.parametrize("text", ["x", "绳", "\n"])
def test_a_single_character_can_be_drawn(text: str, tmp_path) -> None:
    save(token_trace(text, [text], [[2.0]]), tmp_path / "a.png")
    assert "–" in [one.get_text() for one in draw(token_trace(text, [text], [[2.0]])).axes[0].texts]


def test_positions_that_step_back_and_sensitivities_are_drawn(tmp_path) -> None:
    back = draw(byte_trace("abcd", [[0, 3, 1, 4]], kind="position", unit="positions", gap=None))
    assert "Blue: steps backwards." in " ".join(text.get_text() for text in back.axes[0].texts)
    felt = draw(byte_trace("abcd", [[0, 1e-6, -2e-6, 0]], kind="sensitivity", unit="nats"))
    assert felt.axes[0].texts[0].get_text() == "Which gaps the predictions of the model “planted” depend on"
    caption = " ".join(text.get_text() for text in felt.axes[0].texts)
    assert "depends most on the gap before" in caption
    faded = draw(byte_trace("abcd", [[0, 1, 2, 0]], kind="forget", unit="nats", gap=None))
    assert faded.axes[0].texts[0].get_text() == "Where the model “planted” forgets what came before"


@settings(max_examples=12, deadline=None)
@given(st.text(min_size=1, max_size=12), st.floats(0, 20, width=32))
def test_any_text_is_drawn_without_a_warning(text: str, wide: float) -> None:
    row = [wide if place % 3 else 1.0 for place in range(len(encode(text)))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw(byte_trace(text, [row]))
        figure.canvas.draw()


def test_a_trace_of_another_model_needs_no_bytes() -> None:
    # a start token, two pieces with a space that the tokenizer dropped between them, an end token
    spans = [[0, 0], [0, 3], [4, 8], [8, 8]]
    trace = Trace(
        "New York", [1, 7, 9, 2], spans, (Row(),), [[1, 1, 3, 1]], "increment", "token-equivalents", "after"
    )
    figure = draw(trace)
    assert [text.get_text() for text in letters(figure, 1)] == ["◆", "New", "York", "◆"]
    assert "How far apart a model sets its tokens" in [text.get_text() for text in figure.axes[0].texts]


def test_a_probe_of_few_rows_is_drawn_with_its_outlier_cut_short() -> None:
    values = np.ones((3, 12))
    values[1, 6] = 500.0
    words = [" rope"] * 12
    trace = token_trace(
        "".join(words), words, values, kind="sensitivity", unit="nats", error=np.full_like(values, 0.1)
    )
    figure = draw(trace)
    wide = [np.ptp([text.get_position()[0] for text in letters(figure, row)]) for row in (1, 2)]
    assert wide[1] < 2 * wide[0]
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("//") == 1 and "a sensitivity above 8 times the mean, cut short" in " ".join(texts)


def test_letters_on_top_of_each_other_are_left_out_and_counted() -> None:
    trace = byte_trace("rope", [[1, 0.02, 0.02, 3]])
    figure = draw(trace)
    assert "".join(text.get_text() for text in letters(figure, 1)) == "re"
    assert "2 letters or words are too close" in " ".join(
        text.get_text() for text in figure.axes[0].texts
    ).replace("\n", " ")
