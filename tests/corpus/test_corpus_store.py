"""A prepared corpus on disk: it opens again, cannot be written through, and shows every kind of damage."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus import Corpus, CorpusConfig, prepare
from ropewalk.errors import UserError


@pytest.fixture
def made(jsonl: Callable[[str, Iterable[str]], Path], tmp_path: Path, cache: Path) -> Corpus:
    jsonl("a.jsonl", (f"document {number}" for number in range(30)))
    config = CorpusConfig.model_validate(
        {"sources": [{"path": "a.jsonl"}], "root": tmp_path, "validation_documents": 5}
    )
    return prepare(config, cache=cache, progress=False)


def test_it_opens_again_read_only(made: Corpus) -> None:
    again = Corpus.open(made.folder)
    assert again.hash == made.hash == made.folder.name
    assert again.info == made.info
    assert np.array_equal(again.train, made.train) and again.train.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        again.train[0] = 0
    again.verify()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_verify_sees_a_token_that_changed_under_a_running_job(made: Corpus, split: str) -> None:
    path = made.folder / f"{split}.bin"
    with path.open("r+b") as file:
        file.seek(6)
        file.write(b"Z\0")
    Corpus.open(made.folder)  # the size is right: opening is quick and looks no further
    with pytest.raises(UserError, match=rf"{split}.bin: the tokens changed.*prepare the corpus again"):
        made.verify()


def test_verify_sees_a_corpus_that_was_replaced_or_removed(made: Corpus) -> None:
    index = made.folder / "index.json"
    info = json.loads(index.read_text())
    (made.folder / "train.bin").rename(made.folder / "kept")
    with pytest.raises(UserError, match=r"train.bin: cannot be read"):
        made.verify()
    from ropewalk.corpus.store import seal

    index.write_text(json.dumps(seal({**info, "hash": "other"})))
    with pytest.raises(UserError, match="the index changed since it was opened"):
        made.verify()


def test_sizes_are_checked_on_opening(made: Corpus) -> None:
    path = made.folder / "validation.bin"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match=rf"validation.bin: expected {size} bytes, got {size - 2}"):
        Corpus.open(made.folder)
    path.unlink()
    with pytest.raises(UserError, match=r"validation.bin: cannot be read"):
        Corpus.open(made.folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the index cannot be read"),
        (b"\xff", "the index cannot be read"),
        (b"[]", "expected a corpus of schema 1, got None"),
        (b'{"schema": 2}', "expected a corpus of schema 1, got 2"),
        (b'{"schema": 1}', "does not match its own hash"),
    ],
)
def test_a_damaged_index_is_refused(made: Corpus, content: bytes, expected: str) -> None:
    (made.folder / "index.json").write_bytes(content)
    with pytest.raises(UserError, match=expected):
        Corpus.open(made.folder)


def test_a_count_changed_by_hand_is_refused(made: Corpus) -> None:
    index = made.folder / "index.json"
    info = json.loads(index.read_text())
    info["documents"]["train"] += 1
    index.write_text(json.dumps(info))
    with pytest.raises(UserError, match="does not match its own hash"):
        Corpus.open(made.folder)


def test_a_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prepared corpus there"):
        Corpus.open(tmp_path)
