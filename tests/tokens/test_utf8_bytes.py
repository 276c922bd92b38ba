import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.errors import UserError
from ropewalk.system.text_files import read_text
from ropewalk.tokens.graphemes import grapheme_spans
from ropewalk.tokens.utf8_bytes import END, VOCAB_SIZE, byte_spans, decode, encode


@given(st.text())
def test_decode_undoes_encode(text: str) -> None:
    assert decode(encode(text)) == text
    assert all(0 <= symbol < END < VOCAB_SIZE for symbol in encode(text))


@given(st.lists(st.integers(0, END)))
def test_decode_takes_every_sequence_of_symbols(symbols: list[int]) -> None:
    assert decode(symbols).encode() is not None


def test_decode_drops_the_end_and_shows_broken_bytes() -> None:
    assert decode([END, *b"ab", END, 0xE4, 0xBD, END, *b"c"]) == "ab\ufffdc"


@pytest.mark.parametrize("symbol", [-1, VOCAB_SIZE, 50_000])
def test_decode_names_a_number_that_is_no_symbol(symbol: int) -> None:
    with pytest.raises(UserError, match=rf"tokens 0\.\.256 .*, got {symbol} at index 1"):
        decode([65, symbol])


@given(st.text())
def test_spans_cover_the_bytes_without_gaps(text: str) -> None:
    data = text.encode()
    spans = byte_spans(text)
    assert spans.shape == (len(data), 2)
    assert [data[start:end] for start, end in spans] == [bytes([byte]) for byte in data]
    pieces = grapheme_spans(text)
    assert "".join(data[start:end].decode() for start, end in pieces) == text
    assert all(before[1] == after[0] for before, after in itertools.pairwise(pieces))


@pytest.mark.parametrize("one", ["e\u0301", "👨‍👩‍👧", "🇩🇪", "\r\n", "각", "नि"])
def test_what_a_reader_calls_a_character_is_one_grapheme(one: str) -> None:
    assert grapheme_spans(one + "x") == [(0, len(one.encode())), (len(one.encode()), len(one.encode()) + 1)]


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    for reader in (encode, grapheme_spans, byte_spans):
        with pytest.raises(UserError, match=r"lone surrogate U\+D800 at character 2"):
            reader("ab\ud800")


def test_read_text_takes_files_and_bytes_and_drops_the_mark(tmp_path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf\xe4\xbd\xa0\r\n")
    assert read_text(path) == read_text(str(path)) == read_text(path.read_bytes()) == "你\r\n"


def test_read_text_tells_what_is_wrong(tmp_path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.txt: No such file"):
        read_text(tmp_path / "none.txt")
    with pytest.raises(UserError, match="Is a directory"):
        read_text(tmp_path)
    with pytest.raises(UserError, match="got UTF-16; convert it first"):
        read_text("ab".encode("utf-16"))
    with pytest.raises(UserError, match=r"in standard input, got byte 0xE9 at offset 3;"):
        read_text(b"caf\xe9")
    with pytest.raises(UserError, match=r"got byte 0xFF at offset 5;"):
        read_text(b"\xef\xbb\xbfab\xff")
    with pytest.raises(UserError, match=r"cannot read a"):
        read_text("a\0b")
