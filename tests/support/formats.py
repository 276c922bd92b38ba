"""Every kind of file that is read, each with a good example, its reader, and how to make its checksums fit again.

What `scripts/fuzz.py` mutates and `test_fuzzed.py` reads again. A reader may succeed or raise a UserError.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import zstandard
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1]))
import event_loop
import tiny

from ropewalk.analyses import gold
from ropewalk.analyses.result import Chart, Endpoint, Result
from ropewalk.analyses.statistics import Estimate
from ropewalk.core.increment_config import IncrementConfig
from ropewalk.corpus import Corpus, CorpusConfig, formats, prepare, store, windows
from ropewalk.measure.archive import trace_shards
from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.native.numpy_checkpoint import read_numpy_decoder
from ropewalk.studies.native import plan
from ropewalk.system.files import sha256
from ropewalk.traces import archive, importers
from ropewalk.traces.trace import Trace
from ropewalk.training import recipe
from ropewalk.training.distributed import SINGLE_PROCESS
from ropewalk.training.loop import CheckpointIO, State
from ropewalk.training.native_training import train
from ropewalk.training.optimizer import Optimizers
from ropewalk.training.run import Run, fill_frozen
from ropewalk.views import overlays

TEXT = "A rope, 绳索 é. "


@dataclass(frozen=True)
class Format:
    """make writes good files into an empty folder; `file` is the one to damage; read reads the folder."""

    name: str
    file: str
    kind: str  # json, toml, or bytes: how it can be mutated
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    seal: Callable[[Path], object] = lambda folder: None


@cache
def _model() -> Decoder:
    shape = {"hidden_size": 8, "num_heads": 2, "num_layers": 1, "context_length": 16}
    return tiny.moved(Decoder(tiny.config(decoder=shape), seed=0))


def _trace(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        trace(_model(), TEXT).save(folder / name)

    return make


def _read_trace(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        found = Trace.load(folder / name)
        found.cells()
        list(found.records())

    return read


def _seal_trace(folder: Path) -> None:
    for path in folder.glob("*.json*"):
        try:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        except (OSError, EOFError, zlib.error):
            continue  # too damaged to be sealed
        body, mark, _ = data.rpartition(b'\n,"checksum":"')
        if mark:
            data = body + f'\n,"checksum":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()
        path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)


def _read_model(folder: Path) -> None:
    checkpoint.load_decoder(folder / "model")(tiny.tokens(1, 5))


def _make_model(folder: Path) -> None:
    checkpoint.save_decoder(folder / "model", _model(), {})


def _read_without_torch(folder: Path) -> None:
    trace(read_numpy_decoder(folder / "model"), TEXT)


def _archive(folder: Path) -> None:
    for _ in trace_shards(_model(), archive.shards([TEXT, TEXT * 2]), folder / "archive"):
        pass


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    """Changes a json file, unless it is too damaged for that."""
    with suppress(ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


def _seal_model(model: Path) -> None:
    _edit(
        model / checkpoint.CONFIG,
        lambda c: c["weights"].update(sha256=sha256(model / checkpoint.WEIGHTS)),
    )
    if (model / checkpoint.OPTIMIZER).exists():
        _edit(
            model / checkpoint.TRAINING,
            lambda c: c.update(optimizer=sha256(model / checkpoint.OPTIMIZER)),
        )


RECIPE = tiny.recipe(
    steps=2, model={"num_layers": 1, "hidden_size": 8, "context_length": 8, "increments": {"hidden_size": 2}}
)
STEP = "run/checkpoints/step-00000002"


def _make_run(folder: Path) -> None:
    train(RECIPE, tiny.corpus(), folder / "run")


def _read_run(folder: Path) -> None:
    with Run(folder / "run", RECIPE, {}, tiny.corpus(), resume=True) as run:
        model = Decoder(RECIPE.model, seed=0)
        optimizers = Optimizers(model, RECIPE.optimizer)
        run.note = lambda text: None  # type: ignore[method-assign]
        State.resumed(
            run,
            model,
            optimizers,
            CheckpointIO(checkpoint.save_decoder, checkpoint.read_training, group=SINGLE_PROCESS),
        )
        model(tiny.tokens(1, 8)).logits.sum().backward()
        optimizers.step(0.5)


TOML = """[corpus]
sources = [{ builtin = "planted", planted = { words = 100, phrases = 4, entities = 4 } }, { path = "texts" }]
documents = 300
validation_documents = 20

[model]
width = 16
heads = 2
layers = 2
context = 16
increments = { parametrization = "bounded", per = "layer", ceiling = 10.0, hidden = 4 }

[optimizer]
lr = 1e-3
warmup = 5

