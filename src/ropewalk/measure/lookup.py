"""Key-value look-up: a byte model answers the questions of look-up documents that it was not trained on.

The right letter is ranked among the document's letters, without the key, which is never the answer. A document is
read from its start, after the end-of-document token; the answers to earlier questions are in the text, as they were
in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from ropewalk.core.host import Host
from ropewalk.corpus.lookup import LookupConfig, generate
from ropewalk.errors import UserError
from ropewalk.tokens.utf8_bytes import END, encode

BATCH = 32
SEED = 1_000_003
"""Of the documents that are asked: no training corpus has it."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Q questions.

    document (Q,), pairs (Q,), hops (Q,), distance (Q,) in bytes: the question. right (Q,) bool: the right letter is
    the most likely of the document's. nats (Q,): -log of its share among them. By chance they are 1 / (pairs - 1) and
    log(pairs - 1).
    """

    document: np.ndarray
    pairs: np.ndarray
    hops: np.ndarray
    distance: np.ndarray
    right: np.ndarray
    nats: np.ndarray


def answer_questions(host: Host, config: LookupConfig, documents: int = 200) -> Answers:
    """Asks every question of `documents` documents. UserError where one does not fit into the host's context."""
    if config.longest > host.context_length:
        raise UserError(
            f"a look-up document of {config.pairs} pairs and {config.hops} hops takes {config.longest} bytes, and "
            f"the model reads {host.context_length}; ask for fewer pairs or hops."
        )
    asked = list(islice(generate(config, SEED), documents))
    found: list[tuple[int, int, int, int, float, float]] = []
    with torch.inference_mode():
        for first in range(0, len(asked), BATCH):
            part = asked[first : first + BATCH]
            tokens = torch.full((len(part), 1 + max(len(d.text) for d in part)), END)
            for i, d in enumerate(part):
                tokens[i, 1 : 1 + len(d.text)] = torch.tensor(encode(d.text))
            logits = host(tokens).logits.float().cpu()
            for i, d in enumerate(part):
                # With END in front, index `at` is the byte before the answer, whose logits predict it.
                at = torch.tensor([q.at for q in d.questions])
                log = logits[i, at][:, encode(d.letters)]
                log[torch.arange(len(at)), torch.tensor([q.key for q in d.questions])] = -torch.inf
                log = log.log_softmax(-1)
                answer = torch.tensor([q.answer for q in d.questions])
                nats = -log.gather(1, answer[:, None])[:, 0]
                right = log.argmax(1) == answer
                found += [
                    (first + i, len(d.letters), q.hops, q.distance, float(r), float(n))
                    for q, r, n in zip(d.questions, right, nats, strict=True)
                ]
    table = np.array(found).T
    document, pairs, hops, distance = table[:4].astype(np.int64)
    return Answers(document, pairs, hops, distance, table[4] > 0, table[5])
