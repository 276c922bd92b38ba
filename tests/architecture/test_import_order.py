"""Imports point down, between packages and between the modules of a package. Read from the sources, not run."""

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "ropewalk"

# A package may import the packages before it and itself. A dotted name is a part of a package with a place of its own.
ORDER = (
    "errors",
    "system",
    "tokens",
    "core",
    "native",
    "corpus",
    "traces",
    "training",
    "hf",
    "loading",
    "measure",
    "training.graft",
    "analyses",
    "experiments",
    "views",
    "live",
    "export",
    "studies",
    "cli",
    "__main__",
)
RANK = {package: rank for rank, package in enumerate(ORDER)}
SHOWS_ITSELF = {("traces", "views")}  # a trace's own repr draws itself

Graph = Mapping[str, set[str]]


def name_of(path: Path) -> str:
    """The dotted name of a source below `ropewalk`: "" for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The longest entry of ORDER that holds a module, or else its first part."""
    held = [package for package in ORDER if module == package or module.startswith(f"{package}.")]
    return max(held, key=len, default=module.split(".")[0])


def imports(text: str, modules: Iterable[str]) -> set[str]:
    """The modules that a source imports, wherever it does so except for type checkers; dotted names below `ropewalk`."""
    known, found = set(modules), set()
    tree = ast.parse(text)
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("write relative imports out")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    below = {
        name.removeprefix("ropewalk").removeprefix(".") for name in found if name.split(".")[0] == "ropewalk"
    }
    return {name if name in known else name.rpartition(".")[0] for name in below} - {""}


def graph() -> dict[str, set[str]]:
    """Every module and what it imports."""
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    return {module: imports(text, texts) for module, text in texts.items()}


def wrong_way(of: Graph) -> list[str]:
    """The imports that do not point down."""
    wrong = []
    for module, imported in of.items():
        for other in sorted(imported):
            own, package = package_of(module), package_of(other)
            if own == package or (own, package) in SHOWS_ITSELF or not module:
                continue
            if RANK.get(package, len(ORDER)) >= RANK.get(own, -1):
                wrong.append(f"{module} imports {other}")
    return wrong


def cycles(of: Graph) -> list[list[str]]:
    """The strongly connected components of more than one module, and modules that import themselves (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in of.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1 or node in of.get(node, ()):
                found.append(sorted(component))

    for node in of:
        if node not in index:
            visit(node)
    return sorted(found)


def test_every_package_has_a_place() -> None:
    assert {package_of(module) for module in graph() if module} <= set(ORDER)


def test_imports_point_down() -> None:
    assert wrong_way(graph()) == []


def test_no_modules_import_each_other() -> None:
    """Within packages too. A trace draws itself inside its repr only, which is left out here as above."""
    found = {
        module: {other for other in imported if (package_of(module), package_of(other)) not in SHOWS_ITSELF}
        for module, imported in graph().items()
    }
    assert cycles(found) == []


def test_the_package_itself_imports_nothing_at_once() -> None:
    text = (SOURCE / "__init__.py").read_text(encoding="utf-8")
    at_once = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in at_once if "ropewalk" in ast.unparse(node)]


@pytest.mark.parametrize(
    ("of", "wrong"),
    [
        ({"core.positions": {"native.decoder"}}, ["core.positions imports native.decoder"]),
        ({"native.decoder": {"core.positions"}}, []),
        ({"core.positions": {"core.encoding"}}, []),
        ({"training.loop": {"hf.adapter"}}, ["training.loop imports hf.adapter"]),
        ({"training.graft.paired": {"hf.adapter"}}, []),
        ({"training.loop": {"training.graft.paired"}}, ["training.loop imports training.graft.paired"]),
        ({"traces.trace": {"views.page"}}, []),
        ({"measure.capture": {"views.page"}}, ["measure.capture imports views.page"]),
        ({"attic.box": {"errors"}}, ["attic.box imports errors"]),
    ],
)
def test_an_import_that_points_up_is_noticed(of: Graph, wrong: list[str]) -> None:
    assert wrong_way(of) == wrong


@pytest.mark.parametrize(
    ("of", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
        ({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}, [["a", "b"], ["c", "d"]]),
        ({"a": {"a"}}, [["a"]]),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}, []),
    ],
)
def test_a_cycle_is_noticed(of: Graph, found: list[list[str]]) -> None:
    assert cycles(of) == found


def test_imports_are_read_wherever_they_are() -> None:
    known = {"core", "core.rows", "errors", "views"}
    text = (
        "from typing import TYPE_CHECKING\nimport torch\nfrom ropewalk import __version__, errors\n"
        "if TYPE_CHECKING:\n    from ropewalk.views import page\n"
        "def f():\n    from ropewalk.core.rows import Row\n    import ropewalk.core\n"
    )
    assert imports(text, known) == {"errors", "core.rows", "core"}
    with pytest.raises(ValueError, match="relative imports"):
        imports("from .rows import Row", known)


# What the base install runs, which has no PyTorch; each with the modules of it that are used with PyTorch only.
WITHOUT_TORCH = {
    "analyses": {"entities", "knockout", "lookback", "lookup", "planted", "published_names"},
    "cli": {"progress"},
    "corpus": {"windows"},
    "system": {"sharded_tensors"},
    "tokens": set(),
    "traces": set(),
    "views": {"page.details"},
}


def without_functions(text: str) -> str:
    """A source without the bodies of its functions: what runs when it is imported."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def loading_torch(texts: Mapping[str, str]) -> set[str]:
    """The modules whose import imports torch, by themselves or by what they import."""
    at_once = {module: without_functions(text) for module, text in texts.items()}
    imported = {
        module: imports(text, texts) | {module.rpartition(".")[0]} for module, text in at_once.items()
    }
    loading = {
        module for module, text in at_once.items() if re.search(r"^(?:import|from) torch\b", text, re.M)
    }
    while more := {module for module, others in imported.items() if others & loading} - loading:
        loading |= more
    return loading


@pytest.fixture(scope="module")
def heavy() -> set[str]:
    return loading_torch({name_of(path): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")})


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_the_base_install_loads_no_torch(package: str, heavy: set[str]) -> None:
    found = {module for module in heavy if package_of(module) == package}
    assert {module.removeprefix(f"{package}.") for module in found} == WITHOUT_TORCH[package]


def test_torch_is_found_wherever_it_is_imported() -> None:
    lazy, plain = "from ropewalk import b", "def f():\n    import torch"
    assert loading_torch({"a": lazy, "b": plain, "c": "import ropewalk.d", "d": "import torch.nn"}) == {
        "c",
        "d",
    }
