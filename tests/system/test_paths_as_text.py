"""Files and folders are named by text or by Path, with the same result, in every public call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

import ropewalk
from ropewalk.analyses import gold
from ropewalk.analyses.result import Chart, Result
from ropewalk.corpus import Corpus, CorpusConfig, prepare
from ropewalk.corpus.files import Files, TextFiles, digest, read_files
from ropewalk.corpus.formats import documents
from ropewalk.measure.archive import require_disk_space, trace_shards
from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.system.files import read_json, read_whole, sha256, write_atomically
from ropewalk.system.folders import write_folder
from ropewalk.system.locks import held_elsewhere, lock
from ropewalk.system.text_files import read_text
from ropewalk.system.toml import read_toml
from ropewalk.traces import archive, importers
from ropewalk.traces.trace import Trace
from ropewalk.training.native_training import train

SHAPE = {"hidden_size": 8, "num_heads": 2, "num_layers": 1, "context_length": 16}
CORPUS = {"sources": [{"builtin": "planted"}], "documents": 4, "validation_documents": 1}
RESULT = Result("t", "T", {"x": "x", "y": "y"}, ({"x": "a", "y": 1.0},), chart=Chart("bars", "x", "y"))
Use = Callable[[Any], object]


@pytest.fixture(scope="module")
def model() -> Decoder:
    return tiny.moved(Decoder(tiny.config(decoder=SHAPE), seed=0))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, model: Decoder) -> Path:
    """A folder with one file or folder of each kind."""
    root = tmp_path_factory.mktemp("kinds")
    checkpoint.save_decoder(root / "model", model, {}, training=({}, {"step": 1}))
    trace(model, "ab cd").save(root / "trace.json")
    list(trace_shards(model, archive.shards(["ab", "cd"]), root / "archive"))
    (root / "a.txt").write_text("北 京\n大 学 生\n")
    (root / "a.toml").write_text("[x]\ny = 1\n")
    RESULT.save(root / "result.json")
    content = {
        "format": "ropewalk-numbers", "version": 1, "method": "m", "kind": "position", "unit": "u",
        "pieces": ["a", "b"], "tokens": [1, 2], "numbers": [[1.0], [2.0]],
    }  # fmt: skip
    (root / "numbers.json").write_text(json.dumps(content))
    return root


READ: dict[str, tuple[str, Use]] = {
    "load": ("model", lambda path: ropewalk.load(path).describe()),
    "load with NumPy": ("model", lambda path: ropewalk.load(path, backend="numpy").describe()),
    "decoder": ("model", lambda path: checkpoint.load_decoder(path).config),
    "checkpoint": (
        "model",
        lambda path: checkpoint.read_training(path, Decoder(tiny.config(decoder=SHAPE), seed=1))[2],
    ),
    "weights": ("model/model.safetensors", lambda path: sorted(checkpoint.read_tensors(path))),
    "trace": ("trace.json", lambda path: Trace.load(path).hash),
    "archive": ("archive", lambda path: [one.hash for one in archive.read(path)]),
    "shard": ("archive/000000.parquet", lambda path: (archive.verify(path), archive.read_metadata(path))),
    "numbers": ("numbers.json", lambda path: importers.load(path).hash),
    "result": ("result.json", lambda path: Result.load(path).to_json()),
    "segmented text": ("a.txt", lambda path: gold.read(path).words.tolist()),
    "text": ("a.txt", read_text),
    "texts": ("a.txt", lambda path: (read_files([path]), list(TextFiles([path]).texts()))),
    "documents": ("a.txt", lambda path: list(documents(path, None, lambda _: None))),
    "files": ("a.txt", lambda path: (Files.at(path, None, "x").fingerprint(), digest(path))),
    "table": ("a.toml", lambda path: read_toml(path).table),
    "bytes": ("model/config.json", lambda path: (read_whole(path), read_json(path), sha256(path))),
    "disk": ("model", lambda path: require_disk_space(path, 10, 1)),
    "lock": ("archive", lambda path: (lock(path).close(), held_elsewhere(path))),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read(home: Path, name: str) -> None:
    place, read = READ[name]
    assert read(str(home / place)) == read(home / place)


def _train(path: Any) -> None:
    model = {"num_layers": 1, "hidden_size": 8, "context_length": 8, "increments": {"hidden_size": 2}}
    train(tiny.recipe(steps=1, model=model), tiny.corpus(), path)


WRITTEN: dict[str, tuple[str, Use]] = {
    "decoder": ("m", lambda path: checkpoint.save_decoder(path, Decoder(tiny.config(decoder=SHAPE)), {})),
    "trace": ("t.json", lambda path: trace(Decoder(tiny.config(decoder=SHAPE)), "ab").save(path)),
    "table": ("t.csv", lambda path: trace(Decoder(tiny.config(decoder=SHAPE)), "ab").to_csv(path)),
    "result": ("r.json", RESULT.save),
    "file": ("f", lambda path: write_atomically(path, b"x")),
    "folder": ("f", lambda path: write_folder(path, lambda folder: (folder / "x").touch())),
    "corpus": (
        "corpora",
        lambda path: Corpus.open(
            str(prepare(CorpusConfig.model_validate(CORPUS), path, progress=False).folder)
        ),
    ),
    "training": ("run", _train),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written(tmp_path: Path, name: str) -> None:
    place, write = WRITTEN[name]
    write(str(tmp_path / "text" / place) if name == "folder" else _parent(tmp_path / "text") + f"/{place}")
    write(Path(_parent(tmp_path / "path")) / place)
    left = [
        sorted(path.relative_to(tmp_path / how).as_posix() for path in (tmp_path / how).rglob("*"))
        for how in ("text", "path")
    ]
    assert left[0] == left[1] != []


def _parent(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ropewalk.views import chart, figure

    drawn = trace(Decoder(tiny.config(decoder=SHAPE)), "ab")
    for save in (lambda path: figure.save(drawn, path), lambda path: chart.save(RESULT, path)):
        save(str(tmp_path / "a.svg"))
        save(tmp_path / "b.svg")
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_grafts(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from formats import host

    from ropewalk import hf

    with hf.graft(host(), hidden_size=2) as grafted:
        grafted.save(str(tmp_path / "text"))
        grafted.save(tmp_path / "path")
    for name in ("text", "path"):
        for path in (str(tmp_path / name), tmp_path / name):
            hf.load(host(), path).detach()
