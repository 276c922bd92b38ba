"""Experiment: do increments know where Python source delimits a scope?"""

from __future__ import annotations

from itertools import islice

from ropewalk.analyses import scope_delimiters
from ropewalk.analyses.result import Result
from ropewalk.analyses.scopes import candidates, scopes
from ropewalk.corpus.builtin import Library
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.experiments._provenance import corpus_of
from ropewalk.measure.capture import trace
from ropewalk.measure.random_networks import RandomNetworks

FILES = 24
"""Python files that are read."""
BYTES = 5_000
"""Of each file."""


def run(inputs: Inputs) -> list[Result]:
    held_out = corpus_of(inputs.native[0]).get("validation_documents", FILES)
    sources = library(min(FILES, held_out))
    cuts = [text[: text.rfind("\n", 0, BYTES) + 1] or text[:BYTES] for text in sources]
    truth = [
        scope_delimiters.delimiters(text, len(cut.encode())) for text, cut in zip(sources, cuts, strict=True)
    ]
    read = []
    for model in inputs.models:
        random = RandomNetworks(model)
        read.append(
            candidates([trace(model, cut) for cut in cuts], truth, [trace(random, cut) for cut in cuts])
        )
    return [scopes(read)]


def library(count: int) -> list[str]:
    """The first `count` files of the standard library that differ: those that a Python corpus holds out."""
    documents = (d.text for d in Library().documents(lambda _: None) if d.text.strip())
    return list(islice(documents, count))


EXPERIMENT = Experiment(
    name="scopes",
    help="Scope delimiters of Python source, among bytes of one value.",
    documentation=(
        "Files of the standard library that a Python corpus holds out. Only bytes of one value are compared: the colon "
        "that opens a block with colons that do not, and so on, so that the byte alone tells nothing."
    ),
    primary="Mean AUC over newline, colon and bracket, row and sign chosen on every other file",
    null="Random networks on the model's residual streams, chosen and scored alike; and 0.5",
    run=run,
)
