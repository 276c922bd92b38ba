"""Which key of a record holds a document's text: the one that was asked for, or the obvious one.

If none was asked for, the key is "text", else one of the usual names, else the only key whose value is text; what is chosen
is logged. UserError names the keys there are where none is obvious.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from ropewalk.errors import UserError

USUAL = (
    "text",
    "content",
    "contents",
    "body",
    "document",
    "article",
    "raw_content",
    "sentence",
    "passage",
    "story",
)

HOW = "--text-key KEY; in recipes and graft-train --set corpus.text_key=KEY; elsewhere rename it to 'text'"

log = logging.getLogger("ropewalk.corpus")


def choose_key(text_key: str | None, record: Mapping[str, Any], where: str) -> str:
    """The key of the text in records like this one."""
    if text_key is not None:
        need_key(text_key, record, where)
        return text_key
    named = [key for key in USUAL if isinstance(record.get(key), str | None) and key in record]
    texts = [key for key, value in record.items() if isinstance(value, str)]
    if not named and len(texts) != 1:
        need_key("text", record, where)
        return "text"  # which holds no text; `need_text` says what
    chosen = named[0] if named else texts[0]
    if chosen != "text":
        log.warning("%s: the text is taken from %r; set text_key to take another (%s)", where, chosen, HOW)
    return chosen


def need_key(text_key: str, keys: Collection[str], where: str) -> None:
    """UserError naming the keys there are, unless the text's key is one of them."""
    if text_key not in keys:
        found = ", ".join(sorted(map(str, keys))) or "none"
        raise UserError(
            f"{where}: no key {text_key!r} (there are: {found}); set text_key to one of them ({HOW})."
        )


def need_text(value: Any, text_key: str, where: str) -> str:
    """The text, "" for a null; UserError for anything else, and for text that no UTF-8 file can hold."""
    if not isinstance(value, str | None):
        raise UserError(
            f"{where}: {text_key!r} is {type(value).__name__}, expected text; set text_key to another key ({HOW})."
        )
    text = value or ""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{where}: {text_key!r} holds half of a character (a lone surrogate, "
                f"\\u{ord(text[error.start]):04x}, at character {error.start}); correct or remove this record."
            ) from error
    return text
