"""The fast tokenizers of transformers, with spans that are checked against the text.

Byte-level vocabularies (GPT-2, Llama 3, Qwen), SentencePiece with byte fallback (Llama 2, Gemma, Mistral) and others
are distinguished by the tokenizer's own decoder, not by what their entries look like.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ropewalk.errors import UserError
from ropewalk.tokens.byte_level import BYTES
from ropewalk.tokens.spans import SPACE, spans_from_offsets, spans_from_pieces
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import Start, check_text, resolve_prefix
from ropewalk.tokens.utf8_bytes import utf8


class HuggingFaceTokenizer:
    """A `ropewalk.tokens.tokenizer.Tokenizer` around a fast tokenizer of transformers.

    vocab_size: how many tokens the model knows, where that is fewer than the tokenizer has.
    UserError for a slow tokenizer, which does not say where its tokens lie.
    """

    def __init__(self, tokenizer: Any, vocab_size: int | None = None) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(
                f"{type(tokenizer).__name__} is no fast tokenizer, so it does not say where its tokens lie; convert it, "
                "or load one with transformers.AutoTokenizer."
            )
        self.tokenizer = tokenizer
        self.vocab_size = min(len(tokenizer), vocab_size or len(tokenizer))

    def __deepcopy__(self, memo: dict[int, Any]) -> HuggingFaceTokenizer:
        return self  # copies of a model share their tokenizer

    @property
    def name(self) -> str:
        return str(self.tokenizer.name_or_path or type(self.tokenizer).__name__)

    @property
    def end(self) -> int | None:
        end: int | None = self.tokenizer.eos_token_id
        return end if end is not None else self.tokenizer.bos_token_id

    @property
    def repeats_prefix(self) -> bool:
        return True

    def prefix(self, start: Start = "auto") -> tuple[int, ...]:
        return resolve_prefix(start, self._added, self.tokenizer.bos_token_id, self.vocab_size)

    def encode(self, text: str, start: Start = "auto") -> TokenizedText:
        check_text(text)
        utf8(text)
        prefix = self.prefix(start)
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, truncation=False
        )
        ids = encoded["input_ids"]
        if not ids:
            raise UserError(
                f"the tokenizer of {self.name} makes no token of this text; give a text with visible characters."
            )
        parts = self.parts(ids)
        known = [part for part in parts if part is not None]
        spans = spans_from_pieces(text, known, self._normalize) if len(known) == len(parts) else None
        if spans is None:
            spans = spans_from_offsets(text, np.array(encoded["offset_mapping"]).reshape(-1, 2), self.name)
        return TokenizedText(np.array(ids, np.int64), spans, prefix, repeat_prefix=self.repeats_prefix)

    def decode(self, ids: Iterable[int]) -> str:
        return str(self.tokenizer.decode([int(i) for i in ids], clean_up_tokenization_spaces=False))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        texts = ["" if part is None else part.decode("utf-8", "replace") for part in self.parts(ids)]
        return texts if self._byte_level else [text.replace(SPACE, " ") for text in texts]

    def parts(self, ids: Sequence[int]) -> list[bytes | None]:
        names = self.tokenizer.convert_ids_to_tokens([int(i) for i in ids])
        unknown = self.tokenizer.unk_token
        return [
            None if name is None or (name == unknown and unknown is not None) else self._bytes(name)
            for name in names
        ]

    def chat(self, message: str) -> str:
        if not self.tokenizer.chat_template:
            raise UserError(
                f"{self.name} has no chat template, so it was not trained on chats; leave out the chat option."
            )
        turns = [{"role": "user", "content": message}]
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def _bytes(self, name: str) -> bytes | None:
        if name in self._literal:
            return name.encode()
        if self._byte_level:
            return (
                bytes(BYTES[letter] for letter in name)
                if all(letter in BYTES for letter in name)
                else name.encode()
            )
        if self._byte_fallback and len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
            return bytes([int(name[3:5], 16)])
        return name.encode()

    @cached_property
    def _added(self) -> tuple[int, ...]:
        """The tokens that the tokenizer itself puts before a text."""
        plain = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        whole = self.tokenizer("a")["input_ids"]
        places = [i for i in range(len(whole) - len(plain) + 1) if whole[i : i + len(plain)] == plain]
        return tuple(whole[: places[0]]) if places else ()

    @cached_property
    def _literal(self) -> frozenset[str]:
        """Added tokens, which write their own name."""
        return frozenset(token.content for token in self.tokenizer.added_tokens_decoder.values())

    @cached_property
    def _form(self) -> str:
        form = json.loads(self.tokenizer.backend_tokenizer.to_str())
        return json.dumps(
            [form.get("decoder"), form.get("pre_tokenizer"), form["model"].get("byte_fallback")]
        )

    @property
    def _byte_level(self) -> bool:
        return '"ByteLevel"' in self._form

    @property
    def _byte_fallback(self) -> bool:
        return '"ByteFallback"' in self._form or self._form.endswith("true]")

    def _normalize(self, text: str) -> str:
        normalizer = self.tokenizer.backend_tokenizer.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))
