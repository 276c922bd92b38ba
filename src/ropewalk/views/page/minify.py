"""Minifies the page's own JavaScript and CSS: removes comments, indentation and unnecessary white space; names stay as they are.

Strings, template literals and regular expressions are kept as written. Line ends stay, so that nothing depends on where
semicolons would be inserted.
"""

import re
from typing import cast

_PIECE = re.compile(
    r"""
    (?P<string> "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
  | (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<regex> (?<![\w)\]$}"'`]) (?<![\w)\]$}"'`]\ ) /(?![/*]) (?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/ [a-z]* )
  | (?P<mark> [`{}] | \$\{ )
  | (?P<blank> [ \t]*\n[\s]* | [ \t]+ )
  | (?P<word> [\w$]+ )
  | (?P<other> . )
    """,
    re.X | re.S,
)
_TEMPLATE = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*", re.S)
_WORD = re.compile(r"[\w$]")


def minify_js(source: str) -> str:
    """JavaScript with the same meaning and fewer characters."""
    out: list[str] = []
    depths: list[int] = []  # for each open `${`, how many braces are open inside it
    index, blank = 0, ""

    def put(text: str) -> None:
        nonlocal blank
        if blank and out and text:
            before, after = out[-1][-1], text[0]
            needed = (
                blank == "\n"
                or (_WORD.match(before) and _WORD.match(after))
                or before + after in ("++", "--")
            )
            if needed and before != "\n":
                out.append(blank)
        blank = ""
        out.append(text)

    def template(at: int) -> int:
        literal = cast(re.Match[str], _TEMPLATE.match(source, at))
        end = literal.end()
        opened = source.startswith("${", end)
        out.append(literal[0] + ("${" if opened else "`"))
        if opened:
            depths.append(0)
        return end + (2 if opened else 1)

    while index < len(source):
        piece = cast(re.Match[str], _PIECE.match(source, index))
        kind, text = piece.lastgroup, piece[0]
        index = piece.end()
        if kind == "comment":
            continue
        if kind == "blank":
            blank = "\n" if "\n" in text or blank == "\n" else " "
            continue
        if text == "}" and depths and not depths[-1]:
            depths.pop()
            blank = ""
            out.append("}")
            index = template(index)
            continue
        if text in "{}" and depths:
            depths[-1] += 1 if text == "{" else -1
        put(text)
        if text == "`":
            index = template(index)
    return "".join(out)


def minify_css(source: str) -> str:
    """CSS with the same meaning and fewer characters: no comments, no blanks around braces, colons and commas."""
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.S)
    source = re.sub(r"\s+", " ", source)
    return re.sub(r" ?([{};,>]) ?|(?<=[\w-])(:) ", r"\1\2", source).replace(";}", "}").strip()
