"""Preparing: what is held out, trained on and dropped, and what a prepared corpus is named after."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.corpus import Corpus, CorpusConfig, prepare
from ropewalk.errors import UserError
from ropewalk.system.cache_folder import cache_folder

Write = Callable[[str, Iterable[str]], Path]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)


def corpus(root: Path, *names: str, **options: Any) -> Corpus:
    config = CorpusConfig.model_validate(
        {"sources": [{"path": name} for name in names], "root": root, "validation_documents": 2, **options}
    )
    return prepare(config, cache=root / "cache", progress=False)


def refusal(root: Path, *names: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        corpus(root, *names, **options)
    left = root / "cache" / "corpora"
    assert not left.exists() or not list(left.iterdir())
    return str(caught.value)


def texts(tokens: np.ndarray) -> list[str]:
    """The documents of a split; every one of them ends with END."""
    *documents, rest = "".join(chr(token) for token in tokens).split(chr(256))
    assert rest == ""
    return [document.encode("latin-1").decode() for document in documents]


def test_two_sources_alternate_and_the_head_is_held_out(tmp_path: Path, jsonl: Write) -> None:
    jsonl("en.jsonl", ["e1", "e2", "e3"])
    jsonl("zh.jsonl", ["龍一", "龍二", "龍三", "龍四", "龍五"])
    made = corpus(tmp_path, "en.jsonl", "zh.jsonl", validation_documents=3)
    assert texts(made.validation) == ["e1", "龍一", "e2"]
    assert texts(made.train) == ["龍二", "e3", "龍三", "龍四", "龍五"]
    assert made.info["documents"] == {"train": 5, "validation": 3}
    assert made.info["bytes"] == {"train": 2 + 6 * 4, "validation": 2 * 2 + 6}
    assert made.info["tokens"] == {"train": len(made.train), "validation": len(made.validation)}
    assert made.info["sources"] == [
        {"name": "en.jsonl", "documents": 3, "bytes": 6, "empty": 0, "duplicate": 0, "overlap": 0},
        {"name": "zh.jsonl", "documents": 5, "bytes": 30, "empty": 0, "duplicate": 0, "overlap": 0},
    ]


def test_the_number_of_documents_can_be_capped(tmp_path: Path, jsonl: Write) -> None:
    jsonl("a.jsonl", ["1", "", "2", "3", "4", "5"])
    with jsonl("broken.jsonl", ["a", "b"]).open("a") as file:
        file.write("not read so far\n")
    made = corpus(tmp_path, "a.jsonl", "broken.jsonl", documents=4)
    assert texts(made.validation) + texts(made.train) == ["1", "a", "b", "2"]


@settings(max_examples=60)
@given(documents=st.lists(TEXTS, max_size=12), held=st.integers(1, 4))
def test_the_splits_share_no_text(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], held: int
) -> None:
    root = tmp_path_factory.mktemp("split")
    for number, text in enumerate(documents):
        (root / f"{number:02}.txt").write_bytes(text.encode())
    full = [text for text in documents if text.strip()]
    firsts = {text.strip(): text for text in reversed(full)}
    head = [
        text for number, text in enumerate(full) if text.strip() not in {t.strip() for t in full[:number]}
    ][:held]
    keys = {text.strip() for text in head}
    assert all(firsts[key] in head for key in keys)
    expected = [text for text in full if text.strip() not in keys]
    if len(head) < held or not expected:
        with pytest.raises(UserError, match=r"is empty|expected at least|no file to read"):
            corpus(root, ".", validation_documents=held, overlap="drop")
        return
    made = corpus(root, ".", validation_documents=held, overlap="drop")
    # A byte order mark at a file's start is no part of its text.
    assert texts(made.validation) == [text.removeprefix("\ufeff") for text in head]
    assert texts(made.train) == [text.removeprefix("\ufeff") for text in expected]
    dropped = made.info["dropped"]
    assert dropped["empty"] == len(documents) - len(full)
    assert sum(dropped.values()) == len(documents) - len(head) - len(expected)


def test_a_training_document_that_repeats_a_held_out_one(tmp_path: Path, jsonl: Write) -> None:
    jsonl("a.jsonl", ["same", "other", "x", " same\n", "x"])
    message = refusal(tmp_path, "a.jsonl")
    assert message.startswith(f"{tmp_path / 'a.jsonl'}, line 4: repeats a held-out document")
    assert f"({tmp_path / 'a.jsonl'}, line 1)" in message and 'overlap = "drop"' in message
    made = corpus(tmp_path, "a.jsonl", overlap="drop")
    assert texts(made.train) == ["x", "x"]  # training documents may repeat each other
    assert made.info["dropped"] == {"empty": 0, "duplicate": 0, "overlap": 1}


def test_a_repeated_held_out_document_counts_once(tmp_path: Path, jsonl: Write) -> None:
    jsonl("a.jsonl", ["same", "same", "", " ", "other", "x"])
    made = corpus(tmp_path, "a.jsonl")
    assert texts(made.validation) == ["same", "other"]
    assert made.info["dropped"] == {"empty": 2, "duplicate": 1, "overlap": 0}


def test_too_few_documents_are_refused(tmp_path: Path, jsonl: Write) -> None:
    jsonl("a.jsonl", ["1", "2"])
    assert "has 2 distinct documents, expected at least 3 (2 to hold out and one to train on)" in refusal(
        tmp_path, "a.jsonl"
    )
    jsonl("a.jsonl", ["", " \n"])
    assert "the corpus is empty" in refusal(tmp_path, "a.jsonl")


def test_half_a_surrogate_pair_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "\\ud800"}\n')
    assert f"{tmp_path / 'a.jsonl'}, line 2: 'text' holds half of a character" in refusal(tmp_path, "a.jsonl")


def test_the_second_time_it_is_only_opened(
    tmp_path: Path, jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    jsonl("a.jsonl", ["1", "2", "3"])
    first = corpus(tmp_path, "a.jsonl")
    stamp = (first.folder / "train.bin").stat().st_mtime_ns
    monkeypatch.delattr("ropewalk.corpus.formats.documents")
    again = corpus(tmp_path, "a.jsonl")
    assert again.folder == first.folder
    assert (again.folder / "train.bin").stat().st_mtime_ns == stamp


def test_the_name_depends_on_the_content_and_not_on_the_place(tmp_path: Path, jsonl: Write) -> None:
    jsonl("one/a.jsonl", ["1", "2", "3"])
    jsonl("two/a.jsonl", ["1", "2", "3"])
    first = corpus(tmp_path / "one", "a.jsonl").hash
    os.utime(tmp_path / "two" / "a.jsonl", (0, 0))
    assert corpus(tmp_path / "two", "a.jsonl").hash == first
    assert corpus(tmp_path, "two/a.jsonl").hash == first
    assert corpus(tmp_path, "two").hash == first  # a folder with that one file
    jsonl("two/a.jsonl", ["1", "2", "4"])
    assert corpus(tmp_path / "two", "a.jsonl").hash != first


def test_every_setting_and_the_order_of_sources_change_the_name(tmp_path: Path, jsonl: Write) -> None:
    jsonl("a.jsonl", ["1", "2", "3"])
    jsonl("b.jsonl", ["4", "5", "6"])
    (tmp_path / "c.jsonl").write_text('{"text": "1", "body": "2"}\n' * 9)
    variants: list[tuple[tuple[str, ...], dict[str, Any]]] = [
        (("a.jsonl", "b.jsonl"), {}),
        (("b.jsonl", "a.jsonl"), {}),
        (("a.jsonl",), {}),
        (("a.jsonl", "b.jsonl"), {"validation_documents": 1}),
        (("a.jsonl", "b.jsonl"), {"overlap": "drop"}),
        (("a.jsonl", "b.jsonl"), {"documents": 5}),
    ]
    hashes = {corpus(tmp_path, *names, **options).hash for names, options in variants}
    assert len(hashes) == len(variants)


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path / "elsewhere"))
    assert cache_folder() == tmp_path / "elsewhere"
    config = CorpusConfig.model_validate(
        {"sources": [{"builtin": "planted"}], "documents": 5, "validation_documents": 2}
    )
    assert prepare(config, progress=False).folder.parent == tmp_path / "elsewhere" / "corpora"
    monkeypatch.delenv("ROPEWALK_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "ropewalk"
