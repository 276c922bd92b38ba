"""A synthetic language whose word boundaries, entities and phrases are known exactly.

`generate` yields documents of it, endlessly, with gold spans in bytes of the text. One grammar, two scripts:

spaced     a symbol is a syllable of two ASCII letters, words are set apart by a space
unspaced   a symbol is one character of the CJK block (three bytes), words follow each other directly

Words have 1 to 4 symbols; their length and their rank are drawn independently, so that neither explains the
other. Ranks are Zipfian. Every word has a class, and a Markov chain over classes makes sentences: the class
of a word says how likely each class is to follow. Two kinds of word pairs are planted, which separate what
is frequent from what is predictable:

phrase   two common words that also occur apart: the pair is frequent, its second word is not certain
entity   a rare first word of no class, then nine times in ten its one second word: the pair is rare, its
         second word expected; a document has a few entities and returns to them

A planted pair occurs where gold says so and nowhere else in a sentence. The language depends on the
configuration alone, a document on the configuration, the seed and its number, so any document can be
generated again without the others.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, count
from typing import Annotated, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

T = TypeVar("T")

SYMBOLS = 100
LENGTHS = (0.15, 0.4, 0.3, 0.15)  # of words of 1, 2, 3, 4 symbols
PHRASE_RATE, ENTITY_RATE = 0.15, 0.08  # of the units of a sentence
ALONE = 0.1  # how often an entity's first word comes without its second
ENTITIES_OF_A_DOCUMENT = 4
UNITS_OF_A_SENTENCE = (4, 12)
CJK = (0x4E00, 0x9FA5)


class PlantedConfig(BaseModel):
    """A planted language: its script, the sizes of its lexicon, which one of its kind (`language`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    script: Literal["spaced", "unspaced"] = "spaced"
    words: Annotated[int, Field(ge=100, le=100_000)] = 400
    classes: Annotated[int, Field(ge=2, le=20)] = 6
    phrases: Annotated[int, Field(ge=1)] = 40
    entities: Annotated[int, Field(ge=ENTITIES_OF_A_DOCUMENT)] = 40
    sentences: Annotated[int, Field(ge=1, le=1000)] = 20
    language: int = 0

    @model_validator(mode="after")
    def _room_for_pairs(self) -> Self:
        if 2 * max(self.phrases, self.entities) > self.words:
            raise ValueError("a planted language needs at least twice as many words as phrases or entities")
        return self


class Span(NamedTuple):
    """Half-open byte offsets into the text's UTF-8."""

    start: int
    end: int


@dataclass(frozen=True)
class PlantedDocument:
    """A text and its gold. Words (full stops are words of their own) cover everything but the spaces between
    them; a phrase or an entity is the span from its first word's start to its second word's end."""

    text: str
    words: tuple[Span, ...]
    phrases: tuple[Span, ...]
    entities: tuple[Span, ...]


@dataclass(frozen=True)
class Language:
    """The lexicon and the grammar; `words` are by rank, an entity's first word is none of them."""

    words: tuple[str, ...]
    phrases: tuple[tuple[str, str], ...]
    entities: tuple[tuple[str, str], ...]
    classes: int
    transitions: tuple[tuple[float, ...], ...]  # a row of cumulative weights for each class that comes before
    zipf: tuple[tuple[float, ...], ...]  # cumulative weights of the words of each class
    space: str
    stop: str

    @cached_property
    def planted(self) -> dict[tuple[str, ...], Literal["phrase", "entity"]]:
        """Which kind each planted pair is."""
        return {**dict.fromkeys(self.phrases, "phrase"), **dict.fromkeys(self.entities, "entity")}

    @cached_property
    def class_of(self) -> dict[str, int]:
        """The class of each ordinary word."""
        return {word: rank % self.classes for rank, word in enumerate(self.words)}

    @cached_property
    def openings(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        """The phrases whose first word is of class 0, 1, ..."""
        return tuple(
            tuple(phrase for phrase in self.phrases if self.class_of[phrase[0]] == first)
            for first in range(self.classes)
        )


def language(config: PlantedConfig) -> Language:
    """The language of a configuration: always the same one."""
    draw = random.Random(f"language {config.model_dump_json(exclude={'sentences'})}")
    if config.script == "spaced":
        symbols = [consonant + vowel for consonant in "bcdfghjklmnprstvwxyz" for vowel in "aeiou"]
    else:
        symbols = [chr(code) for code in draw.sample(range(CJK[0], CJK[1] + 1), SYMBOLS)]
    lengths = list(accumulate(LENGTHS))
    lexicon: dict[str, None] = {}
    while len(lexicon) < config.words + config.entities:
        lexicon["".join(_pick(draw, symbols) for _ in range(_weighted(draw, lengths) + 1))] = None
    words, heads = tuple(lexicon)[: config.words], tuple(lexicon)[config.words :]
    common, others = words[: config.words // 4], words[config.words // 4 :]
    phrases: dict[tuple[str, str], None] = {}
    while len(phrases) < config.phrases:
        first, second = draw.sample(common, 2)
        if (second, first) not in phrases:
            phrases[first, second] = None
    steps = [1 / (rank + 1) ** 2 for rank in range(config.classes)]
    return Language(
        words=words,
        phrases=tuple(phrases),
        entities=tuple(zip(heads, draw.sample(others, len(heads)), strict=True)),
        classes=config.classes,
        transitions=tuple(
            tuple(accumulate(draw.sample(steps, config.classes))) for _ in range(config.classes)
        ),
        zipf=tuple(
            tuple(accumulate(1 / (rank + 1) for rank in range(start, config.words, config.classes)))
            for start in range(config.classes)
        ),
        space=" " if config.script == "spaced" else "",
        stop="." if config.script == "spaced" else "。",
    )


def generate(config: PlantedConfig, seed: int = 0) -> Iterator[PlantedDocument]:
    """Documents 0, 1, 2, ... of the stream `seed`, without end."""
    spoken = language(config)
    return (_document(spoken, config.sentences, seed, number) for number in count())


def document(config: PlantedConfig, seed: int, number: int) -> PlantedDocument:
    """Document `number` of the stream `seed`, without generating those before it."""
    return _document(language(config), config.sentences, seed, number)


def _document(spoken: Language, sentences: int, seed: int, number: int) -> PlantedDocument:
    draw = random.Random(f"document {seed} {number}")
    entities = draw.sample(spoken.entities, ENTITIES_OF_A_DOCUMENT)
    pieces: list[str] = []
    words: list[Span] = []
    pairs: dict[str, list[Span]] = {"phrase": [], "entity": []}
    offset = 0
    for _ in range(sentences):
        for unit in (*_sentence(spoken, entities, draw), (spoken.stop,)):
            first = len(words)
            for word in unit:
                space = spoken.space if words and word != spoken.stop else ""
                start = offset + len(space)
                offset = start + len(word.encode())
                words.append(Span(start, offset))
                pieces += (space, word)
            if len(unit) == 2:
                pairs[spoken.planted[unit]].append(Span(words[first].start, offset))
    return PlantedDocument("".join(pieces), tuple(words), tuple(pairs["phrase"]), tuple(pairs["entity"]))


def _sentence(
    spoken: Language, entities: list[tuple[str, str]], draw: random.Random
) -> Iterator[tuple[str, ...]]:
    """Units: a word alone or a planted pair; words of two units never form a planted pair."""
    state, last = draw.randrange(spoken.classes), ""
    for _ in range(draw.randint(*UNITS_OF_A_SENTENCE)):
        state = _weighted(draw, spoken.transitions[state])
        unit = _unit(spoken, entities, state, draw)
        while (last, unit[0]) in spoken.planted:
            unit = _unit(spoken, entities, state, draw)
        last = unit[-1]
        state = spoken.class_of.get(last, state)
        yield unit


def _unit(
    spoken: Language, entities: list[tuple[str, str]], state: int, draw: random.Random
) -> tuple[str, ...]:
    uniform = draw.random()
    if uniform < ENTITY_RATE:
        entity = _pick(draw, entities)
        return entity[:1] if draw.random() < ALONE else entity
    if uniform < ENTITY_RATE + PHRASE_RATE and spoken.openings[state]:
        return _pick(draw, spoken.openings[state])
    rank = _weighted(draw, spoken.zipf[state]) * spoken.classes + state
    return (spoken.words[rank],)


def _pick(draw: random.Random, choices: Sequence[T]) -> T:
    return choices[int(draw.random() * len(choices))]


def _weighted(draw: random.Random, cumulative: Sequence[float]) -> int:
    return bisect_right(cumulative, draw.random() * cumulative[-1], hi=len(cumulative) - 1)
