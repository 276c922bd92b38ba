"""Local files and folders as a source.

A folder is read recursively in the order of the paths below it; hidden files and files of other kinds are
passed over. The fingerprint holds names and contents, not where the folder lies.
"""

import glob
import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ropewalk.corpus import formats
from ropewalk.corpus.formats import Document
from ropewalk.errors import UserError
from ropewalk.system import available_memory
from ropewalk.system.files import refuse_pipe
from ropewalk.system.text_files import read_text


class Files:
    """Some files below a folder, read in the order given. Sizes are in bytes on disk.

    total: what will be read. estimate: a cautious guess of the text in them, once decompressed.
    """

    def __init__(self, paths: list[Path], folder: Path, text_key: str | None, name: str) -> None:
        self.paths, self.folder, self.text_key, self.name = paths, folder, text_key, name
        self._stamps = [_stamp(path) for path in paths]
        self.total: int | None = sum(size for size, _ in self._stamps)
        self.estimate = sum(
            size * formats.expansion(path) for path, (size, _) in zip(paths, self._stamps, strict=True)
        )

    @classmethod
    def at(cls, path: str | Path, text_key: str | None, name: str) -> "Files":
        """The readable files of a path: itself, those below a folder, or those that match a pattern."""
        path = Path(path)
        if not path.exists() and glob.has_magic(str(path)):
            found = list(dict.fromkeys(file for one in expand([path]) for file in _find(one)))
            return cls(found, Path(os.path.commonpath([file.parent for file in found])), text_key, name)
        return cls(_find(path), path if path.is_dir() else path.parent, text_key, name)

    def fingerprint(self) -> Any:
        """[path below the folder, hash of the content] of each file."""
        return [[path.relative_to(self.folder).as_posix(), digest(path)] for path in self.paths]

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        """The documents in order; UserError if a file changes before its end is read."""
        for path, stamp in zip(self.paths, self._stamps, strict=True):
            yield from formats.documents(path, self.text_key, count)
            if _stamp(path) != stamp:
                raise UserError(
                    f"{path}: the file changed while it was being read; prepare the corpus again."
                )


def digest(path: str | Path) -> str:
    """blake2b of a file's content, as hex."""
    refuse_pipe(path)
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        _unreadable(error)


def expand(names: Sequence[str | Path]) -> list[Path]:
    """Paths of files and folders; names with wildcards (`letters/*.txt`, `**/*.md`) stand for what they match, sorted.

    A path that exists is taken as it is, brackets included. UserError for a pattern that matches nothing.
    """
    found: list[Path] = []
    for given in names:
        name = str(given)
        if os.path.lexists(name) or not glob.has_magic(name):
            found.append(Path(name).expanduser())
            continue
        matched = sorted(glob.glob(os.path.expanduser(name), recursive=True))
        if not matched:
            raise UserError(f"{name}: the pattern matches no file; name files, folders or another pattern.")
        found += map(Path, matched)
    return found


class TextFiles:
    """The texts of files, folders and patterns, read twice: once to measure, once to use.

    text_key: the key or column of the text, None for the obvious one. UserError for a file that cannot be read.
    """

    def __init__(self, names: Sequence[str | Path], text_key: str | None = None) -> None:
        self.files = [file for path in expand(names) for file in _find(path)]
        self.text_key = text_key

    def texts(self) -> Iterator[str]:
        """The texts in order."""
        for file in self.files:
            for document in formats.documents(file, self.text_key, lambda _: None):
                yield document.text

    def size(self) -> int:
        """Bytes of text in all files, each of which is read to its end. UserError where there are none."""
        total = sum(len(text.encode()) for text in self.texts())
        if not total:
            raise UserError("the files hold no text: expected at least one character; give other files.")
        return total


def read_files(names: Sequence[str | Path], text_key: str | None = None) -> str:
    """The text of files, folders and patterns, with an empty line between documents; tables and notebooks as in a corpus.

    A single file of another kind is read as plain text. text_key: as in `TextFiles`. UserError for text that is longer than memory
    allows, and for what `ropewalk.system.text_files.read_text` refuses.
    """
    most, size, found = available_memory.available_bytes() / formats.SHARE, 0, list[str]()
    for path in expand(names):
        for text in _texts(path, text_key):
            size += len(text)
            if size > most:
                raise UserError(
                    f"{path}: the text is longer than the {most / 1e6:,.0f} MB that this machine's free memory allows; "
                    "give fewer files, or trace them with ropewalk trace."
                )
            found.append(text)
    return "\n\n".join(found)


def _texts(path: Path, text_key: str | None) -> Iterator[str]:
    if not path.is_dir() and not formats.structured(path):
        yield read_text(path)
        return
    for file in _find(path):
        yield from (document.text for document in formats.documents(file, text_key, lambda _: None))


def _find(path: Path) -> list[Path]:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; check the path.")
    if not path.is_dir():
        if not formats.readable(path):
            formats.refuse(path)
        return [path]
    found = []
    for parent, folders, names in os.walk(path, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    found = [file for file in found if formats.readable(file)]
    if not found:
        raise UserError(
            f"{path}: the folder holds no file to read; expected some ending in {formats.ACCEPTED}."
        )
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        _unreadable(error)
    return status.st_size, status.st_mtime_ns


def _unreadable(error: OSError) -> NoReturn:
    raise UserError(
        f"{error.filename}: cannot be read ({error.strerror}); look at its permissions, or leave it out."
    ) from error
