"""Turns sources into a prepared corpus, once.

A prepared corpus is named after a hash of its configuration and of its sources' content. It is written to a
temporary folder and renamed: a folder that has its name is complete, and two preparations at once do no harm
(the second to end uses what the first made). What documents it holds is decided by `ropewalk.corpus.split`.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.corpus.config import CorpusConfig
from ropewalk.corpus.sources import Opened, open_source
from ropewalk.corpus.split import DROPPED, split_documents
from ropewalk.corpus.store import INDEX, SCHEMA, SPLITS, TOKEN, Corpus, seal
from ropewalk.errors import UserError
from ropewalk.system.cache_folder import cache_folder
from ropewalk.system.locks import held_elsewhere, lock, locks_work
from ropewalk.system.progress import ProgressMeter
from ropewalk.tokens.utf8_bytes import END

LEFTOVER = 24 * 3600.0
"""Where there are no locks: seconds after which an untouched temporary folder belongs to a killed preparation."""


def prepare(config: CorpusConfig, cache: str | Path | None = None, progress: bool = True) -> Corpus:
    """Prepare the corpus, or open it if it was prepared before, its content checked.

    cache: where prepared corpora live (default: $ROPEWALK_CACHE, else ~/.cache/ropewalk), in corpora/<hash>.
    progress: show how far it is on standard error.
    """
    sources = [open_source(source, config) for source in config.sources]
    name = _hash(config, sources)
    corpora = Path(cache or cache_folder()) / "corpora"
    folder = corpora / name
    made = not folder.exists()
    if made:
        try:
            corpora.mkdir(parents=True, exist_ok=True)
            _sweep(corpora)
            _make(config, sources, folder, progress)
        except OSError as error:
            raise UserError(
                f"{corpora}: the corpus cannot be written ({error.strerror or error}); free some disk, or "
                "set ROPEWALK_CACHE to a folder with room."
            ) from error
    corpus = Corpus.open(folder)
    if not made:
        corpus.verify()
    return corpus


def _hash(config: CorpusConfig, sources: list[Opened]) -> str:
    settings = config.model_dump(mode="json", exclude={"sources", "root", "tokenizer"})
    content = [
        [source.kind, opened.fingerprint()] for source, opened in zip(config.sources, sources, strict=True)
    ]
    plain = json.dumps([SCHEMA, settings, content], sort_keys=True)
    return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()


def _make(config: CorpusConfig, sources: list[Opened], folder: Path, progress: bool) -> None:
    estimate = sum(source.estimate for source in sources) * TOKEN.itemsize
    free = shutil.disk_usage(folder.parent).free
    if config.documents is None and estimate > free:
        raise UserError(
            f"{folder.parent}: preparing this corpus takes at least {estimate / 1e9:.2f} GB and "
            f"{free / 1e9:.2f} GB are free; free some disk, or set ROPEWALK_CACHE to a folder with room."
        )
    temporary = folder.with_name(f".{folder.name}-{secrets.token_hex(4)}")
    temporary.mkdir()
    busy = lock(temporary)
    try:
        index = {"schema": SCHEMA, "hash": folder.name, **_write(config, sources, temporary, progress)}
        with (temporary / INDEX).open("w") as file:
            json.dump(seal(index), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        busy.close()


def _write(config: CorpusConfig, sources: list[Opened], folder: Path, progress: bool) -> dict[str, Any]:
    """Write the tokens of both splits; everything the index says of them."""
    counts: list[Counter[str]] = [Counter() for _ in sources]
    documents, tokens = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0)
    digests = {split: hashlib.blake2b() for split in SPLITS}
    totals = [source.total for source in sources]
    if config.documents is not None:
        meter = ProgressMeter(config.documents, "documents", progress)
    else:
        meter = ProgressMeter(
            None if None in totals else sum(total or 0 for total in totals), "bytes", progress
        )
    by_bytes = config.documents is None
    with ExitStack() as stack:
        stack.enter_context(meter)
        files = {split: stack.enter_context((folder / f"{split}.bin").open("wb")) for split in SPLITS}
        kept = split_documents(config, sources, counts, meter.advance if by_bytes else lambda _: None)
        for number, split, data in kept:
            buffer = np.empty(len(data) + 1, TOKEN)
            buffer[:-1] = np.frombuffer(data, np.uint8)
            buffer[-1] = END
            files[split].write(buffer.data)
            digests[split].update(buffer.data)
            tokens[split] += len(buffer)
            documents[split] += 1
            counts[number].update(documents=1, bytes=len(data))
            if not by_bytes:
                meter.advance(1)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    return {
        "tokens": tokens,
        "documents": documents,
        "bytes": {split: tokens[split] - documents[split] for split in SPLITS},
        "sources": [
            {"name": source.name, **{key: count[key] for key in ("documents", "bytes", *DROPPED)}}
            for source, count in zip(sources, counts, strict=True)
        ],
        "dropped": {key: sum(count[key] for count in counts) for key in DROPPED},
        "digests": {split: digest.hexdigest() for split, digest in digests.items()},
    }


def _sweep(corpora: Path) -> None:
    """Remove what killed preparations left behind; never the folder of a running one."""
    for folder in corpora.glob(".*-*"):
        if not held_elsewhere(folder) or _age(folder) > LEFTOVER:
            shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    """Seconds since anything in a folder was last written; 0 where a lock says that it is in use."""
    if locks_work(folder.parent):
        return 0.0
    newest = max((path.stat().st_mtime for path in (folder, *folder.glob("*"))), default=0.0)
    return time.time() - newest
