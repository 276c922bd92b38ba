"""Capture: runs a host over a text and keeps one increment per token and line, as a Trace.

Beside them, per token and in nats: surprisal, the entropy before the token and the entropy after it. A text
longer than the host's context is read in windows that overlap by half, so that every token is read with at
least half a context behind it (the first window excepted); memory does not grow with the text beyond the
numbers kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ropewalk.errors import UserError
from ropewalk.host import Edit, Host, increments_of
from ropewalk.loss import surprisal_and_entropy
from ropewalk.text import END, byte_spans, encode
from ropewalk.traces import Trace

Start = Literal["document", "text"]


@dataclass(frozen=True)
class Tokens:
    """A text as a host reads it: ids (T,), byte spans (T, 2), and the symbol that starts a document."""

    ids: np.ndarray
    spans: np.ndarray
    start: int | None


def byte_tokens(text: str) -> Tokens:
    """The tokens of the native models: UTF-8 bytes, with the end-of-document symbol before the first."""
    return Tokens(np.array(encode(text), dtype=np.int64), byte_spans(text), END)


def trace(
    host: Host,
    text: str,
    *,
    tokens: Tokens | None = None,
    start: Start = "document",
    edit: Edit | None = None,
) -> Trace:
    """The increments of `text` in every line of `host`, kind "increment", unit "token-equivalents".

    tokens: how the host reads the text; UTF-8 bytes when None. start: "document" puts the start symbol before
    the text, so that the first token too has a surprisal and a gap before it; "text" begins with the text
    itself. edit: an intervention on the increments, see `ropewalk.host`; called once per window. UserError
    for an empty text and for tokens outside the host's vocabulary.
    """
    tokens = tokens or byte_tokens(text)
    if len(tokens.ids) == 0:
        raise UserError("the text is empty: expected at least one character; give some text.")
    prefix = [tokens.start] if start == "document" and tokens.start is not None else []
    sequence = torch.from_numpy(np.concatenate([np.array(prefix, np.int64), tokens.ids]))
    total, skip = len(sequence), len(prefix)
    values = np.empty((len(host.lines), total), np.float32)
    surprisal, entropy, after = (np.full(total, np.nan, np.float32) for _ in range(3))
    with torch.inference_mode():
        for first, keep, last in windows(total, host.context):
            output = host(sequence[None, first:last], edit=edit)
            values[:, keep:last] = increments_of(output)[0, :, keep - first :].numpy(force=True)
            lost, uncertain = surprisal_and_entropy(output.logits[0, :-1].cpu(), sequence[first + 1 : last])
            _, final = surprisal_and_entropy(output.logits[0, -1:].cpu(), sequence[-1:])
            uncertain_after = torch.cat([uncertain, final])
            old = max(keep, first + 1)
            surprisal[old:last] = lost[old - first - 1 :]
            entropy[old:last] = uncertain[old - first - 1 :]
            after[keep:last] = uncertain_after[keep - first :]
    if not np.isfinite(values).all():
        raise UserError(
            "the model gave increments that are not finite numbers; it diverged, so trace another one."
        )
    count = len(list(windows(total, host.context)))
    return Trace(
        text=text,
        tokens=tokens.ids,
        spans=tokens.spans,
        lines=host.lines,
        values=values[:, skip:],
        kind="increment",
        unit="token-equivalents",
        gap=host.gap,
        surprisal=surprisal[skip:],
        entropy=entropy[skip:],
        entropy_after=after[skip:],
        context={"start": start, "window": host.context, "overlap": host.context // 2, "windows": count},
        provenance=host.describe(),
    )


def windows(total: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(first, keep, last): read tokens first..last, keep what was measured from `keep` on."""
    last = min(total, context)
    yield 0, 0, last
    while last < total:
        keep, last = last, min(total, last + context - context // 2)
        yield max(0, last - context), keep, last
