"""Properties that every native decoder has as a host, in PyTorch and in NumPy. See `ropewalk.core.host`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ropewalk.core.rows import Row
from ropewalk.native.config import DecoderConfig
from ropewalk.tokens.tokenizer import ByteTokenizer, Tokenizer
from ropewalk.tokens.utf8_bytes import VOCAB_SIZE

if TYPE_CHECKING:
    from ropewalk.tokens.tokenizer_file import FileTokenizer


class HostProperties:
    """Rows, sizes, tokenizer and provenance of a native decoder, from its `config` and `provenance`."""

    config: DecoderConfig
    provenance: dict[str, Any]
    own_tokenizer: FileTokenizer | None

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.config.rows

    @property
    def context_length(self) -> int:
        return self.config.context_length

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The tokenizer in the model's folder, else UTF-8 bytes; None for a model of another vocabulary."""
        if self.own_tokenizer is not None:
            return self.own_tokenizer
        return ByteTokenizer() if self.config.vocab_size == VOCAB_SIZE else None

    @property
    def gap(self) -> Literal["before", "after"]:
        return self.config.increments.gap

    def describe(self) -> dict[str, Any]:
        """Name, hash and parametrization of the model, as a Trace records them."""
        return self.config.describe(self.provenance)
