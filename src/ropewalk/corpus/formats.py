"""Reads the documents of one local file: plain text, notebooks, jsonl, tables or parquet, compressed or not.

A .txt, .md, .py or .ipynb file is one document (a notebook's cells, joined by blank lines); a .jsonl file holds one a
line, a .csv, .tsv or .parquet file one a row. Text must be strict UTF-8. Everything but notebooks is streamed. What
other programs write (.docx, .html, .pdf, ...) is refused with the command that converts it. Sources: RFC 8259 (JSON),
RFC 4180 (CSV), the nbformat schema (notebooks).
"""

import csv
import json
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ropewalk.corpus.decompress import COMPRESSED, SHARE, file_kind, text_lines, whole_text
from ropewalk.corpus.text_keys import choose_key, need_key, need_text
from ropewalk.errors import UserError
from ropewalk.system.files import refuse_pipe
from ropewalk.system.text_files import conversion

__all__ = ["SHARE", "Document", "documents", "expansion", "readable", "refuse", "structured"]

TEXT = (".txt", ".md", ".py")
LINES = (".jsonl", ".csv", ".tsv")
ACCEPTED = f"{', '.join(TEXT)}, .ipynb, {', '.join(LINES[1:])} or .jsonl (also followed by {', '.join(COMPRESSED)}) or .parquet"
ROWS = 256
Count = Callable[[int], None]


class Document(NamedTuple):
    """A text and where it was found, as an error message names it."""

    name: str
    text: str


def readable(path: str | Path) -> bool:
    """Whether the name's ending is one that can be read."""
    kind, compression = file_kind(path)
    return kind in (*TEXT, *LINES, ".ipynb") or (kind == ".parquet" and not compression)


def structured(path: str | Path) -> bool:
    """Whether a readable file is a table, a notebook or compressed, so that its text is not its bytes."""
    kind, compression = file_kind(path)
    return readable(path) and (kind not in TEXT or bool(compression))


def refuse(path: str | Path) -> NoReturn:
    """The UserError for a file that is not readable; names the command that converts it, where there is one."""
    path = Path(path)
    if (command := conversion(path)) is not None:
        raise UserError(f"{path}: {path.suffix} files are not read; convert it first: {command}")
    raise UserError(f"{path}: a text file ends in {ACCEPTED}; convert it or name another file.")


def expansion(path: str | Path) -> int:
    """A cautious guess of how many bytes of text a byte of the file holds."""
    kind, compression = file_kind(path)
    return 2 if compression or kind == ".parquet" else 1


def documents(path: str | Path, text_key: str | None, count: Count) -> Iterator[Document]:
    """The documents of a readable file in order. text_key: None for the obvious one, see `ropewalk.corpus.text_keys`.

    count: called with the bytes read from disk, as they are read.
    """
    path = Path(path)
    kind, _ = file_kind(path)
    if kind == ".parquet":
        yield from _parquet_rows(path, text_key, count)
    elif kind == ".jsonl":
        yield from _json_lines(path, text_key, count)
    elif kind in (".csv", ".tsv"):
        yield from _table_rows(path, text_key, count)
    elif kind == ".ipynb":
        yield Document(str(path), _notebook(whole_text(path, count), str(path)))
    else:
        yield Document(str(path), whole_text(path, count))


def _json_lines(path: Path, text_key: str | None, count: Count) -> Iterator[Document]:
    key = None
    for number, line in text_lines(path, count, skip_empty=True):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = _json_object(line, where, "every line of a .jsonl file is one JSON object")
        key = key or choose_key(text_key, record, where)
        need_key(key, record, where)
        yield Document(where, need_text(record[key], key, where))


def _json_object(text: str, where: str, expected: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON ({error}); {expected}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, got {type(value).__name__}.")
    return value


def _table_rows(path: Path, text_key: str | None, count: Count) -> Iterator[Document]:
    """Rows of a .csv or .tsv file with a header; a .csv may be separated by commas, semicolons or tabs."""
    lines = (f"{line}\n" for _, line in text_lines(path, count))
    header = next(lines, "")
    separator = "\t" if file_kind(path)[0] == ".tsv" else max(",;\t", key=header.count)
    csv.field_size_limit(1 << 30)
    names = next(csv.reader([header], delimiter=separator), [])
    reader, key = csv.reader(lines, delimiter=separator, strict=True), None
    try:
        for row in reader:
            where = f"{path}, line {reader.line_num + 1}"
            if not row:
                continue
            if len(row) > len(names):
                raise UserError(
                    f"{where}: {len(row)} cells under {len(names)} column names; correct the file."
                )
            record = dict(zip_longest(names, row, fillvalue=""))
            key = key or choose_key(text_key, record, where)
            if names.count(key) > 1:
                raise UserError(f"{path}: {names.count(key)} columns are named {key!r}; rename all but one.")
            yield Document(where, need_text(record[key], key, where))
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num + 1}: not CSV ({error}); correct the file."
        ) from error


def _notebook(text: str, where: str) -> str:
    notebook = _json_object(text, where, "a notebook is one JSON object")
    sheets = notebook.get("worksheets", [notebook])
    lists = [
        sheet.get("cells") if isinstance(sheet, dict) else None
        for sheet in (sheets if isinstance(sheets, list) else [None])
    ]
    cells: list[Any] = [cell for some in lists for cell in (some if isinstance(some, list) else [None])]
    if not all(isinstance(cell, dict) for cell in cells):
        raise UserError(f"{where}: not a notebook (it has no list of cells); save it again in Jupyter.")
    sources = []
    for cell in cells:
        source = cell.get("source", cell.get("input", ""))
        parts = source if isinstance(source, list) else [source]
        sources.append("".join(need_text(part, "source", where) for part in parts))
    return "\n\n".join(source for source in sources if source)


def _parquet_rows(path: Path, text_key: str | None, count: Count) -> Iterator[Document]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{path}: reading parquet needs pyarrow; run: pip install 'ropewalk[data]'"
        ) from error
    refuse_pipe(path)
    try:
        size, row = path.stat().st_size, 0
        with parquet.ParquetFile(path) as file:
            columns = {
                field.name: ""
                if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
                else 0
                for field in file.schema_arrow
            }
            key = choose_key(text_key, columns, str(path))
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(ROWS, row_groups=[group], columns=[key]):
                    for value in batch.column(0).to_pylist():
                        row += 1
                        where = f"{path}, row {row}"
                        yield Document(where, need_text(value, key, where))
                count(size * (group + 1) // file.num_row_groups - size * group // file.num_row_groups)
    except (OSError, ValueError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read as parquet ({reason}); fetch the file again.") from error
