"""Models by name, whichever host they are: a native folder, a bundled model, a Hugging Face folder or hub
name.

Knows where models come from, not what is measured on them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.pretrained import model_names
from ropewalk.tokens.tokenized_text import TokenizedText
from ropewalk.tokens.tokenizer import HostTokenizer
from ropewalk.tokens.utf8_bytes import VOCAB_SIZE


@dataclass(frozen=True)
class LoadedModel:
    """A model, how it reads, and how many symbols it knows. `model` is a native Decoder or a transformers
    model.
    """

    model: Any
    reader: HostTokenizer
    vocabulary: int

    def tokens(self, text: str) -> TokenizedText:
        """The text as the model reads it."""
        return self.reader.tokens(text)


def open_named(name: str, *, graft: Path | None = None) -> LoadedModel:
    """Opens a model. graft: a folder written by `Graft.save`, put onto a Hugging Face model.

    UserError for what is neither a native model nor one that transformers can open.
    """
    if is_native(name):
        if graft is not None:
            raise UserError(f"{name} is a native model and takes no graft; leave out the graft's folder.")
        decoder = checkpoint.load_decoder(name)
        return LoadedModel(decoder, HostTokenizer(), decoder.config.vocab_size)
    from ropewalk import hf
    from ropewalk.hf.loading import open_model, open_tokenizer

    model = open_model(name)
    size = int(model.config.get_text_config().vocab_size)
    alone = Path(name).is_dir() and not any(Path(name).glob("*token*")) and size == VOCAB_SIZE
    reader = HostTokenizer() if alone else HostTokenizer(open_tokenizer(name))
    return LoadedModel(model if graft is None else hf.load(model, graft), reader, size)


def is_native(name: str) -> bool:
    """Whether a name is that of a bundled model or of a native model's folder."""
    path = Path(name)
    if name in model_names():
        return True
    try:
        return json.loads((path / checkpoint.CONFIG).read_text())["format"] == checkpoint.FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
