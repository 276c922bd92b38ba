"""A trace without torch: the same as with it, or the same sentence about what is wrong."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny import config, moved

from ropewalk import loading
from ropewalk.errors import UserError
from ropewalk.measure import capture
from ropewalk.native import checkpoint, numpy_decoder, pretrained
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.native.numpy_checkpoint import read_numpy_decoder
from ropewalk.native.numpy_decoder import NumpyDecoder
from ropewalk.system.files import sha256
from ropewalk.traces.trace import SIGNALS, Trace
from ropewalk.views import terminal

SENTENCES = (
    "The old bridge over New York was closed.",
    "我们在北京大学学习。",
    "a",
    "The 👩‍👩‍👧 cat,\nthe\tcat.",
)
INCREMENTS, NATS = 1e-4, 2e-3  # as closely as an exported graph must agree


def saved(folder: Path, model: Decoder, dtype: torch.dtype = torch.float32) -> Path:
    checkpoint.save_decoder(folder, model, {"version": "test", "step": 3}, dtype=dtype)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "model", moved(Decoder(config(), seed=0), scale=0.2))


def edit(folder: Path, *path: str, value: Any) -> None:
    """Sets one entry of a model's config."""
    config = json.loads((folder / checkpoint.CONFIG).read_text())
    at = config
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    (folder / checkpoint.CONFIG).write_text(json.dumps(config))


def traced(model: str | Path, text: str, **how: Any) -> Trace:
    """A trace that NumPy makes."""
    return capture.trace(loading.load(model, backend="numpy"), text, **how)


def assert_same(light: Trace, full: Trace) -> None:
    for name in ("text", "rows", "kind", "unit", "gap", "context", "provenance"):
        assert getattr(light, name) == getattr(full, name), name
    assert np.array_equal(light.tokens, full.tokens) and np.array_equal(light.spans, full.spans)
    assert np.abs(light.values - full.values).max() <= INCREMENTS
    for name in SIGNALS:
        np.testing.assert_allclose(getattr(light, name), getattr(full, name), atol=NATS, rtol=0, err_msg=name)


@pytest.mark.parametrize("name", ["per-layer", "shared"])
def test_a_bundled_model_shows_the_same_picture(name: str) -> None:
    model = checkpoint.load_decoder(name)
    for text in SENTENCES:
        for start in ("bos", "none"):
            light, full = traced(name, text, start=start), capture.trace(model, text, start=start)
            assert_same(light, full)
            assert str(terminal.render(light)) == str(terminal.render(full))


@settings(max_examples=40)
@given(
    parametrization=st.sampled_from(["positive", "bounded", "signed"]),
    per=st.sampled_from(["layer", "shared"]),
    per_head=st.booleans(),
    gap=st.sampled_from(["before", "after"]),
    num_kv_heads=st.sampled_from([None, 1, 2, 4]),
    intermediate_size=st.sampled_from([None, 24]),
    max_increment=st.sampled_from([4.0, 10.0]),
    eps=st.sampled_from([1e-5, 1e-2]),
    length=st.integers(1, 300),
)
def test_every_model_that_it_knows_gives_what_the_decoder_gives(
    tmp_path_factory: pytest.TempPathFactory,
    num_kv_heads: int | None,
    intermediate_size: int | None,
    eps: float,
    length: int,
    **parametrization: Any,
) -> None:
    shape = {"num_kv_heads": num_kv_heads, "intermediate_size": intermediate_size, "norm_eps": eps}
    model = moved(Decoder(config(decoder=shape, **parametrization), seed=0), scale=0.1)
    folder = saved(tmp_path_factory.mktemp("light") / "model", model)
    text = ("The cat sat on the mat; 猫が座る。" * 10)[:length]
    assert_same(traced(folder, text), capture.trace(checkpoint.load_decoder(folder), text))


