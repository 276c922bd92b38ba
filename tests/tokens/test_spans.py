"""Spans of tokens: every byte in exactly one token, whatever the tokenizer does to the text."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.errors import UserError
from ropewalk.tokens.huggingface import HuggingFaceTokenizer
from ropewalk.tokens.spans import spans_from_offsets, spans_from_pieces

pytest.importorskip("transformers")

TEXTS = [
    "Hello New York",
    "é ß «x» — ok",
    unicodedata.normalize("NFD", "Café naïve Việt"),
    unicodedata.normalize("NFD", "각 한국"),
    "北京大学 👨‍👩‍👧 مرحبا",
    "a  b\t\n c",
    "x▁y",
    " leading",
]


def byte_level(normalizer: Any = None) -> HuggingFaceTokenizer:
    """A GPT-2-like tokenizer of single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from ropewalk.tokens.byte_level import BYTES

    made = Tokenizer(models.BPE(dict(BYTES), [("h", "e")] if "he" in BYTES else []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    if normalizer is not None:
        made.normalizer = normalizer
    return HuggingFaceTokenizer(PreTrainedTokenizerFast(tokenizer_object=made, bos_token=None))


def sentencepiece(dummy_prefix: bool = False) -> HuggingFaceTokenizer:
    """A tokenizer with U+2581 for spaces and bytes for what it does not know, like Llama 2 and Gemma."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzHNY", "é", "«"]
    names = ["<unk>", "<s>", *(f"<0x{i:02X}>" for i in range(256)), *letters]
    vocabulary = {name: i for i, name in enumerate(names)}
    made = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if dummy_prefix else replace
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return HuggingFaceTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>")
    )


def tokenizers() -> dict[str, HuggingFaceTokenizer]:
    from tokenizers import normalizers

    return {
        "bytes": byte_level(),
        "bytes, composed": byte_level(normalizers.NFC()),
        "sentencepiece": sentencepiece(),
        "sentencepiece, prefix": sentencepiece(dummy_prefix=True),
    }


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", ["bytes", "bytes, composed", "sentencepiece", "sentencepiece, prefix"])
def test_every_byte_lies_in_exactly_one_token(name: str, text: str) -> None:
    encoded = tokenizers()[name].encode(text)
    assert encoded.spans[0, 0] == 0 and encoded.spans[-1, 1] == len(text.encode())
    assert np.array_equal(encoded.spans[1:, 0], encoded.spans[:-1, 1])


def test_byte_fallback_tokens_have_the_bytes_they_write() -> None:
    encoded = sentencepiece().encode("é北")
    assert encoded.spans.tolist() == [[0, 2], [2, 3], [3, 4], [4, 5]]
    assert sentencepiece().pieces(encoded.ids.tolist()) == ["é", "�", "�", "�"]


def test_a_space_that_the_tokenizer_adds_has_no_bytes() -> None:
    own = sentencepiece(dummy_prefix=True)
    assert own.encode("é北").spans.tolist() == [[0, 0], [0, 2], [2, 3], [3, 4], [4, 5]]
    assert own.encode(" é").spans.tolist() == [[0, 0], [0, 1], [1, 3]]


def test_entries_that_look_like_byte_letters_write_themselves() -> None:
    own = sentencepiece()
    ids = own.tokenizer.convert_tokens_to_ids(["é", "«", "▁"])
    assert own.pieces(ids) == ["é", "«", " "]


def test_composed_letters_keep_the_bytes_of_the_text() -> None:
    from tokenizers import normalizers

    text = unicodedata.normalize("NFD", "é!")
    encoded = byte_level(normalizers.NFC()).encode(text)
    assert len(encoded.ids) == 3 and encoded.spans[-1].tolist() == [3, 4]


@given(st.text(min_size=1, max_size=20).filter(lambda s: not any(0xD800 <= ord(c) < 0xE000 for c in s)))
def test_any_text_is_covered_by_bytes(text: str) -> None:
    encoded = byte_level().encode(text)
    assert [text.encode()[a:b] for a, b in encoded.spans] == [bytes([b]) for b in text.encode()]


def test_pieces_of_another_text_are_noticed() -> None:
    assert spans_from_pieces("abc", [b"ab", b"d"]) is None
    assert spans_from_pieces("a b", [b"a", "▁b".encode()]).tolist() == [[0, 1], [1, 3]]  # type: ignore[union-attr]


def test_offsets_fill_gaps_and_refuse_to_run_backwards() -> None:
    spans = spans_from_offsets("ab  cd", np.array([[0, 2], [4, 6]]), "X")
    assert spans.tolist() == [[0, 2], [2, 6]]
    with pytest.raises(UserError, match="overlapping tokens at character 1"):
        spans_from_offsets("abcdef", np.array([[0, 3], [1, 5]]), "X")


@pytest.mark.parametrize(("start", "expected"), [("auto", ()), ("bos", (1,)), ("none", ()), (7, (7,))])
def test_the_start_is_what_was_asked_for(start: Any, expected: tuple[int, ...]) -> None:
    assert sentencepiece().prefix(start) == expected


def test_auto_is_what_the_tokenizer_itself_adds() -> None:
    from tokenizers import processors

    own = sentencepiece()
    own.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    assert HuggingFaceTokenizer(own.tokenizer).prefix("auto") == (1,)


def test_a_start_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="no begin-of-text token"):
        byte_level().prefix("bos")
    with pytest.raises(UserError, match="start must be auto, bos, none or a token"):
        byte_level().prefix(10**9)
