"""Which tables of a recipe are a source, and which are not."""

import tomllib

import pytest
from pydantic import ValidationError

from ropewalk.corpus import CorpusConfig, Source

WIKIPEDIAS = """
documents = 60000
validation_documents = 2000
sources = [
    { dataset = "wikimedia/wikipedia", name = "20231101.en" },
    { dataset = "wikimedia/wikipedia", name = "20231101.zh" },
    { path = "books" },
    { builtin = "python" },
    { builtin = "planted", planted = { script = "unspaced" }, seed = 3 },
]
"""


def test_the_key_given_says_the_kind() -> None:
    config = CorpusConfig.model_validate(tomllib.loads(WIKIPEDIAS))
    assert [source.kind for source in config.sources] == [
        "huggingface",
        "huggingface",
        "files",
        "python",
        "planted",
    ]
    assert config.sources[1].split == "train"
    assert CorpusConfig.model_validate_json(config.model_dump_json(exclude_unset=True)) == config


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, "this one has none of them"),
        ({"path": "a", "builtin": "python"}, "this one has path and builtin"),
        ({"path": "a", "split": "test"}, "a path source does not take split"),
        ({"builtin": "python", "seed": 1}, "a python source does not take seed"),
        ({"dataset": "a", "seed": 1}, "a dataset source does not take seed"),
        ({"builtin": "ruby"}, "Input should be 'python', 'planted' or 'lookup'"),
        ({"path": "a", "color": 1}, "Extra inputs are not permitted"),
        ({"builtin": "planted", "planted": {"phrases": 300}}, "at least twice as many words"),
    ],
)
def test_other_tables_are_refused(table: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Source.model_validate(table)


@pytest.mark.parametrize(
    "change", [{"sources": ()}, {"validation_documents": 0}, {"documents": 1}, {"overlap": "x"}]
)
def test_a_corpus_out_of_range_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CorpusConfig.model_validate({"sources": [{"builtin": "python"}], **change})
