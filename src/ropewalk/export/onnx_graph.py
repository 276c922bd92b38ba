"""A native decoder as one ONNX graph.

Inputs: tokens (1, T) int64, T from 2; keep and shift (1, N, T) float32, which turn the increments d of row i
into d * keep + shift (ones and zeros leave them alone; a gap set by hand is keep 0 and shift its value). Outputs:
increments (1, N, T) float32 in token-equivalents, as used; logits (1, T, V) in nats. The numbers are compared
with PyTorch's before the file is written.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ropewalk.core import positions
from ropewalk.core.host import increments_of
from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder, Layer
from ropewalk.system.files import write_atomically
from ropewalk.tokens.utf8_bytes import END

OPSET = 20
MOST_BYTES = 14_000_000
TOLERANCE = {"increments": 1e-4, "logits": 2e-3}
"""Largest difference from PyTorch: token-equivalents, and nats, over passes up to the model's context."""


class _Graph(nn.Module):
    """The decoder's pass with its edit as two inputs, in operations that a tracer can follow for any T."""

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, keep: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        model, row = self.model, 0
        x = embedded = F.embedding(tokens, model.embedding)
        decay = None if model.shared_decay is None else model.shared_decay(embedded)
        n = torch.arange(tokens.shape[1]).expand(tokens.shape)
        increments = []
        for i, module in enumerate(model.layers):
            layer = cast(Layer, module)
            if i < len(model.increment_modules):
                read = embedded if model.config.increments.reads == "embedding" else x
                d = 1.0 + model.increment_modules[i](read, tokens).transpose(1, 2)
                own = slice(row, row + d.shape[1])
                row += d.shape[1]
                d = d * keep[:, own] + shift[:, own]
                increments.append(d)
                p, _ = positions.positions_from_increments(d.transpose(1, 2) - 1.0, n, gap=model.gap)
                cos, sin = layer.attention.encoding.angles(p, n)
            x = layer(x, cos, sin, torch.zeros_like(tokens), shared_decay=decay)
        return torch.cat(increments, 1), F.linear(model.norm(x), model.embedding)


def onnx(model: Decoder, path: str | Path, *, most: int = MOST_BYTES) -> dict[str, float]:
    """Writes the graph of `model` (float32, evaluation mode) and returns its largest differences from PyTorch.

    Weights are kept as float32; where that gives more than `most` bytes, matrices that are float16 numbers, as
    those of a model saved in float16, are stored so. UserError when the packages for it are missing, when the file
    stays too large, and when the numbers differ by more than TOLERANCE.
    """
    proto = build(model)
    data = proto.SerializeToString()
    if len(data) > most:
        _halve(proto)
        data = proto.SerializeToString()
    if len(data) > most:
        raise UserError(
            f"expected a model of at most {most} bytes, got {len(data)}, with all weights that are float16 "
            "numbers stored so; export a smaller model."
        )
    found = differences(model, data)
    wrong = {name: value for name, value in found.items() if not value <= TOLERANCE[name]}
    if wrong:
        name, value = next(iter(wrong.items()))
        raise UserError(
            f"expected the exported {name} within {TOLERANCE[name]} of PyTorch's, got a difference of {value:.2g}; "
            "the model's increments or weights may be extreme."
        )
    write_atomically(path, data)
    return found


def build(model: Decoder) -> Any:
    """The graph as an onnx ModelProto, not yet compared with the model."""
    _check_packages()
    length, rows = 24, len(model.rows)
    example = (torch.full((1, length), 32), torch.ones(1, rows, length), torch.zeros(1, rows, length))
    tokens = torch.export.Dim(
        "tokens", min=3, max=max(4096, model.context_length)
    )  # 2 works too, and is compared
    with _quietly(), torch.no_grad():
        traced = torch.export.export(
            _Graph(model).eval(), example, dynamic_shapes=({1: tokens}, {2: tokens}, {2: tokens})
        )
        program = torch.onnx.export(
            traced, dynamo=True, opset_version=OPSET, verbose=False, optimize=True,
            input_names=["tokens", "keep", "shift"], output_names=["increments", "logits"],
        )  # fmt: skip
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    proto = program.model_proto
    _forget_sources(proto)
    return proto


def differences(model: Decoder, data: bytes) -> dict[str, float]:
    """Largest absolute differences between the graph and the model over passes of 2 tokens up to the context."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    largest = {"increments": 0.0, "logits": 0.0}
    stream = torch.Generator().manual_seed(0)
    for length in sorted({2, min(100, model.context_length), model.context_length}):
        tokens = torch.randint(0, 256, (1, length), generator=stream)
        tokens[0, 0] = min(END, model.config.vocab_size - 1)
        keep = (torch.rand(1, len(model.rows), length, generator=stream) > 0.05).float()
        shift = (1 - keep) * 2.5
        edits = {row: (keep[:, i], shift[:, i]) for i, row in enumerate(model.rows)}
        with torch.inference_mode():
            output = model(tokens, edit=lambda row, d, edits=edits: d * edits[row][0] + edits[row][1])
        feeds = {"tokens": tokens.numpy(), "keep": keep.numpy(), "shift": shift.numpy()}
        expected = {"increments": increments_of(output).numpy(), "logits": output.logits.numpy()}
        for (name, want), got in zip(expected.items(), session.run(list(expected), feeds), strict=True):
            largest[name] = max(largest[name], float(np.abs(want - got).max()))
    return largest


def _halve(proto: Any) -> None:
    """Stores the float32 matrices of a graph that lose nothing by it as float16, and widens them when it is run."""
    import onnx as exporter

    graph = proto.graph
    for tensor in list(graph.initializer):
        if tensor.data_type != exporter.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, whole = tensor.name, exporter.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = whole.astype(np.float16)
        if not np.array_equal(half, whole):
            continue
        tensor.CopyFrom(exporter.numpy_helper.from_array(half, name + ".half"))
        widen = exporter.helper.make_node("Cast", [tensor.name], [name], to=exporter.TensorProto.FLOAT)
        graph.node.insert(0, widen)


def _forget_sources(proto: Any) -> None:
    """Drops names of source files and functions of the machine that made the graph."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
    del proto.metadata_props[:], proto.graph.metadata_props[:]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's remarks, which tell a user nothing to act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"exporting needs {error.name}, which is not installed; run: pip install 'ropewalk[export]'"
        ) from error
