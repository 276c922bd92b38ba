"""Bytes: the increment of every single symbol, for the lines that see no context: the shared one and layer 0."""

from __future__ import annotations

import numpy as np
import torch

from ropewalk.errors import UserError
from ropewalk.host import Host, increments_of
from ropewalk.lines import Line
from ropewalk.text import VOCABULARY


def context_free(host: Host) -> tuple[tuple[Line, ...], np.ndarray]:
    """The lines without context, and their increment of each symbol: (lines, VOCABULARY), token-equivalents.

    Each symbol is read alone; the law of these lines sees its embedding and nothing else.
    """
    lines = [i for i, line in enumerate(host.lines) if line.layer in (None, 0)]
    if not lines:
        raise UserError("this model has no line in its first layer; only such a line is free of context.")
    with torch.inference_mode():
        found = increments_of(host(torch.arange(VOCABULARY)[:, None]))[:, lines, 0]
    return tuple(host.lines[i] for i in lines), found.T.numpy(force=True).astype(np.float64)
