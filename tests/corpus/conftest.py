import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Write = Callable[[str, Iterable[str]], Path]


@pytest.fixture
def jsonl(tmp_path: Path) -> Write:
    """Writes texts as a .jsonl file below tmp_path, which is what relative paths of a test start from."""

    def write(name: str, texts: Iterable[str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return path

    return write


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
