"""The kind of a token of any length: a word that begins with its space is a word, not white space."""

from __future__ import annotations

from functools import cache

import regex

from ropewalk.analyses.byte_kinds import character_kind


@cache
def token_kind(text: str) -> str:
    """The kind of the first character (grapheme) that is not a space, or of the first one where there is no other.

    A token of one character is of that character's kind, so tokens that are bytes are not affected.
    """
    if text.startswith("\n"):
        return character_kind(text)
    return character_kind(next((c for c in regex.findall(r"\X", text) if not c[0].isspace()), text))
