import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.tokens.graphemes import grapheme_spans
from ropewalk.views.cursive import JOINER, join_cursive, right_to_left
from ropewalk.views.labels import one_line, visible

SHOWN = {
    "": "◆", " ": "␣", "\u00a0": "␣", "\n": "⏎", "\r\n": "⏎", "\t": "⇥", "\x1b": "␛", "\0": "␀", "\x7f": "␡",
    "\x9b": "�", "\u202e": "�", "\u200d": "�", "\ufe0f": "�", "\u00ad": "�", "\u2028": "⏎", "\uffff": "�",
    "\u0301": "◌\u0301", "e\u0301": "e\u0301", "👨‍👩‍👧": "👨‍👩‍👧", "☂\ufe0f": "☂\ufe0f", "[red]": "[red]", " York": "␣York",
}  # fmt: skip


@pytest.mark.parametrize("text", SHOWN)
def test_every_cell_is_visible(text: str) -> None:
    assert visible(text) == SHOWN[text]


@given(st.text())
def test_nothing_in_a_label_is_obeyed(text: str) -> None:
    label = visible(text)
    assert label
    kinds = {unicodedata.category(character) for character in label}
    assert not kinds & {"Cc", "Cs", "Cn", "Zs", "Zl", "Zp"}
    assert not set(label) & set(
        "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u061c\ufeff"
    )


@given(st.text())
def test_a_label_of_letters_is_the_text_itself(text: str) -> None:
    for start, end in grapheme_spans(text):
        piece = text.encode()[start:end].decode()
        if piece.isalnum() and piece.isascii():
            assert visible(piece) == piece


def test_running_text_keeps_plain_spaces() -> None:
    assert one_line("  a model\n\x1b[31m ") == "a model ␛[31m"


def test_letters_keep_the_shape_they_have_in_the_word() -> None:
    labels = [*list("مرحبا"), "␣", "ب"]
    assert join_cursive(labels) == [
        "م" + JOINER, JOINER + "ر", "ح" + JOINER, JOINER + "ب" + JOINER, JOINER + "ا", "␣", "ب",
    ]  # fmt: skip
    assert join_cursive(list("rope")) == list("rope")


def test_the_direction_is_that_of_most_letters() -> None:
    assert right_to_left("שלום 123 ok")
    assert not right_to_left("the word שלום")
    assert not right_to_left("123")
