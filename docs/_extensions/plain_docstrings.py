"""Docstrings as reStructuredText: plain text with `code` in single backticks, indented examples and lists with dashes.

The package writes its docstrings as plain text. Paragraphs become paragraphs, indented lines become literal blocks,
lines that start with a dash become list items, and everything that reStructuredText would read as markup is escaped.
"""

from __future__ import annotations

import re
from typing import Any

CODE = re.compile(r"``([^`]+)``|`([^`]+)`")
MARKUP = re.compile(r"([*|\\`]|_(?=\W|$))")


def escape(text: str) -> str:
    """One line of prose: code stays code, other markup characters are escaped."""
    parts, end = [], 0
    for found in CODE.finditer(text):
        parts.append(MARKUP.sub(r"\\\1", text[end : found.start()]))
        parts.append(f"``{(found[1] or found[2]).strip()}``")
        end = found.end()
    parts.append(MARKUP.sub(r"\\\1", text[end:]))
    joined = "".join(parts)
    return re.sub(r"``(?=[\w(])", r"``\\ ", joined) if joined.count("``") == 0 else _separate(joined)


def _separate(text: str) -> str:
    """Inline code needs a boundary on both sides: `x`s becomes ``x``\\ s."""
    return re.sub(
        r"(\w)?``([^`]+)``(\w)?",
        lambda m: (f"{m[1]}\\ " if m[1] else "") + f"``{m[2]}``" + (f"\\ {m[3]}" if m[3] else ""),
        text,
    )


def convert(lines: list[str]) -> list[str]:
    """A docstring, dedented, as lines of reStructuredText."""
    out: list[str] = []
    kind = ""  # of the previous line: "", "text", "item", "literal"
    for line in lines:
        if not line.strip():
            out.append("")
            if kind != "literal":
                kind = ""
            continue
        indented = line.startswith("  ")
        bullet = re.match(r"[-*] ", line)
        if indented and kind == "item":
            out.append("  " + escape(line.strip()))
        elif indented:
            if kind != "literal":
                out += ["", "::", ""]
            out.append("    " + line)
            kind = "literal"
        elif bullet:
            if kind not in ("item", ""):
                out.append("")
            out.append("- " + escape(line[2:]))
            kind = "item"
        else:
            if kind in ("item", "literal"):
                out.append("")
            # a first character that starts a list, a field or a section is protected
            text = escape(line)
            if re.match(r"(\d+|[A-Za-z])[.)] |[#+:=.-]", text):
                text = "\\" + text if not text[0].isalnum() else re.sub(r"^(\w+)", r"\1\\", text)
            out.append(text)
            kind = "text"
    return [*out, ""]


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if not name.startswith("ropewalk"):  # inherited from another library
        lines[:] = []
        return
    lines[:] = convert(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
