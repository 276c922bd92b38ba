"""The documentation agrees with the package: names, paths, keys, packages, links, messages."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from urllib.parse import urlparse

import pytest
from test_code_blocks import FENCE, ROOT, pages

sys.path.insert(0, str(ROOT / "docs" / "_extensions"))

from generated_pages import messages, modules

DOCS = ROOT / "docs"
PAGES = pages()


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def resolve(name: str) -> object:
    """The module or attribute of a dotted name."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_names_exist(path: Path) -> None:
    for name in re.findall(r"`(ropewalk(?:\.\w+)+)", prose(path)):
        resolve(name)


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_paths_exist(path: Path) -> None:
    for name in re.findall(r"`((?:src|tests|recipes|scripts|bench|docs|notebooks)/[\w./-]+)`", prose(path)):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_links(path: Path) -> None:
    """Internal links lead to files, and their anchors to headings; external ones are well-formed https addresses."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if "://" in target:
            address = urlparse(target)
            assert address.scheme == "https" and "." in address.netloc, target
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists() or (there.name == "security.md" and there.parent == DOCS), target
        if anchor and there.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_architecture_lists_the_packages() -> None:
    listed = set(re.findall(r"^  (\w+)/ ", (DOCS / "architecture.md").read_text(encoding="utf-8"), re.M))
    source = ROOT / "src" / "ropewalk"
    assert listed == {path.parent.name for path in source.glob("*/__init__.py")}


def test_every_module_says_what_it_is() -> None:
    from generated_pages import summary

    silent = [name for name, path in modules().items() if not summary(path)]
    assert not silent


def sections() -> dict[str, set[str]]:
    """Section of docs/recipes.md -> the keys in its tables."""
    parts = re.split(r"^## \[(.*?)\]$", (DOCS / "recipes.md").read_text(encoding="utf-8"), flags=re.M)
    found = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", text, re.M)
        found[name] = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    return found


def test_recipe_keys_are_complete() -> None:
    from ropewalk.core.increment_config import IncrementConfig
    from ropewalk.corpus.config import CorpusConfig
    from ropewalk.native.config import DecoderConfig
    from ropewalk.training.optimizer import OptimizerConfig
    from ropewalk.training.recipe import TrainConfig

    kinds = {
        "corpus": CorpusConfig,
        "model": DecoderConfig,
        "model.increments": IncrementConfig,
        "optimizer": OptimizerConfig,
        "train": TrainConfig,
    }
    assert sections() == {name: set(kind.model_fields) for name, kind in kinds.items()}


def test_parametrizations_are_complete() -> None:
    from ropewalk.core.increment_config import PARAMETRIZATIONS

    listed = re.findall(r"^\| `(\w+)` \| ", (DOCS / "conventions.md").read_text(encoding="utf-8"), re.M)
    assert set(listed) == set(PARAMETRIZATIONS)


def test_quoted_messages_are_in_the_code() -> None:
    """Each message of docs/errors.md, with … for what is filled in, is part of a message in the source."""
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    known = [
        re.sub(r"\{[^{}]*\}", "\0", message) for entries in messages().values() for _, message in entries
    ]
    quoted = re.findall(r"^#### (.*)$", text, re.M)
    assert quoted
    for message in quoted:
        pattern = r"[^\n]*".join(re.escape(part) for part in message.replace("`", "").split("…"))
        assert any(re.search(pattern, one) for one in known), message


def test_glossary_entries_are_one_sentence() -> None:
    entries = re.split(r"^### .*$", (DOCS / "glossary.md").read_text(encoding="utf-8"), flags=re.M)[1:]
    assert entries
    for entry in entries:
        sentence = " ".join(entry.partition("\n## ")[0].split())
        assert sentence.endswith(".") and not re.search(r"[.!?] [A-Z]", sentence), sentence
