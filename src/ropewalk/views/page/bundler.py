"""Bundles ES modules into one script, so that a page is a single file that works offline and from file://.

A module names what it needs with `import { name, other } from "./module.js";` and what it offers with `export` before a
function, class or const. Each module becomes a function scope of its own, in the order of its imports: a name that was
not imported does not exist there. Paths are relative to the importing file, inside the package. ValueError for a cycle,
an unknown module or name, and any other form of import or export.
"""

import posixpath
import re
from functools import cache
from importlib.resources import files

from ropewalk.views.page.minify import minify_js

_IMPORT = re.compile(r'^import \{ ([\w$, ]+) \} from "(\.[\w./-]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) ([\w$]+))", re.M)


@cache
def bundle(entry: str) -> str:
    """The script for the module `entry`, a path such as "views/page/page.js" inside the package ropewalk."""
    done: dict[str, set[str]] = {}
    parts: list[str] = []
    _add(entry, (), done, parts)
    return minify_js('"use strict";\nconst $ = {};\n' + "".join(parts))


def _add(path: str, above: tuple[str, ...], done: dict[str, set[str]], parts: list[str]) -> None:
    """Append the module at `path`, after the modules that it imports; `above` are its importers."""
    if path in above:
        raise ValueError(f"modules import each other: {' -> '.join((*above, path))}")
    if path in done:
        return
    try:
        source = files("ropewalk").joinpath(path).read_text("utf-8")
    except FileNotFoundError as error:
        raise ValueError(
            f"{above[-1] if above else 'the page'} imports {path}, which does not exist"
        ) from error

    def imported(match: re.Match[str]) -> str:
        names, target = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        _add(target, (*above, path), done, parts)
        if unknown := {name.strip() for name in names.split(",")} - done[target]:
            raise ValueError(f"{path} imports {', '.join(sorted(unknown))}, which {target} does not export")
        return f"const {{ {names} }} = $.{_key(target)};\n"

    body = _IMPORT.sub(imported, source)
    exports = set(_EXPORT.findall(body))
    body = _EXPORT.sub("", body)
    if odd := re.search(r"^(?:import|export)\b.*", body, re.M):
        raise ValueError(f"{path} has a form of import or export that is not joined: {odd.group()}")
    done[path] = exports
    offered = ", ".join(sorted(exports))
    parts.append(f"$.{_key(path)} = (() => {{\n{body}return {{ {offered} }};\n}})();\n")


def _key(path: str) -> str:
    """The property that holds a module: its path as an identifier."""
    return re.sub(r"\W", "_", path.removesuffix(".js").removeprefix("views/page/"))
