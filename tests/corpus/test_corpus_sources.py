"""Interleaving, and the sources that need no network."""

import sys
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.corpus import CorpusConfig, Source
from ropewalk.corpus.builtin import Library
from ropewalk.corpus.sources import interleave, open_source
from ropewalk.errors import UserError


@given(st.lists(st.lists(st.integers(), max_size=6), max_size=5))
def test_interleave_takes_one_of_each_in_turn(streams: list[list[int]]) -> None:
    taken = list(interleave(map(iter, streams)))
    rounds = sorted((turn, number, item) for number, s in enumerate(streams) for turn, item in enumerate(s))
    expected = [(number, streams[number][turn]) for turn, number, _ in rounds]
    assert taken == expected


def test_interleave_reads_no_further_than_asked() -> None:
    def endless(read: list[int]):
        while True:
            read.append(0)
            yield 0

    reads: list[list[int]] = [[], []]
    assert len(list(islice(interleave(map(endless, reads)), 4))) == 4
    assert [len(read) for read in reads] == [2, 2]


def opened(source: Source, **settings: object):
    return open_source(source, CorpusConfig.model_validate({"sources": (source,), **settings}))


def test_relative_paths_start_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    source = opened(Source(path=Path("a.txt")), root=tmp_path)
    assert [document.text for document in source.documents(lambda _: None)] == ["x"]
    with pytest.raises(UserError, match="no such file or folder"):
        opened(Source(path=Path("a.txt")), root=tmp_path / "elsewhere")


def test_the_standard_library_is_its_own_sources_without_tests() -> None:
    source = opened(Source(builtin="python"))
    read: list[int] = []
    documents = list(source.documents(read.append))
    names = [Path(document.name) for document in documents]
    assert {"argparse.py", "dataclasses.py"} <= {name.name for name in names}
    assert not any({"site-packages", "test", "tests"} & set(name.parts[:-1]) for name in names)
    assert len({document.text.strip() for document in documents}) == len(documents)
    assert sum(read) == source.total
    assert [document.name for document in source.documents(read.append)] == [str(name) for name in names]


def test_a_python_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="source files are not there"):
        Library(tmp_path)


def test_a_planted_source_needs_an_end() -> None:
    with pytest.raises(UserError, match=r"never ends; set corpus\.documents"):
        opened(Source(builtin="planted"))
    with pytest.raises(UserError, match="look-up task never ends"):
        opened(Source(builtin="lookup"))


def test_a_planted_source_is_fixed_by_its_configuration_and_seed() -> None:
    variants = [
        {},
        {"seed": 1},
        {"planted": {"script": "unspaced"}},
        {"planted": {"language": 1}},
        {"planted": {"sentences": 3}},
    ]
    sources = [
        opened(Source.model_validate({"builtin": "planted", **variant}), documents=9) for variant in variants
    ]
    texts = [tuple(document.text for document in islice(s.documents(lambda _: None), 3)) for s in sources]
    assert len(set(texts)) == len({str(source.fingerprint()) for source in sources}) == len(variants)
    again = opened(Source(builtin="planted"), documents=9)
    assert again.fingerprint() == sources[0].fingerprint()
    assert tuple(document.text for document in islice(again.documents(lambda _: None), 3)) == texts[0]


def test_a_missing_datasets_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"pip install .ropewalk\[data\]"):
        opened(Source(dataset="wikimedia/wikipedia", name="20231101.en"))
