"""Names: a host reads two-word names, their reversed order, and the same first word with other second words.

An increment is causal: at the space inside "New York" the second word is not yet seen, so only the first word's
expectation can show there; the control with the same first word is the same text up to there and is read at the
second word's first token. Numbers are means over carrier sentences.
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
class Reading:
    """P phrases in their carriers. gap (P, N): increment of the token after the first word (the space, or the
    second word's first token where there is none); second (P, N): of the second word's first token, in
    token-equivalents. surprisal (P,): of that token; word (P,): of the whole second word, nats.
    """

    gap: np.ndarray
    second: np.ndarray
    surprisal: np.ndarray
    word: np.ndarray


def read(host: Host, phrases: Sequence[tuple[str, str, str]], carriers: Sequence[str]) -> Reading:
    """phrases: (first word, what stands between, second word); carriers: sentences with one {}."""
    sequences, places = [], []
    for first, between, second in phrases:
        for carrier in carriers:
            head = carrier.split("{}")[0] + first
            sequences.append([END, *encode(head + between + second)])
            start = 1 + len(encode(head))
            places.append((start, start + len(encode(between)), len(sequences[-1])))
    n = len(host.rows)
    gap, at = np.empty((len(sequences), n)), np.empty((len(sequences), n))
    surprisal, word = np.empty(len(sequences)), np.empty(len(sequences))
    with torch.inference_mode():
        for rows, tokens in _batches(sequences):
            output = host(tokens)
            d = increments_of(output).numpy(force=True)
            for i, row in enumerate(rows):
                space, start, end = places[row]
                gap[row], at[row] = d[i, :, space], d[i, :, start]
                lost, _ = surprisal_and_entropy(
                    output.logits[i, start - 1 : end - 1].cpu(), tokens[i, start:end]
                )
                surprisal[row], word[row] = float(lost[0]), float(lost.sum())
    shape = (len(phrases), len(carriers))
    return Reading(
        gap.reshape(*shape, n).mean(1),
        at.reshape(*shape, n).mean(1),
        surprisal.reshape(shape).mean(1),
        word.reshape(shape).mean(1),
    )


def _batches(sequences: list[list[int]]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Rows of about one length, padded behind: a causal model does not see what follows."""
    order = sorted(range(len(sequences)), key=lambda i: (len(sequences[i]), i))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        tokens = torch.full((len(rows), len(sequences[rows[-1]])), END)
        for i, row in enumerate(rows):
            tokens[i, : len(sequences[row])] = torch.tensor(sequences[row])
        yield rows, tokens
