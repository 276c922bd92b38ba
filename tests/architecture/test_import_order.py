"""The flow: imports point one way, from the views and commands down to the errors. Read from the sources, not run."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "ropewalk"

# Who is further down may import who is further up, never the other way round; rooms of one line do not know each other.
ORDER = (
    "errors",
    "lines interrupt machine heap",
    "files",
    "text byteletters",
    "kernels",
    "increments",
    "positions",
    "encoding decay cache loss",
    "attention",
    "host",
    "decoder",
    "bundled corpus",
    "processes",
    "optimizer execution",
    "checkpoint recipe light",
    "run memory",
    "train step",
    "generation",
    "traces",
    "hf importers",
    "measure",
    "tuning",
    "analyses",
    "views",
    "live",
    "export",
    "studies",
    "cli",
    "__main__",
)
SAME_ROOM = {"tracefile": "traces"}  # a trace and its file
SHOWS_ITSELF = {("traces", "views")}  # a trace's own repr, imported inside the functions that draw it
RANK = {room: rank for rank, line in enumerate(ORDER) for room in line.split()}


def room(module: str) -> str:
    """The room of a dotted name: ropewalk.corpus.files -> corpus; "" for the package itself."""
    name = module.split(".")[1] if "." in module else ""
    return SAME_ROOM.get(name, name)


def imports(text: str) -> set[str]:
    """Everything of ropewalk that a source imports, anywhere in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("relative imports hide where they point; write them out")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "ropewalk"}


def wrong_way(own: str, text: str) -> list[str]:
    """What a source of the room `own` imports that does not lie before it."""
    wrong = []
    for name in sorted(imports(text)):
        other = room(name)
        if not other or not ((SOURCE / other).is_dir() or (SOURCE / f"{other}.py").is_file()):
            continue  # the package itself, or a name of it such as __version__
        if own == other or (own, other) in SHOWS_ITSELF:
            continue
        if own not in RANK or other not in RANK or RANK[other] >= RANK[own]:
            wrong.append(f"{own} imports {other}")
    return wrong


def sources() -> list[Path]:
    return sorted(
        path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE
    )


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    own = SAME_ROOM.get(parts[0], parts[0])
    assert own in RANK, f"{own} has no place in the flow: give it one in ORDER"
    assert wrong_way(own, path.read_text(encoding="utf-8")) == []


def test_the_package_itself_imports_nothing_at_once() -> None:
    assert imports((SOURCE / "__init__.py").read_text()) == set()


@pytest.mark.parametrize(
    ("own", "text", "wrong"),
    [
        ("positions", "from ropewalk.core.encoding import Rope", ["positions imports encoding"]),
        ("increments", "import ropewalk.native.decoder", ["increments imports decoder"]),
        ("increments", "def f():\n    from ropewalk import train", ["increments imports train"]),
        ("decay", "from ropewalk import encoding, errors", ["decay imports encoding"]),
        ("views", "from ropewalk.measure.capture import trace", []),
        ("measure", "from ropewalk.views import terminal", ["measure imports views"]),
        ("traces", "from ropewalk import tracefile\nfrom ropewalk.views import page", []),
        (
            "corpus",
            "from ropewalk.corpus.files import Files\nfrom ropewalk import __version__\nimport torch",
            [],
        ),
        ("attic", "from ropewalk.errors import UserError", ["attic imports errors"]),
    ],
)
def test_this_test_can_fail(own: str, text: str, wrong: list[str]) -> None:
    assert wrong_way(own, text) == wrong


def test_relative_imports_are_noticed() -> None:
    with pytest.raises(ValueError, match="write them out"):
        imports("from .encoding import Rope")


@pytest.mark.parametrize("name", ["views", "analyses"])
def test_what_is_drawn_or_counted_needs_no_torch(name: str) -> None:
    for path in (SOURCE / name).rglob("*.py"):
        nodes = [
            node
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert "torch" not in {name.split(".")[0] for name in names}, path
