"""Files and folders as a source."""

import os
from pathlib import Path

import pytest

from ropewalk.corpus.files import Files
from ropewalk.errors import UserError


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        Files.at(path, "text", "source")
    return str(caught.value)


def texts(source: Files) -> list[str]:
    return [document.text for document in source.documents(lambda _: None)]


def test_a_folder_is_read_in_sorted_order_without_hidden_and_foreign_files(tmp_path: Path) -> None:
    for name in ["b.txt", "a/z.md", "a/b/c.py", ".git/x.txt", ".hidden.txt", "image.png", "a.parquet.gz"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    source = Files.at(tmp_path, "text", "source")
    assert texts(source) == ["a/b/c.py", "a/z.md", "b.txt"]
    assert source.total == len("a/b/c.py" + "a/z.md" + "b.txt")
    assert [name for name, _ in source.fingerprint()] == ["a/b/c.py", "a/z.md", "b.txt"]


def test_missing_unknown_and_unreadable_paths_are_refused(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nowhere")
    assert ".csv, .tsv or .jsonl (also followed by .gz, .xz, .zst) or .parquet" in refusal(tmp_path)
    (tmp_path / "a.docx").write_text("x")
    assert "pandoc" in refusal(tmp_path / "a.docx")
    (tmp_path / "a.unknown").write_text("x")
    assert "a text file ends in .txt" in refusal(tmp_path / "a.unknown")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    source = Files.at(path, "text", "source")
    stream = source.documents(lambda _: None)
    next(stream)
    path.write_text("after, and longer")
    with pytest.raises(UserError, match="changed while it was being read"):
        next(stream)


def test_a_file_that_goes_away_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    source = Files.at(path, "text", "source")
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        source.fingerprint()
    with pytest.raises(UserError, match="cannot be read"):
        texts(source)


def test_a_folder_that_may_not_be_listed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.txt").write_text("x")
    list_folder = os.scandir

    def scandir(path: str | Path):
        if str(path).endswith("inner"):
            raise PermissionError(13, "Permission denied", str(path))
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert f"{tmp_path / 'inner'}: cannot be read (Permission denied)" in refusal(tmp_path)


def test_a_pattern_is_a_source(tmp_path: Path) -> None:
    for name in ("a/1.txt", "a/2.txt", "b/3.txt", "b/4.md", "c.rst"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = Files.at(tmp_path / "*" / "*.txt", None, "x")
    assert [document.text for document in found.documents(lambda _: None)] == [
        "a/1.txt",
        "a/2.txt",
        "b/3.txt",
    ]
    assert [name for name, _ in found.fingerprint()] == ["a/1.txt", "a/2.txt", "b/3.txt"]
    both = Files.at(str(tmp_path / "[ab]*"), None, "x")
    assert [path.name for path in both.paths] == ["1.txt", "2.txt", "3.txt", "4.md"]
    with pytest.raises(UserError, match="matches no file"):
        Files.at(tmp_path / "*.none", None, "x")
    with pytest.raises(UserError, match="convert it first: pandoc"):
        Files.at(tmp_path / "*.rs?", None, "x")
