"""Multi-hop look-up: documents of random key-value pairs and of questions about them, whose answers are known exactly.

A document of four pairs, asked one and two steps:

    kd pk dx xp
    1dx 2kx 1pk 2xk 1kd 2pd 1xp 2dp

`kd` says that k leads to d. A question is the number of steps, a key and the answer: 1dx follows one pair, 2kx
two (k to d, d to x). The pairs are one ring, so that every value is again a key and no answer of fewer steps than
pairs is the key itself. A document has at least one pair more than steps, at most `pairs`, and asks every key
once at every number of steps. It depends on the configuration, the seed and its number alone.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class LookupConfig(BaseModel):
    """pairs: how many a document has at most; hops: how many steps a question takes at most; alphabet: the
    letters that keys and values are taken from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: Annotated[int, Field(ge=2)] = 8
    hops: Annotated[int, Field(ge=1, le=9)] = 2
    alphabet: str = LETTERS

    @model_validator(mode="after")
    def _enough(self) -> Self:
        letters = set(self.alphabet)
        if len(letters) < len(self.alphabet) or not (self.alphabet.isascii() and self.alphabet.isalpha()):
            raise ValueError("a look-up alphabet has ASCII letters, each of them once")
        if not self.hops < self.pairs <= len(letters):
            raise ValueError(
                "a look-up task needs more pairs than hops, and no more pairs than its alphabet has letters"
            )
        return self

    @property
    def longest(self) -> int:
        """Bytes of the longest document."""
        return 3 * self.pairs + 4 * self.pairs * self.hops


@dataclass(frozen=True)
class Question:
    """at: the answer's byte in the text; key and answer: which of the document's letters they are, by number;
    hops: its steps; distance: how many bytes earlier the answer stands in its pair."""

    at: int
    key: int
    answer: int
    hops: int
    distance: int


@dataclass(frozen=True)
class LookupDocument:
    """letters: the document's keys, which are its values too; all but the key and the answer are wrong answers."""

    text: str
    letters: str
    questions: tuple[Question, ...]


def generate(config: LookupConfig, seed: int = 0) -> Iterator[LookupDocument]:
    """Documents 0, 1, 2, ... of the stream `seed`, without end."""
    return (document(config, seed, number) for number in count())


def document(config: LookupConfig, seed: int, number: int) -> LookupDocument:
    """Document `number` of the stream `seed`, without generating those before it."""
    draw = random.Random(f"lookup {seed} {number}")
    size = draw.randint(config.hops + 1, config.pairs)
    ring = draw.sample(config.alphabet, size)
    order = draw.sample(range(size), size)
    text = " ".join(ring[i] + ring[(i + 1) % size] for i in order) + "\n"
    value = {(i + 1) % size: 3 * place + 1 for place, i in enumerate(order)}  # where each letter is a value
    asked = [(i, hops) for i in range(size) for hops in range(1, config.hops + 1)]
    draw.shuffle(asked)
    questions = []
    for place, (i, hops) in enumerate(asked):
        answer = (i + hops) % size
        at = 3 * size + 4 * place + 2
        questions.append(Question(at, i, answer, hops, at - value[answer]))
    text += " ".join(f"{hops}{ring[i]}{ring[(i + hops) % size]}" for i, hops in asked) + "\n"
    return LookupDocument(text, "".join(ring), tuple(questions))