[train]
steps = 20
batch = 4
seed = 7
device = "cpu"
checkpoint_minutes = 0.5
"""


def _read_recipe(folder: Path) -> None:
    content = recipe.read_recipe(folder / "recipe.toml", ["train.seed=3"])
    content.model_dump(mode="json")


def _override(folder: Path) -> None:
    words = (folder / "words.txt").read_bytes().decode("utf-8", "replace").split("\n")
    recipe.read_recipe(folder / "recipe.toml", words)


def _make_override(folder: Path) -> None:
    (folder / "recipe.toml").write_text(TOML)
    (folder / "words.txt").write_text(
        "model.increments.parametrization=positive\ntrain.steps=9\ncorpus.sources=[]"
    )


STUDY = """[study]
title = "a study"
scale = 0.5

[groups.all]
seeds = [1, 2]
variants = ["rope", "per-layer"]
main = ["per-layer"]
tables = ["bytes", "neutrality"]
windows = 4
speed = 1000.0

[groups.all.gold.mine]
dev = "dev.txt"

""" + TOML.replace("[corpus]", "[groups.all.recipe.corpus]").replace(
    "[model]", "[groups.all.recipe.model]"
).replace("[optimizer]", "[groups.all.recipe.optimizer]").replace("[train]", "[groups.all.recipe.train]")


def _read_study(folder: Path) -> None:
    content = plan.read(folder / "study.toml")
    list(plan.jobs(content))
    plan.table(content)


def _make_corpus(name: str, data: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return make


def _read_corpus(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        for document in formats.documents(folder / name, "text", lambda _: None):
            document.text.strip()

    return read


JSONL = "".join(json.dumps({"text": f"{TEXT} {i}", "id": i}) + "\n" for i in range(8)).encode()


def _parquet(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(
        pyarrow.table({"text": [f"{TEXT} {i}" for i in range(8)], "id": list(range(8))}),
        folder / "a.parquet",
    )


def _prepared(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(JSONL)
    config = CorpusConfig.model_validate(
        {"sources": [{"path": folder / "a.jsonl"}], "validation_documents": 2}
    )
    made = prepare(config, folder / "cache", progress=False)
    made.folder.rename(folder / "made")


def _read_prepared(folder: Path) -> None:
    made = Corpus.open(folder / "made")
    windows.batch(made.train, seed=1, step=1, size=2, context=8)
    list(windows.validation(made.validation, context=8, limit=20))
    made.verify()


def _seal_prepared(folder: Path) -> None:
    path = folder / "made" / store.INDEX
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        path.write_text(json.dumps(store.seal(json.loads(path.read_text()))))


@cache
def host() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=32,
        )
    ).eval()  # fmt: skip


def _make_adapter(folder: Path) -> None:
    from ropewalk import hf

    grafted = hf.graft(host(), parametrization="bounded", hidden_size=2)
    grafted.save(folder / "graft")
    grafted.detach()


def _read_adapter(folder: Path) -> None:
    from ropewalk import hf

    grafted = hf.load(host(), folder / "graft")
    try:
        host()(tiny.tokens(1, 4) % 32)
    finally:
        grafted.detach()


def _seal_adapter(folder: Path) -> None:
    weights = folder / "graft" / "increments.safetensors"
    _edit(folder / "graft" / "ropewalk.json", lambda c: c.update(sha256=sha256(weights)))


NUMBERS = {
    "format": "ropewalk-numbers", "version": 1, "method": "RePo", "kind": "position", "unit": "positions",
    "pieces": ["Hello", " world"], "tokens": [9906, 1917], "layers": [5, 6], "surprisal": [None, 2.5],
    "numbers": [[[0.0, 0.1], [0.3, 0.2]], [[0.7, 1.4], [2.5, 0.9]]], "provenance": {"by": "us"},
}  # fmt: skip


def _json(name: str, content: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_text(json.dumps(content, indent=1))

    return make


def _make_result(folder: Path) -> None:
    rows = ({"line": "L0", "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6}, {"line": "L1", "auc": float("nan")})
    primary = Endpoint("the AUC", Estimate(0.5, 0.4, 0.6), 0.5, "no effect")
    columns = {"line": "line", "auc": "AUC"}
    chart = Chart("bar", "line", "auc", base=0.5)
    Result("t", "A table", columns, rows, ("auc",), primary, chart, ("a note",), "cmd", {"m": [1]}).save(
        folder / "r.json"
    )


def _read_result(folder: Path) -> None:
    from rich.console import Console

    found = Result.load(folder / "r.json")
    found.markdown()
    Console(file=StringIO(), width=80).print(found)
    found.to_json()


@cache
def _live() -> Any:
    from ropewalk.live import Live
    from ropewalk.live.answers import Model

    return Live({"m": Model(_model())}, "a")


def _ask(folder: Path) -> None:
    """Sends a body to the live page's application; an answer of 500 is a defect."""
    live, body = _live(), (folder / "request.json").read_bytes()
    headers = [(b"host", f"127.0.0.1:{live.port}".encode()), (b"content-type", b"application/json")]
    headers.append((b"origin", b"http://" + headers[0][1]))
    for path in ("trace", "page"):
        where = f"/{live.token}/{path}"
        scope = {
            "type": "http", "method": "POST", "path": where, "raw_path": where.encode(), "headers": headers,
            "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
        }  # fmt: skip
        said: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any, said: list[Any] = said) -> None:
            said.append(message)

        event_loop.run(live._app()(scope, receive, send))
        if said[0]["status"] not in (200, 400, 413):
            raise RuntimeError(f"the live page answered {said[0]['status']}: {said[-1].get('body')!r}")


