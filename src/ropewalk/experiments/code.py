"""Experiment: the published table of increments by kind of code character."""

from __future__ import annotations

from ropewalk.analyses.code_kinds import by_code_kind
from ropewalk.analyses.result import Result
from ropewalk.experiments._base import Experiment, Inputs
from ropewalk.experiments._provenance import corpus_of
from ropewalk.experiments.scopes import BYTES, FILES, library
from ropewalk.measure.capture import trace


def run(inputs: Inputs) -> list[Result]:
    """The text that is given, or files of the standard library that a Python corpus holds out."""
    if inputs.text:
        cuts = [inputs.text]
    else:
        held_out = corpus_of(inputs.native[0]).get("validation_documents", FILES)
        sources = library(min(FILES, held_out))
        cuts = [text[: text.rfind("\n", 0, BYTES) + 1] or text[:BYTES] for text in sources]
    return [by_code_kind([[trace(model, cut) for cut in cuts] for model in inputs.models])]


EXPERIMENT = Experiment(
    name="code",
    help="Increments by kind of code character, layer by layer: the published table.",
    documentation=(
        "Mean increments of newlines and indents, brackets, operators, punctuation, spaces and identifiers in every row, "
        "beside the published ones. Read are files of the standard library that a Python corpus holds out, 5,000 bytes of "
        "each, or a text of your own. `scopes` is the stricter test: bytes of one value, in and out of their role."
    ),
    primary="none",
    null="none",
    run=run,
    optional=("text",),
)
