"""The split: what is held out is never trained on, whatever the order, the white space and the number of copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.corpus.config import CorpusConfig
from ropewalk.corpus.formats import Document
from ropewalk.corpus.split import split_documents
from ropewalk.errors import UserError


class Texts:
    """A source in memory; it counts one byte for each document."""

    name, total, estimate = "texts", None, 0

    def __init__(self, *texts: str) -> None:
        self.texts, self.closed = texts, False

    def fingerprint(self) -> Any:
        return self.texts

    def documents(self, count: Callable[[int], None]) -> Iterator[Document]:
        try:
            for number, text in enumerate(self.texts, 1):
                count(1)
                yield Document(f"document {number}", text)
        finally:
            self.closed = True


def split(*sources: Texts, **settings: Any) -> tuple[list[tuple[int, str, bytes]], list[Counter[str]], int]:
    config = CorpusConfig.model_validate({"sources": [{"path": "x"}], "validation_documents": 2, **settings})
    counts: list[Counter[str]] = [Counter() for _ in sources]
    read: list[int] = []
    return list(split_documents(config, list(sources), counts, read.append)), counts, sum(read)  # type: ignore[arg-type]


def test_the_first_distinct_documents_are_held_out() -> None:
    found, counts, read = split(Texts("a", " a\n", "", "b ", "c", "c"))
    assert found == [
        (0, "validation", b"a"),
        (0, "validation", b"b "),
        (0, "train", b"c"),
        (0, "train", b"c"),
    ]
    assert counts == [Counter(duplicate=1, empty=1)] and read == 6


def test_a_repeated_held_out_document_is_an_error_or_dropped() -> None:
    with pytest.raises(UserError, match=r"document 4: repeats a held-out document \(document 2\)"):
        split(Texts("a", "b", "c", "\tb"))
    found, counts, _ = split(Texts("a", "b", "c", "\tb"), overlap="drop")
    assert [data for _, part, data in found if part == "train"] == [b"c"]
    assert counts == [Counter(overlap=1)]


def test_sources_take_turns_and_are_closed() -> None:
    sources = Texts("a", "b", "c"), Texts("1")
    found, _, _ = split(*sources, documents=3)
    assert [(number, data) for number, _, data in found] == [(0, b"a"), (1, b"1"), (0, b"b")]
    assert all(source.closed for source in sources)


def test_enough_must_be_left_to_train_on() -> None:
    with pytest.raises(UserError, match="2 distinct documents, expected at least 3"):
        split(Texts("a", "a", "b"))
    with pytest.raises(UserError, match="corpus is empty"):
        split(Texts(" ", "\n"))
    assert len(split(Texts("a", "b", "c"))[0]) == 3


@given(
    texts=st.lists(st.sampled_from(["a", "b", "c", " a", "b\n", "", "é", "e\u0301"]), max_size=20),
    held=st.integers(1, 4),
)
def test_no_text_is_on_both_sides(texts: list[str], held: int) -> None:
    try:
        found, _, _ = split(Texts(*texts), validation_documents=held, overlap="drop")
    except UserError:
        return
    sides = {part: {data.strip() for _, p, data in found if p == part} for part in ("validation", "train")}
    assert len(sides["validation"]) == held and not sides["validation"] & sides["train"]
