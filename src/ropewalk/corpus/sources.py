"""Opens each source of a corpus and interleaves their documents.

An opened source knows its name, a fingerprint of its content, how much it will read, and its documents in a
fixed order. It knows nothing of splits.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ropewalk.corpus.builtin import Library, Lookup, Planted
from ropewalk.corpus.config import CorpusConfig, Source
from ropewalk.corpus.files import Files
from ropewalk.corpus.formats import Document
from ropewalk.corpus.hub import Hub
from ropewalk.corpus.lookup import LookupConfig
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.errors import UserError

T = TypeVar("T")


class Opened(Protocol):
    """A source that is ready to be read.

    total: bytes it will read, None where that is not known. estimate: a cautious guess of its bytes of text,
    or 0.
    """

    name: str
    total: int | None
    estimate: int

    def fingerprint(self) -> Any:
        """Plain JSON that changes when the content does."""

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        """The documents in order; `count` is called with the bytes read."""


def open_source(source: Source, config: CorpusConfig) -> Opened:
    """Open one source; relative paths start at config.root, or at the working folder."""
    root = (config.root or Path()).expanduser()
    if source.path is not None:
        return Files.at(root / source.path.expanduser(), config.text_key, str(source.path))
    if source.dataset is not None:
        return Hub(source, root, config.text_key)
    if source.builtin == "python":
        return Library()
    if config.documents is None:
        what = "planted language" if source.builtin == "planted" else "look-up task"
        raise UserError(
            f"the {what} never ends; set corpus.documents to the number of documents to generate."
        )
    if source.builtin == "lookup":
        return Lookup(source.lookup or LookupConfig(), source.seed)
    return Planted(source.planted or PlantedConfig(), source.seed)


def interleave(streams: Iterable[Iterator[T]]) -> Iterator[tuple[int, T]]:
    """(number of the stream, item), one item of each in turn; when one ends the others continue."""
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
