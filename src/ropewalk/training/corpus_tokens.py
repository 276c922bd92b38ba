"""A prepared corpus in the tokens of a tokenizer: the same documents and splits.

Kept in the cache folder under a hash of corpus and tokenizer, so that it is made once, with the hash of its files, which
is checked at every use: a damaged copy is made again. Tokens are uint32; documents end with the tokenizer's end token.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus import Corpus
from ropewalk.errors import UserError
from ropewalk.system.cache_folder import cache_folder
from ropewalk.system.files import read_json, sha256
from ropewalk.system.folders import write_folder
from ropewalk.tokens.tokenizer import ByteTokenizer, Tokenizer
from ropewalk.tokens.utf8_bytes import END

SCHEMA = 1
SPLITS = ("train", "validation")
INDEX = "index.json"
BATCH = 256
"""Documents that are tokenized together."""
TOKEN = np.dtype("<u4")

log = logging.getLogger("ropewalk.training")


def tokenize_corpus(corpus: Corpus, tokenizer: Tokenizer, cache: str | Path | None = None) -> Corpus:
    """The corpus in the tokenizer's tokens; the corpus itself where the tokens are bytes.

    UserError where a split has no tokens, or where the cache folder cannot be written to.
    """
    if isinstance(tokenizer, ByteTokenizer):
        return corpus
    inner: Any = getattr(tokenizer, "tokenizer")  # noqa: B009 (the tokenizer of transformers)
    described = f"{SCHEMA} {corpus.hash} {tokenizer.end} {inner.backend_tokenizer.to_str()}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:32]
    folder = Path(cache or cache_folder()) / "tokens" / digest
    problem = _problem(folder, tokenizer.vocab_size) if folder.exists() else "missing"
    if problem is not None:
        if folder.exists():
            log.warning("%s: the tokens are damaged (%s) and are made again", folder, problem)
            shutil.rmtree(folder, ignore_errors=True)
        write_folder(folder, lambda temporary: _write(corpus, inner, tokenizer.end, temporary))
        problem = _problem(folder, tokenizer.vocab_size)
    if problem is not None:
        raise UserError(f"{folder}: the tokens cannot be used ({problem}); check the disk and the tokenizer.")
    counts = read_json(folder / INDEX)["tokens"]
    found = {
        split: np.memmap(folder / f"{split}.bin", TOKEN, "r", shape=(counts[split],)) for split in SPLITS
    }
    return replace(corpus, hash=digest, train=found["train"], validation=found["validation"])


def tokens_per_byte(corpus: Corpus) -> float:
    """Tokens of the held-out split over its bytes; what turns nats per token into nats per byte."""
    size = corpus.info["bytes"]["validation"]
    return len(corpus.validation) / size if size else 1.0


def _problem(folder: Path, vocab_size: int) -> str | None:
    """What is wrong with a folder of tokens, each of which is read; None for nothing."""
    try:
        index = read_json(folder / INDEX)
        for split in SPLITS:
            path, count = folder / f"{split}.bin", index["tokens"][split]
            if path.stat().st_size != count * TOKEN.itemsize or count < 1:
                return f"{path.name} has another size than the index says"
            if sha256(path) != index["sha256"][split]:
                return f"{path.name} does not match its hash"
            if not 0 <= index["largest"][split] < vocab_size:
                return f"{path.name} holds tokens beyond the {vocab_size} of the tokenizer"
    except (OSError, UserError, KeyError, TypeError) as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return None


def _write(corpus: Corpus, tokenizer: Any, end: int | None, folder: Path) -> None:
    index: dict[str, Any] = {"schema": SCHEMA, "tokens": {}, "sha256": {}, "largest": {}}
    for split in SPLITS:
        digest, count, largest = hashlib.sha256(), 0, 0
        with (folder / f"{split}.bin").open("wb") as file:
            for texts in documents(getattr(corpus, split)):
                for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
                    tokens = np.array(ids + ([] if end is None else [end]), TOKEN)
                    file.write(tokens.data)
                    digest.update(tokens.data)
                    count += len(tokens)
                    largest = max(largest, int(tokens.max(initial=0)))
        if not count:
            raise UserError(f"the {split} split of the corpus has no tokens; add documents.")
        index["tokens"][split], index["sha256"][split], index["largest"][split] = (
            count,
            digest.hexdigest(),
            largest,
        )
    (folder / INDEX).write_text(json.dumps(index))


def documents(tokens: np.ndarray) -> Iterator[list[str]]:
    """The texts of a split of bytes, some at a time, without their ends."""
    ends = np.flatnonzero(tokens == END)
    starts = np.concatenate([[0], ends[:-1] + 1])
    for first in range(0, len(ends), BATCH):
        pairs = zip(starts[first : first + BATCH], ends[first : first + BATCH], strict=True)
        yield [tokens[a:b].astype(np.uint8).tobytes().decode("utf-8", "replace") for a, b in pairs]
