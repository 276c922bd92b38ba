"""Every forward pass against the PyTorch decoder, over the increment configurations that it supports.

One file, so that a new pass or a new parametrization is compared everywhere. Tolerances are those that the passes state:
PyTorch 1e-5 for the same weights in another model class, NumPy and ONNX 1e-4 in increments and 2e-3 in logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import config, moved, tokens
from torch import Tensor

from ropewalk.core.host import increments_of
from ropewalk.core.increment_config import ABSOLUTE, NETWORKS, PARAMETRIZATIONS
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder
from ropewalk.native.numpy_checkpoint import read_numpy_decoder
from ropewalk.native.numpy_decoder import NumpyDecoder
from ropewalk.native.numpy_step import NumpyStep, supports

INCREMENTS, LOGITS = 1e-4, 2e-3
Pass = Callable[[Decoder, Tensor, Path], tuple[np.ndarray | None, np.ndarray]]
"""(model, tokens (T,), an empty folder) -> increments (N, T), None where the pass returns none, and logits (T, V)."""


def cached(model: Decoder, seen: Tensor, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The decoder with a KV cache, in segments of uneven length."""
    cache, parts = model.new_cache(), seen[None].split([1, 5, 2, len(seen) - 8], 1)
    outputs = [model(part, kv_cache=cache) for part in parts]
    logits = torch.cat([output.logits for output in outputs], 1)[0]
    return torch.cat([increments_of(output) for output in outputs], 2)[0].numpy(), logits.numpy()


