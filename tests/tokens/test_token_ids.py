"""Token ids and chats as input: their text, their places, and what is wrong with them."""

from __future__ import annotations

import pytest

from ropewalk.errors import UserError
from ropewalk.tokens.check_spans import misplaced
from ropewalk.tokens.token_ids import changed_tokens, chat_tokens, read_numbers, read_token_ids
from ropewalk.tokens.tokenizer import ByteTokenizer, read_start

pytest.importorskip("transformers")

from test_spans import byte_level, sentencepiece, tokenizers


@pytest.mark.parametrize("name", ["bytes", "sentencepiece"])
def test_ids_of_a_text_give_it_back(name: str) -> None:
    own = tokenizers()[name]
    encoded = own.encode("hello é 北")
    text, tokens = read_token_ids(own, encoded.ids.tolist())
    assert text == "hello é 北" and tokens.spans.tolist() == encoded.spans.tolist()
    assert changed_tokens(own, text, tokens) == 0


def test_a_prefix_is_not_read_twice() -> None:
    text, tokens = read_token_ids(ByteTokenizer(), [256, 97, 98])
    assert (text, tokens.prefix, tokens.ids.tolist()) == ("ab", (256,), [97, 98])
    assert read_token_ids(ByteTokenizer(), [97, 98], "none")[1].prefix == ()


def test_ids_that_the_tokenizer_would_not_make_are_counted() -> None:
    own = sentencepiece()
    ids = own.tokenizer.convert_tokens_to_ids(["a", "<0x62>", "c"])  # "b" as a byte, although it has an entry
    text, tokens = read_token_ids(own, ids, "none")
    assert text == "abc" and changed_tokens(own, text, tokens) == 1


def test_mistakes() -> None:
    own = ByteTokenizer()
    with pytest.raises(UserError, match="go from 0 to 256, got 300"):
        read_token_ids(own, [97, 300])
    with pytest.raises(UserError, match="do not write a whole text"):
        read_token_ids(own, [0xE5, 0x8C])
    with pytest.raises(UserError, match="no token ids"):
        read_token_ids(own, [256])
    with pytest.raises(UserError, match="expected token ids"):
        read_numbers("5 six")
    with pytest.raises(UserError, match="start must be"):
        read_start("begin")
    assert read_numbers("[5, 6 7]") == [5, 6, 7] and read_start("12") == 12 and read_start("bos") == "bos"


def test_a_message_in_a_chat_template() -> None:
    own = sentencepiece()
    with pytest.raises(UserError, match="no chat template"):
        chat_tokens(own, "hello")
    with pytest.raises(UserError, match="reads bytes"):
        chat_tokens(ByteTokenizer(), "hello")
    own.tokenizer.chat_template = "{{ bos_token }}user {{ messages[0]['content'] }} a "
    text, tokens = chat_tokens(own, "hello", "bos")
    assert text == "user hello a " and tokens.prefix == (1,) and tokens.spans[-1, 1] == len(text)


def test_spans_are_checked_against_what_tokens_write() -> None:
    assert misplaced(ByteTokenizer()) == [] and misplaced(byte_level()) == []
    for own in tokenizers().values():
        assert misplaced(own) == []
