"""Documents of local files: plain text, jsonl and parquet, compressed or not.

A .txt, .md or .py file is one document; a .jsonl file holds one a line, a .parquet file one a row. Text must be
strict UTF-8. Everything is streamed in chunks: memory is bounded by the longest document, not by the file.
Source of the formats: RFC 8259 (JSON), RFC 1952 (gzip), RFC 8878 (zstd; windows up to 2**27 bytes are accepted).
"""

import json
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ropewalk.errors import UserError

TEXT = (".txt", ".md", ".py")
LINES = (".jsonl",)
COMPRESSED = (".gz", ".xz", ".zst")
SUFFIXES = TEXT + LINES + (".parquet",)
CHUNK = 1 << 16
BOM = b"\xef\xbb\xbf"


class Document(NamedTuple):
    """A text and where it was found, in words fit for an error message."""

    name: str
    text: str


def suffixes(path: Path) -> tuple[str, str]:
    """(kind of file, compression or ""), e.g. (".jsonl", ".zst"); ("", "") when the file is of no known kind."""
    compression = path.suffix.lower() if path.suffix.lower() in COMPRESSED else ""
    kind = Path(path.stem).suffix.lower() if compression else path.suffix.lower()
    if kind not in SUFFIXES or (kind == ".parquet" and compression):
        return "", ""
    return kind, compression


def accepted() -> str:
    """The readable suffixes, in words."""
    return f"{', '.join(SUFFIXES)}, the text ones also with {', '.join(COMPRESSED)}"


def find(path: Path) -> list[Path]:
    """The readable files of a path, in a fixed order: itself, or those below a folder (hidden ones left out)."""
    if path.is_file():
        if not suffixes(path)[0]:
            raise UserError(
                f"{path}: a corpus file ends in one of {accepted()}; convert it or name another file."
            )
        return [path]
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; relative paths start at the corpus's root.")
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    found = [file for file in found if suffixes(file)[0]]
    if not found:
        raise UserError(f"{path}: the folder holds no readable file; expected some ending in {accepted()}.")
    return sorted(found, key=lambda file: file.relative_to(path).as_posix())


def documents(path: Path, text_key: str, count: Callable[[int], None]) -> Iterator[Document]:
    """The documents of one file in order. `count` is told the bytes read from disk as they are read."""
    kind, _ = suffixes(path)
    if kind == ".parquet":
        yield from _rows(path, text_key, count)
    elif kind in LINES:
        yield from _lines(path, text_key, count)
    else:
        data = b"".join(chunks(path, count))
        yield Document(str(path), _decode(data.removeprefix(BOM), path, len(BOM) * data.startswith(BOM)))


def chunks(path: Path, count: Callable[[int], None]) -> Iterator[bytes]:
    """A file's decompressed bytes. Concatenated gzip members, xz streams and zstd frames are read through."""
    _, compression = suffixes(path)
    try:
        with path.open("rb") as file:
            read = 0
            decoder: Any = None
            while chunk := file.read(CHUNK):
                read += len(chunk)
                count(len(chunk))
                if not compression:
                    yield chunk
                while compression and chunk:
                    decoder = decoder or _decoder(compression)
                    yield decoder.decompress(chunk)
                    chunk = decoder.unused_data if decoder.eof else b""
                    decoder = None if decoder.eof else decoder
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (zlib.error, lzma.LZMAError, _zstd_error()) as error:
        raise UserError(
            f"{path}: damaged {compression} data near byte {read} ({error}); fetch the file again."
        ) from error
    if decoder is not None or (compression and not read):
        raise UserError(
            f"{path}: the {compression} data stops after {read} bytes, unfinished; fetch the file again."
        )


def _decoder(compression: str) -> Any:
    if compression == ".gz":
        return zlib.decompressobj(wbits=31)
    if compression == ".xz":
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _decode(data: bytes, path: Path, offset: int) -> str:
    zero = data.find(0)
    if zero >= 0:
        raise UserError(
            f"{path}: byte {offset + zero} is zero, so this is no text file; leave it out of the corpus."
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {offset + error.start} is not valid UTF-8 ({error.reason}); convert the file to UTF-8."
        ) from error


def _lines(path: Path, text_key: str, count: Callable[[int], None]) -> Iterator[Document]:
    offset = 0
    for number, line in enumerate(_split(chunks(path, count)), 1):
        data = line.removeprefix(BOM) if number == 1 else line
        text = _decode(data, path, offset + len(line) - len(data))
        offset += len(line) + 1
        if text.strip():
            yield Document(f"{path} line {number}", _text_of(text, text_key, f"{path}, line {number}"))


def _split(data: Iterator[bytes]) -> Iterator[bytes]:
    """Lines without their \\n, which is the only thing that ends one."""
    tail: list[bytes] = []
    for chunk in data:
        first, *rest = chunk.split(b"\n")
        tail.append(first)
        for line in rest:
            yield b"".join(tail)
            tail = [line]
    if any(tail):
        yield b"".join(tail)


def _text_of(line: str, text_key: str, where: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where}: not a JSON object ({error}); every line of a .jsonl file is one."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(value).__name__}.")
    if text_key not in value:
        keys = ", ".join(sorted(value)) or "none"
        raise UserError(f"{where}: no key {text_key!r} (there are: {keys}); name the right one as text_key.")
    text = value[text_key]
    if not isinstance(text, str):
        raise UserError(
            f"{where}: {text_key!r} is {type(text).__name__}, expected text; name another text_key."
        )
    return text


def _rows(path: Path, text_key: str, count: Callable[[int], None]) -> Iterator[Document]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise UserError(f"{path}: parquet needs pyarrow; install ropewalk[data].") from error
    try:
        file = parquet.ParquetFile(path)
        if text_key not in file.schema_arrow.names:
            names = ", ".join(file.schema_arrow.names)
            raise UserError(
                f"{path}: no column {text_key!r} (there are: {names}); name the right one as text_key."
            )
        row, size, groups = 0, path.stat().st_size, max(1, file.num_row_groups)
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(batch_size=256, row_groups=[group], columns=[text_key]):
                for text in batch.column(0).to_pylist():
                    row += 1
                    if not isinstance(text, str | None):
                        raise UserError(
                            f"{path}: column {text_key!r} is {type(text).__name__}, expected text."
                        )
                    yield Document(f"{path} row {row}", text or "")
            count(size * (group + 1) // groups - size * group // groups)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as parquet ({error}); fetch the file again.") from error
