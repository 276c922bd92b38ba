"""Letters drawn one by one keep the shape they have in the word: initial, middle, final or alone.

Arabic, Syriac and other cursive scripts shape a letter by its neighbors. A zero-width joiner on
the side where a neighbor joins makes a lone letter take that shape. Which letters join is
Unicode's Joining_Type.
"""

from collections.abc import Sequence
from itertools import pairwise

import regex

JOINER = "\u200d"

_TO_NEXT = regex.compile(r"[\p{Joining_Type=D}\p{Joining_Type=L}\p{Joining_Type=C}]\p{Joining_Type=T}*\Z")
_TO_PREVIOUS = regex.compile(r"[\p{Joining_Type=D}\p{Joining_Type=R}\p{Joining_Type=C}]")
_RIGHT_TO_LEFT = regex.compile(r"[\p{Bidi_Class=R}\p{Bidi_Class=AL}]")
_LEFT_TO_RIGHT = regex.compile(r"\p{Bidi_Class=L}")


def join_cursive(labels: Sequence[str]) -> list[str]:
    """The labels with a joiner at every side where it meets a neighbor that joins."""
    joined = list(labels)
    for place, (before, after) in enumerate(pairwise(labels)):
        if _TO_NEXT.search(before) and _TO_PREVIOUS.match(after):
            joined[place] += JOINER
            joined[place + 1] = JOINER + joined[place + 1]
    return joined


def right_to_left(text: str) -> bool:
    """Whether more of the text's letters run from right to left than from left to right."""
    return len(_RIGHT_TO_LEFT.findall(text)) > len(_LEFT_TO_RIGHT.findall(text))
