"""The disk is full, or a quota is, at each operation in turn: one sentence, nothing lost, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from disk import failing
from formats import host

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from ropewalk.analyses.result import Result
from ropewalk.corpus import CorpusConfig, prepare
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.traces.trace import Trace

SHAPE = {"hidden_size": 8, "num_heads": 2, "num_layers": 1, "context_length": 8}


def model(seed: int) -> Decoder:
    return tiny.moved(Decoder(tiny.config(decoder=SHAPE), seed=seed))


def graft(number: int, folder: Path) -> None:
    from ropewalk import hf

    grafted = hf.graft(host(), parametrization="bounded", hidden_size=2)
    with torch.no_grad():
        next(iter(grafted.parameters())).fill_(float(number))
    try:
        grafted.save(folder)
    finally:
        grafted.detach()


def grafted(folder: Path) -> int:
    from ropewalk import hf

    found = hf.load(host(), folder)
    found.detach()
    return int(next(iter(found.parameters())).detach().flatten()[0])


def corpus(number: int, folder: Path) -> None:
    texts = folder.parent.parent / f"{number}.jsonl"
    content = {"sources": [{"path": texts}], "validation_documents": 2}
    prepare(CorpusConfig.model_validate(content), folder, progress=False).verify()


def prepared(folder: Path) -> int:
    return len(list((folder / "corpora").glob("[!.]*")))


Write, Read = Callable[[int, Path], object], Callable[[Path], int]
WAYS: dict[str, tuple[Write, Read]] = {
    "checkpoint": (
        lambda n, path: checkpoint.save_decoder(path, model(n), {"n": n}, training=({}, {"n": n})),
        lambda path: checkpoint.load_decoder(path).provenance["n"],
    ),
    "t.json.gz": (
        lambda n, path: trace(model(1), "a" * n).save(path),
        lambda path: len(Trace.load(path).text),
    ),
    "r.json": (
        lambda n, path: Result("t", str(n), {"x": "x"}, ()).save(path),
        lambda path: int(Result.load(path).title),
    ),
    "graft": (graft, grafted),
    "corpus": (corpus, prepared),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_nothing_is_lost(tmp_path: Path, name: str, number: int) -> None:
    write, read = WAYS[name]
    home = tmp_path / "home"
    home.mkdir()
    for n in (1, 2):
        (tmp_path / f"{n}.jsonl").write_text(
            "".join(json.dumps({"text": f"{n} {i}"}) + "\n" for i in range(5))
        )
    write(1, home / name)
    before = sorted(home.rglob("*"))
    refused, found = 0, []
    while True:
        with failing(refused, number) as failed:
            try:
                write(2, home / name)
            except UserError as error:
                assert os.strerror(number) in str(error) and "\n" not in str(error), error
                refused += 1
        if not failed:
            break
        found.append(read(home / name))
        assert sorted(home.rglob("*")) == before
    assert refused > 1 and read(home / name) == 2
    assert found[:-1] == [1] * (refused - 1), (
        "only the very last operation may fail once the new one has its place"
    )


@contextmanager
def smallest_files(most: int) -> Iterator[None]:
    """A real limit of the system: no file of this process grows beyond `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["checkpoint", "r.json"])
def test_a_real_limit(tmp_path: Path, name: str) -> None:
    write, read = WAYS[name]
    write(1, tmp_path / name)
    with smallest_files(100), pytest.raises(UserError, match=r"annot write .*(File too large|os error 27)"):
        write(2, tmp_path / name)
    assert read(tmp_path / name) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to the administrator")
@pytest.mark.parametrize("name", WAYS)
def test_a_read_only_folder(tmp_path: Path, name: str) -> None:
    write, _ = WAYS[name]
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    with pytest.raises(UserError, match="Permission denied"):
        write(1, home / name)
    assert not list(home.iterdir())


# What a graft's training saves last: the increments, and the base or the LoRA that learned with them.


def _save_trained(number: int, trainable: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ropewalk import hf
    from ropewalk.training.graft import paired
    from ropewalk.training.graft.recipe import GraftRecipe

    monkeypatch.setattr(paired, "_copy_tokenizer", lambda base, folder: None)
    recipe = GraftRecipe.model_validate(
        {
            "corpus": tiny.recipe().corpus,
            "model": {"base": "somewhere", "trainable": trainable, "increments": {"hidden_size": 2}},
        }
    )
    with hf.graft(host(), hidden_size=2) as grafted:
        with torch.no_grad():
            for parameter in (next(iter(grafted.parameters())), next(grafted.model.parameters())):
                parameter.fill_(float(number))
        paired._save_model(grafted, recipe, folder, {"n": number}, True)


def _trained(folder: Path) -> tuple[float, float]:
    from safetensors.torch import load_file

    from ropewalk.hf import adapter_file

    adapter_file.read(folder)
    found = (load_file(folder / "increments.safetensors"), load_file(folder / "base" / "model.safetensors"))
    return float(max(t.max() for t in found[0].values())), float(max(t.max() for t in found[1].values()))


def test_the_last_save_of_a_training_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off at each operation: one sentence, and the base is the old one or the new one, whole."""
    _save_trained(3, "full", tmp_path / "model", monkeypatch)
    assert _trained(tmp_path / "model")[1] == 3.0
    refused = 0
    while True:
        with failing(refused, errno.ENOSPC) as failed:
            try:
                _save_trained(4, "full", tmp_path / "model", monkeypatch)
            except UserError as error:
                assert "No space left" in str(error) and "\n" not in str(error)
        if not failed:
            break
        refused += 1
        assert _trained(tmp_path / "model")[1] in (3.0, 4.0)
        assert sorted(path.name for path in (tmp_path / "model").iterdir() if path.is_dir()) == ["base"]
        assert not list(tmp_path.glob(".*"))
    assert refused > 3 and _trained(tmp_path / "model")[1] == 4.0


def test_a_real_limit_on_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with smallest_files(3000), pytest.raises(UserError, match=r"cannot write .*(File too large|os error 27)"):
        _save_trained(3, "full", tmp_path / "model", monkeypatch)
    assert not list(tmp_path.rglob("base")) and not list(tmp_path.rglob(".*"))
