"""Cuts a model's folder into compressed pieces that are small enough to send, and puts them together again.

    python scripts/model_pieces.py MODEL PIECES --megabytes 60

PIECES then holds piece-01-of-05 and so on; a machine that accepts 64 MiB at a time is sent one piece a call.
`scripts/gpu_second_lease.py --base PIECES` puts them together. Files in subfolders of MODEL are left out.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tarfile
from pathlib import Path

import zstandard

NAME = re.compile(r"piece-(\d+)-of-(\d+)")


class Pieces(io.RawIOBase):
    """A writable stream that begins a new file whenever the current one is full."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.paths = folder, limit, list[Path]()
        self.left = 0

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:  # type: ignore[no-untyped-def, override]
        rest = memoryview(data).cast("B")
        while rest:
            if not self.left:
                self.paths.append(self.folder / f".{len(self.paths) + 1}")
                self.left = self.limit
            taken, rest = rest[: self.left], rest[self.left :]
            with self.paths[-1].open("ab") as file:
                file.write(taken)
            self.left -= len(taken)
        return len(data)


def split(model: Path, folder: Path, limit: int) -> list[Path]:
    """Writes the files of a model's folder as pieces of at most `limit` bytes; their paths."""
    folder.mkdir(parents=True)
    pieces = Pieces(folder, limit)
    compressor = zstandard.ZstdCompressor(level=3, threads=-1)
    with (
        compressor.stream_writer(pieces, closefd=False) as compressed,
        tarfile.open(fileobj=compressed, mode="w|") as archive,
    ):
        for path in sorted(model.iterdir()):
            if path.is_file():
                archive.add(path.resolve(), path.name)
    count = len(pieces.paths)
    width = max(2, len(str(count)))
    return [
        path.rename(folder / f"piece-{number:0{width}}-of-{count:0{width}}")
        for number, path in enumerate(pieces.paths, 1)
    ]


def join(folder: Path, model: Path) -> Path:
    """The model's folder, put together from its pieces. ValueError where one is missing."""
    found = {int(match[1]): path for path in folder.iterdir() if (match := NAME.fullmatch(path.name))}
    counts = {int(match[2]) for path in found.values() if (match := NAME.fullmatch(path.name))}
    if not found or counts != {len(found)}:
        raise ValueError(
            f"{folder} has pieces {sorted(found)} of {sorted(counts)}; send those that are missing."
        )
    model.mkdir(parents=True)
    with (
        Joined([found[number] for number in sorted(found)]) as whole,
        zstandard.ZstdDecompressor().stream_reader(whole) as reader,
        tarfile.open(fileobj=reader, mode="r|") as archive,
    ):
        archive.extractall(model, filter="data")
    return model


class Joined(io.RawIOBase):
    """Files read one after the other."""

    def __init__(self, paths: list[Path]) -> None:
        self.files = [path.open("rb") for path in paths]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]
        while self.files:
            count = self.files[0].readinto(buffer)  # type: ignore[attr-defined]
            if count:
                return int(count)
            self.files.pop(0).close()
        return 0

    def close(self) -> None:
        for file in self.files:
            file.close()
        super().close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a folder with a model's files")
    parser.add_argument("pieces", type=Path, help="a new folder")
    parser.add_argument("--megabytes", type=float, default=60.0, help="of a piece, in units of 2**20 bytes")
    words = parser.parse_args()
    if words.pieces.exists():
        sys.exit(f"model_pieces: {words.pieces} exists; name a new folder.")
    if not words.model.is_dir():
        sys.exit(f"model_pieces: {words.model} is no folder; download the model into one first.")
    for path in split(words.model, words.pieces, int(words.megabytes * 2**20)):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
