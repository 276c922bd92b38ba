"""Turns sources into a prepared corpus: interleaves, splits, removes overlap, writes tokens.

The first `validation_documents` distinct documents of the interleaved stream are held out; a later document with
the same text (surrounding white space aside) is an error or is dropped. Only the hashes of held-out documents stay
in memory. The result is written to a temporary folder and renamed, so a folder that exists is complete.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus.config import CorpusConfig
from ropewalk.corpus.files import Document
from ropewalk.corpus.sources import Opened, interleave, open_source
from ropewalk.corpus.store import INDEX, SCHEMA, SPLITS, TOKEN, Corpus, seal
from ropewalk.errors import UserError
from ropewalk.text import END


def prepare(config: CorpusConfig, cache: Path | None = None, progress: bool = True) -> Corpus:
    """Prepare the corpus, or open it if it was prepared before.

    cache: where prepared corpora live (default: $ROPEWALK_CACHE, else ~/.cache/ropewalk), in corpora/<hash>.
    """
    sources = [open_source(source, config) for source in config.sources]
    name = _hash(config, sources)
    corpora = (cache or default_cache()) / "corpora"
    folder = corpora / name
    if folder.exists():
        return Corpus.open(folder)
    corpora.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=corpora))
    try:
        info = _write(config, sources, temporary)
        (temporary / INDEX).write_text(json.dumps(seal({"hash": name, **info}), indent=1))
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Corpus.open(folder)


def default_cache() -> Path:
    """$ROPEWALK_CACHE, else ~/.cache/ropewalk."""
    return Path(os.environ.get("ROPEWALK_CACHE") or Path.home() / ".cache" / "ropewalk")


def _hash(config: CorpusConfig, sources: list[Opened]) -> str:
    settings = config.model_dump(mode="json", exclude={"sources", "root"})
    content = [
        [source.kind, opened.fingerprint()] for source, opened in zip(config.sources, sources, strict=True)
    ]
    plain = json.dumps([SCHEMA, settings, content], sort_keys=True)
    return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()


def _write(config: CorpusConfig, sources: list[Opened], folder: Path) -> dict[str, Any]:
    counts = [dict.fromkeys(("documents", "bytes", "empty", "duplicate", "overlap"), 0) for _ in sources]
    tokens, documents = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    digests = {split: hashlib.blake2b() for split in SPLITS}
    outputs = {split: (folder / f"{split}.bin").open("wb", buffering=1 << 20) for split in SPLITS}
    try:
        for number, split, data in _split(config, sources, counts):
            buffer = np.empty(len(data) + 1, TOKEN)
            buffer[:-1] = np.frombuffer(data, np.uint8)
            buffer[-1] = END
            outputs[split].write(buffer)
            digests[split].update(buffer)
            tokens[split] += len(buffer)
            documents[split] += 1
            counts[number]["documents"] += 1
            counts[number]["bytes"] += len(data)
        for output in outputs.values():
            output.flush()
            os.fsync(output.fileno())
    finally:
        for output in outputs.values():
            output.close()
    return {
        "schema": SCHEMA,
        "tokens": tokens,
        "documents": documents,
        "bytes": {split: tokens[split] - documents[split] for split in SPLITS},
        "sources": [{"name": source.name, **count} for source, count in zip(sources, counts, strict=True)],
        "dropped": {key: sum(count[key] for count in counts) for key in ("empty", "duplicate", "overlap")},
        "digests": {split: digest.hexdigest() for split, digest in digests.items()},
    }


def _split(
    config: CorpusConfig, sources: list[Opened], counts: list[dict[str, int]]
) -> Iterator[tuple[int, str, bytes]]:
    """(number of the source, split, UTF-8 bytes) of each document that is kept."""
    held: dict[bytes, str] = {}
    kept = 0
    streams = [source.documents(lambda _: None) for source in sources]
    for number, document in interleave(streams):
        if kept == config.documents:
            break
        stripped = document.text.strip()
        if not stripped:
            counts[number]["empty"] += 1
            continue
        digest = hashlib.blake2b(_encode(stripped, document), digest_size=16).digest()
        split = "validation" if len(held) < config.validation_documents else "train"
        if digest in held:
            if split == "train" and config.overlap == "error":
                raise UserError(
                    f"{document.name} repeats the held-out document {held[digest]}; remove one, "
                    'or set overlap = "drop" to leave such training documents out.'
                )
            counts[number]["overlap" if split == "train" else "duplicate"] += 1
            continue
        if split == "validation":
            held[digest] = document.name
        kept += 1
        yield number, split, _encode(document.text, document)
    if kept == 0:
        raise UserError("the corpus is empty: no source holds a document with text; name other sources.")
    if kept <= config.validation_documents:
        raise UserError(
            f"the corpus has {kept} distinct documents, expected at least {config.validation_documents + 1} "
            f"(validation_documents = {config.validation_documents} and one to train on); "
            "lower validation_documents or add sources (a text file is one document, a .jsonl line is one)."
        )


def _encode(text: str, document: Document) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(
            f"{document.name}: character {error.start} is half of a surrogate pair, which UTF-8 cannot hold; "
            "repair the text."
        ) from error
