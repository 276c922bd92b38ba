"""How a cell's text is shown: every cell visible, control characters escaped.

Blanks, line ends and control characters become symbols; escape sequences and direction overrides
lose their power; a combining mark without a base gets a dotted circle. Letters, joiners inside a
grapheme and emoji stay.
"""

import unicodedata
from collections.abc import Iterable

import regex

NO_TEXT = "◆"
UNSHOWABLE = "�"
SPACE = "␣"
LINE_END = "⏎"

_SYMBOLS = {"\n": LINE_END, "\t": "⇥", "\x7f": "␡", "\u2028": LINE_END, "\u2029": LINE_END}
_IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")
_INNER = regex.compile(r"[\u200c\u200d\p{Variation_Selector}\U000e0020-\U000e007f]")


def visible(text: str) -> str:
    """One line of printable text for a cell: never empty, without control or direction characters."""
    if not text:
        return NO_TEXT
    shown = "".join(map(_symbol, text.replace("\r\n", "\n")))
    if not _INNER.sub("", shown):
        return UNSHOWABLE
    return "◌" + shown if unicodedata.category(shown[0]).startswith("M") else shown


SYMBOLS = {
    SPACE: "space",
    LINE_END: "line end",
    "⇥": "tab",
    NO_TEXT: "token without text",
    UNSHOWABLE: "invisible character, or bytes that are no text",
    "␀": "zero byte (is the file UTF-16?)",
}


def explain(labels: Iterable[str]) -> str:
    """What the symbols among these labels stand for: "␣ space, ⏎ line end"; "" where there are none."""
    found = set().union(*map(set, labels))
    return ", ".join(f"{symbol} {name}" for symbol, name in SYMBOLS.items() if symbol in found)


def one_line(text: str) -> str:
    """Running text, such as a model's name, as one harmless line with plain spaces."""
    return " ".join(visible(word) for word in text.split())


def _symbol(character: str) -> str:
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    category = unicodedata.category(character)
    if category == "Cc":
        return chr(0x2400 + ord(character)) if ord(character) < 0x20 else UNSHOWABLE
    if category == "Zs":
        return SPACE
    if category in ("Cn", "Cs"):
        return UNSHOWABLE
    if _IGNORABLE.match(character) and not _INNER.match(character):
        return ""
    return character
