"""Two-word phrases in sentence templates: the increments at the inner gap and at the second word, and surprisals.

An increment is causal: at the space inside "New York" the second word has not been read, so only the first word's
expectation can show there; a phrase with the same first word is the same text up to there and differs at the
second word's first token. Numbers are means over sentence templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ropewalk.core.host import Host, increments_of
from ropewalk.core.loss import surprisal_and_entropy
from ropewalk.tokens.utf8_bytes import END, encode

BATCH = 32


@dataclass(frozen=True, eq=False)
class PhraseValues:
    """P phrases in their templates.

    gap (P, N): increment of the token after the first word (the space, or the second word's first token where there
    is none); second (P, N): of the second word's first token, in token-equivalents. surprisal (P,): of that token;
    word (P,): of the whole second word, nats.
    """

    gap: np.ndarray
    second: np.ndarray
    surprisal: np.ndarray
    word: np.ndarray


def read_phrases(
    host: Host, phrases: Sequence[tuple[str, str, str]], templates: Sequence[str]
) -> PhraseValues:
    """phrases: (first word, what separates them, second word); templates: sentence templates, each with one {}."""
    sequences, places = [], []
    for first, between, second in phrases:
        for template in templates:
            head = template.split("{}")[0] + first
            sequences.append([END, *encode(head + between + second)])
            start = 1 + len(encode(head))
            places.append((start, start + len(encode(between)), len(sequences[-1])))
    n = len(host.rows)
    gap, at = np.empty((len(sequences), n)), np.empty((len(sequences), n))
    surprisal, word = np.empty(len(sequences)), np.empty(len(sequences))
    with torch.inference_mode():
        for numbers, tokens in _batches(sequences):
            output = host(tokens)
            d = increments_of(output).numpy(force=True)
            for i, number in enumerate(numbers):
                space, start, end = places[number]
                gap[number], at[number] = d[i, :, space], d[i, :, start]
                lost, _ = surprisal_and_entropy(
                    output.logits[i, start - 1 : end - 1].cpu(), tokens[i, start:end]
                )
                surprisal[number], word[number] = float(lost[0]), float(lost.sum())
    shape = (len(phrases), len(templates))
    return PhraseValues(
        gap.reshape(*shape, n).mean(1),
        at.reshape(*shape, n).mean(1),
        surprisal.reshape(shape).mean(1),
        word.reshape(shape).mean(1),
    )


def _batches(sequences: list[list[int]]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Sequences of similar length, padded at the end: a causal model does not see what follows."""
    order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i]), i))
    for start in range(0, len(order), BATCH):
        numbers = order[start : start + BATCH]
        tokens = torch.full((len(numbers), len(sequences[numbers[-1]])), END)
        for i, number in enumerate(numbers):
            tokens[i, : len(sequences[number])] = torch.tensor(sequences[number])
        yield numbers, tokens
