"""Models by name, whichever host they are: a native folder, a bundled model, a Hugging Face folder or hub
name.

Knows where models come from, not what is measured on them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk import checkpoint
from ropewalk.bundled import names
from ropewalk.errors import UserError
from ropewalk.measure.gathered import Tokens
from ropewalk.measure.reading import Reader
from ropewalk.text import VOCABULARY


@dataclass(frozen=True)
class Named:
    """A model, how it reads, and how many symbols it knows. `model` is a native Decoder or a transformers
    model.
    """

    model: Any
    reader: Reader
    vocabulary: int

    def tokens(self, text: str) -> Tokens:
        """The text as the model reads it."""
        return self.reader.tokens(text)


def named(name: str, *, graft: Path | None = None) -> Named:
    """Opens a model. graft: a folder written by `Graft.save`, put onto a Hugging Face model.

    UserError for what is neither a native model nor one that transformers can open.
    """
    if native(name):
        if graft is not None:
            raise UserError(f"{name} is a native model and takes no graft; leave out the graft's folder.")
        decoder = checkpoint.load(name)
        return Named(decoder, Reader(), decoder.config.vocabulary)
    from ropewalk import hf
    from ropewalk.hf.loading import open_model, open_tokenizer

    model = open_model(name)
    size = int(model.config.get_text_config().vocab_size)
    alone = Path(name).is_dir() and not any(Path(name).glob("*token*")) and size == VOCABULARY
    reader = Reader() if alone else Reader(open_tokenizer(name))
    return Named(model if graft is None else hf.load(model, graft), reader, size)


def native(name: str) -> bool:
    """Whether a name is that of a bundled model or of a native model's folder."""
    path = Path(name)
    if name in names():
        return True
    try:
        return json.loads((path / checkpoint.CONFIG).read_text())["format"] == checkpoint.FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
