"""A prepared corpus on disk: two files of tokens and one index.

`train.bin` and `validation.bin` hold little-endian uint16 tokens: the UTF-8 bytes of each document, then END
(256). `index.json` holds the counts, the hash of both files and a hash of itself. Read-only, never changed
once made.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.errors import UserError

SCHEMA = 1
INDEX = "index.json"
SPLITS = ("train", "validation")
TOKEN = np.dtype("<u2")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Tokens of a prepared corpus, memory-mapped: `train` and `validation`, each (tokens,) uint16, read-only.

    info: bytes, documents and tokens per split, the same per source, what was dropped, the hash.
    """

    folder: Path
    hash: str
    train: np.ndarray
    validation: np.ndarray
    info: dict[str, Any]
    stamps: dict[Path, tuple[int, ...]] = field(
        default_factory=dict
    )  # of the mapped files, as they were opened

    @classmethod
    def open(cls, folder: str | Path) -> "Corpus":
        """Map a prepared corpus, checking its index and the sizes of its files, not their content."""
        folder = Path(folder)
        info = _read_index(folder)
        paths = {split: folder / f"{split}.bin" for split in SPLITS}
        stamps = {path: _stamp(path) for path in paths.values()}
        try:
            for key in ("bytes", "digests"):
                _ = [info[key].get(split) for split in SPLITS]
            train, validation = (_map(path, info["tokens"][split]) for split, path in paths.items())
            return cls(folder, info["hash"], train, validation, info, stamps)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{folder / INDEX}: the index lacks what it must say; {_again(folder)}."
            ) from error

    def check(self) -> None:
        """UserError if a mapped file was written to since it was opened; one that was removed or replaced is still
        read as it was."""
        for path, stamp in self.stamps.items():
            now = _stamp(path)
            if now != stamp and now[0] == stamp[0]:
                raise UserError(
                    f"{path}: the tokens changed while they were in use; {_again(self.folder)}, then continue with "
                    "--resume."
                )

    def verify(self) -> None:
        """Read everything again; UserError if a file, or the index, is not what was prepared."""
        if _read_index(self.folder) != self.info:
            raise UserError(
                f"{self.folder / INDEX}: the index changed since it was opened; {_again(self.folder)}."
            )
        for split in SPLITS:
            path = self.folder / f"{split}.bin"
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "blake2b").hexdigest()
            except OSError as error:
                raise UserError(
                    f"{path}: cannot be read ({error.strerror}); {_again(self.folder)}."
                ) from error
            if found != self.info.get("digests", {}).get(split):
                raise UserError(
                    f"{path}: the tokens changed since they were prepared; {_again(self.folder)}."
                )


def seal(info: dict[str, Any]) -> dict[str, Any]:
    """The index with the hash of its own content added."""
    return {**info, "seal": _seal(info)}


def _seal(info: dict[str, Any]) -> str:
    plain = {key: value for key, value in info.items() if key != "seal"}
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=16).hexdigest()


def _again(folder: Path) -> str:
    return f"delete {folder} and prepare the corpus again"


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        info = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: no prepared corpus there (it has no {INDEX}); name another folder."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: the index cannot be read ({error}); {_again(folder)}.") from error
    if not isinstance(info, dict) or info.get("schema") != SCHEMA:
        found = info.get("schema") if isinstance(info, dict) else None
        raise UserError(f"{path}: expected a corpus of schema {SCHEMA}, got {found}; {_again(folder)}.")
    if info.get("seal") != _seal(info):
        raise UserError(f"{path}: the index does not match its own hash; {_again(folder)}.")
    return info


def _stamp(path: Path) -> tuple[int, ...]:
    """Which file it is, its size, and when it was last written to; zeros for one that is not there."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _map(path: Path, tokens: int) -> np.ndarray:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {_again(path.parent)}.") from error
    if size != tokens * TOKEN.itemsize:
        raise UserError(
            f"{path}: expected {tokens * TOKEN.itemsize} bytes, got {size}; {_again(path.parent)}."
        )
    return np.memmap(path, dtype=TOKEN, mode="r", shape=(tokens,))
