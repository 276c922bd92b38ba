"""Which documents are held out, which are trained on, and which are dropped.

The first `validation_documents` distinct documents of the interleaved stream are held out. Two documents are
the same when their texts are, whitespace around them aside. A training document that repeats a held-out one
is an error or is dropped; training documents may repeat each other. Only the hashes and names of held-out
documents stay in memory.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

from ropewalk.corpus.config import CorpusConfig
from ropewalk.corpus.sources import Opened, interleave
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import utf8

DROPPED = ("empty", "duplicate", "overlap")


def split_documents(
    config: CorpusConfig, sources: list[Opened], counts: list[Counter[str]], count: Callable[[int], None]
) -> Iterator[tuple[int, str, bytes]]:
    """(number of the source, "train" or "validation", UTF-8 bytes) of each document that is kept.

    `counts`, one of each source, count what is dropped: "empty" documents, a held-out "duplicate" of a
    held-out one, a training document that is an "overlap". `count` is called with the bytes read.
    """
    held: dict[bytes, str] = {}
    kept = 0
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(source.documents(count))) for source in sources]
        for number, document in interleave(streams):
            if not document.text.strip():
                counts[number]["empty"] += 1
                continue
            data = _bytes(document.text, document.name)
            digest = hashlib.blake2b(_bytes(document.text.strip(), document.name), digest_size=16).digest()
            split = "validation" if len(held) < config.validation_documents else "train"
            if digest in held:
                if split == "train" and config.overlap == "error":
                    raise UserError(
                        f"{document.name}: repeats a held-out document ({held[digest]}); remove one of them, "
                        'or set overlap = "drop" to leave such training documents out.'
                    )
                counts[number]["overlap" if split == "train" else "duplicate"] += 1
                continue
            if split == "validation":
                held[digest] = document.name
            yield number, split, data
            kept += 1
            if kept == config.documents:
                break
    _enough(kept, config.validation_documents)


def _bytes(text: str, name: str) -> bytes:
    try:
        return utf8(text)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _enough(kept: int, validation_documents: int) -> None:
    if kept == 0:
        raise UserError("the corpus is empty: no source holds a document with text; name other sources.")
    if kept <= validation_documents:
        raise UserError(
            f"the corpus has {kept} distinct documents, expected at least {validation_documents + 1} "
            f"({validation_documents} to hold out and one to train on); lower validation_documents or add "
            "sources (a text file is one document, a line of a .jsonl file is one)."
        )