def test_large_outputs_of_a_network_are_transformed_alike(tmp_path: Path) -> None:
    for parametrization in ("positive", "bounded"):
        model = moved(Decoder(config(parametrization), seed=0), scale=0.2)
        with torch.no_grad():
            for module in model.increment_modules:
                module.output.weight.mul_(2000.0)
        folder = saved(tmp_path / parametrization, model)
        full, light = (
            capture.trace(checkpoint.load_decoder(folder), "Cat 猫"),
            traced(folder, "Cat 猫"),
        )
        assert np.abs(full.values).max() > 9
        np.testing.assert_allclose(light.values[0], full.values[0], rtol=1e-4, atol=1e-4)


def test_what_overflows_on_the_way_warns_nobody(tmp_path: Path) -> None:
    model = moved(Decoder(config(), seed=0), scale=0.2)
    with torch.no_grad():
        for layer in model.layers:
            layer.mlp.gate.weight.mul_(1e4)
    assert len(traced(saved(tmp_path / "model", model), "The cat sat.").tokens) == 12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_weights_of_half_precision_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = saved(tmp_path / "half", moved(Decoder(config(), seed=0), scale=0.2), dtype)
    assert_same(traced(folder, "half"), capture.trace(checkpoint.load_decoder(folder), "half"))


def test_tokens_that_a_parametrization_sees_alike_advance_alike() -> None:
    text = "banana, bandana; cabanas and bananas for an Alabama llama"
    for length in range(20, len(text), 3):
        made = traced("per-layer", text[:length])
        for token in set(made.tokens.tolist()):
            assert len(set(made.values[0, made.tokens == token].tolist())) == 1


@pytest.mark.parametrize("other", [{"encoding": "pope"}, {"decay": "forget"}], ids=str)
def test_other_models_need_torch(tmp_path: Path, other: dict[str, Any]) -> None:
    folder = saved(tmp_path / "model", moved(Decoder(config(decoder=other), seed=0), scale=0.1))
    with pytest.raises(UserError, match=r"has .*, which needs PyTorch; run: pip install 'ropewalk\[torch\]'"):
        traced(folder, "cat")
    assert loading.quickest_backend(folder, "cat") == "auto"


def test_a_parametrization_that_numpy_does_not_compute_needs_torch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_decoder, "RUNS", frozenset({"integer"}))
    with pytest.raises(UserError, match="has parametrization bounded, which needs PyTorch"):
        traced(folder, "cat")
    assert loading.quickest_backend(folder, "cat") == "auto"


def test_numpy_is_quicker_for_short_texts_and_small_models(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loading.quickest_backend(folder, "cat") == loading.quickest_backend("per-layer", "猫") == "numpy"
    assert loading.quickest_backend(folder, "x" * loading.SHORT_TEXT) == "auto"
    monkeypatch.setattr(loading, "SMALL_MODEL", 1000)
    assert loading.quickest_backend(folder, "cat") == "auto"


def both_refuse(folder: str | Path, text: str = "cat") -> str:
    """The one sentence with which NumPy and PyTorch refuse a model or a text."""
    said = []
    for read in (read_numpy_decoder, checkpoint.load_decoder):
        with pytest.raises(UserError) as refusal:
            capture.trace(read(pretrained.find_model(folder)), text)
        said.append(str(refusal.value))
    assert said[0] == said[1] and "\n" not in said[0]
    return said[0]


def test_bytes_are_the_tokens_of_no_other_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not know its tokenizer"):
        traced(saved(tmp_path / "model", Decoder(config(decoder={"vocab_size": 200}), seed=0)), "cat")


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_texts_that_are_none_are_refused(folder: Path, text: str) -> None:
    assert both_refuse(folder, text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["format"], "another"),
        (["schema"], 1),
        (["provenance"], None),
        (["weights", "sha256"], "0" * 64),
        (["model", "novelty"], 1),
        (["model", "context_length"], 64.0),
        (["model", "context_length"], True),
        (["model", "context_length"], 1),
        (["model", "num_kv_heads"], 0),
        (["model", "num_kv_heads"], 3),
        (["model", "num_heads"], 32),
        (["model", "num_heads"], "4"),
        (["model", "intermediate_size"], 64),
        (["model", "num_layers"], 3),
        (["model", "rope_theta"], -1.0),
        (["model", "rope_theta"], float("inf")),
        (["model", "norm_eps"], float("nan")),
        (["model", "increments"], None),
        (["model", "increments", "per"], "head"),
        (["model", "increments", "gap"], "around"),
        (["model", "increments", "max_increment"], 1.0),
        (["model", "increments", "parametrization"], "positive"),
        (["model", "increments", "per_head"], True),
    ],
    ids=str,
)
def test_a_changed_config_is_refused(folder: Path, path: list[str], value: Any) -> None:
    edit(folder, *path, value=value)
    assert both_refuse(folder)


