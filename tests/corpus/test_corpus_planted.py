"""The planted language: its gold is exact, its words and pairs are what it says they are."""

from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.corpus.planted import (
    ENTITIES_OF_A_DOCUMENT,
    PlantedConfig,
    PlantedDocument,
    document,
    generate,
    language,
)

CONFIGS = st.builds(
    PlantedConfig,
    script=st.sampled_from(["spaced", "unspaced"]),
    words=st.integers(100, 600),
    classes=st.integers(2, 8),
    phrases=st.integers(1, 50),
    entities=st.integers(4, 50),
    sentences=st.integers(1, 10),
    language=st.integers(0, 5),
)
SCRIPTS = pytest.mark.parametrize("script", ["spaced", "unspaced"])


def words_of(made: PlantedDocument) -> list[str]:
    data = made.text.encode()
    return [data[start:end].decode() for start, end in made.words]


@settings(max_examples=30)
@given(config=CONFIGS, seed=st.integers(0, 9), number=st.integers(0, 9))
def test_gold_words_rebuild_the_text_byte_for_byte(config: PlantedConfig, seed: int, number: int) -> None:
    made = document(config, seed, number)
    spoken = language(config)
    data, rebuilt, end = made.text.encode(), b"", 0
    known = {*spoken.words, *(head for head, _ in spoken.entities), spoken.stop}
    for word in made.words:
        between = data[end : word.start].decode()
        assert between in ("", spoken.space)
        if end and data[word.start : word.end].decode() != spoken.stop:
            assert between == spoken.space
        assert data[word.start : word.end].decode() in known
        rebuilt += data[end : word.end]
        end = word.end
    assert rebuilt == data


@settings(max_examples=30)
@given(config=CONFIGS, seed=st.integers(0, 9))
def test_a_planted_pair_occurs_where_gold_says_and_nowhere_else(config: PlantedConfig, seed: int) -> None:
    made, spoken = document(config, seed, 0), language(config)
    words = words_of(made)
    for spans, pairs in ((made.phrases, spoken.phrases), (made.entities, spoken.entities)):
        found = [
            (left.start, right.end)
            for (left, right), pair in zip(pairwise(made.words), pairwise(words), strict=True)
            if pair in pairs
        ]
        assert found == [tuple(span) for span in spans]
    assert not set(spoken.phrases) & {(second, first) for first, second in spoken.phrases}


@settings(max_examples=20)
@given(config=CONFIGS, seed=st.integers(0, 9))
def test_any_document_of_the_stream_can_be_made_by_itself(config: PlantedConfig, seed: int) -> None:
    stream = list(islice(generate(config, seed), 4))
    assert stream == [document(config, seed, number) for number in range(4)]
    assert len({made.text for made in stream}) == 4


def test_the_language_is_the_same_everywhere() -> None:
    # Other values would be another language, to which no earlier result applies.
    assert language(PlantedConfig()).words[:3] == ("he", "lifomo", "suturifa")
    assert document(PlantedConfig(script="unspaced"), 0, 0).text[:12] == "覂玈资瀬棟罘朄癱咓酏侰腇"


@SCRIPTS
def test_words_have_one_to_four_symbols_of_the_script(script: str) -> None:
    config = PlantedConfig.model_validate({"script": script, "words": 2000})
    spoken = language(config)
    size = 2 if script == "spaced" else 1
    lengths = Counter(len(word) // size for word in spoken.words)
    assert set(lengths) == {1, 2, 3, 4}
    assert len(set(spoken.words)) == 2000
    joined = "".join(spoken.words)
    if script == "spaced":
        assert joined.isascii() and joined.isalpha()
    else:
        assert all(0x4E00 <= ord(character) <= 0x9FA5 for character in joined)
        assert len({character.encode()[0] for character in joined}) >= 4  # several lead bytes


def test_document_lengths_follow_the_number_of_sentences() -> None:
    spoken = language(PlantedConfig())
    for sentences in (1, 7):
        words = words_of(document(PlantedConfig(sentences=sentences), 0, 0))
        assert words.count(spoken.stop) == sentences
        assert words[-1] == spoken.stop


def test_ranks_are_zipfian_phrases_frequent_and_entities_predictable() -> None:
    config = PlantedConfig()
    spoken = language(config)
    words = [word for made in islice(generate(config, 1), 300) for word in words_of(made)]
    counts, pairs = Counter(words), Counter(pairwise(words))
    top, middle = (sum(counts[word] for word in spoken.words[at : at + 6]) for at in (0, 60))
    assert top > 5 * middle
    phrase_counts = [pairs[pair] for pair in spoken.phrases]
    entity_counts = [pairs[pair] for pair in spoken.entities]
    assert min(phrase_counts) > 0 and sum(phrase_counts) > 1.5 * sum(entity_counts)
    predictable = [pairs[pair] / counts[pair[0]] for pair in spoken.entities]
    chances = [pairs[pair] / counts[pair[0]] for pair in spoken.phrases]
    assert min(predictable) > 0.75
    assert sum(chances) / len(chances) < 0.5
    assert len({second for _, second in spoken.entities}) == config.entities


def test_the_grammar_can_be_learned() -> None:
    config = PlantedConfig()
    spoken = language(config)
    classes = spoken.class_of
    words = [word for made in islice(generate(config, 1), 200) for word in words_of(made)]
    follows = Counter((classes[a], classes[b]) for a, b in pairwise(words) if a in classes and b in classes)
    for first in range(config.classes):
        row = [follows[first, second] for second in range(config.classes)]
        assert max(row) > 2 * sum(row) / config.classes


def test_a_document_returns_to_its_entities() -> None:
    for made in islice(generate(PlantedConfig(sentences=100), 0), 5):
        data = made.text.encode()
        assert len({data[start:end] for start, end in made.entities}) == ENTITIES_OF_A_DOCUMENT
