"""Readable names of tokens, for tables and pages."""

from collections.abc import Sequence

import numpy as np

from ropewalk.tokens.tokenizer import ByteTokenizer, Tokenizer
from ropewalk.views.labels import visible


def token_names(tokenizer: Tokenizer | None, ids: Sequence[int]) -> list[str]:
    """What each token writes, as pages show it; a byte that is no text by its number."""
    if tokenizer is None:
        return [f"token {id_}" for id_ in ids]
    special = {id_: "end of text" for id_ in (tokenizer.end,) if id_ is not None}
    names = []
    for id_, piece in zip(ids, tokenizer.pieces(ids), strict=True):
        unreadable = not piece or "\ufffd" in piece
        byte = f"byte {id_:02X}" if isinstance(tokenizer, ByteTokenizer) else f"token {id_}"
        names.append(special.get(id_) or (byte if unreadable or not visible(piece) else visible(piece)))
    return names


def named_shares(
    tokenizer: Tokenizer | None, ids: np.ndarray, shares: np.ndarray
) -> list[list[tuple[str, float]] | None]:
    """(name, probability) pairs for each place of ids and shares (P, K); None where ids are negative."""
    known = ids[:, 0] >= 0
    names = iter(token_names(tokenizer, ids[known].flatten().tolist()))
    return [
        [(next(names), round(float(share), 4)) for share in row] if asked else None
        for asked, row in zip(known, shares, strict=True)
    ]
