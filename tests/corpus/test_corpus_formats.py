"""Reading one file: every ending, every compression, and a clear sentence for every kind of damage."""

import gzip
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.corpus import decompress, formats
from ropewalk.errors import UserError

TEXTS = ["one\ntwo", "龍虎狗\u2028still the same line", "\x85 and \x0b too", "end"]
LINES = "".join(json.dumps({"text": text, "id": 1}, ensure_ascii=False) + "\n" for text in TEXTS).encode()
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


def read(path: Path, text_key: str = "text") -> list[str]:
    return [document.text for document in formats.documents(path, text_key, lambda _: None)]


def refusal(path: Path, text_key: str = "text") -> str:
    with pytest.raises(UserError) as caught:
        read(path, text_key)
    return str(caught.value)


@pytest.mark.parametrize("compression", COMPRESS)
@pytest.mark.parametrize("ending", formats.TEXT)
def test_a_text_file_is_one_document(tmp_path: Path, ending: str, compression: str) -> None:
    path = tmp_path / f"a{ending}{compression}"
    path.write_bytes(COMPRESS[compression]("línea\r\n龍\n".encode()))
    assert formats.readable(path)
    assert read(path) == ["línea\r\n龍\n"]


@pytest.mark.parametrize("compression", COMPRESS)
def test_a_jsonl_file_is_one_document_a_line(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"a.jsonl{compression}"
    path.write_bytes(COMPRESS[compression](LINES))
    seen: list[int] = []
    documents = list(formats.documents(path, "text", seen.append))
    assert [document.text for document in documents] == TEXTS
    assert documents[2].name == f"{path}, line 3"
    assert sum(seen) == path.stat().st_size


@pytest.mark.parametrize("compression", [".gz", ".xz", ".zst"])
def test_compressed_parts_may_follow_each_other(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"a.jsonl{compression}"
    path.write_bytes(COMPRESS[compression](LINES) + COMPRESS[compression](LINES))
    assert read(path) == TEXTS * 2


def test_zstd_with_a_window_of_128_mib(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.zst"
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path.write_bytes(compressor.compress(b"far " * 1000) + compressor.flush())
    assert read(path) == ["far " * 1000]


@pytest.mark.parametrize("compression", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("keep", [0, 0.5])
def test_truncated_compression_is_refused(tmp_path: Path, compression: str, keep: float) -> None:
    path = tmp_path / f"a.jsonl{compression}"
    whole = COMPRESS[compression](b"".join(b'{"text": "%d"}\n' % number for number in range(999)))
    path.write_bytes(whole[: int(len(whole) * keep)])
    assert f"the {compression} data stops after {path.stat().st_size} bytes" in refusal(path)


@pytest.mark.parametrize("compression", [".gz", ".xz", ".zst"])
def test_what_is_not_compressed_at_all_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / f"a.txt{compression}"
    path.write_bytes(b"plain text, in truth")
    assert "cannot be decompressed near byte 20" in refusal(path)


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=8),
    size=st.integers(1, 40),
    ascii_only=st.booleans(),
)
def test_lines_survive_any_chunking(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "a.jsonl"
    lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) for text in texts]
    path.write_bytes("\n".join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decompress, "CHUNK", size)
        assert read(path) == texts


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\n  \n{"text": "b"}')
    assert read(path) == ["a", "b"]
    text = tmp_path / "a.txt"
    text.write_bytes(b"\xef\xbb\xbfa")
    assert read(text) == ["a"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"text": ', "line 2: not JSON"),
        (b"[1]", "line 2: expected a JSON object, got list"),
        (b'{"body": "x", "id": 1}', "line 2: no key 'text' (there are: body, id); set text_key"),
        (b"{}", "line 2: no key 'text' (there are: none)"),
        (b'{"text": 7}', "line 2: 'text' is int, expected text"),
        (b'{"text": "\xff"}', "line 2: byte 25 is not UTF-8"),
        (b'{"text": "\0"}', "line 2: byte 25 is zero"),
        (b"[" * 100_000, "line 2: not JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, expected: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "ok"}\n' + line + b"\n")
    message = refusal(path)
    assert message.startswith(str(path))
    assert expected in message


def test_another_text_key_and_null_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"body": "x"}\n{"body": null}\n')
    assert read(path, "body") == ["x", ""]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"abc\xe9\x94", "byte 3 is not UTF-8"),
        (b"\xef\xbb\xbfa\xff", "byte 4 is"),
        (b"ELF\0", "byte 3 is zero"),
    ],
)
def test_binary_and_half_utf8_files_are_refused(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert f"{path}: {expected}" in refusal(path)


def test_parquet_rows_are_documents(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    texts = [f"row {number}" for number in range(1000)] + [None]
    parquet.write_table(pa.table({"text": texts, "id": range(1001)}), path, row_group_size=300)
    seen: list[int] = []
    documents = list(formats.documents(path, "text", seen.append))
    assert [document.text for document in documents] == [*texts[:-1], ""]
    assert documents[999].name == f"{path}, row 1000"
    assert sum(seen) == path.stat().st_size
    assert "no key 'body' (there are: id, text)" in refusal(path, "body")
    assert "row 1: 'id' is int, expected text" in refusal(path, "id")
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read as parquet" in refusal(path)


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "ropewalk[data]" in refusal(tmp_path / "a.parquet")
