from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ropewalk import cli
from ropewalk.native import checkpoint
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder


@dataclass
class Answer:
    status: int
    out: str
    err: str


@pytest.fixture
def ropewalk(monkeypatch, capsys):
    """Runs the command line in this process, as the console script does."""

    def run(*words: object, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "argv", ["ropewalk", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        caught = capsys.readouterr()
        return Answer(int(stopped.value.code or 0), caught.out, caught.err)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A tiny untrained per-layer model in a folder."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    shape = DecoderConfig(
        hidden_size=16,
        num_heads=2,
        num_layers=2,
        context_length=32,
        increments={"init": "random", "hidden_size": 8},
    )
    checkpoint.save_decoder(folder, Decoder(shape, seed=1), {"version": "test", "step": 7, "validation": 5.5})
    return folder


@pytest.fixture
def texts(tmp_path) -> Path:
    """A folder with a corpus of twenty small documents and a recipe that trains on it in a second."""
    lines = "\n".join(f'{{"text": "document {i}: the ropes are laid {i} fathoms apart."}}' for i in range(20))
    (tmp_path / "texts.jsonl").write_text(lines + "\n")
    (tmp_path / "recipe.toml").write_text(
        f"""
        [corpus]
        root = '{tmp_path}'
        sources = [{{ path = "texts.jsonl" }}]
        validation_documents = 4
        [model]
        hidden_size = 16
        num_heads = 2
        num_layers = 2
        context_length = 16
        increments = {{ hidden_size = 8 }}
        [train]
        steps = 4
        batch_size = 2
        compile = false
        precision = "float32"
        validation_tokens = 64
        log_every = 1
        """
    )
    return tmp_path


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory) -> None:
    monkeypatch.setenv("ROPEWALK_CACHE", str(tmp_path_factory.mktemp("cache")))
