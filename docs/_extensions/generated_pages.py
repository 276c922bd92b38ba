"""Pages that are written from the package before every build.

- `api/modules/`: one page for each module, from its docstrings.
- `_build/generated/messages.md`: every message of a `UserError`, by package, from the source text.
- `_build/generated/tree.md`: the packages and their modules, with the first sentence of each docstring.
- `_build/generated/public.md`: the public names of the package, with their signatures and docstrings.
- `_build/generated/experiments.md`: the registered experiments.
- `_build/generated/live.md`: the live page of the examples, or how to make it.
- `_build/extra/`: the example pages; see `example_pages`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import example_pages

DOCS = Path(__file__).parents[1]
PACKAGE = DOCS.parent / "src" / "ropewalk"
GENERATED = DOCS / "_build" / "generated"
MODULES = DOCS / "api" / "modules"


def modules() -> dict[str, Path]:
    """Dotted name -> file, of every module and package, in order."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__main__":
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return dict(sorted(found.items()))


def summary(path: Path) -> str:
    """The first sentence of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.?!]) (?=[A-Z])", first)[0]


def write(path: Path, text: str) -> None:
    """Writes only what changed, so that Sphinx reads only that again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def api() -> None:
    found = modules()
    wanted = set()
    for name, path in found.items():
        if name == "ropewalk":
            continue
        children = [other for other in found if other.rpartition(".")[0] == name]
        lines = [name, "=" * len(name), "", f".. automodule:: {name}", ""]
        if path.name == "__init__.py":
            lines.insert(4, "   :no-members:" if children else "   :members:")
        if children:
            lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   {child}" for child in children), ""]
        target = MODULES / f"{name}.rst"
        wanted.add(target)
        write(target, "\n".join(lines))
    for stale in set(MODULES.glob("*.rst")) - wanted:
        stale.unlink()


def template(node: ast.expr) -> str:
    """The text of a message, with {name} for what the code fills in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        inner = ast.unparse(node.value)
        return "{" + (re.findall(r"[A-Za-z_]+", inner) or ["value"])[-1] + "}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return "{" + ast.unparse(node)[:20] + "}"


def messages() -> dict[str, list[tuple[str, str]]]:
    """Package -> (module, message) of every `UserError` whose text is written where it is raised."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") == "UserError"):
                continue
            text = " ".join(template(node.args[0]).split())
            if len(re.sub(r"\{.*?\}", "", text)) < 12:  # the text comes from elsewhere
                continue
            package = ".".join(name.split(".")[:2])
            found.setdefault(package, []).append((name, text))
    return found


def messages_page() -> str:
    parts = []
    for package, entries in messages().items():
        parts.append(f"\n### {package}\n")
        for name, text in sorted(set(entries)):
            plain = text.replace("`", "'")
            parts.append(f"- `{plain}`  \n  raised in `{name}`")
    return "\n".join(parts) + "\n"


def tree_page() -> str:
    found = modules()
    parts = []
    for name, path in found.items():
        if name == "ropewalk":
            continue
        if name.count(".") == 1 and path.name == "__init__.py":
            parts.append(f"\n### {name}\n\n{summary(path)}\n")
        elif name.count(".") == 1:
            continue
        else:
            parts.append(f"- `{name}`: {summary(path)}")
    loose = [
        f"- `{n}`: {summary(p)}" for n, p in found.items() if n.count(".") == 1 and p.name != "__init__.py"
    ]
    return "\n".join(["### ropewalk\n", *loose, *parts]) + "\n"


def public_page() -> str:
    """The public names, from their docstrings."""
    import ropewalk

    parts = []
    for name in sorted(ropewalk.__all__):
        found = getattr(ropewalk, name)
        if isinstance(found, str):
            continue
        kind = "class" if isinstance(found, type) else "function"
        kind = "exception" if kind == "class" and issubclass(found, Exception) else kind
        members = "\n   :members:" if kind == "class" else ""
        text = f".. auto{kind}:: ropewalk.{name}\n   :no-index:{members}\n"
        parts.append(f"### {name}\n\n```{{eval-rst}}\n{text}```\n")
    return "\n".join(parts)


def experiments_page() -> str:
    """Every registered experiment: its question, its endpoint, its null, what it needs, and the command."""
    from ropewalk.experiments import REGISTRY

    options = {
        "text": "`--text FILE` (held-out text)",
        "tokens": "`--text FILE` (held-out text)",
        "gold": "`--dev FILE` and perhaps `--test FILE` (segmented sentences)",
        "baseline": "`--baseline MODEL` (integer-RoPE models of the same seeds)",
    }
    parts = []
    for name in REGISTRY:
        one = REGISTRY[name]
        needs = ", ".join(options[need] for need in one.needs) or "only models"
        if one.optional:
            needs += "; optionally " + ", ".join(options[need] for need in one.optional)
        parts.append(
            f"### {name}\n\n{one.help}\n\n{one.documentation}\n\n"
            f"- Primary endpoint: {one.primary}\n- Null: {one.null}\n- Needs: {needs}\n- Source: `{one.source}`\n"
        )
    return "\n".join(parts)


def build(app: Any) -> None:
    example_pages.write_all(DOCS / "_build" / "extra")
    api()
    write(GENERATED / "messages.md", messages_page())
    write(GENERATED / "tree.md", tree_page())
    write(GENERATED / "public.md", public_page())
    write(GENERATED / "live.md", example_pages.live_section(DOCS / "_build" / "extra"))
    write(GENERATED / "experiments.md", experiments_page())


def list_pages(app: Any, docname: str, source: list[str]) -> None:
    """Lists the reports below the results page, and the modules below the API page, in the order of the architecture page."""
    if docname == "results/README":
        names = sorted(name for name in app.env.found_docs if name.startswith("results/") and name != docname)
        names = [name.removeprefix("results/") for name in names]
    elif docname == "api/index":
        tree = (DOCS / "architecture.md").read_text(encoding="utf-8")
        order = re.findall(r"^  (\w+)/ ", tree, re.M)
        tops = [name.partition(".")[2] for name in modules() if name.count(".") == 1]
        tops.sort(key=lambda top: (order.index(top) if top in order else len(order), top))
        names = [f"modules/ropewalk.{top}" for top in tops]
    elif docname == "index" and "security" not in app.env.found_docs:
        source[0] = source[0].replace("\nsecurity\n", "\n")
        return
    else:
        return
    depth = ":hidden:" if docname == "results/README" else ":maxdepth: 1"
    listed = "\n".join(names)
    source[0] += f"\n\n```{{toctree}}\n{depth}\n\n{listed}\n```\n"


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", build)
    app.connect("source-read", list_pages)
    return {"parallel_read_safe": True}