REQUEST = {"model": "m", "text": TEXT, "edits": [[0, None, 1, 2.5], [0, None, 3, 0.0]], "hold": True}


def _make_table(folder: Path) -> None:
    save_file({"increments.0": torch.randn(257, 1)}, folder / "t.safetensors")


def _read_table(folder: Path) -> None:
    parametrization = IncrementConfig(parametrization="frozen", table=folder / "t.safetensors")
    content = RECIPE.model_copy(
        update={"model": RECIPE.model.model_copy(update={"increments": parametrization})}
    )
    with Run(folder / "run", content, {}, tiny.corpus(), resume=False):
        fill_frozen(Decoder(content.model, seed=0), parametrization.table)


def _clean_table(folder: Path) -> None:
    (folder / "run" / "recipe.json").unlink(missing_ok=True)


FORMATS = {
    f.name: f
    for f in (
        Format("trace", "t.json", "json", _trace("t.json"), _read_trace("t.json"), _seal_trace),
        Format("trace-gz", "t.json.gz", "gz", _trace("t.json.gz"), _read_trace("t.json.gz"), _seal_trace),
        Format(
            "model-config", "model/config.json", "json",
            _make_model, _read_model,
        ),
        Format(
            "model-weights", "model/model.safetensors", "safetensors",
            _make_model, _read_model, lambda f: _seal_model(f / "model"),
        ),
        *(
            Format(f"light-{name}", f"model/{file}", kind, _make_model, _read_without_torch, lambda f: _seal_model(f / "model"))
            for name, file, kind in (
                ("config", "config.json", "json"), ("weights", "model.safetensors", "safetensors")
            )
        ),
        Format("archive", "archive/000000.parquet", "bytes", _archive, lambda f: list(archive.read(f / "archive"))),
        *(
            Format(f"run-{name}", path, kind, _make_run, _read_run, lambda f: _seal_model(f / STEP))
            for name, path, kind in (
                ("recipe", "run/recipe.json", "json"),
                ("metrics", "run/metrics.jsonl", "bytes"),
                ("training", f"{STEP}/{checkpoint.TRAINING}", "json"),
                ("config", f"{STEP}/{checkpoint.CONFIG}", "json"),
                ("optimizer", f"{STEP}/{checkpoint.OPTIMIZER}", "safetensors"),
            )
        ),
        Format("recipe", "recipe.toml", "toml", _make_corpus("recipe.toml", TOML.encode()), _read_recipe),
        Format("override", "words.txt", "toml", _make_override, _override),
        Format("study", "study.toml", "toml", _make_corpus("study.toml", STUDY.encode()), _read_study),
        *(
            Format(f"corpus-{name}", name, kind, _make_corpus(name, data), _read_corpus(name))
            for name, kind, data in (
                ("a.txt", "bytes", TEXT.encode() * 4),
                ("a.jsonl", "json", JSONL),
                ("a.jsonl.gz", "bytes", gzip.compress(JSONL, mtime=0)),
                ("a.jsonl.xz", "bytes", lzma.compress(JSONL)),
                ("a.jsonl.zst", "bytes", zstandard.compress(JSONL)),
            )
        ),
        Format("corpus-parquet", "a.parquet", "bytes", _parquet, _read_corpus("a.parquet")),
        Format("prepared-index", "made/index.json", "json", _prepared, _read_prepared, _seal_prepared),
        Format("prepared-tokens", "made/train.bin", "bytes", _prepared, _read_prepared),
        Format("adapter-config", "graft/ropewalk.json", "json", _make_adapter, _read_adapter),
        Format(
            "adapter-weights", "graft/increments.safetensors", "safetensors", _make_adapter, _read_adapter,
            _seal_adapter,
        ),
        Format("frozen-table", "t.safetensors", "safetensors", _make_table, _read_table, _clean_table),
        Format("numbers", "n.json", "json", _json("n.json", NUMBERS), lambda f: importers.load(f / "n.json")),
        Format("result", "r.json", "json", _make_result, _read_result),
        Format("live", "request.json", "json", _json("request.json", REQUEST), _ask),
        Format(
            "gold", "g.txt", "bytes", _make_corpus("g.txt", "一 个 人\n走 路\na b c\n".encode()),
            lambda f: gold.read(f / "g.txt").halves(),
        ),
        Format(
            "boundaries", "b.json", "json", _json("b.json", {"name": "x", "words": ["A rope", ", 绳索 é. "]}),
            lambda f: overlays.read(f / "b.json", TEXT),
        ),
        Format(
            "offsets", "b.json", "json", _json("b.json", {"name": "x", "offsets": [1, 6], "note": "n"}),
            lambda f: overlays.read(f / "b.json", TEXT),
        ),
    )
}  # fmt: skip
