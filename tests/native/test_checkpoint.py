"""Checkpoints: whole or not there, and never trusted."""

import errno
import json
import math
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import save_file

from ropewalk.core.increments import MODULES
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.system.files import sha256
from ropewalk.training.native_training import train

SHAPE = {"hidden_size": 8, "num_heads": 2, "num_layers": 1, "context_length": 8}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "good"
    checkpoint.save_decoder(folder, tiny.moved(Decoder(tiny.config(decoder=SHAPE), seed=0)), {"version": "1"})
    return folder


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


@pytest.mark.parametrize("encoding", ["rope", "pope"])
@pytest.mark.parametrize("parametrization", MODULES)
def test_a_model_comes_back_as_it_was(tmp_path: Path, parametrization: str, encoding: str) -> None:
    shape = tiny.config(
        parametrization, per_head=True, decoder={"encoding": encoding, "decay": "forget", "num_kv_heads": 2}
    )
    model = tiny.moved(Decoder(shape, seed=0))
    checkpoint.save_decoder(tmp_path / "m", model, {"version": "x", "note": [1, None]})
    back = checkpoint.load_decoder(tmp_path / "m")
    assert back.config == shape and not back.training
    assert torch.equal(back(tiny.tokens(2, 9)).logits, model(tiny.tokens(2, 9)).logits)
    assert back.provenance["note"] == [1, None] and back.provenance["name"] == "m"
    assert back.provenance["hash"] == sha256(tmp_path / "m" / checkpoint.WEIGHTS)
    content = back.describe()
    assert (content["name"], content["hash"], content["parametrization"]) == (
        "m",
        back.provenance["hash"],
        parametrization,
    )
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [checkpoint.CONFIG, checkpoint.WEIGHTS]


def test_half_the_bytes_are_enough_for_a_model_to_ship(tmp_path: Path) -> None:
    model = tiny.moved(Decoder(tiny.config(), seed=0), scale=0.05)
    for dtype in (torch.float32, torch.float16):
        checkpoint.save_decoder(tmp_path / str(dtype), model, {}, dtype=dtype)
    wide, narrow = (
        checkpoint.load_decoder(tmp_path / str(dtype)) for dtype in (torch.float32, torch.float16)
    )
    assert narrow.embedding.dtype == torch.float32
    assert torch.allclose(wide(tiny.tokens(1, 20)).logits, narrow(tiny.tokens(1, 20)).logits, atol=5e-3)
    sizes = [(tmp_path / str(d) / checkpoint.WEIGHTS).stat().st_size for d in (torch.float32, torch.float16)]
    assert sizes[1] < 0.6 * sizes[0]


