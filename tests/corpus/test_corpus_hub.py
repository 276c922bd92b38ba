"""Hugging Face data sets, tried on local ones of the same shape: a folder with a card, and data files."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.errors import UserError

pytest.importorskip("datasets")

CARD = """---
configs:
- config_name: 20231101.en
  data_files:
  - split: train
    path: 20231101.en/train-*
- config_name: 20231101.zh
  data_files:
  - split: train
    path: 20231101.zh/train-*
---
"""


@pytest.fixture(autouse=True)
def wikipedia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in the shape of wikimedia/wikipedia: a card, two configurations, two shards each."""
    import datasets.config
    import pyarrow as pa
    import pyarrow.parquet as parquet

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    folder = tmp_path / "wikipedia"
    for language, word in (("en", "article"), ("zh", "條目")):
        for shard in range(2):
            path = folder / f"20231101.{language}" / f"train-{shard:05}-of-00002.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            texts = [f"{word} {shard} {row}" for row in range(20)]
            columns = dict.fromkeys(("id", "url", "title", "text"), texts)
            parquet.write_table(pa.table(columns), path, row_group_size=7)
    (folder / "README.md").write_text(CARD)
    return folder


def corpus(root: Path, *sources: dict[str, Any], **settings: Any):
    config = CorpusConfig.model_validate(
        {"sources": sources, "root": root, "validation_documents": 4, **settings}
    )
    return prepare(config, cache=root / "cache", progress=False)


def refusal(root: Path, *sources: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        corpus(root, *sources, **settings)
    return str(caught.value)


def text(tokens: Any) -> list[str]:
    joined = "".join(chr(token) for token in tokens).split(chr(256))
    return [part.encode("latin-1").decode() for part in joined[:-1]]


def test_two_wikipedias_alternate(tmp_path: Path) -> None:
    made = corpus(
        tmp_path,
        {"dataset": "wikipedia", "name": "20231101.en"},
        {"dataset": "wikipedia", "name": "20231101.zh"},
        documents=50,
    )
    assert text(made.validation) == ["article 0 0", "條目 0 0", "article 0 1", "條目 0 1"]
    assert made.info["documents"] == {"train": 46, "validation": 4}
    assert text(made.train)[-1] == "條目 1 4"
    assert [source["name"] for source in made.info["sources"]] == [
        "wikipedia 20231101.en train",
        "wikipedia 20231101.zh train",
    ]


@pytest.mark.parametrize("builder", ["json", "parquet"])
def test_data_files_of_a_builder_start_at_the_root(tmp_path: Path, builder: str) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"line {n}"}) + "\n" for n in range(9)))
    files = {"json": "a.jsonl", "parquet": "wikipedia/20231101.en/train-00001-of-00002.parquet"}
    made = corpus(tmp_path, {"dataset": builder, "data_files": [files[builder]]})
    assert text(made.validation)[0] == {"json": "line 0", "parquet": "article 1 0"}[builder]


def test_local_data_counts_by_content(tmp_path: Path, wikipedia: Path) -> None:
    source = {"dataset": "wikipedia", "name": "20231101.en"}
    first = corpus(tmp_path, source)
    shard = wikipedia / "20231101.en" / "train-00000-of-00002.parquet"
    os.utime(shard, (0, 0))
    assert corpus(tmp_path, source).hash == first.hash
    shard.write_bytes((wikipedia / "20231101.zh" / shard.name).read_bytes())
    assert corpus(tmp_path, source).hash != first.hash


def test_a_remote_data_set_counts_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    class Files(list[str]):
        origin_metadata: tuple[tuple[str, str], ...] = ()

    class Builder:
        """What a resolved builder of the hub shows of itself."""

        def __init__(self, commit: str) -> None:
            files = Files([f"hf://datasets/a/b@{commit}/train.parquet"])
            files.origin_metadata = (("datasets/a/b", commit),)
            self.config = type("Config", (), {"data_files": {"train": files}})
            self.hash = "not used"

        def as_streaming_dataset(self, split: str) -> list[dict[str, str]]:
            return [{"text": f"{split} {number}"} for number in range(9)]

    asked = []

    def hashed(commit: str, **source: str) -> str:
        def load(*place: Any, **options: Any) -> Builder:
            asked.append((place, options))
            return Builder(commit)

        monkeypatch.setattr(datasets, "load_dataset_builder", load)
        return corpus(tmp_path, {"dataset": "a/b", **source}).hash

    first = hashed("aaa", name="x")
    assert first == hashed("aaa", name="x")
    assert (
        len({first, hashed("bbb", name="x"), hashed("aaa", name="y"), hashed("aaa", name="x", split="s")})
        == 4
    )
    assert hashed("aaa", name="x", revision="v1") != first
    assert asked[-1] == (("a/b", "x"), {"revision": "v1", "data_files": None})


def test_mistakes_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Available: ['20231101.en'" in refusal(tmp_path, {"dataset": "wikipedia", "name": "fr"})
    source = {"dataset": "wikipedia", "name": "20231101.en"}
    assert "Bad split: test" in refusal(tmp_path, {**source, "split": "test"})
    assert "row 1: no key 'body' (there are: id, text, title, url)" in refusal(
        tmp_path, source, text_key="body"
    )

    import datasets

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\nat all")

    monkeypatch.setattr(datasets, "load_dataset_builder", offline)
    message = refusal(tmp_path, {"dataset": "wikimedia/wikipedia", "name": "20231101.en"})
    assert message == (
        "wikimedia/wikipedia 20231101.en train: the data set cannot be opened (ConnectionError: Couldn't "
        "reach the Hub); check its name, configuration, split and revision, and the network."
    )


def test_a_stream_that_breaks_off_says_where(tmp_path: Path, wikipedia: Path) -> None:
    shard = wikipedia / "20231101.en" / "train-00001-of-00002.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    message = refusal(tmp_path, {"dataset": "wikipedia", "name": "20231101.en"})
    assert "cannot be read after row 20" in message or "cannot be opened" in message
    assert not list((tmp_path / "cache" / "corpora").iterdir())
