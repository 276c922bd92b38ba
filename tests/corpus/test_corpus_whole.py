"""A prepared corpus is whole or not there; preparing takes little memory; the disk is looked at first."""

import errno
import importlib
import os
import shutil
import tracemalloc
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ropewalk.corpus import CorpusConfig, prepare, windows
from ropewalk.corpus.files import Files
from ropewalk.corpus.formats import Document
from ropewalk.errors import UserError

MODULE: Any = importlib.import_module("ropewalk.corpus.prepare")
CONFIG = CorpusConfig.model_validate({"sources": [{"path": "given by the test"}], "validation_documents": 5})


class Given:
    """A source of so many documents of a size in characters; `then` happens before the last of them."""

    name = "given"
    total: int | None = None
    estimate = 0

    def __init__(self, number: int, size: int = 10, then: Callable[[], None] = lambda: None) -> None:
        self.number, self.size, self.then = number, size, then

    def fingerprint(self) -> Any:
        return [self.number, self.size]

    def documents(self, count: Callable[[int], None]) -> Generator[Document, None, None]:
        for number in range(self.number):
            if number == self.number - 1:
                self.then()
            yield Document(f"document {number}", f"{number:0{self.size}}")


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Callable[[Given], None]:
    def give(source: Given) -> None:
        monkeypatch.setattr(MODULE, "open_source", lambda *_: source)

    return give


def corpora(cache: Path) -> list[Path]:
    return sorted((cache / "corpora").iterdir())


@pytest.mark.parametrize(
    "error", [RuntimeError("out of the blue"), KeyboardInterrupt(), UserError("a mistake")]
)
def test_an_interrupted_preparation_leaves_nothing(
    cache: Path, give: Callable[[Given], None], error: BaseException
) -> None:
    seen: list[list[Path]] = []

    def fail() -> None:
        seen.append(corpora(cache))
        raise error

    give(Given(50, then=fail))
    with pytest.raises(type(error)):
        prepare(CONFIG, cache)
    assert [len(folders) for folders in seen] == [1]  # it had begun to write
    assert corpora(cache) == []
    give(Given(50))
    assert prepare(CONFIG, cache).info["documents"] == {"train": 45, "validation": 5}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_sentence(cache: Path, give: Callable[[Given], None], code: int) -> None:
    def fail() -> None:
        raise OSError(code, os.strerror(code))

    give(Given(50, then=fail))
    with pytest.raises(UserError, match=rf"cannot be written \({os.strerror(code)}\); free some disk"):
        prepare(CONFIG, cache)
    assert corpora(cache) == []


def test_a_cache_that_cannot_be_made_is_one_sentence(tmp_path: Path, give: Callable[[Given], None]) -> None:
    give(Given(50))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        prepare(CONFIG, tmp_path / "file")


def test_others_may_read_it_as_the_umask_says(cache: Path, give: Callable[[Given], None]) -> None:
    give(Given(50))
    assert prepare(CONFIG, cache).folder.stat().st_mode == cache.stat().st_mode


def test_two_preparations_at_once_do_not_collide(cache: Path, give: Callable[[Given], None]) -> None:
    others: list[Path] = []

    def meanwhile() -> None:
        give(Given(50))
        others.append(prepare(CONFIG, cache).folder)

    give(Given(50, then=meanwhile))
    mine = prepare(CONFIG, cache)
    assert [mine.folder] == others == corpora(cache)
    mine.verify()


def test_what_a_killed_preparation_left_is_removed(cache: Path, give: Callable[[Given], None]) -> None:
    old, fresh = cache / "corpora" / ".aaa-old", cache / "corpora" / ".aaa-fresh"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "train.bin").write_bytes(b"half")
    for path in (old / "train.bin", old):
        os.utime(path, (1, 1))
    give(Given(50))
    made = prepare(CONFIG, cache)
    assert corpora(cache) == [made.folder]


def test_the_disk_is_looked_at_first(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x" * 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1999))
    settings = {"sources": [{"path": "a.txt"}], "root": tmp_path, "validation_documents": 1}
    with pytest.raises(UserError, match=r"at least 0\.00 GB and 0\.00 GB are free; free some disk"):
        prepare(CorpusConfig.model_validate(settings), cache)
    with pytest.raises(UserError, match="expected at least 2"):  # how much a capped corpus takes is not known
        prepare(CorpusConfig.model_validate({**settings, "documents": 5}), cache)


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_corpus(cache: Path, give: Callable[[Given], None]) -> None:
    give(Given(400, size=100_000))  # 40 MB of text, 80 MB of tokens
    assert peak(lambda: prepare(CONFIG, cache)) < 4_000_000


def test_memory_does_not_grow_with_a_compressed_file(tmp_path: Path) -> None:
    import gzip

    noise = np.random.default_rng(0).integers(32, 127, 2_000_000, np.uint8).tobytes().replace(b'"', b" ")
    noise = noise.replace(b"\\", b" ")
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for start in range(0, len(noise), 1000):
            file.write(b'{"text": "%s"}\n' % (noise[start : start + 1000] * 10))

    def read() -> None:
        source = Files.at(path, "text", "source")
        assert sum(len(document.text) for document in source.documents(lambda _: None)) == 20_000_000

    assert peak(read) < 8_000_000


def test_windows_of_a_prepared_corpus(cache: Path, give: Callable[[Given], None]) -> None:
    give(Given(50))
    made = prepare(CONFIG, cache)
    batch = windows.batch(made.train, seed=0, step=0, size=3, context=21)
    assert batch.shape == (3, 22)
    assert (batch == 256).sum(1).tolist() == [2, 2, 2]  # every document of ten bytes ends with END