@pytest.mark.parametrize(
    "changed", [{"hidden_size": 36}, {"num_kv_heads": 3}, {"num_heads": "4"}, {"num_heads": 4.0}]
)
def test_a_config_is_checked_strictly(folder: Path, changed: dict[str, Any]) -> None:
    shape = json.loads((folder / checkpoint.CONFIG).read_text())["model"]
    for known in (shape, shape | {"num_kv_heads": 2}):
        DecoderConfig.model_validate(known, strict=True)
    with pytest.raises(ValidationError):
        DecoderConfig.model_validate(shape | changed, strict=True)


def test_damaged_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder / checkpoint.WEIGHTS
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"", whole[:100]):
        path.write_bytes(damaged)
        assert "copy the model again" in both_refuse(folder)
    other = saved(tmp_path / "other", moved(Decoder(config(), seed=5), scale=0.2))
    shutil.copy(other / checkpoint.WEIGHTS, path)
    assert "its hash differs" in both_refuse(folder)
    path.unlink()
    assert "does not exist" in both_refuse(folder)
    with pytest.raises(UserError, match="does not exist"):
        loading.find_model(tmp_path / "nowhere")


def test_a_hash_that_fits_does_not_excuse_tensors_that_do_not(folder: Path) -> None:
    """A norm of one number would stretch over every channel unnoticed."""
    from safetensors.torch import load_file, save_file

    path = folder / checkpoint.WEIGHTS
    save_file({**load_file(path), "norm.weight": torch.ones(1)}, path)
    edit(folder, "weights", "sha256", value=sha256(path))
    assert "'norm.weight' is [1]" in both_refuse(folder)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    model = moved(Decoder(config("signed"), seed=0))
    with torch.no_grad():
        model.increment_modules[1].output.bias.fill_(float("nan"))
    assert both_refuse(saved(tmp_path / "model", model))


def test_a_trace_differs_where_the_pass_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """These comparisons can fail: other positions are seen."""
    full = capture.trace(checkpoint.load_decoder("per-layer"), SENTENCES[0])
    plain = NumpyDecoder._angles
    monkeypatch.setattr(NumpyDecoder, "_angles", lambda self, r: plain(self, r + 0.01))
    with pytest.raises(AssertionError):
        assert_same(traced("per-layer", SENTENCES[0]), full)


def shown(*words: str) -> tuple[str, bool]:
    """What `ropewalk show` prints in a process of its own, and whether that loaded torch."""
    code = (
        "import sys\nfrom ropewalk.cli import main\ntry:\n main()\nfinally:\n print('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "show", *words], capture_output=True, text=True, check=True
    )
    *rows, loaded = ran.stdout.splitlines()
    return "\n".join(rows), loaded == "True"


def test_a_sentence_is_shown_without_torch_and_written_with_it(tmp_path: Path) -> None:
    picture, loaded = shown(SENTENCES[0])
    assert "L5" in picture and not loaded
    assert shown(SENTENCES[0], "--json", str(tmp_path / "trace.json")) == (picture, True)


def test_what_is_wrong_is_still_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ropewalk import cli

    edit(folder, "weights", "sha256", value="0" * 64)
    sys_argv, sys.argv = sys.argv, ["ropewalk", "show", "cat", "--model", str(folder)]
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    finally:
        sys.argv = sys_argv
    assert stopped.value.code == 1 and "its hash differs" in capsys.readouterr().err


def test_the_bundled_models_are_all_read() -> None:
    for name in pretrained.model_names():
        assert (
            read_numpy_decoder(pretrained.find_model(name)).describe()
            == checkpoint.load_decoder(name).describe()
        )
