"""The look-up task: every question has the answer that its pairs give, and the pairs are a ring."""

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ropewalk.corpus import CorpusConfig, LookupConfig, Source
from ropewalk.corpus.lookup import document, generate
from ropewalk.corpus.sources import open_source

CONFIGS = st.integers(1, 4).flatmap(
    lambda hops: st.builds(LookupConfig, hops=st.just(hops), pairs=st.integers(hops + 1, 12))
)


@settings(max_examples=60)
@given(config=CONFIGS, seed=st.integers(0, 9), number=st.integers(0, 50))
def test_following_the_pairs_gives_every_answer(config: LookupConfig, seed: int, number: int) -> None:
    made = document(config, seed, number)
    pairs, asked, rest = made.text.split("\n")
    leads = {pair[0]: pair[1] for pair in pairs.split(" ")}
    assert rest == "" and len(made.text) <= config.longest and set(leads) == set(made.letters)
    assert config.hops < len(leads) <= config.pairs
    for question, word in zip(made.questions, asked.split(" "), strict=True):
        letter = word[1]
        for _ in range(int(word[0])):
            letter = leads[letter]
        assert letter == word[2] == made.text[question.at] == made.letters[question.answer]
        assert made.letters[question.key] == word[1] != letter and question.hops == int(word[0])
        assert made.text[question.at - question.distance] == letter
        assert 0 < question.at - question.distance < len(pairs)
    assert Counter((q.key, q.hops) for q in made.questions) == Counter(
        (key, hops) for key in range(len(leads)) for hops in range(1, config.hops + 1)
    )


def test_documents_differ_in_size_and_can_be_made_by_themselves() -> None:
    stream = list(islice(generate(LookupConfig()), 60))
    assert {len(made.letters) for made in stream} == set(range(3, 9))
    assert stream[41] == document(LookupConfig(), 0, 41) and len({made.text for made in stream}) == 60


@pytest.mark.parametrize(
    "config", [{"pairs": 2}, {"alphabet": "aab"}, {"alphabet": "a1b"}, {"pairs": 27}, {"hops": 0}]
)
def test_a_task_that_cannot_be_asked_is_refused(config: dict) -> None:
    with pytest.raises(ValidationError):
        LookupConfig.model_validate(config)


def test_it_is_a_source_of_a_corpus() -> None:
    source = Source.model_validate({"builtin": "lookup", "lookup": {"pairs": 5}, "seed": 3})
    opened = open_source(source, CorpusConfig(sources=(source,), documents=9))
    first = next(opened.documents(lambda _: None))
    assert source.kind == "lookup" and first.text == document(LookupConfig(pairs=5), 3, 0).text
    other = open_source(Source(builtin="lookup"), CorpusConfig(sources=(source,), documents=9))
    assert opened.fingerprint() != other.fingerprint()
