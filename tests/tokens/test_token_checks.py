"""Token numbers and starts are checked at their edges."""

from __future__ import annotations

import numpy as np
import pytest

from ropewalk.errors import UserError
from ropewalk.tokens.tokenizer import ByteTokenizer, read_start, resolve_prefix
from ropewalk.tokens.utf8_bytes import END, VOCAB_SIZE, byte_spans, decode, encode, utf8


def test_the_numbers_of_the_vocabulary() -> None:
    assert (END, VOCAB_SIZE) == (256, 257)
    assert decode([0, 255, 256]) == "\0\ufffd"
    for wrong in (-1, 257):
        with pytest.raises(UserError, match=rf"got {wrong} at index 0"):
            decode([wrong])


def test_a_lone_surrogate_is_named() -> None:
    with pytest.raises(UserError, match=r"lone surrogate U\+D800 at character 2"):
        utf8("ab\ud800")


def test_spans_are_one_byte_each() -> None:
    assert byte_spans("é").tolist() == [[0, 1], [1, 2]] and byte_spans("é").dtype == np.int64
    assert encode("é") == [0xC3, 0xA9]


@pytest.mark.parametrize(
    ("start", "prefix"), [("auto", (256,)), ("bos", (256,)), ("none", ()), (0, (0,)), (256, (256,))]
)
def test_starts_of_byte_models(start: object, prefix: tuple[int, ...]) -> None:
    encoded = ByteTokenizer().encode("a", start)  # type: ignore[arg-type]
    assert encoded.prefix == prefix and encoded.ids.tolist() == [97]


@pytest.mark.parametrize("start", [-1, 257, True, False, 1.0, "end", None])
def test_other_starts_are_refused(start: object) -> None:
    with pytest.raises(UserError, match="start must be auto, bos, none or a token from 0 to 256"):
        ByteTokenizer().prefix(start)  # type: ignore[arg-type]


def test_a_tokenizer_without_a_first_token_says_so() -> None:
    with pytest.raises(UserError, match="no begin-of-text token"):
        resolve_prefix("bos", (), None, 10)
    assert resolve_prefix("bos", (), 7, 10) == (7,) and resolve_prefix("auto", (3,), None, 10) == (3,)


@pytest.mark.parametrize("text", ["", 3, None, b"a"])
def test_what_is_no_text_is_refused(text: object) -> None:
    with pytest.raises(UserError, match=r"empty|expected a text, got"):
        ByteTokenizer().encode(text)  # type: ignore[arg-type]


def test_pieces_and_texts_of_tokens() -> None:
    own = ByteTokenizer()
    assert own.pieces([97, 256, 0xC3]) == ["a", "", "\ufffd"] and own.decode([97, 256, 98]) == "ab"
    assert own.parts([97, 256, 0xC3]) == [b"a", b"", b"\xc3"]
    assert own.end == 256 and own.vocab_size == 257 and not own.repeats_prefix


@pytest.mark.parametrize(
    ("written", "start"), [("auto", "auto"), ("bos", "bos"), ("none", "none"), ("12", 12)]
)
def test_a_start_as_it_is_written(written: str, start: object) -> None:
    assert read_start(written) == start


@pytest.mark.parametrize("written", ["-1", "first", "1.5", ""])
def test_what_is_no_start_is_refused(written: str) -> None:
    with pytest.raises(UserError, match="auto, bos, none or a token id"):
        read_start(written)
