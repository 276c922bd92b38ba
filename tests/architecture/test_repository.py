"""The repository: short files, no traps, nothing of the machine it was built on."""

import ast
import re
import statistics
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = {".py", ".md", ".toml", ".cff", ".js", ".css", ".html", ".txt", ".yml", ""}
FORBIDDEN = {
    "a folder of the machine it was built on": r"(?<![\w.])/(?:work|root|home/\w+|Users/\w+)/",
    "something left to do": r"\b(?:TODO|FIXME|XXX|HACK)\b",
    "a loader that runs what it loads": r"\b(?:pickle\.loads?|torch\.load|joblib\.load|yaml\.load)\(|(?<![\w.])(?<!def )(?:eval|exec)\(",
    "an address that only some can reach": r"\b(?:localhost|127\.0\.0\.1):\d{4,5}/\w",
}


def tracked() -> list[Path]:
    """The files of the repository; every file here where there is no git."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / name.decode() for name in listed.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = [
            path
            for folder in ("src", "tests", "docs", "recipes", "bench")
            for path in (ROOT / folder).rglob("*")
        ]
    return [path for path in paths if path.is_file() and path.suffix in TEXTS]


FILES = tracked()
CODE = [path for path in FILES if path.suffix == ".py"]
OURS = [path for path in CODE if ROOT / "src" in path.parents]


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def asserted(text: str) -> list[int]:
    """Lines of `assert` statements."""
    return [node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Assert)]


def found(text: str) -> list[str]:
    """What a text holds that it must not, pictures inside it left out."""
    words = re.sub(r"data:[\w/+.-]+;base64,[\w+/=]+", "", text)
    return [what for what, pattern in FORBIDDEN.items() if re.search(pattern, words)]


def test_the_files_are_found() -> None:
    assert len(OURS) > 30 and len(CODE) > len(OURS) + 10


def test_files_are_short() -> None:
    long = {str(path.relative_to(ROOT)): length(path) for path in CODE if length(path) > 500}
    assert not long
    assert statistics.median(length(path) for path in OURS) < 200


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by their names alone."""
    names = [path.name for path in CODE if ROOT / "tests" in path.parents and path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


def test_nothing_in_the_package_asserts() -> None:
    """`python -O` drops assertions, and people are told things with a UserError."""
    wrong = [path for path in OURS if asserted(path.read_text(encoding="utf-8"))]
    assert wrong == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in OURS if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert silent == []


def test_no_file_holds_what_it_must_not() -> None:
    users_do_so = {
        "test_hf_caches.py",
        "test_hf_copies.py",
        "test_hf_peft.py",
    }  # what people do to their own models is tried there
    wrong = {
        str(path.relative_to(ROOT)): found(path.read_text(encoding="utf-8"))
        for path in FILES
        if path != Path(__file__) and path.name not in users_do_so
    }
    assert {name: what for name, what in wrong.items() if what} == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("see /root/notes.md", True),
        ("in /home/someone/project", True),
        ("# TODO: later", True),
        ("weights = torch.load(path)", True),
        ("x = eval(text)", True),
        ("model.eval()", False),
        ("https://example.org/work/paper", False),
        ("the root/ folder, homework", False),
    ],
)
def test_this_test_can_fail(text: str, wrong: bool) -> None:
    assert bool(found(text)) == wrong
    assert asserted("def f(x):\n    assert x\n") == [2]
