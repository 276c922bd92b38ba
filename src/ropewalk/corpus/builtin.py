"""Sources that need no network: the Python standard library's own files, the planted language, the look-up task.

The library differs between Python versions and machines, and so does the fingerprint. Its files come sorted
by a hash of their name, so that the held-out head is a fair sample of it; tests and installed packages are
left out, and so are later files with the same text as an earlier one.
"""

import hashlib
import os
import sysconfig
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from ropewalk.corpus import lookup, planted
from ropewalk.corpus.files import Files
from ropewalk.corpus.formats import Document
from ropewalk.errors import UserError

LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


class Library(Files):
    """The .py files of this Python's standard library, one document each."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(sysconfig.get_path("stdlib"))
        paths = []
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in LEFT_OUT]
            paths += [Path(parent, name) for name in names if name.endswith(".py")]
        if not paths:
            raise UserError(
                f"{folder}: the standard library's source files are not there; name another source."
            )
        paths.sort(key=lambda path: _place(path.relative_to(folder).as_posix()))
        super().__init__(paths, folder, "text", "Python standard library")

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        seen = set()
        for document in super().documents(count):
            digest = _place(document.text.strip())
            if digest not in seen:
                seen.add(digest)
                yield document


class Planted:
    """An endless stream of planted documents."""

    name = "planted language"
    total: int | None = None
    estimate = 0

    def __init__(self, config: planted.PlantedConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def fingerprint(self) -> Any:
        """The configuration, the seed, and a hash of the first document, which changes with the generator."""
        first = planted.document(self.config, self.seed, 0).text
        return [self.config.model_dump(mode="json"), self.seed, _place(first).hex()]

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        for number, document in enumerate(planted.generate(self.config, self.seed)):
            yield Document(f"planted document {number} of seed {self.seed}", document.text)


class Lookup:
    """An endless stream of look-up documents."""

    name = "look-up task"
    total: int | None = None
    estimate = 0

    def __init__(self, config: lookup.LookupConfig, seed: int) -> None:
        self.config, self.seed = config, seed

    def fingerprint(self) -> Any:
        """The configuration, the seed, and a hash of the first document, which changes with the generator."""
        first = lookup.document(self.config, self.seed, 0).text
        return [self.config.model_dump(mode="json"), self.seed, _place(first).hex()]

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        for number, document in enumerate(lookup.generate(self.config, self.seed)):
            yield Document(f"look-up document {number} of seed {self.seed}", document.text)


def _place(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
