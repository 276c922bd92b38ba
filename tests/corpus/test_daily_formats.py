"""Tables, notebooks, other programs' files, guessed keys: read, or refused with the command that converts."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ropewalk.corpus import formats
from ropewalk.corpus.files import read_files
from ropewalk.errors import UserError
from ropewalk.system import available_memory
from ropewalk.system.text_files import read_text


def read(path: Path, text_key: str | None = None) -> list[str]:
    return [document.text for document in formats.documents(path, text_key, lambda _: None)]


def refusal(path: Path, text_key: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read(path, text_key)
    return str(caught.value)


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("tsv", "\t")])
def test_a_column_of_a_table(tmp_path: Path, ending: str, separator: str) -> None:
    path = tmp_path / f"a.{ending}"
    rows = [["id", "text"], ["1", "one"], ["2", '"two, ""three""\nlines; and more"'], ["3", ""]]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(separator.join(row) for row in rows).encode())
    assert read(path) == ["one", 'two, "three"\nlines; and more', ""]
    assert read(path, "id") == ["1", "2", "3"]
    assert "no key 'body' (there are: id, text)" in refusal(path, "body")


def test_a_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a\n2,b,c\n")
    assert "line 3: 3 cells under 2 column names" in refusal(tmp_path / "a.csv")


def test_short_rows_and_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1\n2,b\n")
    assert read(tmp_path / "a.csv") == ["", "b"]
    (tmp_path / "b.csv").write_text("text,id,text\na,1,b\n")
    assert "2 columns are named 'text'" in refusal(tmp_path / "b.csv")
    assert read(tmp_path / "b.csv", "id") == ["1"]


@pytest.mark.parametrize(
    "notebook",
    [
        {"worksheets": 5},
        {"worksheets": ["a"]},
        {"worksheets": [{"cells": 3}]},
        {"cells": [1]},
        {"cells": None},
    ],
)
def test_what_is_no_notebook(tmp_path: Path, notebook: dict[str, object]) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    assert "not a notebook" in refusal(tmp_path / "a.ipynb")


def test_a_key_that_holds_no_text_is_named_with_the_way_to_another(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": 5}\n')
    said = refusal(tmp_path / "a.jsonl")
    assert "line 1: 'text' is int, expected text" in said and "--text-key KEY" in said
    (tmp_path / "b.jsonl").write_text('{"text": 5, "poem": "x", "song": "y"}\n')
    assert read_files([tmp_path / "b.jsonl"], "song") == "y"


def test_an_archive_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04abc")
    with pytest.raises(UserError, match=r"a\.zip is no plain text; unpack it"):
        read_text(tmp_path / "a.zip")


def test_a_notebook_is_its_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"text": "not this"}]},
        {"cell_type": "code", "source": []},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert read(tmp_path / "a.ipynb") == ["# Title\ntext\n\nx = 1"]
    (tmp_path / "b.ipynb").write_text("{}")
    assert "not a notebook" in refusal(tmp_path / "b.ipynb")


@pytest.mark.parametrize(
    ("record", "key"),
    [
        ({"text": "x", "content": "y"}, "text"),
        ({"id": 1, "content": "x", "title": "y"}, "content"),
        ({"id": 1, "poem": "x"}, "poem"),
    ],
)
def test_the_obvious_key_is_taken_and_said(
    tmp_path: Path, caplog, record: dict[str, object], key: str
) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n" + json.dumps({**record, key: None}))
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path / "a.jsonl") == ["x", ""]
    assert (repr(key) in caplog.text) == (key != "text")


def test_a_key_that_is_not_obvious_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"poem": "x", "song": "y"}))
    message = refusal(tmp_path / "a.jsonl")
    assert (
        "there are: poem, song" in message
        and "--text-key KEY" in message
        and "corpus.text_key=KEY" in message
    )
    assert read(tmp_path / "a.jsonl", "song") == ["y"]


def test_a_lone_surrogate_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b\\udcff"}\n')
    assert f"{tmp_path / 'a.jsonl'}, line 2: 'text' holds half of a character" in refusal(
        tmp_path / "a.jsonl"
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a b.docx", "pandoc '{}'"),
        ("a.html", "pandoc {}"),
        ("a.pdf", "pdftotext -layout {}"),
        ("a.doc", "soffice"),
    ],
)
def test_what_other_programs_write_is_refused_with_the_command(
    tmp_path: Path, name: str, command: str
) -> None:
    assert not formats.readable(tmp_path / name)
    with pytest.raises(UserError) as caught:
        formats.refuse(tmp_path / name)
    assert command.format(tmp_path / name) in str(caught.value)
    (tmp_path / name).write_bytes(b"%PDF-1.7" if name.endswith("pdf") else b"PK\x03\x04")
    with pytest.raises(UserError, match="convert it first"):
        read_text(tmp_path / name)


def test_markup_is_text_on_standard_input_only(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>One</p>")
    with pytest.raises(
        UserError, match=r"pandoc .*a\.html .*; or read the markup itself from standard input"
    ):
        read_text(tmp_path / "a.html")
    assert read_text(b"<p>One</p>") == "<p>One</p>"


def test_several_files_of_several_kinds_are_one_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "b.csv").write_text("id,text\n1,second\n2,third\n")
    (tmp_path / "c.jsonl").write_text('{"text": "fourth"}\n')
    (tmp_path / "d.log").write_text("fifth\n")
    names = [str(tmp_path / "[ab].*"), tmp_path / "c.jsonl", tmp_path / "d.log"]
    assert read_files(names) == "first\n\nsecond\n\nthird\n\nfourth\n\nfifth\n"
    assert read_files([tmp_path / "d.log"]) == "fifth\n"
    assert read_files([tmp_path]) == "first\n\nsecond\n\nthird\n\nfourth"  # a folder's files of known kinds


def test_several_files_that_do_not_fit_in_memory_are_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "0123456789"}\n' * 9)
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 8 * 60)
    with pytest.raises(UserError, match="longer than the 0 MB"):
        read_files([tmp_path / "a.jsonl"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named_with_and_without_its_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("A letter, and 文字.".encode(encoding))
    with pytest.raises(UserError, match=r"got UTF-16; convert it first: iconv -f UTF-16"):
        read_text(tmp_path / "a.txt")


def test_zeros_alone_make_no_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\0b and more")
    assert read_text(tmp_path / "a.txt") == "a\0b and more"


def test_a_flood_of_empty_lines_takes_no_memory(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    import tracemalloc

    path = tmp_path / "a.jsonl.zst"
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        writer.write(b'{"text": "first"}\n')
        for _ in range(24):
            writer.write(b"\n" * (1 << 24))
        writer.write(b'{"text": "last"}\n')
    tracemalloc.start()
    found = list(formats.documents(path, None, lambda _: None))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [document.text for document in found] == ["first", "last"]
    assert found[1].name == f"{path}, line {2 + (24 << 24)}"
    assert peak < 300 << 20  # a piece of the compressed file unpacks to 128 MB at most, held twice
