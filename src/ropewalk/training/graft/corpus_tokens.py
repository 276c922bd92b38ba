"""A prepared corpus read by a tokenizer: the same documents and splits, other symbols.

Kept beside the corpus under a hash of both, so that it is made once. Symbols are uint32; documents end with
the tokenizer's end-of-text.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus import Corpus
from ropewalk.errors import UserError
from ropewalk.hf.llama_export import byte_tokenizer
from ropewalk.hf.loading import open_config, open_tokenizer
from ropewalk.system.cache_folder import cache_folder
from ropewalk.system.files import read_json
from ropewalk.system.folders import write_folder
from ropewalk.tokens.tokenizer import HostTokenizer
from ropewalk.tokens.utf8_bytes import END, VOCAB_SIZE

SPLITS = ("train", "validation")
TOGETHER = 256
SYMBOL = np.dtype("<u4")


def reader_of(base: str) -> HostTokenizer:
    """How a base reads text: by its tokenizer, or as raw bytes where those are its symbols."""
    size = int(open_config(base).get_text_config().vocab_size)
    if size == VOCAB_SIZE and Path(base).is_dir() and not any(Path(base).glob("*token*")):
        return HostTokenizer()
    tokenizer = open_tokenizer(base)
    return (
        HostTokenizer() if tokenizer.get_vocab() == byte_tokenizer().get_vocab() else HostTokenizer(tokenizer)
    )


def read_corpus(corpus: Corpus, reader: HostTokenizer, cache: Path | None = None) -> Corpus:
    """The corpus in the reader's symbols; the corpus itself where it reads raw bytes."""
    if reader.tokenizer is None:
        return corpus
    tokenizer = reader.tokenizer.backend_tokenizer.to_str()
    digest = hashlib.sha256(f"{corpus.hash} {reader.end} {tokenizer}".encode()).hexdigest()[:32]
    folder = Path(cache or cache_folder()) / "tokens" / digest
    if not folder.exists():
        write_folder(folder, lambda temporary: _write(corpus, reader, temporary))
    counts = read_json(folder / "index.json")["tokens"]
    found = {
        split: np.memmap(folder / f"{split}.bin", SYMBOL, "r", shape=(counts[split],)) for split in SPLITS
    }
    return replace(corpus, hash=digest, train=found["train"], validation=found["validation"])


def _write(corpus: Corpus, reader: HostTokenizer, folder: Path) -> None:
    counts: dict[str, Any] = {}
    for split in SPLITS:
        counts[split] = 0
        with (folder / f"{split}.bin").open("wb") as file:
            for texts in _documents(getattr(corpus, split)):
                read = reader.tokenizer(texts, add_special_tokens=False)["input_ids"]
                for ids in read:
                    symbols = np.array(ids + ([] if reader.end is None else [reader.end]), SYMBOL)
                    file.write(symbols.tobytes())
                    counts[split] += len(symbols)
        if not counts[split]:
            raise UserError(f"the {split} split of the corpus has no tokens; add documents.")
    (folder / "index.json").write_text(json.dumps({"tokens": counts}))


def _documents(symbols: np.ndarray) -> Any:
    ends = np.flatnonzero(symbols == END)
    starts = np.concatenate([[0], ends[:-1] + 1])
    for first in range(0, len(ends), TOGETHER):
        pairs = zip(starts[first : first + TOGETHER], ends[first : first + TOGETHER], strict=True)
        yield [symbols[a:b].astype(np.uint8).tobytes().decode("utf-8", "replace") for a, b in pairs]
