"""Reads the documents of one local file: plain text, jsonl or parquet, compressed or not.

A .txt, .md or .py file is one document; a .jsonl file holds one a line, a .parquet file one a row. Text must
be strict UTF-8. Everything is streamed in chunks: memory is bounded by the longest document, not by the file, nor
by what a few compressed bytes unpack to; and a document by a gigabyte and by a share of the memory that is free.
Source of the formats: RFC 8259 (JSON), RFC 1952 (gzip), RFC 8878 (zstd; windows up to 2**27 bytes are
accepted).
"""

import json
import lzma
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

from ropewalk.errors import UserError
from ropewalk.system import available_memory

TEXT = (".txt", ".md", ".py")
COMPRESSED = (".gz", ".xz", ".zst")
ACCEPTED = f"{', '.join(TEXT)} or .jsonl (also followed by {', '.join(COMPRESSED)}) or .parquet"
CHUNK = 1 << 16
PIECE = 1 << 12  # of a compressed file: at most 128 MiB of text, once unpacked (zstd's runs)
LONGEST = 1 << 30  # bytes of a document
SHARE = 8  # a document takes about so many times its bytes while it is prepared
ROWS = 256
BOM = b"\xef\xbb\xbf"


class Document(NamedTuple):
    """A text and where it was found, in words fit for an error message."""

    name: str
    text: str


def readable(path: Path) -> bool:
    """Whether the name's ending is one that can be read."""
    kind, compression = _kind(path)
    return kind in (*TEXT, ".jsonl") or (kind == ".parquet" and not compression)


def expansion(path: Path) -> int:
    """A cautious guess of how many bytes of text a byte of the file holds."""
    kind, compression = _kind(path)
    return 2 if compression or kind == ".parquet" else 1


def documents(path: Path, text_key: str, count: Callable[[int], None]) -> Iterator[Document]:
    """The documents of a readable file in order; `count` is told the bytes read from disk."""
    kind, _ = _kind(path)
    if kind == ".parquet":
        yield from _rows(path, text_key, count)
    elif kind == ".jsonl":
        yield from _lines(path, text_key, count)
    else:
        data = b"".join(_bounded(chunks(path, count), path))
        mark = len(BOM) if data.startswith(BOM) else 0
        yield Document(str(path), _decode(data[mark:], str(path), mark))


def chunks(path: Path, count: Callable[[int], None]) -> Iterator[bytes]:
    """A file's bytes, decompressed; gzip members, xz streams and zstd frames may follow each other."""
    _, compression = _kind(path)
    read, decoder = 0, None
    try:
        with path.open("rb") as file:
            while chunk := file.read(PIECE if compression else CHUNK):
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
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        raise UserError(
            f"{path}: cannot be decompressed near byte {read} ({error}); check that it is {compression} data."
        ) from error
    if decoder or (compression and not read):
        raise UserError(
            f"{path}: the {compression} data stops after {read} bytes, unfinished; fetch the file again."
        )


def need_key(text_key: str, keys: Collection[str], where: str) -> None:
    """UserError naming the keys there are, unless the text's key is one of them."""
    if text_key not in keys:
        found = ", ".join(sorted(keys)) or "none"
        raise UserError(f"{where}: no key {text_key!r} (there are: {found}); set text_key to one of them.")


def need_text(value: Any, text_key: str, where: str) -> str:
    """The text, "" for a null; UserError for anything else."""
    if not isinstance(value, str | None):
        raise UserError(
            f"{where}: {text_key!r} is {type(value).__name__}, expected text; set text_key to another key."
        )
    return value or ""


def _kind(path: Path) -> tuple[str, str]:
    """(ending, compression or ""), e.g. (".jsonl", ".zst")."""
    last = path.suffix.lower()
    return (Path(path.stem).suffix.lower(), last) if last in COMPRESSED else (last, "")


def _decoder(compression: str) -> Any:
    if compression == ".gz":
        return zlib.decompressobj(wbits=31)
    if compression == ".xz":
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=2**28)
    return zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()


def _decode(data: bytes, where: str, offset: int) -> str:
    """Text of the bytes that start at `offset` of the (decompressed) file."""
    zero = data.find(0)
    if zero >= 0:
        raise UserError(f"{where}: byte {offset + zero} is zero, so this is no text; leave the file out.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where}: byte {offset + error.start} is not UTF-8 ({error.reason}); convert the file to UTF-8."
        ) from error


def _bounded(data: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """The same chunks of one file; UserError once a document in them is longer than memory is for."""
    most, size = min(LONGEST, available_memory.available_bytes() / SHARE), 0
    for chunk in data:
        end = chunk.rfind(b"\n") if _kind(path)[0] == ".jsonl" else -1
        size = size + len(chunk) if end < 0 else len(chunk) - end
        if size > most:
            raise UserError(
                f"{path}: a document is longer than {most / 1e6:,.0f} MB, which is what this machine's memory is "
                "good for; cut it into several, or leave it out."
            )
        yield chunk


def _lines(path: Path, text_key: str, count: Callable[[int], None]) -> Iterator[Document]:
    offset = 0
    for number, line in enumerate(_split(_bounded(chunks(path, count), path)), 1):
        mark = len(BOM) if number == 1 and line.startswith(BOM) else 0
        where = f"{path}, line {number}"
        text = _decode(line[mark:], where, offset + mark)
        offset += len(line) + 1
        if text.strip():
            yield Document(where, _member(text, text_key, where))


def _split(data: Iterator[bytes]) -> Iterator[bytes]:
    r"""Lines without their \n, which is the only thing that ends one."""
    tail: list[bytes] = []
    for chunk in data:
        first, *rest = chunk.split(b"\n")
        tail.append(first)
        for line in rest:
            yield b"".join(tail)
            tail = [line]
    if any(tail):
        yield b"".join(tail)


def _member(line: str, text_key: str, where: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where}: not JSON ({error}); every line of a .jsonl file is one JSON object."
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(value).__name__}.")
    need_key(text_key, value, where)
    return need_text(value[text_key], text_key, where)


def _rows(path: Path, text_key: str, count: Callable[[int], None]) -> Iterator[Document]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(f"{path}: reading parquet needs pyarrow; install ropewalk[data].") from error
    try:
        size, row = path.stat().st_size, 0
        with parquet.ParquetFile(path) as file:
            need_key(text_key, file.schema_arrow.names, str(path))
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS, row_groups=[group], columns=[text_key]):
                    for value in batch.column(0).to_pylist():
                        row += 1
                        where = f"{path}, row {row}"
                        yield Document(where, need_text(value, text_key, where))
                count(size * (group + 1) // file.num_row_groups - size * group // file.num_row_groups)
    except (OSError, ValueError, NotImplementedError) as error:
        told = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as parquet ({told}); fetch the file again.") from error