def test_a_folder_is_replaced_only_by_a_whole_one(
    good: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny.moved(Decoder(tiny.config(decoder=SHAPE), seed=9))
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    real, failed = os.replace, []

    def once(a: Any, b: Any) -> None:
        if Path(b) == copy and not failed:
            failed.append(a)
            raise OSError(errno.EIO, "Input/output error")
        real(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", once)
        patch.setattr("ropewalk.system.folders._exchange", lambda a, b: False)  # as on systems that cannot
        with pytest.raises(UserError, match=r"cannot write .*copy: Input/output error"):
            checkpoint.save_decoder(copy, other, {})
    assert failed and {path.name: path.read_bytes() for path in copy.iterdir()} == before
    checkpoint.save_decoder(copy, other, {})
    assert torch.equal(checkpoint.load_decoder(copy).embedding, other.embedding)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_model_folder_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    checkpoint.save_decoder(tmp_path / "model", Decoder(tiny.config(), seed=0), {})
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "plain").stat().st_mode


def full(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_safetensors(*args: Any, **kwargs: Any) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def after(calls: int, real: Callable[..., Any], fail: Callable[..., Any]) -> Callable[..., Any]:
    """`real` for so many calls, then `fail`."""
    left = [calls]

    def call(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        return (real if left[0] >= 0 else fail)(*args, **kwargs)

    return call


WRITES = [
    ("ropewalk.native.checkpoint.save_file", save_file, full_safetensors, range(0, 6)),
    ("ropewalk.native.checkpoint.save_file", save_file, full, range(0, 2)),
    ("os.fsync", os.fsync, full, range(0, 24, 3)),
    ("os.replace", os.replace, full, range(0, 6)),
    ("pathlib.Path.write_text", Path.write_text, full, range(0, 5)),
    ("pathlib.Path.mkdir", Path.mkdir, full, range(0, 5)),
]


@pytest.mark.parametrize(
    ("name", "real", "fail", "moments"), WRITES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    real: Callable[..., Any],
    fail: Callable[..., Any],
    moments: range,
) -> None:
    """The disk fills at each write of a run in turn; what was written before still loads, and the run goes on."""
    recipe = tiny.recipe(steps=3)
    train(recipe, tiny.corpus(), tmp_path / "whole")
    stopped = 0
    for moment in moments:
        folder = tmp_path / str(moment)
        with monkeypatch.context() as patch:
            patch.setattr(name, after(moment, real, fail))
            try:
                train(recipe, tiny.corpus(), folder)
            except UserError as error:
                assert "space" in str(error) and "cannot write" in str(error).lower()
                stopped += 1
        if folder.exists():
            hidden = [path.name for path in folder.rglob(".*") if path.name != ".lock"]
            assert not [left for left in hidden if not left.endswith("-old")]
            for step in (folder / "checkpoints").glob("step-*"):
                checkpoint.read_training(step, Decoder(recipe.model, seed=None))
        train(recipe, tiny.corpus(), folder, resume=(folder / "recipe.json").exists())
        ours, theirs = (
            checkpoint.load_decoder(folder / "model"),
            checkpoint.load_decoder(tmp_path / "whole" / "model"),
        )
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    assert stopped > 0


def refused(folder: Path) -> str:
    """The sentence a model folder is refused with: one line, no other kind of exception."""
    with pytest.raises(UserError) as caught:
        checkpoint.load_decoder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_of_weights_are_noticed(copy: Path, good: Path, data: st.DataObject) -> None:
    raw = bytearray((good / checkpoint.WEIGHTS).read_bytes())
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    place = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(raw) - 1)))
    raw[place] ^= data.draw(st.integers(1, 255))
    (copy / checkpoint.WEIGHTS).write_bytes(raw)
    refused(copy)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_of_a_config_are_refused_or_harmless(
    copy: Path, good: Path, data: st.DataObject
) -> None:
    raw = bytearray((good / checkpoint.CONFIG).read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    (copy / checkpoint.CONFIG).write_bytes(raw)
    try:
        checkpoint.load_decoder(copy)
    except UserError as error:
        assert "\n" not in str(error)


@given(cut=st.floats(0, 0.999))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_truncated_files_are_refused(copy: Path, good: Path, cut: float) -> None:
    for name in (checkpoint.WEIGHTS, checkpoint.CONFIG):
        raw = (good / name).read_bytes()
        (copy / name).write_bytes(raw[: int(cut * len(raw))])
        refused(copy)
        (copy / name).write_bytes(raw)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / checkpoint.CONFIG).read_text())
    change(config)
    (folder / checkpoint.CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(format="llama"), "is not a ropewalk model"),
        (lambda c: c.update(schema=4), "has schema 4 and this version reads 3; upgrade"),
        (lambda c: c.pop("weights"), "lacks the hash"),
        (lambda c: c.update(provenance="me"), "lacks the hash of its weights or its provenance"),
        (lambda c: c.pop("model"), "describes a model that this version cannot build"),
        (lambda c: c.update(model=[]), "describes a model"),
        (lambda c: c["model"].update(depth=3), "unknown key 'depth'"),
        (lambda c: c["model"].update(num_layers=1000), "1000 layers, but the weights are"),
        (lambda c: c["model"].update(num_layers=2), "does not fit its config"),
        (lambda c: c["model"].update(hidden_size=8 * 10**17), "describes a model|does not fit"),
        (lambda c: c["model"].update(vocab_size=10**7), "does not fit its config.json: 'embedding' is"),
        (lambda c: c["model"]["increments"].update(parametrization="warp"), "unknown parametrization 'warp'"),
        (lambda c: c["model"]["increments"].update(hidden_size=10**12), "does not fit"),
        (lambda c: c["weights"].update(sha256="0" * 64), "its hash differs"),
    ],
)
def test_configs_that_do_not_hold_are_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    edit(copy, change)
    message = refused(copy)
    assert any(part in message for part in said.split("|"))


