import io
import unicodedata

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import byte_trace, token_trace
from rich.cells import cell_len
from rich.console import Console

from ropewalk.core.rows import Row
from ropewalk.tokens.utf8_bytes import encode
from ropewalk.views.terminal import render


def printed(view, **options) -> str:
    out = io.StringIO()
    Console(file=out, width=100, legacy_windows=False, **options).print(view)
    return out.getvalue()


COLORS = {"force_terminal": True, "color_system": "truecolor"}
PLANTED = byte_trace("the rope is long", [[1] * 8 + [6] + [1] * 7, [1] * 16])


def test_the_widest_gap_is_the_widest_blank() -> None:
    rows = str(render(PLANTED, width=100)).splitlines()
    assert rows[0] == "text  the␣rope␣is␣long"
    assert rows[1] == "L0    the␣rope    ␣is␣long"
    assert rows[2] == "L1    the␣rope␣is␣long"


def test_the_legend_gives_each_rows_numbers() -> None:
    text = str(render(PLANTED, width=100))
    assert "mean     min      between   max      between" in text
    assert "L0    1.33     1        t h       6        e ␣" in text
    assert "gap in token-equivalents (1 is the fixed distance between neighboring tokens" in text
    assert "every row scaled to mean 1; one blank for each unit above 1; ␣ space" in text


def test_a_mean_lies_between_the_narrowest_and_the_widest_step_also_inside_characters() -> None:
    packed = byte_trace("猫が", [[1, 0.1, 0.1, 4, 0.1, 0.1]])
    assert "L0    0.88     0.1      inside 猫  4        猫 が" in str(render(packed, width=100))
    spread = byte_trace("猫が", [[1, 9, 1, 2, 1, 1]] * 9)  # folded: the widest alone
    assert "L8     ▁  2.8      9        inside 猫" in str(render(spread, width=100))


def test_tint_marks_the_wide_gap_only_where_color_is_wanted() -> None:
    tinted = "\x1b[30;48;2;224;112;27m    ␣\x1b[0m"
    assert tinted in printed(PLANTED, **COLORS)
    assert printed(PLANTED, **COLORS).count("48;2;") == 1 + 4  # the gap and the four swatches
    assert "48;2;" not in printed(render(PLANTED, color=False), **COLORS)
    assert printed(PLANTED) == str(render(PLANTED)) + "\n"


def test_integer_spacing_keeps_the_tint() -> None:
    rows = printed(render(PLANTED, scale="integer"), **COLORS).splitlines()
    assert "the␣rope\x1b[30;48;2;224;112;27m␣\x1b[0mis" in rows[1]


def test_sixty_characters_fit_into_a_hundred_columns() -> None:
    text = "The town lies on the northern bank of the river by the road."
    assert len(text) == 60
    rows = [[4.0 if character == " " else 1.0 for character in text]]
    lines = str(render(byte_trace(text, rows), width=100)).splitlines()
    assert sum(row.startswith("L0 ") for row in lines) == 2  # the row and its numbers
    assert max(map(cell_len, lines)) <= 100


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=60), st.integers(60, 120), st.randoms(use_true_random=False))
def test_no_line_is_too_long_and_nothing_is_lost(text: str, width: int, random) -> None:
    row = [random.choice([0.1, 1, 1, 1, 20]) for _ in encode(text)]
    trace = byte_trace(text, [row, row[::-1]])
    out = str(render(trace, width=width))
    assert all(cell_len(line) <= width for line in out.splitlines() if line.startswith(("L", "text")))
    assert {unicodedata.category(character) for character in out.replace("\n", "")} <= {
        *(
            "Lu",
            "Ll",
            "Lt",
            "Lm",
            "Lo",
            "Mn",
            "Mc",
            "Me",
            "Nd",
            "Nl",
            "No",
            "Pc",
            "Pd",
            "Ps",
            "Pe",
            "Pi",
            "Pf",
        ),
        *("Po", "Sm", "Sc", "Sk", "So", "Zs", "Cf", "Co"),
    }


def test_wide_characters_are_counted_as_two_columns() -> None:
    text = "他们在北京的大学里学习语言模型" * 4
    lines = str(render(byte_trace(text), width=60)).splitlines()
    rows = [row for row in lines if row.startswith("text")]
    assert len(rows) == 3 and max(map(cell_len, rows)) <= 60
    assert "".join(row[6:] for row in rows) == text


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    hostile = "[red]x[/red] \x1b[31mRED\x1b[0m\r\n\u202eabc :smile:"
    out = printed(byte_trace(hostile), **COLORS)
    assert "[red]x[/red]␣␛[31mRED␛[0m⏎" in out and "�abc␣:smile:" in out
    assert "\x1b[31m" not in out and "\u202e" not in out


def test_long_tokens_are_cut_and_heads_kept_on_demand() -> None:
    trace = token_trace("a" * 50 + "b", ["a" * 50, "b"], [[1, 1]])
    assert "a" * 19 + "…b" in str(render(trace))
    heads = byte_trace("ab", np.ones((4, 2)), rows=tuple(Row(n, h) for n in (0, 1) for h in (0, 1)))
    assert "L0.h1" in str(render(heads, heads=True)) and "L0.h1" not in str(render(heads))
    assert "L0" not in str(render(heads, layers=[1]))


def test_steps_backwards_are_blue() -> None:
    out = printed(byte_trace("abc", [[0, 2, 1]], kind="position", unit="steps", gap=None), **COLORS)
    assert "48;2;196;218;242mc" in out and "back" in out


def test_one_cell_has_no_numbers() -> None:
    assert "mean  " not in str(render(byte_trace("x")))


def test_every_kind_is_named_with_its_unit() -> None:
    faded = str(render(byte_trace("abcd", [[0, 1, 5, 0]], kind="forget", unit="nats", gap=None), width=300))
    assert "decay in nats (at 1, the weight of everything before the token falls to 37%)" in faded
    assert "• Layer 0 forgets most before" in faded
    felt = str(render(byte_trace("abcd", [[0, 1, 5, 0]], kind="sensitivity", unit="x"), width=300))
    assert "sensitivity in x" in felt and "depends most on the gap before" in felt


def test_sentences_about_wide_letters_fit_the_screen() -> None:
    pieces = ["我在", "北京", "大学", "学习", "语言学"]
    trace = token_trace("".join(pieces), pieces, [[1, 1, 9, 1, 1], [1, 1, 1, 1, 7]])
    for width in range(60, 90, 3):
        lines = str(render(trace, width=width)).splitlines()
        assert any("大学" in line and line.startswith("•") for line in lines)
        assert max(map(cell_len, lines)) <= width
