"""A model of BPE tokens from scratch: its tokenizer goes with it, and its losses say of what they are."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import ropewalk
from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.tokens.tokenizer_file import read_tokenizer
from ropewalk.training.native_training import train
from ropewalk.training.recipe import Recipe
from ropewalk.training.train_tokenizer import train_tokenizer

SHAPE = {
    "hidden_size": 16,
    "num_heads": 2,
    "num_layers": 1,
    "context_length": 16,
    "increments": {"hidden_size": 8},
}
TEXT = "naïve ropes: 中文 \n\t🤝 The ropes are laid."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a tokenizer of 300 tokens and a trained model."""
    folder = tmp_path_factory.mktemp("bpe")
    lines = [
        json.dumps({"text": f"document {i}: the ropes are laid {i} fathoms apart. " * 4}) for i in range(40)
    ]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    corpus = prepare(CorpusConfig(**plain(folder)), folder / "cache")
    assert train_tokenizer(corpus, folder / "tokenizer.json", size=300, most_bytes=10**6) == 300
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROPEWALK_CACHE", str(folder / "cache"))
        train(recipe(folder), corpus, folder / "run")
    return folder


def plain(folder: Path) -> dict:
    return {"sources": [{"path": "texts.jsonl"}], "root": folder, "validation_documents": 8}


def recipe(folder: Path, vocab_size: int = 300) -> Recipe:
    return Recipe.model_validate(
        {
            "corpus": {**plain(folder), "tokenizer": "tokenizer.json"},
            "model": {**SHAPE, "vocab_size": vocab_size},
            "optimizer": {"lr": 1e-2, "warmup": 5},
            "train": {
                "steps": 30,
                "batch_size": 4,
                "compile": False,
                "precision": "float32",
                "device": "cpu",
            },
        }
    )


def test_the_model_reads_writes_and_is_traced_in_its_tokens(home: Path) -> None:
    model = ropewalk.load(home / "run" / "model")
    assert model.vocab_size == 300 and model.tokenizer.vocab_size == 300
    trace = ropewalk.trace(model, TEXT)
    own = read_tokenizer(home / "tokenizer.json")
    assert trace.tokens.tolist() == own.encode(TEXT).ids.tolist() and len(trace.tokens) < len(TEXT.encode())
    assert trace.spans[-1, 1] == len(TEXT.encode()) and np.isfinite(trace.surprisal).all()
    assert (
        own.decode(trace.tokens) == TEXT and own.prefix() == (own.end,) and own.parts([own.end]) is not None
    )
    read = ropewalk.load(home / "run" / "model", backend="numpy")
    np.testing.assert_allclose(ropewalk.trace(read, TEXT).values, trace.values, atol=1e-4)
    assert isinstance(ropewalk.generate(model, "the ropes"), str)
    checkpoint.save_decoder(home / "again", model, {"version": "x"})
    assert checkpoint.load_decoder(home / "again").own_tokenizer.content == own.content


def test_documents_become_tokens_and_losses_have_their_units(home: Path) -> None:
    lines = [json.loads(line) for line in (home / "run" / "metrics.jsonl").read_text().splitlines()]
    last = next(line for line in reversed(lines) if "validation_loss" in line)
    assert any("tokens" in line for line in lines) and not any("bytes" in line for line in lines)
    own = read_tokenizer(home / "tokenizer.json")
    texts = [json.loads(line)["text"] for line in (home / "texts.jsonl").read_text().splitlines()[:8]]
    tokens = sum(len(own.encode(text, "none").ids) + 1 for text in texts)
    per_byte = tokens / sum(len(text.encode()) for text in texts)
    expected = last["validation_loss"] * per_byte / math.log(2)
    assert per_byte < 0.5 and last["validation_bits_per_byte"] == pytest.approx(expected)
    assert last["validation_loss"] < math.log(300)


def test_what_does_not_fit_is_one_sentence(home: Path, tmp_path: Path) -> None:
    corpus = prepare(CorpusConfig(**plain(home)), home / "cache")
    with pytest.raises(UserError, match=r"set model\.vocab_size = 300"):
        train(recipe(home, 257), corpus, tmp_path / "run")
    with pytest.raises(UserError, match="257 to 65536 tokens"):
        train_tokenizer(corpus, tmp_path / "t.json", size=100, most_bytes=10)
    (tmp_path / "wrong.json").write_text("{}")
    (tmp_path / "endless.json").write_text(
        (home / "tokenizer.json").read_text().replace("<|endoftext|>", "a b")
    )
    for name, said in (("wrong", "not a tokenizer"), ("none", "does not exist")):
        with pytest.raises(UserError, match=said):
            read_tokenizer(tmp_path / f"{name}.json")
    damaged = home / "run" / "model" / "tokenizer.json"
    content = damaged.read_text()
    damaged.write_text(content + " ")
    with pytest.raises(UserError, match="its hash differs"):
        checkpoint.load_decoder(home / "run" / "model")
    damaged.write_text(content)


def test_a_corpus_of_bytes_is_the_same_with_and_without_a_tokenizer(home: Path) -> None:
    with_it = prepare(recipe(home).corpus, home / "cache")
    assert with_it.hash == prepare(CorpusConfig(**plain(home)), home / "cache").hash
    assert torch.from_numpy(with_it.train[:20].astype(np.int64)).max() < 256
