"""A byte-level BPE tokenizer trained on the training documents of a prepared corpus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ropewalk.corpus import Corpus
from ropewalk.errors import UserError
from ropewalk.system.files import write_atomically
from ropewalk.tokens.tokenizer_file import END_TOKENS
from ropewalk.training.corpus_tokens import documents

LEAST = 257
"""256 bytes and the end of a document."""
MOST = 65_536
"""What a token in 16 bits can name."""


def train_tokenizer(corpus: Corpus, path: Path, *, size: int, most_bytes: int) -> int:
    """Writes a tokenizer of `size` tokens as tokenizer.json and returns how many it has. most_bytes: of the training
    split to read, from its start. UserError for a size that cannot be."""
    if not LEAST <= size <= MOST:
        raise UserError(f"a vocabulary has {LEAST} to {MOST} tokens, got {size}; choose another size.")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_TOKENS[0]],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(_texts(corpus, most_bytes), trainer)
    write_atomically(path, made.to_str().encode())
    return int(made.get_vocab_size())


def _texts(corpus: Corpus, most_bytes: int) -> Iterator[str]:
    read = 0
    for texts in documents(corpus.train):
        for text in texts:
            if read >= most_bytes:
                return
            read += len(text.encode())
            yield text