def test_sizes_are_checked_before_anything_is_allocated(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config that asks for a third of a terabyte is refused by its sizes alone: no tensor is made but on the meta device."""
    edit(copy, lambda c: c["model"].update(vocab_size=10**7, hidden_size=8192))
    real, made = torch.empty, []

    def counted(*shape: int, **how: Any) -> torch.Tensor:
        tensor = real(*shape, **how)
        made.append(tensor.device.type)
        return tensor

    monkeypatch.setattr(torch, "empty", counted)
    refused(copy)
    assert made and set(made) == {"meta"}


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], tail: bytes | None = None) -> None:
    """Changes the header of a safetensors file and makes the config believe it, as one who means harm would."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    changed = change(header)
    text = json.dumps(header if changed is None or isinstance(changed, dict) else changed).encode()
    body = raw[8 + length :] if tail is None else tail
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    edit(path.parent, lambda c: c["weights"].update(sha256=sha256(path)))


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["embedding"].update(shape=["a", 1]),
        lambda h: h["embedding"].update(shape=[[1], 8]),
        lambda h: h["embedding"].update(shape=None),
        lambda h: h.update(embedding=7),
        lambda h: h.update(intruder={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
        lambda h: h["embedding"].update(dtype="I64"),
        lambda h: h["embedding"].update(dtype=["F32"]),
        lambda h: h["embedding"].update(data_offsets=[0, 10**15]),
        lambda h: h["embedding"].update(data_offsets=[4, 0]),
        lambda h: h["embedding"].pop("data_offsets") and None,
        lambda h: [1, 2],
    ],
)
def test_headers_made_to_harm_are_refused(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite(copy / checkpoint.WEIGHTS, change)
    refused(copy)


@pytest.mark.parametrize(
    "raw", [b"", b"\0", struct.pack("<Q", 2**63), struct.pack("<Q", 99_999) + b"[" * 99_999]
)
def test_files_that_are_no_safetensors_are_refused(copy: Path, raw: bytes) -> None:
    (copy / checkpoint.WEIGHTS).write_bytes(raw)
    assert "damaged or truncated" in refused(copy)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_no_json_are_refused(copy: Path, raw: bytes) -> None:
    (copy / checkpoint.CONFIG).write_bytes(raw)
    assert "damaged" in refused(copy)


@pytest.mark.parametrize("name", [checkpoint.CONFIG, checkpoint.WEIGHTS])
def test_missing_files_are_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert f"{name} does not exist" in refused(copy)


def test_a_model_that_is_not_there_is_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file; name a model folder" in refused(tmp_path / "file")
    assert "does not exist; name a model folder" in refused(tmp_path / "nothing")


def test_a_checkpoint_of_another_shape_is_not_gone_on_with(tmp_path: Path) -> None:
    model = Decoder(tiny.config(), seed=0)
    state = {"embedding::exp_avg": torch.zeros(1)}
    checkpoint.save_decoder(tmp_path / "c", model, {}, training=(state, {"plan": {}, "state": {"step": 1}}))
    weights, moments, content = checkpoint.read_training(tmp_path / "c", Decoder(tiny.config(), seed=1))
    assert all(torch.equal(weights[name], t) for name, t in model.state_dict().items())
    assert moments.keys() == state.keys() and content["state"] == {"step": 1}
    with pytest.raises(UserError, match="holds another architecture than the recipe describes"):
        checkpoint.read_training(tmp_path / "c", Decoder(tiny.config("signed"), seed=0))
    (tmp_path / "c" / checkpoint.OPTIMIZER).write_bytes(b"")
    other = Decoder(tiny.config(), seed=1)
    with pytest.raises(UserError, match="its hash differs"):
        checkpoint.read_training(tmp_path / "c", other)
    assert torch.equal(other.embedding, Decoder(tiny.config(), seed=1).embedding), (
        "a refusal must change nothing"
    )


def test_numbers_survive_exactly(tmp_path: Path) -> None:
    state = {"loss_sum": 0.1 + 0.2, "seconds": math.pi * 1e5}
    checkpoint.save_decoder(
        tmp_path / "c", Decoder(tiny.config(), seed=0), {}, training=({}, {"plan": {}, "state": state})
    )
    assert checkpoint.read_training(tmp_path / "c", Decoder(tiny.config(), seed=0))[2]["state"] == state
