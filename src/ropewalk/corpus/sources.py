"""Opens each source of a corpus and interleaves their documents.

An opened source knows its name, a fingerprint of its content (plain JSON, part of the prepared corpus's hash),
how many bytes it will read if that is known, and its documents in a fixed order. It knows nothing of splits.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ropewalk.corpus import files
from ropewalk.corpus.config import CorpusConfig, Source
from ropewalk.corpus.files import Document
from ropewalk.errors import UserError

T = TypeVar("T")


class Opened(Protocol):
    """A source that is ready to be read."""

    name: str
    total: int | None

    def fingerprint(self) -> Any:
        """Plain JSON that changes when the content does."""

    def documents(self, count: Callable[[int], None]) -> Iterator[Document]:
        """The documents in order; `count` is told the bytes read."""


class Files:
    """Local files of one source. `total` is their size on disk in bytes."""

    def __init__(self, path: Path, text_key: str, name: str) -> None:
        self.name, self.text_key = name, text_key
        self.folder = path if path.is_dir() else path.parent
        self.paths = files.find(path)
        self.stamps = {file: _stamp(file) for file in self.paths}
        self.total: int | None = sum(size for size, _ in self.stamps.values())

    def fingerprint(self) -> Any:
        """[name below the folder, blake2b of the content] of each file; where the folder lies does not matter."""
        return [[file.relative_to(self.folder).as_posix(), _digest(file)] for file in self.paths]

    def documents(self, count: Callable[[int], None]) -> Iterator[Document]:
        for file in self.paths:
            yield from files.documents(file, self.text_key, count)
            if _stamp(file) != self.stamps[file]:
                raise UserError(
                    f"{file}: the file changed while it was being read; prepare the corpus again."
                )


def open_source(source: Source, config: CorpusConfig) -> Opened:
    """Open one source; relative paths start at config.root, or at the working folder."""
    if source.path is not None:
        return Files((config.root or Path()) / source.path.expanduser(), config.text_key, str(source.path))
    raise NotImplementedError(source.kind)


def interleave(streams: Iterable[Iterator[T]]) -> Iterator[tuple[int, T]]:
    """(number of the stream, item), one item of each in turn; when one ends the others go on."""
    live = list(enumerate(streams))
    while live:
        for entry in list(live):
            number, stream = entry
            try:
                item = next(stream)
            except StopIteration:
                live.remove(entry)
            else:
                yield number, item


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error