def numpy_decoder(model: Decoder, seen: Tensor, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    checkpoint.save_decoder(folder / "model", model, {})
    return read_numpy_decoder(folder / "model")(seen.numpy())


def numpy_step(model: Decoder, seen: Tensor, folder: Path) -> tuple[None, np.ndarray]:
    """One token at a time after a first segment of the decoder."""
    cache, start = model.new_cache(), 4
    first = model(seen[None, :start], kv_cache=cache).logits[0]
    assert supports(model, cache)
    step = NumpyStep(model, cache)
    return None, np.concatenate([first.numpy(), *(step(token[None]).numpy() for token in seen[start:])])


def onnx_graph(model: Decoder, seen: Tensor, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime")
    from ropewalk.export import onnx_graph

    onnx_graph.onnx(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(
        (folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"]
    )
    ones = np.ones((1, len(model.rows), len(seen)), np.float32)
    d, logits = session.run(
        ["increments", "logits"], {"tokens": seen[None].numpy(), "keep": ones, "shift": 0 * ones}
    )
    return d[0], logits[0]


def native_as_hf(model: Decoder, seen: Tensor, folder: Path) -> tuple[None, np.ndarray]:
    pytest.importorskip("transformers")
    from ropewalk.hf.native_as_hf import RopewalkForCausalLM

    checkpoint.save_decoder(folder / "model", model, {})
    return None, RopewalkForCausalLM.from_pretrained(folder / "model")(seen[None]).logits[0].numpy()


def llama(model: Decoder, seen: Tensor, folder: Path) -> tuple[None, np.ndarray]:
    pytest.importorskip("transformers")
    from ropewalk.hf import llama_export

    return None, llama_export.llama(model)(seen[None]).logits[0].numpy()


@dataclass(frozen=True)
class Supported:
    """What a pass computes: parametrizations, gaps, encodings and decays, and how closely it agrees."""

    run: Pass
    parametrizations: frozenset[str] = frozenset(PARAMETRIZATIONS)
    decoders: tuple[tuple[str, str | None], ...] = (("rope", None),)
    logits: float = LOGITS
    increments: float = INCREMENTS


EVERY = (("rope", None), ("pope", None), ("rope", "alibi"), ("rope", "forget"), ("pope", "forget"))
PASSES = {
    "cached": Supported(cached, decoders=EVERY),
    "NumPy": Supported(numpy_decoder),
    "NumPy step": Supported(numpy_step),
    "transformers": Supported(native_as_hf, decoders=EVERY, logits=1e-5),
    "Llama": Supported(llama, frozenset({"integer"}), logits=1e-4),
}
ONNX = Supported(onnx_graph, frozenset({"positive", "bounded"}))
KINDS = [(name, "before") for name in PARAMETRIZATIONS]
KINDS += [(name, "after") for name in PARAMETRIZATIONS if name not in ABSOLUTE]


def models() -> Iterator[Any]:
    for parametrization, gap in KINDS:
        for per, per_head in (("layer", True), ("shared", False)):
            for encoding, decay in EVERY:
                name = f"{parametrization}-{gap}-{per}-{per_head}-{encoding}-{decay}"
                yield pytest.param(parametrization, gap, per, per_head, (encoding, decay), id=name)


def build(
    parametrization: str, gap: Any, per: Any, per_head: bool, decoder: tuple[str, str | None]
) -> Decoder:
    shape = {"num_kv_heads": 2, "encoding": decoder[0], "decay": decoder[1]}
    settings = {"gap": gap, "per": per, "per_head": per_head, "max_position": 20}
    return moved(Decoder(config(parametrization, decoder=shape, **settings), seed=0), scale=0.1)


def compare(own: Supported, model: Decoder, folder: Path) -> None:
    seen = tokens(1, 30)[0]
    with torch.no_grad():
        output = model(seen[None])
        d, logits = own.run(model, seen, folder)
    np.testing.assert_allclose(logits, output.logits[0].numpy(), atol=own.logits, rtol=0)
    if d is not None:
        np.testing.assert_allclose(d, increments_of(output)[0].numpy(), atol=own.increments, rtol=0)


@pytest.mark.parametrize(("parametrization", "gap", "per", "per_head", "decoder"), list(models()))
def test_every_pass_agrees_with_the_decoder(
    tmp_path: Path, parametrization: str, gap: str, per: str, per_head: bool, decoder: tuple[str, str | None]
) -> None:
    model = build(parametrization, gap, per, per_head, decoder)
    for name, own in PASSES.items():
        if parametrization in own.parametrizations and decoder in own.decoders:
            (tmp_path / name).mkdir()
            compare(own, model, tmp_path / name)


@pytest.mark.parametrize("parametrization", sorted(NETWORKS))
def test_every_pass_agrees_where_all_networks_read_the_embedding(
    tmp_path: Path, parametrization: str
) -> None:
    shape = config(parametrization, reads="embedding", max_position=20, decoder={"num_kv_heads": 2})
    model = moved(Decoder(shape, seed=0), scale=0.1)
    for name in ("cached", "NumPy", "NumPy step", "transformers"):
        (tmp_path / name).mkdir()
        compare(PASSES[name], model, tmp_path / name)
    if (
        parametrization == "bounded"
    ):  # an export takes seconds, and what a network reads does not depend on its form
        compare(ONNX, model, tmp_path)


@pytest.mark.parametrize(
    "shape",
    [
        ("bounded", "after", "layer", True, ("rope", "alibi")),
        ("positive", "before", "shared", False, ("rope", None)),
    ],
    ids=["bounded, per head, gap after, with decay", "positive, shared"],
)
def test_the_graph_agrees_with_the_decoder(tmp_path: Path, shape: Any) -> None:
    assert shape[0] in ONNX.parametrizations
    compare(ONNX, build(*shape), tmp_path)


@pytest.mark.parametrize("parametrization", [name for name in PARAMETRIZATIONS if name != "integer"])
def test_the_comparison_can_fail(
    tmp_path: Path, parametrization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass whose increments are slightly wrong is noticed, in its logits and in its increments."""
    real = NumpyDecoder._increments
    monkeypatch.setattr(NumpyDecoder, "_increments", lambda self, *rest: real(self, *rest) + np.float32(0.01))
    with pytest.raises(AssertionError, match="Not equal"):
        compare(PASSES["NumPy"], build(parametrization, "before", "layer", True, ("rope", None)), tmp_path)


def test_models_move_away_from_integer_positions() -> None:
    """The matrix would prove little with increments of 1."""
    for parametrization in PARAMETRIZATIONS:
        d = increments_of(build(parametrization, "before", "layer", True, ("rope", None))(tokens(1, 30)))
        assert (d.std() > 0.001) == (parametrization not in ("integer",)), parametrization
