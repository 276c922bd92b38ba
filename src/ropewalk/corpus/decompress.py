"""The bytes of a local file, decompressed, in chunks, and as strict UTF-8.

Memory is bounded by the longest document, also where a few compressed bytes unpack to many; a document is limited to a
gigabyte and an eighth of the free memory. Sources: RFC 1952 (gzip), RFC 8878 (zstd; windows up to 2**27 bytes are accepted).
"""

import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.system import available_memory
from ropewalk.system.files import refuse_pipe

COMPRESSED = (".gz", ".xz", ".zst")
CHUNK = 1 << 16
PIECE = 1 << 12  # of a compressed file: at most 128 MiB of text, once unpacked (zstd's runs)
LONGEST = 1 << 30  # bytes of a document
SHARE = 8  # a document takes about so many times its bytes while it is prepared
BOM = b"\xef\xbb\xbf"


def file_kind(path: str | Path) -> tuple[str, str]:
    """(ending, compression or ""), e.g. (".jsonl", ".zst")."""
    path = Path(path)
    last = path.suffix.lower()
    return (Path(path.stem).suffix.lower(), last) if last in COMPRESSED else (last, "")


def chunks(path: Path, count: Callable[[int], None]) -> Iterator[bytes]:
    """A file's bytes, decompressed; gzip members, xz streams and zstd frames may follow each other.

    count: called with the bytes read from disk, as they are read.
    """
    _, compression = file_kind(path)
    read, decoder = 0, None
    refuse_pipe(path)
    try:
        with path.open("rb") as file:
            while chunk := file.read(PIECE if compression else CHUNK):
                read += len(chunk)
                count(len(chunk))
                if not compression:
                    yield chunk
                while compression and chunk:
                    decoder = decoder or _decoder(compression, path)
                    unpacked = decoder.decompress(chunk)
                    for start in range(0, len(unpacked), CHUNK):
                        yield unpacked[start : start + CHUNK]
                    chunk = decoder.unused_data if decoder.eof else b""
                    decoder = None if decoder.eof else decoder
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except tuple(_decompression_errors()) as error:
        raise UserError(
            f"{path}: cannot be decompressed near byte {read} ({error}); check that it is {compression} data."
        ) from error
    if decoder or (compression and not read):
        raise UserError(
            f"{path}: the {compression} data stops after {read} bytes, unfinished; fetch the file again."
        )


def bounded(data: Iterator[bytes], path: Path, *, lines: bool) -> Iterator[bytes]:
    """The same chunks; UserError once a document in them is longer than memory allows. lines: each is a document."""
    most, size = min(LONGEST, available_memory.available_bytes() / SHARE), 0
    for chunk in data:
        end = chunk.rfind(b"\n") if lines else -1
        size = size + len(chunk) if end < 0 else len(chunk) - end
        if size > most:
            raise UserError(
                f"{path}: a document is longer than {most / 1e6:,.0f} MB, the most this machine's memory allows; "
                "cut it into several, or leave it out."
            )
        yield chunk


def whole_text(path: Path, count: Callable[[int], None]) -> str:
    """All of a file as text, without a byte order mark."""
    data = b"".join(bounded(chunks(path, count), path, lines=False))
    mark = len(BOM) if data.startswith(BOM) else 0
    return decode(data[mark:], str(path), mark)


def text_lines(
    path: Path, count: Callable[[int], None], *, skip_empty: bool = False
) -> Iterator[tuple[int, str]]:
    r"""(number from 1, text without its \n) of each line; \n is the only thing that ends one.

    skip_empty: pass over lines without a character, however many there are.
    """
    for number, offset, line in _split(bounded(chunks(path, count), path, lines=True), skip_empty):
        mark = len(BOM) if number == 1 and line.startswith(BOM) else 0
        yield number, decode(line[mark:], f"{path}, line {number}", offset + mark)


def decode(data: bytes, where: str, offset: int) -> str:
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


def _split(data: Iterator[bytes], skip_empty: bool) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, place of its first byte, bytes) of each line."""
    tail: list[bytes] = []
    number, offset = 1, 0
    for chunk in data:
        if skip_empty and not tail and not chunk.strip(b"\n"):
            number, offset = number + len(chunk), offset + len(chunk)
            continue
        first, *rest = chunk.split(b"\n")
        if first or rest or tail:
            tail.append(first)
        for following in rest:
            line = b"".join(tail)
            if line or not skip_empty:
                yield number, offset, line
            number, offset = number + 1, offset + len(line) + 1
            tail = [following] if following else []
    if any(tail):
        yield number, offset, b"".join(tail)


def _decoder(compression: str, path: Path) -> Any:
    if compression == ".gz":
        return zlib.decompressobj(wbits=31)
    if compression == ".xz":
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=2**28)
    try:
        import zstandard
    except ImportError as error:
        raise UserError(f"{path}: reading .zst needs zstandard; run: pip install 'ropewalk[data]'") from error
    return zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj()


def _decompression_errors() -> list[type[Exception]]:
    """What the decompressors raise; zstandard's own error once it is loaded."""
    import sys

    zstandard = sys.modules.get("zstandard")
    own = [] if zstandard is None else [zstandard.ZstdError]
    return [zlib.error, lzma.LZMAError, *own]
