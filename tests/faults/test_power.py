"""The power fails between any two operations of every write: afterwards there is the old thing or the new one."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from disk import Disk, watched

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from ropewalk.analyses.result import Result
from ropewalk.corpus import Corpus, CorpusConfig, prepare
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.system import files
from ropewalk.traces.trace import Trace
from ropewalk.training.distributed import SINGLE_PROCESS
from ropewalk.training.loop import CheckpointIO, State
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.run import Run

SHAPE = {"hidden_size": 8, "num_heads": 2, "num_layers": 1, "context_length": 8}


def model(seed: int) -> Decoder:
    return tiny.moved(Decoder(tiny.config(decoder=SHAPE), seed=seed))


def after_every_cut(disk: Disk, place: Path, read: Callable[[Path], object]) -> set[Any]:
    """What `read` finds in every state that a cut can leave, each in a folder of its own."""
    found = set()
    for number, (state, what) in enumerate(disk.states.items()):
        folder = place / str(number)
        disk.put(state, folder)
        try:
            found.add(read(folder))
        except Exception as error:
            raise AssertionError(f"cut at {what}: {type(error).__name__}: {error}") from error
        shutil.rmtree(folder)
    return found


def gone_or(read: Callable[[], Any]) -> Any:
    """What is read, or "gone" for the one refusal that is right: that nothing is there."""
    try:
        return read()
    except UserError as error:
        if "does not exist" not in str(error) and "No such file" not in str(error):
            raise
        return "gone"


def read_checkpoint(folder: Path) -> str:
    """Which of the two models the checkpoint holds, with the right optimizer beside it."""

    def read() -> str:
        into = Decoder(tiny.config(decoder=SHAPE), seed=5)
        weights, moments, content = checkpoint.read_training(folder / "c", into)
        name = str(content["state"])
        assert float(moments["m"]) == float(name) and torch.equal(
            weights["embedding"], model(int(name)).embedding
        )
        return name

    return gone_or(read)


@pytest.mark.parametrize("before", [None, 1])
def test_a_checkpoint(tmp_path: Path, before: int | None) -> None:
    def save(seed: int) -> None:
        training = ({"m": torch.tensor(float(seed))}, {"state": seed})
        checkpoint.save_decoder(tmp_path / "disk" / "c", model(seed), {"version": "1"}, training=training)

    (tmp_path / "disk").mkdir()
    if before:
        save(before)
    with watched(tmp_path / "disk") as disk:
        save(2)
    found = after_every_cut(disk, tmp_path, read_checkpoint)
    assert found == {"gone" if before is None else "1", "2"}
    assert disk.moments > 20 and len(disk.states) > 10


def made(text: str) -> Trace:
    return trace(model(1), text)


def result(text: str) -> Result:
    return Result("t", text, {"x": "x"}, ({"x": 1},))


@pytest.mark.parametrize("name", ["t.json", "t.json.gz", "result.json", "plain"])
def test_single_files(tmp_path: Path, name: str) -> None:
    """Traces, results, and whatever else is one file."""
    ways: dict[str, tuple[Callable[[str, Path], None], Callable[[Path], str]]] = {
        "t.json": (lambda text, path: made(text).save(path), lambda path: Trace.load(path).text),
        "t.json.gz": (lambda text, path: made(text).save(path), lambda path: Trace.load(path).text),
        "result.json": (lambda text, path: result(text).save(path), lambda path: Result.load(path).title),
        "plain": (
            lambda text, path: files.write_atomically(path, text.encode()),
            lambda path: path.read_text(),
        ),
    }
    save, load = ways[name]
    (tmp_path / "disk").mkdir()
    save("old text", tmp_path / "disk" / name)
    with watched(tmp_path / "disk") as disk:
        save("a new text", tmp_path / "disk" / name)
    assert after_every_cut(disk, tmp_path, lambda folder: load(folder / name)) == {"old text", "a new text"}


def test_an_adapter(tmp_path: Path) -> None:
    from formats import host

    from ropewalk import hf

    def save(seed: int) -> None:
        grafted = hf.graft(host(), parametrization="bounded", hidden_size=2, seed=seed)
        with torch.no_grad():
            next(iter(grafted.parameters())).fill_(float(seed))
        grafted.save(tmp_path / "disk" / "graft")
        grafted.detach()

    def read(folder: Path) -> float:
        grafted = hf.load(host(), folder / "graft")
        grafted.detach()
        return float(next(iter(grafted.parameters())).detach().flatten()[0])

    (tmp_path / "disk").mkdir()
    save(1)
    with watched(tmp_path / "disk") as disk:
        save(2)
    assert after_every_cut(disk, tmp_path, read) == {1.0, 2.0}


def test_a_prepared_corpus(tmp_path: Path) -> None:
    """Cut anywhere, it is not there or whole; and preparing again gives it in any case."""
    texts = tmp_path / "a.jsonl"
    texts.write_text("".join(json.dumps({"text": f"document {i}"}) + "\n" for i in range(9)))
    config = CorpusConfig.model_validate({"sources": [{"path": texts}], "validation_documents": 2})
    (tmp_path / "disk").mkdir()
    with watched(tmp_path / "disk") as disk:
        whole = prepare(config, tmp_path / "disk", progress=False)

    def read(folder: Path) -> bool:
        there = (folder / "corpora" / whole.hash).exists()
        if there:
            Corpus.open(folder / "corpora" / whole.hash).verify()
        again = prepare(config, folder, progress=False)
        again.verify()
        assert again.info == whole.info
        return there

    assert after_every_cut(disk, tmp_path, read) == {True, False}


def test_a_run(tmp_path: Path) -> None:
    """Cut anywhere in a training, it goes on from its newest checkpoint, and none that was finished is lost."""
    recipe = tiny.recipe(
        steps=4,
        model={"num_layers": 1, "hidden_size": 8, "context_length": 8, "increments": {"hidden_size": 2}},
    )
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"keep": 2})})
    (tmp_path / "disk").mkdir()
    with watched(tmp_path / "disk") as disk:
        train(recipe, tiny.corpus(), tmp_path / "disk" / "run")
    weights = {}
    for step in (3, 4):
        into = Decoder(recipe.model, seed=0)
        saved = checkpoint.read_training(tmp_path / "disk" / "run" / "checkpoints" / f"step-{step:08d}", into)
        weights[step] = saved[0]["embedding"]

    def read(folder: Path) -> int:
        if not (folder / "run" / "recipe.json").exists():
            return 0
        plan = json.loads((folder / "run" / "recipe.json").read_text())["plan"]
        with Run(folder / "run", recipe, plan, tiny.corpus(), resume=True) as run:
            run.note = lambda text: pytest.fail(text)  # type: ignore[method-assign,assignment]
            into = Decoder(recipe.model, seed=0)
            state = State.resumed(
                run,
                into,
                Optimizers(into, recipe.optimizer),
                CheckpointIO(checkpoint.save_decoder, checkpoint.read_training, group=SINGLE_PROCESS),
            )
            if state.step in weights:
                assert torch.equal(into.embedding, weights[state.step])
            logged = run.metrics_path.read_text().splitlines()
            steps = [content["step"] for content in map(json.loads, logged) if "loss" in content]
            assert steps == list(range(1, state.step + 1))
            for left in (folder / "run").rglob(".*"):
                assert left.name == ".lock", left
        if (folder / "run" / "model").exists():
            checkpoint.load_decoder(folder / "run" / "model")
        return state.step

    found = after_every_cut(disk, tmp_path, read)
    assert found == {0, 1, 2, 3, 4}
    for state, what in itertools.islice(disk.states.items(), 5, None, 90):
        folder = tmp_path / "again"
        disk.put(state, folder)
        train(recipe, tiny.corpus(), folder / "run", resume=(folder / "run" / "recipe.json").exists())
        ended = checkpoint.load_decoder(folder / "run" / "model")
        assert torch.equal(ended.embedding, weights[4]), what
        shutil.rmtree(folder)


def test_the_disk_itself_can_lose_things(tmp_path: Path) -> None:
    """A write without fsync, and one straight into the file, are both seen to lose what was there."""

    def careless(path: Path, data: bytes) -> None:
        beside = path.with_name("beside")
        beside.write_bytes(data)
        beside.replace(path)

    def direct(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data)

    for write in (careless, direct):
        folder = tmp_path / write.__name__
        folder.mkdir()
        (folder / "x").write_bytes(b"old")
        with watched(folder) as disk:
            write(folder / "x", b"newer!")
        found = {dict(state)["x"] for state in disk.states}
        assert {b"", b"new", b"newer!"} <= found
    folder = tmp_path / "careful"
    folder.mkdir()
    (folder / "x").write_bytes(b"old")
    with watched(folder) as disk:
        files.write_atomically(folder / "x", b"newer!")
    assert {dict(state)["x"] for state in disk.states} == {b"old", b"newer!"}
