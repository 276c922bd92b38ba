"""A corpus is changed, cut or removed under a running job: it is noticed, or does no harm."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from ropewalk.corpus import Corpus, CorpusConfig, prepare, windows
from ropewalk.errors import UserError
from ropewalk.training.loop import Progress
from ropewalk.training.native_training import train
from ropewalk.training.recipe import Recipe

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"the cat sat on mat {i}. " * 9}) + "\n" for i in range(40)))
    return path


def recipe(texts: Path) -> Recipe:
    content = tiny.recipe(
        steps=4, model={"num_layers": 1, "hidden_size": 8, "context_length": 16}, log_every=1
    )
    corpus = CorpusConfig.model_validate({"sources": [{"path": texts}], "validation_documents": 9})
    return content.model_copy(update={"corpus": corpus})


def trained(texts: Path, tmp_path: Path, harm: Callable[[Corpus], object], *, resume: bool = False) -> Path:
    """A run whose corpus is harmed after its second step."""
    content = recipe(texts)
    corpus = prepare(content.corpus, tmp_path / "cache", progress=False)

    def watch(progress: Progress) -> None:
        if progress.step == 2:
            harm(corpus)

    return train(content, corpus, tmp_path / "run", watch=watch, resume=resume)


def cut(corpus: Corpus) -> None:
    with (corpus.folder / "train.bin").open("r+b") as file:
        file.truncate(100)


def overwrite(corpus: Corpus) -> None:
    path = corpus.folder / "train.bin"
    before = path.stat()
    data = np.fromfile(path, np.uint16)
    with path.open("r+b") as file:
        file.write(data[::-1].tobytes())
    os.utime(
        path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9)
    )  # the writing itself, on a coarse clock


@pytest.mark.parametrize(("harm", "said"), [(cut, "became shorter|changed"), (overwrite, "tokens changed")])
def test_a_change_of_the_mapped_tokens_stops_the_run(
    texts: Path, tmp_path: Path, harm: Callable[[Corpus], object], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        trained(texts, tmp_path, harm)
    assert "--resume" in str(caught.value)
    with pytest.raises(UserError, match="prepare the corpus again"):
        prepare(recipe(texts).corpus, tmp_path / "cache", progress=False)
    shutil.rmtree(tmp_path / "cache")
    assert (trained(texts, tmp_path, lambda corpus: None, resume=True) / "config.json").exists()


@pytest.mark.parametrize(
    "harm",
    [lambda c: shutil.rmtree(c.folder), lambda c: (c.folder / "train.bin").unlink()],
    ids=["all", "one"],
)
def test_removed_tokens_do_no_harm_to_who_reads_them(
    texts: Path, tmp_path: Path, harm: Callable[[Corpus], object]
) -> None:
    whole = trained(texts, tmp_path, lambda corpus: None)
    (tmp_path / "run").rename(tmp_path / "whole")
    model = trained(texts, tmp_path, harm)
    weights = (tmp_path / "whole" / whole.name / "model.safetensors").read_bytes()
    assert (model / "model.safetensors").read_bytes() == weights


def test_a_changed_source_does_no_harm_to_the_run_and_is_noticed_by_the_next(
    texts: Path, tmp_path: Path
) -> None:
    trained(texts, tmp_path, lambda corpus: texts.write_text(texts.read_text() + '{"text": "one more"}\n'))
    with pytest.raises(UserError, match=r"the corpus is not the one that .* was started with"):
        trained(texts, tmp_path, lambda corpus: None, resume=True)


def test_tokens_of_the_same_size_but_other_content_are_noticed_when_opened(
    texts: Path, tmp_path: Path
) -> None:
    corpus = prepare(recipe(texts).corpus, tmp_path / "cache", progress=False)
    overwrite(corpus)
    with pytest.raises(UserError, match="the tokens changed since they were prepared"):
        prepare(recipe(texts).corpus, tmp_path / "cache", progress=False)


def _read_cut(folder: str) -> None:
    corpus = Corpus.open(Path(folder))
    cut(corpus)
    try:
        windows.batch(corpus.train, seed=0, step=0, size=64, context=16)
    except UserError:
        os._exit(7)
    os._exit(0)


@FORKS
def test_reading_beyond_the_end_would_end_the_process_and_does_not(texts: Path, tmp_path: Path) -> None:
    content = recipe(texts)
    folder = prepare(content.corpus, tmp_path / "cache", progress=False).folder
    child = os.fork()
    if not child:
        _read_cut(str(folder))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


# Clocks.


@pytest.mark.parametrize("jump", [-10 * 365 * 86400.0, 10 * 365 * 86400.0])
def test_clocks_that_jump(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """The calendar jumps at every look, and the steady clock stands still: nothing depends on either."""
    calendar = [time.time()]

    def now() -> float:
        calendar[0] += jump
        return calendar[0]

    monkeypatch.setattr(time, "time", now)
    monkeypatch.setattr(time, "monotonic", lambda: 5.0)
    content = recipe(texts)
    corpus = prepare(content.corpus, tmp_path / "cache", progress=True)
    model = train(content, corpus, tmp_path / "run")
    assert (model / "config.json").exists()
    assert prepare(content.corpus, tmp_path / "cache", progress=False).hash == corpus.hash


def test_a_preparation_that_lives_is_not_swept_away_by_a_clock_that_jumps(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ropewalk.corpus import sources

    content, real, seen = recipe(texts).corpus, sources.interleave, []
    later = time.time() + 10**9
    other = CorpusConfig.model_validate({**content.model_dump(), "validation_documents": 3})

    def meanwhile(streams: object) -> object:
        for item in real(streams):  # type: ignore[arg-type,var-annotated]
            if not seen:
                seen.append(item)
                with monkeypatch.context() as patch:
                    patch.setattr(time, "time", lambda: later)
                    prepare(other, tmp_path / "cache", progress=False)
            yield item

    monkeypatch.setattr("ropewalk.corpus.split.interleave", meanwhile)
    prepare(content, tmp_path / "cache", progress=False).verify()
    assert seen and len(list((tmp_path / "cache" / "corpora").iterdir())) == 2


# Two processes.


def _train(folder: str, texts: str, content: multiprocessing.connection.Connection) -> None:
    asked = recipe(Path(texts))
    corpus = prepare(asked.corpus, Path(folder) / "cache", progress=False)

    def watch(progress: Progress) -> None:
        content.send(progress.step)
        content.recv()

    train(asked, corpus, Path(folder) / "run", watch=watch)


@FORKS
def test_two_processes_never_train_in_one_folder(texts: Path, tmp_path: Path) -> None:
    """Two real processes: the second is refused while the first is in its second step, and may go on after it died."""
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if not child:
        try:
            _train(str(tmp_path), str(texts), theirs)
        finally:
            os._exit(3)
    theirs.close()
    assert ours.recv() == 1
    for resume in (False, True):
        with pytest.raises(
            UserError, match=r"another process is training in .*; wait for it or name another folder"
        ):
            trained(texts, tmp_path, lambda corpus: None, resume=resume)
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert (trained(texts, tmp_path, lambda corpus: None, resume=True) / "config.json").exists()
