"""A tokenizer of the `tokenizers` library as one file, `tokenizer.json`, for native models that read no bytes.

Documents are joined by the tokenizer's end-of-document token, which also starts a text, as byte 256 does for byte models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.system.files import read_whole
from ropewalk.tokens.huggingface import HuggingFaceTokenizer
from ropewalk.tokens.tokenizer import Start, resolve_prefix

FILE = "tokenizer.json"
END_TOKENS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|end|>", "[EOS]", "[SEP]")
"""Names of end-of-document tokens, the likeliest first."""
LARGEST = 200_000_000


class FileTokenizer(HuggingFaceTokenizer):
    """The tokenizer in a file. content: the file, to be saved with a model."""

    def __init__(self, tokenizer: Any, content: bytes) -> None:
        super().__init__(tokenizer)
        self.content = content

    @property
    def end(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def repeats_prefix(self) -> bool:
        return False

    def prefix(self, start: Start = "auto") -> tuple[int, ...]:
        return resolve_prefix(start, (self.end,), self.end, self.vocab_size)


def read_tokenizer(path: str | Path) -> FileTokenizer:
    """The tokenizer in a file. UserError for a file that holds none, or one without an end-of-document token."""
    path = Path(path)
    try:
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise UserError(
            f"{path} needs the tokenizers of transformers; run: pip install 'ropewalk[hf]'"
        ) from error
    try:
        content = read_whole(path, limit=LARGEST)
        made = Tokenizer.from_str(content.decode("utf-8"))
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist; name a {FILE}, or make one: ropewalk train-tokenizer."
        ) from error
    except Exception as error:  # the library raises plain exceptions
        raise UserError(
            f"{path} is not a tokenizer of the tokenizers library ({str(error)[:80]}); name a {FILE}."
        ) from error
    special = [token.content for token in made.get_added_tokens_decoder().values() if token.special]
    end = next((name for name in END_TOKENS if name in special), special[0] if len(special) == 1 else None)
    if end is None:
        raise UserError(
            f"{path} has no end-of-document token; add a special token '{END_TOKENS[0]}', or make a tokenizer with "
            "ropewalk train-tokenizer."
        )
    build: Any = PreTrainedTokenizerFast
    fast = build(
        tokenizer_object=made, eos_token=end, name_or_path=path.name, clean_up_tokenization_spaces=False
    )
    return FileTokenizer(fast, content)
